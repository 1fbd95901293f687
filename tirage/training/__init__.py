"""Floor 8: traces to rows to weights."""
