"""Floor 1: pure ask/tell algorithms over a tree, no I/O."""
