"""Floor 5: traces to rows to weights."""
