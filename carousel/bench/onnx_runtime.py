"""The same layer in ONNX Runtime, as ``export.onnx`` writes it; forward only."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel import export
from carousel.bench.timing import Work
from carousel.layers import Recurrent


def available() -> bool:
    """Return whether ONNX and ONNX Runtime are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def work(layer: Recurrent, data: Tensor, threads: int) -> Work:
    """Return one forward run of a layer over (T, B, input_size), for timing."""
    session, states = _session(layer, threads)
    given = {"input": data.numpy()} | states
    return lambda: session.run(None, given)


def stream(layer: Recurrent, x: Tensor) -> tuple[Work, Callable[[], Tensor]]:
    """Return a function for one step of all layers, each from the states of the step before, and its output; one thread.

    Args:
        layer: read in one direction.
        x: the input of every step, (1, input_size).
    """
    session, states = _session(layer, 1)
    given, found = {"input": x.unsqueeze(0).numpy()} | states, [np.zeros(0)]

    def step() -> None:
        found[:] = session.run(None, given)
        given.update(zip(states, found[1:], strict=True))

    return step, lambda: torch.from_numpy(found[0][0, 0])


def _session(layer: Recurrent, threads: int) -> tuple[Any, dict[str, np.ndarray]]:
    """Return a session, and the states with which the layer begins."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle, its threads would take the others' time
    model = export.onnx(layer).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    shapes = {x.name: (x.shape[0], 0, x.shape[2]) for x in session.get_inputs()[1:]}
    return session, {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
