"""Frozen values and pure arithmetic; numpy is the only import."""
