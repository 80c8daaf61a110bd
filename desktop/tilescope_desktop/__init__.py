"""The window: a pathologist's view of the engine."""
