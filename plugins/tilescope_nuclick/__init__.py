"""The plugin of the ``nuclick`` models: one click, one object."""
