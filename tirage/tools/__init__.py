"""Floor 2: what a policy may do."""
