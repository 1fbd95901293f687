"""Floor 4: critics, judges and valuers, what wraps them, and how biased they are."""
