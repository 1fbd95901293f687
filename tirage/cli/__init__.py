"""Floor 6: the command line; the only place where strings become objects."""
