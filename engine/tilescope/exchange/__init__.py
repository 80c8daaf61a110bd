"""Results as files that other programs open; each appears whole or not at all."""
