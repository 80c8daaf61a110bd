"""The C extension. A missing one is an installation fault and says so on import."""
