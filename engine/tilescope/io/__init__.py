"""Pixels in: readers, the tile cache and regions at any scale."""
