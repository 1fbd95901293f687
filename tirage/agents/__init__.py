"""Floor 3: one policy at work: dialects, hints, and the driver of any search with tools and sandbox branches."""
