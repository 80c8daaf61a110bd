"""Pure array functions, usable by plugins; the C extension is behind the hot ones."""
