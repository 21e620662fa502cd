"""The same layer in ONNX Runtime, as ``export.onnx`` writes it; forward only."""

from __future__ import annotations

import importlib.util

import numpy as np
from torch import Tensor

from carousel import export
from carousel.bench.timing import Work
from carousel.layers import Recurrent


def available() -> bool:
    """Return whether ONNX and ONNX Runtime are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def work(layer: Recurrent, data: Tensor, threads: int) -> Work:
    """Return one forward run of a layer over (T, B, input_size), for timing."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle, its threads would take the others' time
    model = export.onnx(layer).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    given = {"input": data.numpy()}
    given |= {x.name: np.zeros((x.shape[0], 0, x.shape[2]), np.float32) for x in session.get_inputs()[1:]}
    return lambda: session.run(None, given)
