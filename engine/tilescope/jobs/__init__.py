"""Use-cases: what every front end calls."""
