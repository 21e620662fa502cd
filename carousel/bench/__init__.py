"""Measurements: side by side in one run, with equal threads, as medians and ratios."""
