"""The same layer in ONNX Runtime: its LSTM operator, with peepholes where the cell has some; forward only."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from carousel.bench.timing import Work
from carousel.layers import Recurrent

# Cells that the operator knows: the letter of the block input, whether f = 1 − i.
CELLS = {"lstm-v2": ("h", 0), "lstm-v3": ("h", 0), "vanilla": ("g", 0), "cifg": ("g", 1)}


def available() -> bool:
    """Return whether ONNX and ONNX Runtime are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def work(layer: Recurrent, data: Tensor, threads: int, before: Sequence[Tensor] | None = None) -> Work:
    """Return one forward run of a layer over (T, B, input_size), for timing.

    It begins with the states ``before`` (message, memory) or zero, and gives the operator's outputs: (T, directions, B, H), and
    the last states (directions, B, H).
    """
    import onnx
    import onnxruntime

    block, input_forget = CELLS[layer.cell.name]
    states = [{k: v.detach().numpy() for k, v in layer.parameters_of(0, d).items()} for d in range(layer.directions)]
    e, h = layer.input_size, layer.hidden_size
    zero = {"e": np.zeros((h, e)), "m": np.zeros((h, h)), "h": np.zeros(h), "": np.zeros(h)}

    def stack(space: str, letters: Sequence[str], source: str) -> Any:
        rows = [np.concatenate([state.get(f"{space}.{k}{source}", zero[source]) for k in letters]) for state in states]
        return np.stack(rows).astype(np.float32)

    gates = ("i", "o", "f", block)
    bias = stack("b", gates, "")
    weights = {"W": stack("W", gates, "e"), "R": stack("W", gates, "m"), "B": np.concatenate([bias, 0 * bias], axis=1)}
    if any(k.startswith("w.") for k in states[0]):
        weights["P"] = stack("w", "iof", "h")
    given = {"X": data.detach().numpy()}
    if before is not None:
        given |= {"initial_h": before[0].numpy(), "initial_c": before[1].numpy()}
    names = [
        k if k in weights or k in given else "" for k in ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
    ]
    direction = "bidirectional" if layer.bidirectional else "forward"
    outputs = ["Y", "Y_h", "Y_c"]
    node = onnx.helper.make_node("LSTM", names, outputs, hidden_size=h, direction=direction, input_forget=input_forget)

    def info(name: str, shape: Any) -> Any:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    graph = onnx.helper.make_graph(
        [node],
        "lstm",
        [info(k, v.shape) for k, v in given.items()],
        [info(k, None) for k in outputs],
        [onnx.numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle, its threads would take the others' time
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, given)
