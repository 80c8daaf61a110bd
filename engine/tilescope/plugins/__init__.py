"""The plugin contract: what a plugin implements, how it is found, and in what state it is."""
