"""The 1997 experiments and other generated problems: definitions, recipes, runs and tables."""
