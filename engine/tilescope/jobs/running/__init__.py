"""The parts of a run: what is looked at first, blocks, tasks and the files they end in."""
