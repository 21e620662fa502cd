"""The whole model: inputs and outputs, states among them, constants and metadata."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import carousel
from carousel.errors import InputError
from carousel.export.checks import check_sequence
from carousel.export.onnx18.graph import IR, OPSET, Graph, Value
from carousel.export.onnx18.layers import first_states, layers
from carousel.export.onnx18.scan import info
from carousel.export.onnx18.weights import Weights
from carousel.layers import Recurrent

LARGEST = 2**31 - 1  # bytes of a message of protobuf


def of_layer(layer: Recurrent, precision: str = "float32") -> Any:
    """Return layers as an ONNX model (opset 18), for any batch and any number of steps.

    The model's inputs are ``input``, laid out as the layer's, further inputs by name, and the states before the first step by
    name, laid out as ``hx`` of the layer, (layers · directions, B, units) each; a state without rows stands for the layer's
    initial state. The outputs are ``output`` and the states after the last step, such as ``m_after``.

    A cell with the equations of ONNX's LSTM, GRU or RNN becomes that operator; any other becomes a Scan over its equations.

    Args:
        layer: layers of any cell in one direction or both. Constants hold their parameters; dropout and noise are left out.
        precision: of dense weights: float32, float16, bfloat16 or int8. All sums are in float32.

    Returns:
        An ``onnx.ModelProto``, for ``onnx.save(model, "layer.onnx")``.

    Raises:
        InputError: the package ``onnx`` is missing, the layer is a ``Grid`` or ``Tree``, there is no such precision, weights
            are not finite, or the model is larger than such a file may be.
    """
    needs_package()
    check_sequence(layer)
    graph = Graph()
    time, batch = ("time", "batch")
    both = [batch, time] if layer.batch_first else [time, batch]
    asked = Asked(graph)
    data = asked.value("input", layer.input_size, [*both, layer.input_size])
    given: dict[str, Value] = {}
    for x in layer.cell.trace.inputs:
        units = layer.cell.length(x.size, *layer.sizes())
        value = asked.value(x.name, units, both if x.is_number else [*both, units])
        if x.is_number:
            value = graph.node("Unsqueeze", value, graph.constant([-1], np.int64))
        given[x.name] = _time_first(value) if layer.batch_first else value
    data = _time_first(data) if layer.batch_first else data
    states = asked.states(layer, data)
    with torch.no_grad():
        layer.refresh()
        output, after = layers(layer, data, states, Weights(graph, precision), given)
    return asked.model(layer, {"output": (_time_first(output) if layer.batch_first else output, both)}, after, {})


@dataclass
class Asked:
    """The inputs and outputs of a model under construction."""

    graph: Graph

    def __post_init__(self) -> None:
        self.inputs: dict[Value, Sequence[int | str]] = {}
        self.names: list[str] = []  # of states

    def value(self, name: str, units: int, shape: Sequence[int | str], kind: Any = np.float32) -> Value:
        """Add an input to the model and return its value."""
        made = Value(self.graph, name, units, True, kind)
        assert made.name
        self.inputs[made] = shape
        return made

    def states(self, layer: Recurrent, data: Value) -> list[Value]:
        """Return the states before the first step, laid out as the layer's.

        ``data``, (T, B, units), tells the number of rows.
        """
        graph, found = self.graph, []
        zero, one = (graph.constant([n], np.int64) for n in (0, 1))
        batch = graph.node("Shape", data, outputs=[Value(graph, "batch", kind=np.int64)], start=1, end=2)
        shape = graph.node("Concat", one, batch, one, axis=0)
        for name, start in zip(layer.cell.states, first_states(layer), strict=True):
            given = self.value(name, start.shape[-1], [start.shape[0], "rows", start.shape[-1]])
            self.names.append(given.name)
            rows = graph.node("Shape", given, outputs=[Value(graph, "rows", kind=np.int64)], start=1, end=2)
            none = graph.node("Where", graph.node("Equal", rows, zero), batch, zero)  # of the layer's: all or none
            own = graph.node("Slice", graph.node("Expand", graph.constant(start), shape), zero, none, one)
            found.append(graph.node("Concat", given, own, axis=1))
        return found

    def model(
        self,
        layer: Recurrent,
        outputs: Mapping[str, tuple[Value, Sequence[int | str]]],
        after: Sequence[Value],
        told: Mapping[str, str],
    ) -> Any:
        """Return the model.

        Args:
            layer: the layers, which the metadata describe.
            outputs: values by name, each with all its dimensions but the last.
            after: the states after the last step.
            told: further metadata.

        Raises:
            InputError: the model would be larger than protobuf allows.
        """
        from onnx import helper

        graph, infos, ends = self.graph, [], []
        every = {name: (value, [*shape, value.units]) for name, (value, shape) in outputs.items()}
        for k, (name, x) in enumerate(zip(self.names, after, strict=True)):
            every[f"{name}_after"] = (x, [layer.layout.shape(k)[0], "batch", x.units])
        for name, (x, shape) in every.items():
            end = graph.node("Identity", x, outputs=[Value(graph, name, x.units, True)])
            infos.append(info(end, shape))
            ends.append(end)
        read = graph.needed(ends)
        constants = [c for x, c in graph.constants.items() if x in read]
        if sum(len(c.raw_data) for c in constants) > LARGEST - 2**20:
            raise InputError("the weights take more than the 2 GB that one ONNX file may have; take a shorter `precision`")
        inputs = [info(x, shape) for x, shape in self.inputs.items()]
        made = helper.make_model(
            graph.made("carousel", inputs, infos, constants),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR,
            producer_name="carousel",
            producer_version=carousel.__version__,
            doc_string=f"{layer!r}\n\n{layer.cell.text}",
        )
        helper.set_model_props(made, {"cell": layer.cell.name, "states": " ".join(self.names), **told})
        return made


def needs_package() -> None:
    """Raise InputError where the package onnx is missing."""
    if importlib.util.find_spec("onnx") is None:
        raise InputError("ONNX needs the package onnx: pip install carousel-rnn[onnx]")


def _time_first(x: Value) -> Value:
    """Return (T, B, units) for (B, T, units), and the reverse."""
    return x.graph.node("Transpose", x, perm=[1, 0, 2])
