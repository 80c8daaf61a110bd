"""Everything that makes, measures and exports the ``nuclick`` models."""
