"""Whether two answers are the same: notation, numbers, units, structure, algebra."""
