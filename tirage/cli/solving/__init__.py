"""One question or a tree of attempts, one agent or a team."""
