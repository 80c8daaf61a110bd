"""What must survive a killed process."""
