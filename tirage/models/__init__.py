"""Floor 1: language models behind one port."""
