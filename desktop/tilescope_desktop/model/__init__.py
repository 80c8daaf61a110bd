"""What the window shows and does, as values and state machines that know no Qt."""
