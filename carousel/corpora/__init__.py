"""Texts that are generated or carried along, to train on and to look into."""
