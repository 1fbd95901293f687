"""Floor 9: from a configuration to open parts; run folders, stages, the improvement loop, comparisons."""
