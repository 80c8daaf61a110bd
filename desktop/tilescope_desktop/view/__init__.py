"""Widgets: they draw what the model says and report what the user did."""
