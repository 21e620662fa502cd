"""The same layer in LiteRT (TensorFlow Lite before), converted by litert-torch from PyTorch's export; one step at a time."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from carousel import kernels
from carousel.bench.timing import Work
from carousel.layers import Recurrent


def available() -> bool:
    """Return whether the converter and the runtime are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("litert_torch", "ai_edge_litert"))


def stream(layer: Recurrent, x: Tensor, folder: Path) -> tuple[Work, Callable[[], Tensor]]:
    """Return a function for one step of all layers, each from the states of the step before, and its output; one thread.

    Args:
        layer: read in one direction.
        x: the input of every step, (1, input_size).
        folder: where the converted model is written.
    """
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter

    step, states = _Step(layer), [torch.zeros(s.shape) for s in layer(x.unsqueeze(0))[1]]
    given = (x.unsqueeze(0), *states)
    with kernels.use("reference"):  # one step has no loop, for which the converter has nothing
        program = torch.export.export(step, given)
        table = torch.export.default_decompositions()
        table[SPLIT] = _split
        program = program.run_decompositions(table)
    path = folder / "layer.tflite"
    litert_torch.convert(program.module(), given).export(str(path))

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    takes = [d["index"] for d in _in_order(interpreter.get_input_details())]
    gives = [d["index"] for d in _in_order(interpreter.get_output_details())]
    interpreter.set_tensor(takes[0], given[0].numpy())
    for index, state in zip(takes[1:], states, strict=True):
        interpreter.set_tensor(index, state.numpy())

    def run() -> None:
        interpreter.invoke()
        for before, after in zip(takes[1:], gives[1:], strict=True):
            interpreter.set_tensor(before, interpreter.get_tensor(after))

    return run, lambda: torch.from_numpy(interpreter.get_tensor(gives[0])[0, 0])


class _Step(nn.Module):
    """One step as a function of tensors alone."""

    def __init__(self, layer: Recurrent):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        output, after = self.layer(x, states)
        return output, *after


SPLIT = torch.ops.aten.split_with_sizes.default


def _split(x: Tensor, sizes: Sequence[int], dim: int = 0) -> list[Tensor]:
    """Return the parts of a tensor; the converter takes slices, and no split."""
    ends = [sum(sizes[: k + 1]) for k in range(len(sizes))]
    return [torch.ops.aten.slice.Tensor(x, dim, end - size, end) for size, end in zip(sizes, ends, strict=True)]


def _in_order(details: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what an interpreter tells of its inputs or outputs, in the order of the module's, which their names have."""
    return sorted(details, key=lambda d: int(re.findall(r"(?:args|output)_(\d+)", d["name"])[0]))
