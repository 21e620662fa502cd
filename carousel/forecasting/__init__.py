"""Forecasters: numbers in, numbers out, over any cell, trained by the language models' trainer."""
