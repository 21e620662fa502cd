"""Carousel's layers inside other packages, each of which is an extra."""
