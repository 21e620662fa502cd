"""Translators: encoder and decoder over any cell, trained by the language models' trainer."""
