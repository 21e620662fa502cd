"""All layers of a ``Recurrent`` as nodes: each an operator of ONNX that has the cell's equations, or else a Scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from carousel.export.c99.layers import arrays
from carousel.export.onnx18.graph import Value
from carousel.export.onnx18.known import Operator, known
from carousel.export.onnx18.scan import Scan
from carousel.export.onnx18.weights import Weights
from carousel.layers import Recurrent
from carousel.layers.layout import Layout


def layers(
    layer: Recurrent,
    data: Value,
    states: Sequence[Value],
    weights: Weights,
    inputs: Mapping[str, Value],
    resets: Value | None = None,
) -> tuple[Value, list[Value]]:
    """Add all layers; return the outputs of the last layer, (T, B, units), and the last states, in the shapes of ``states``.

    Args:
        layer: the layers, whose parameters become constants.
        data: the input, (T, B, units).
        states: the states before the first step, laid out as the layer's.
        weights: the graph's weights.
        inputs: further inputs by name, (T, B, units) or (T, B, 1).
        resets: (T, B, 1), true where a row's states return to their first values before a step.
    """
    cell, ways, layout = layer.cell.quiet, range(layer.directions), layer.layout
    initial = layout.apart([torch.from_numpy(x) for x in first_states(layer)])
    after: list[list[Value]] = []
    below: Value | None = None
    for number in range(layer.num_layers):
        given, sizes = [arrays(layer, number, way) for way in ways], layer.sizes(number)
        begin = [_part(s, layout, k, number) for k, s in enumerate(states)]
        found = [known(cell, each, sizes) for each in given] if resets is None else []
        operators = [f for f in found if f is not None]
        if operators:
            made, last = _operator(operators, data, begin, weights, f"l{number}_")
            after.append(last)
            data = below = made if below is None or layer.skip == "none" else made + below
            continue
        outputs, ends = [], []
        for way in ways:
            before = [_row(s, way) for s in begin]
            name = f"l{number}_reverse_" if way else f"l{number}_"
            scan = Scan(cell, sizes, given[way], weights, name)
            starts = [weights.graph.constant(x[number * layer.directions + way].numpy()) for x in initial]
            output, last = scan.run(data, before, inputs, None if resets is None else (resets, starts), bool(way))
            outputs.append(output)
            ends.append([_unsqueezed(x) for x in last])
        made = _joined(outputs, -1)
        data = below = made if below is None or layer.skip == "none" else made + below
        after.append([_joined(each, 0) for each in zip(*ends, strict=True)])
    return data, [_joined(each, 0 if layout.even else -1) for each in zip(*after, strict=True)]


def first_states(layer: Recurrent) -> list[np.ndarray]:
    """Return the states before the first step of one row, laid out as the layer's."""
    states = layer.initial_state(1)
    return [s.detach().float().cpu().numpy() for s in (states if isinstance(states, tuple) else (states,))]


def _operator(
    operators: Sequence[Operator], data: Value, states: Sequence[Value], weights: Weights, name: str
) -> tuple[Value, list[Value]]:
    """Add an operator of one or both directions; ``states`` are (directions, B, units)."""
    graph, first, directions = weights.graph, operators[0], len(operators)
    units = states[0].units
    both = {k: np.stack([o.arrays[k] for o in operators]) for k in first.arrays}
    taken = [weights.dense(both["W"], f"{name}W"), weights.dense(both["R"], f"{name}R"), weights.vector(both["B"], f"{name}B")]
    peepholes = [weights.vector(both["P"], f"{name}P")] if "P" in both else []
    attributes: dict[str, Any] = {**first.attributes}
    outputs = [Value(graph, f"{name}{k}", units, True) for k in ("y", "y_h", "y_c")[: 1 + len(states)]]
    graph.node(
        first.kind,
        data,
        *taken,
        None,
        *states,
        *peepholes,
        outputs=outputs,
        hidden_size=units,
        direction="bidirectional" if directions > 1 else "forward",
        activations=[*first.activations] * directions,
        **attributes,
    )
    y, *last = outputs  # (T, directions, B, units)
    if directions == 1:
        return graph.node("Squeeze", y, graph.constant([1], np.int64)), last
    y = graph.node("Transpose", y, perm=[0, 2, 1, 3])
    made = Value(graph, "outputs", directions * units, True)
    return graph.node("Reshape", y, graph.constant([0, 0, directions * units], np.int64), outputs=[made]), last


def _part(state: Value, layout: Layout, k: int, number: int) -> Value:
    """Return the k-th state of one layer, (directions, B, units)."""
    graph, of, sizes = state.graph, state.graph.constant, layout.sizes[k]
    each, axis = ([layout.directions] * len(sizes), 0) if layout.even else (sizes, 2)
    begin = sum(each[:number])
    part = Value(graph, "state", sizes[number], True)
    ends = (of([n], np.int64) for n in (begin, begin + each[number], axis))
    return graph.node("Slice", state, *ends, outputs=[part])


def _row(state: Value, place: int) -> Value:
    """Return one direction's states, (B, units)."""
    return state.graph.node("Gather", state, state.graph.constant(place, np.int64), axis=0)


def _unsqueezed(x: Value) -> Value:
    return x.graph.node("Unsqueeze", x, x.graph.constant([0], np.int64))


def _joined(each: Sequence[Value], axis: int) -> Value:
    if len(each) == 1:
        return each[0]
    units = sum(x.units for x in each) if axis == -1 else each[0].units
    return each[0].graph.node("Concat", *each, outputs=[Value(each[0].graph, "joined", units, True)], axis=axis)
