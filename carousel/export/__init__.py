"""Trained cells elsewhere: the same equations, printed for other machines."""

from carousel.export.c99.file import of_layer as c
from carousel.export.javascript.file import js
from carousel.export.onnx18.file import of_layer as onnx
from carousel.export.webassembly.file import of_layer as wasm

__all__ = ["c", "js", "onnx", "wasm"]
