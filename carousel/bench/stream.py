"""One row, one step at a time: microseconds of our streams and of the exported file, beside other packages."""

from __future__ import annotations

import importlib.util
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from carousel.bench import c_stream, litert, onnx_runtime
from carousel.bench.timing import side_by_side
from carousel.layers import Recurrent, Streaming, to_torch
from carousel.layers.precision import PRECISIONS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNITS = (64, 200, 650)
LAYERS = 2
BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}  # of a number


@dataclass(frozen=True)
class Way:
    """A way to take steps: ``run`` takes ``steps`` steps with one input, ``output`` returns the output of the last step.

    ``weights``: bytes of the weights. ``code``: bytes of the code that runs them, where they are known.
    """

    name: str
    run: Callable[[], Any]
    output: Callable[[], Tensor]
    weights: int
    code: int | None = None
    steps: int = 1
    within: float = 1e-4  # of the layer's own output


def measure(units: int, seconds: float) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Measure all ways for layers of one size, in one thread; return the table's rows, and reasons for the ways left out.

    Every way begins with the same weights and states and is compared with the layer first.

    Args:
        units: size of the input and of each of two layers.
        seconds: seconds of measuring each way, about.
    """
    torch.manual_seed(0)
    layer, x = Recurrent("lstm-v2", units, units, LAYERS).eval(), torch.randn(1, units)
    left: dict[str, str] = {}
    with TemporaryDirectory() as folder:
        ways = list(_ways(layer, x, Path(folder), left))
        for way in ways:
            _check(way, layer, x)
        medians = side_by_side({w.name: w.run for w in ways}, seconds)
    rows = [
        {
            "units": units,
            "way": w.name,
            "microseconds": 1e6 * medians[w.name] / w.steps,
            "weights": w.weights,
            "code": w.code,
        }
        for w in ways
    ]
    return rows, left


def _ways(layer: Recurrent, x: Tensor, folder: Path, left: dict[str, str]) -> Iterator[Way]:
    for precision in PRECISIONS:
        yield _ours(layer, x, precision)
    command, zig, node = c_stream.compiler(), c_stream.zig(), shutil.which("node")
    for precision in PRECISIONS:
        if command is not None:
            made = c_stream.native(layer, precision, folder, command)
            yield _exported(f"C file, {precision}", made, x, _bytes(layer, precision), precision)
    if command is None:
        left["C file"] = "no C compiler was found"
    if zig is None or node is None:
        left["WebAssembly"] = "needs the package ziglang, and Node"
    else:
        for precision in PRECISIONS:
            made = c_stream.in_node(layer, precision, folder, zig, node)
            yield _exported(f"WebAssembly in Node, {precision}", made, x, _bytes(layer, precision), precision)
    yield from _pytorch(layer, x, left)
    if onnx_runtime.available():
        step, output = onnx_runtime.stream(layer, x)
        yield Way("ONNX Runtime", step, output, _bytes(layer, "float32"), _package("onnxruntime"))
    else:
        left["ONNX Runtime"] = "needs the packages onnx and onnxruntime"
    if litert.available():
        step, output = litert.stream(layer, x, folder)
        yield Way("LiteRT", step, output, _bytes(layer, "float32"), _package("ai_edge_litert"))
    else:
        left["LiteRT"] = "needs the package litert-torch"


def _ours(layer: Recurrent, x: Tensor, precision: str) -> Way:
    stream = Streaming(layer, precision=precision)
    last: list[Tensor] = []

    def run() -> None:
        last[:] = [stream(x)]

    return Way(f"Streaming, {precision}", run, lambda: last[0][0], _bytes(layer, precision), within=_within(precision))


def _exported(name: str, made: c_stream.Compiled, x: Tensor, weights: int, precision: str) -> Way:
    made.begin(x)
    return Way(name, made.steps, made.output, weights, made.code, c_stream.STEPS, _within(precision))


def _pytorch(layer: Recurrent, x: Tensor, left: dict[str, str]) -> Iterator[Way]:
    theirs, code = to_torch(layer).eval(), _package("torch")
    yield _module("nn.LSTM", theirs, x, _bytes(layer, "float32"), code, 1e-4)
    try:
        from torch.ao.quantization import quantize_dynamic

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fewer = quantize_dynamic(nn.Sequential(theirs), {nn.LSTM}, dtype=torch.qint8)
        yield _module("PyTorch's dynamic int8", fewer[0], x, _bytes(layer, "int8"), code, 0.1)
    except (ImportError, AttributeError, RuntimeError) as error:
        left["PyTorch's dynamic int8"] = str(error).splitlines()[0]


def _module(name: str, module: Any, x: Tensor, weights: int, code: int, within: float) -> Way:
    step = x.unsqueeze(0)
    kept: dict[str, Any] = {}

    @torch.no_grad()
    def run() -> None:
        kept["y"], kept["hx"] = module(step, kept.get("hx"))

    return Way(name, run, lambda: kept["y"][0, 0], weights, code, within=within)


def _check(way: Way, layer: Recurrent, x: Tensor) -> None:
    """Raise AssertionError where a way does not compute what the layer does."""
    way.run()
    with torch.no_grad():
        wanted = layer(x.expand(way.steps, 1, -1))[0][-1, 0]
    found = (way.output() - wanted).abs().max() / wanted.abs().max()
    assert found < way.within, f"{way.name} is {found:.2g} away from the layer"


def _within(precision: str) -> float:
    return {"float32": 1e-4, "bfloat16": 0.05, "int8": 0.05}[precision]


def _bytes(layer: Recurrent, precision: str) -> int:
    """Return the bytes of a layer's parameters with dense weights in a precision; int8 has a scale for each row."""
    found = 0
    for name, p in layer.named_parameters():
        dense = name.startswith("W.")
        found += p.numel() * (BYTES[precision] if dense else 4) + (4 * p.shape[0] if dense and precision == "int8" else 0)
    return found


def _package(name: str) -> int:
    """Return the bytes of an installed package."""
    found = importlib.util.find_spec(name)
    folders = list(found.submodule_search_locations or ()) if found is not None else []
    return sum(p.stat().st_size for folder in folders for p in Path(folder).rglob("*") if p.is_file())


def draw(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the microseconds of all ways: a panel for each size, the quickest at the top."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    sizes = list(dict.fromkeys(r["units"] for r in rows))
    figure = Figure(figsize=(4.2 * len(sizes), 4.4), layout="constrained")
    for axes, units in zip(np.atleast_1d(figure.subplots(1, len(sizes))), sizes, strict=True):
        chosen = sorted((r for r in rows if r["units"] == units), key=lambda r: -r["microseconds"])
        colours = ["#c0392b" if r["way"].startswith(("Streaming", "C file", "WebAssembly")) else "#9aa7b0" for r in chosen]
        bars = axes.barh([r["way"] for r in chosen], [r["microseconds"] for r in chosen], color=colours)
        texts = [f"{r['microseconds']:,.{int(r['microseconds'] < 100)}f}" for r in chosen]
        axes.bar_label(bars, texts, padding=3, fontsize=8)
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(x=0.25)
        axes.set_title(f"{LAYERS} × {units} units", loc="left")
        axes.tick_params(axis="y", labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("microseconds a step, one row, one thread", fontsize=9)
    return figure
