"""Carousel: recurrent networks with gated memory. A cell is its equations."""

__version__ = "0.2.0"
