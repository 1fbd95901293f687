"""Floor 6: the published systems, one file or folder each with its `SystemSpec`."""
