"""Trained cells elsewhere: the same equations, printed for other machines."""

from carousel.export.c99.file import of_layer as c

__all__ = ["c"]
