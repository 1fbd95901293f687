"""Floor 3: policies, dialects, hints and the explorer that drives a search with tools and sandbox branches."""
