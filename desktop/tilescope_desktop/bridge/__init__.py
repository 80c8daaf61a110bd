"""The only code that crosses from worker threads to the window's thread."""
