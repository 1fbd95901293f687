"""Floor 11: the command line: flags and printing."""
