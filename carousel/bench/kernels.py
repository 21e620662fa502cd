"""Our layers beside PyTorch's, the eager loop, torch.compile, and the time of the matrix products alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from carousel import kernels
from carousel.bench import jax_scan, onnx_runtime
from carousel.bench.timing import PYTORCHS, Work, forward, further, layer_of, peak, side_by_side
from carousel.layers import Recurrent
from carousel.plotting import Figure

SIZES = [(1, 256, 100), (20, 200, 35), (32, 256, 70), (64, 512, 70), (20, 650, 35)]


@dataclass(frozen=True)
class Case:
    """Rows, units (of input and states alike) and steps; ``packed``: rows of 20 to all steps instead of all."""

    cell: str
    batch: int
    hidden: int
    steps: int
    packed: bool = False

    def layer(self) -> Recurrent:
        """Return our layer, freshly drawn."""
        return layer_of(self.cell, self.hidden)

    def rows(self) -> int:
        """Return the number of rows of all steps together."""
        return sum(self.lengths())

    def lengths(self) -> list[int]:
        """Return the steps of each row."""
        if not self.packed:
            return [self.steps] * self.batch
        short = min(20, self.steps)
        return [self.steps - (self.steps - short) * k // max(1, self.batch - 1) for k in range(self.batch)]

    def data(self) -> Tensor | PackedSequence:
        """Return a random input."""
        if self.packed:
            return pack_sequence([torch.randn(n, self.hidden) for n in self.lengths()])
        return torch.randn(self.steps, self.batch, self.hidden)


def measure(
    case: Case, *, compiled: bool = False, jax: bool = False, onnx: bool = False, bfloat16: bool = False, seconds: float
) -> Iterator[dict[str, Any]]:
    """Measure a layer forward (without derivatives) and in training (forward and backward, gradient of the input included).

    Args:
        case: the layer and its input.
        compiled: whether to measure ``torch.compile``.
        jax: whether to measure JAX's scan.
        onnx: whether to measure ONNX Runtime, forward.
        bfloat16: whether to measure our layer and PyTorch's under autocast as well.
        seconds: how long each is measured, about.

    Returns:
        Two rows of the table, one after the other. ``flops`` counts the cell's products and pointwise operations, three times
        for training.
    """
    torch.manual_seed(0)
    ours = case.layer()
    given = further(ours, case.steps, case.batch)
    runs: dict[str, Callable[[Any], Any]] = {"carousel": partial(ours, **given)}
    theirs = PYTORCHS.get(case.cell)
    if theirs is not None:
        runs[f"torch.nn.{theirs.__name__}"] = theirs(case.hidden, case.hidden)
    elif case.cell == "lstm-v4":
        runs["torch.nn.LSTM(proj_size)"] = nn.LSTM(case.hidden, case.hidden, proj_size=ours.proj_size)

    parameters = [p for module in (ours, *runs.values()) if isinstance(module, nn.Module) for p in module.parameters()]

    def eager(x: Any) -> Any:
        with kernels.use("reference"):
            return ours(x, **given)

    runs["eager loop"] = eager
    compile_seconds = None
    if compiled:
        quick = torch.compile(eager, dynamic=False)
        begun = time.perf_counter()
        _train(parameters, quick, case.data())()
        compile_seconds = time.perf_counter() - begun
        runs["torch.compile"] = quick
    if bfloat16:
        runs |= {f"{name} bfloat16": _autocast(run) for name, run in runs.items() if name != "eager loop"}
    work = ours.cell.work(*ours.sizes())
    products = case.rows() * (work.input_products + work.recurrent_products)
    data = case.data()
    for what, make, times in (("forward", forward, 1), ("training", partial(_train, parameters), 3)):
        works = {name: make(run, data) for name, run in runs.items()}
        if jax and isinstance(data, Tensor) and not given:
            works["JAX lax.scan"] = jax_scan.work(ours, data, training=what == "training")
        if onnx and what == "forward" and isinstance(data, Tensor) and not given:
            works["ONNX Runtime"] = onnx_runtime.work(ours, data, torch.get_num_threads())
        medians = side_by_side(works, seconds)
        floor = times * products / peak(seconds / 5)
        yield {
            "cell": case.cell,
            "batch": case.batch,
            "hidden": case.hidden,
            "steps": case.steps,
            "packed": case.packed,
            "what": what,
            "flops": times * case.rows() * work.total,
            "seconds": medians,
            "floor_seconds": floor,
            **({"compile_seconds": compile_seconds} if compile_seconds is not None else {}),
        }


def _autocast(run: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def under(x: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return run(x)

    return under


def _train(parameters: Sequence[Tensor], run: Callable[[Any], Any], data: Any) -> Work:
    """Return a run forward and backward, whose gradients begin as ``Optimizer.zero_grad`` leaves them."""
    leaf = (data.data if isinstance(data, PackedSequence) else data).clone().requires_grad_()
    given = torch.randn(1)

    def work() -> None:
        nonlocal given
        for p in (leaf, *parameters):
            p.grad = None
        x = PackedSequence(leaf, data.batch_sizes) if isinstance(data, PackedSequence) else leaf
        output, _ = run(x)
        flat = output.data
        if given.shape != flat.shape or given.dtype != flat.dtype:
            given = torch.randn_like(flat)
        (output.data if isinstance(output, PackedSequence) else output).backward(given)

    return work


def draw(rows: list[dict[str, Any]]) -> Figure:
    """Draw the speed of each way in single precision as a share of the floor: a panel for forward, one for training."""
    colours = {
        "carousel": "#c0392b",
        "torch.nn": "#2c6fad",
        "eager loop": "#9aa7b0",
        "torch.compile": "#6b8e23",
        "JAX": "#8e5ea2",
        "ONNX": "#c98a1b",
    }
    figure = Figure(figsize=(11, 1.5 + 0.3 * len(rows)), layout="constrained")
    both = figure.subplots(1, 2, sharey=True)
    for axes, what in zip(both, ("forward", "training"), strict=True):
        chosen = [r for r in rows if r["what"] == what]
        labels = [f"{r['cell']}  {r['batch']}·{r['hidden']}·{r['steps']}{' packed' if r['packed'] else ''}" for r in chosen]
        for i, r in enumerate(chosen):
            single = {name: seconds for name, seconds in r["seconds"].items() if not name.endswith("bfloat16")}
            for k, (name, seconds) in enumerate(single.items()):
                kind, high = next(c for c in colours if name.startswith(c)), 0.8 / len(single)
                place = i - 0.4 + high * (k + 0.5)
                axes.barh(place, 100 * r["floor_seconds"] / seconds, high, color=colours[kind], label=None if i else kind)
        axes.axvline(100, color="0.4", linewidth=1, linestyle="--")
        axes.set_title(what, loc="left")
        axes.set_xlabel("% of the speed of the matrix products alone")
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.spines[["top", "right"]].set_visible(False)
    handles = {label: h for axes in both for h, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), frameon=False, loc="outside upper right", ncols=4)
    return figure
