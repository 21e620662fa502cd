"""Labels: one for each step of a sequence, or one for the whole of it."""
