"""The same layer in ONNX Runtime: its LSTM operator, with peepholes where the cell has some; forward only."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
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
    weights = _weights(layer, 0)
    given = {"X": data.detach().numpy()}
    if before is not None:
        given |= {"initial_h": before[0].numpy(), "initial_c": before[1].numpy()}
    session = _session([_node(layer, 0, {**weights, **given})], given, weights, ["Y", "Y_h", "Y_c"], threads)
    return lambda: session.run(None, given)


def stream(layer: Recurrent, x: Tensor) -> tuple[Work, Callable[[], Tensor]]:
    """Return one step of all of a layer's layers, which goes on from the last one's states, and its output; one thread.

    Args:
        layer: read in one direction.
        x: the input of every step, (1, input_size).
    """
    import onnx

    states = [f"{s}{k}" for k in range(layer.num_layers) for s in ("initial_h", "initial_c")]
    outputs = [f"{s}{k}" for k in range(layer.num_layers) for s in ("Y_h", "Y_c")]
    given: dict[str, Any] = {"X0": x.unsqueeze(0).numpy()}
    given |= {s: np.zeros((1, 1, layer.hidden_size), np.float32) for s in states}
    weights: dict[str, Any] = {"axes": np.array([1])}
    nodes = []
    for k in range(layer.num_layers):
        own = {f"{name}{k}": value for name, value in _weights(layer, k).items()}
        weights |= own
        nodes.append(_node(layer, k, {**own, **given, f"X{k}": None}, str(k)))
        nodes.append(onnx.helper.make_node("Squeeze", [f"Y{k}", "axes"], [f"X{k + 1}"]))
    last = f"X{layer.num_layers}"
    session = _session(nodes, given, weights, [last, *outputs], 1)
    found: list[Any] = []

    def step() -> None:
        found[:] = session.run(None, given)
        given.update(zip(states, found[1:], strict=True))

    return step, lambda: torch.from_numpy(found[0][0, 0])


def _weights(layer: Recurrent, k: int) -> dict[str, Any]:
    """Return the weights of one of a layer's layers, as the operator has them."""
    block, _ = CELLS[layer.cell.name]
    states = [{n: v.detach().numpy() for n, v in layer.parameters_of(k, d).items()} for d in range(layer.directions)]
    e, h = layer.sizes(k)[0], layer.hidden_size
    zero = {"e": np.zeros((h, e)), "m": np.zeros((h, h)), "h": np.zeros(h), "": np.zeros(h)}

    def stack(space: str, letters: Sequence[str], source: str) -> Any:
        rows = [np.concatenate([state.get(f"{space}.{n}{source}", zero[source]) for n in letters]) for state in states]
        return np.stack(rows).astype(np.float32)

    gates = ("i", "o", "f", block)
    bias = stack("b", gates, "")
    weights = {"W": stack("W", gates, "e"), "R": stack("W", gates, "m"), "B": np.concatenate([bias, 0 * bias], axis=1)}
    if any(n.startswith("w.") for n in states[0]):
        weights["P"] = stack("w", "iof", "h")
    return weights


def _node(layer: Recurrent, k: int, known: Mapping[str, Any], end: str = "") -> Any:
    """Return the operator of a layer; its inputs are those that are known, by name with ``end`` behind."""
    import onnx

    operands = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
    names = [f"{n}{end}" if f"{n}{end}" in known else "" for n in operands]
    return onnx.helper.make_node(
        "LSTM",
        names,
        [f"Y{end}", f"Y_h{end}", f"Y_c{end}"],
        hidden_size=layer.hidden_size,
        direction="bidirectional" if layer.bidirectional else "forward",
        input_forget=CELLS[layer.cell.name][1],
    )


def _session(
    nodes: Sequence[Any], given: Mapping[str, Any], weights: Mapping[str, Any], outputs: Sequence[str], threads: int
) -> Any:
    import onnx
    import onnxruntime

    def info(name: str, shape: Any) -> Any:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    graph = onnx.helper.make_graph(
        nodes,
        "lstm",
        [info(k, v.shape) for k, v in given.items()],
        [info(k, None) for k in outputs],
        [onnx.numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle, its threads would take the others' time
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
