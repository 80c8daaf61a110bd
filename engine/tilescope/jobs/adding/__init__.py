"""What a model of the user says of itself, and whether that is true."""
