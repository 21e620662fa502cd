"""On a GPU: our layers, each way, beside PyTorch's cuDNN layers, the eager loop, others, and the time of the products alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from carousel import kernels
from carousel.bench import flash_rnn, jax_scan
from carousel.bench.timing import PYTORCHS, Work, forward, further, layer_of
from carousel.cells import get
from carousel.equations import EquationError

SIZES = [(1, 256, 100), (20, 200, 35), (64, 512, 70), (64, 1024, 256), (256, 1024, 512), (16, 768, 1024)]
HEADS = {(16, 768, 1024): 12}  # of these sizes, for cells whose dense weights can have them
TYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True)
class Case:
    """Rows, units (of input and states alike) and steps; parameters, input and output are of ``dtype``."""

    cell: str
    batch: int
    hidden: int
    steps: int
    dtype: str


def measure(
    case: Case, *, ways: list[str], compiled: bool = False, jax: bool = False, seconds: float = 0.3
) -> Iterator[dict[str, Any]]:
    """Measure a layer forward (without derivatives) and in training (forward and backward, gradient of the input included).

    float32 runs with TF32 everywhere.

    Args:
        case: the layer and its input.
        ways: ways of running to force, beside the planner's own choice.
        compiled: whether to measure ``torch.compile`` of the eager loop.
        jax: whether to measure JAX's scan.
        seconds: how long each is measured, about.

    Returns:
        Two rows of the table, one after the other. ``failed``: what could not be measured, and why.
    """
    torch.manual_seed(0)
    dtype, device = TYPES[case.dtype], torch.device("cuda")
    layer = layer_of(case.cell, case.hidden, device=device, dtype=dtype)
    ours = partial(layer, **further(layer, case.steps, case.batch))
    runs: dict[str, Callable[[Tensor], Any]] = {"carousel": ours}
    runs |= {f"carousel {way}": _forced(ours, way) for way in ways}
    theirs = PYTORCHS.get(case.cell)
    if theirs is not None:
        runs[f"torch.nn.{theirs.__name__}"] = theirs(case.hidden, case.hidden, device=device, dtype=dtype)
    elif layer.proj_size:
        projected = nn.LSTM(case.hidden, case.hidden, proj_size=layer.proj_size, device=device, dtype=dtype)
        runs["torch.nn.LSTM(proj_size)"] = projected
    base, _, heads = case.cell.removesuffix("-heads").rpartition("-") if layer.cell.heads > 1 else (case.cell, "", "1")
    if flash_rnn.available() and base in flash_rnn.GATES:
        runs["FlashRNN"] = flash_rnn.FlashRNN(base, case.hidden, int(heads), dtype, device)
    runs["eager loop"] = _eager(ours)
    if compiled:
        runs["torch.compile"] = torch.compile(_eager(ours), dynamic=False)
    data = torch.randn(case.steps, case.batch, case.hidden, device=device, dtype=dtype)
    work = layer.cell.work(*layer.sizes())
    products = case.batch * case.steps * (work.input_products + work.recurrent_products)
    with _tf32(), torch.cuda.device(device):
        for what, make, times in (("forward", forward, 1), ("training", _training, 3)):
            makers = {name: partial(make, run, data) for name, run in runs.items()}
            if jax and not layer.cell.inputs:
                makers["JAX lax.scan"] = partial(jax_scan.work, layer, data, training=what == "training")
            works, failed = tried(makers)
            yield {
                **asdict(case),
                "what": what,
                "seconds": side_by_side(works, seconds),
                "failed": failed,
                "floor_seconds": times * products / peak(dtype),
                "plan": layer.explain(data),
            }


def tried(makers: Mapping[str, Callable[[], Work]]) -> tuple[dict[str, Work], dict[str, str]]:
    """Return works that have run once, and of the others what was wrong: a way that a size does not allow, a rival's fault.

    Raises what ours by the planner's own choice raises.
    """
    works, failed = {}, {}
    for name, make in makers.items():
        try:
            work = make()
            work()
        except Exception as error:  # of a rival's library, anything
            if name == "carousel":
                raise
            failed[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
        else:
            works[name] = work
    return works, failed


@contextmanager
def _tf32() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _forced(layer: Callable[[Tensor], Any], way: str) -> Callable[[Tensor], Any]:
    def run(x: Tensor) -> Any:
        before = os.environ.get("CAROUSEL_TRITON_WAY")
        os.environ["CAROUSEL_TRITON_WAY"] = way
        try:
            output, hx = layer(x)
            if output.requires_grad:  # the way back is planned when it begins
                output.register_hook(_setting(way))
            return output, hx
        finally:
            _set(before)

    return run


def _set(way: str | None) -> None:
    if way is None:
        os.environ.pop("CAROUSEL_TRITON_WAY", None)
    else:
        os.environ["CAROUSEL_TRITON_WAY"] = way


def _setting(way: str) -> Callable[[Tensor], None]:
    def hook(_: Tensor) -> None:
        _set(way)

    return hook


def _eager(layer: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    def run(x: Tensor) -> Any:
        with kernels.use("reference"):
            return layer(x)

    return run


def _training(run: Callable[[Tensor], Any], data: Tensor) -> Work:
    leaf = data.clone().requires_grad_()
    given: Tensor | None = None

    def work() -> None:
        nonlocal given
        output, _ = run(leaf)
        given = torch.randn_like(output) if given is None else given
        before = os.environ.get("CAROUSEL_TRITON_WAY")
        output.backward(given)
        _set(before)

    return work


def side_by_side(works: dict[str, Work], seconds: float, rounds: int = 5) -> dict[str, float]:
    """Return median seconds of each by CUDA events; each run begins on an idle card, so that waiting for the host counts."""
    once = {name: _time(work) for name, work in works.items()}
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            for _ in range(max(1, min(50, int(seconds / rounds / max(once[name], 1e-6))))):
                times[name].append(_time(work))
    return {name: median(measured) for name, measured in times.items()}


def _time(work: Work) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1000


_peaks: dict[torch.dtype, float] = {}


def peak(dtype: torch.dtype) -> float:
    """Return the floating-point operations a second of a large matrix product on this card."""
    if dtype not in _peaks:
        n = 8192
        a, b = (torch.randn(n, n, device="cuda", dtype=dtype) for _ in range(2))
        _peaks[dtype] = 2 * n**3 / side_by_side({"product": lambda: torch.mm(a, b)}, 0.2)["product"]
    return _peaks[dtype]


def card() -> dict[str, str]:
    """Return the names of card and libraries, for the table's title."""
    import triton

    return {"card": torch.cuda.get_device_name(), "torch": torch.__version__, "triton": triton.__version__}


def cases(cells: list[str], sizes: list[tuple[int, int, int]], types: list[str]) -> list[Case]:
    """Return every combination of cell, size (batch, units, steps) and type; raise ValueError for an unknown cell."""
    return [Case(_of_size(c, s), *s, dtype=t) for t in types for s in sizes for c in cells]


def _of_size(cell: str, size: tuple[int, int, int]) -> str:
    """Return the name of a cell, in heads where HEADS has the size and the cell can."""
    known = get(cell)
    if known.heads > 1 or size not in HEADS:
        return known.name
    try:
        return known.with_heads(HEADS[size]).name
    except EquationError:
        return known.name


H100 = (132, 227 << 10)  # multiprocessors, and bytes of shared memory that a program may have


def compile_ahead(case: Case) -> list[dict[str, Any]]:
    """Return the resources that the kernels of a case take on an H100, which need not be there."""
    from carousel.kernels.past import without_past
    from carousel.kernels.registry import loop_called, wide_key
    from carousel.kernels.triton import ahead, planner
    from carousel.kernels.triton.program import program_of

    cell, dtype = without_past(get(case.cell)), TYPES[case.dtype]
    sizes = (case.hidden, case.hidden, max(1, case.hidden // 2), *[case.hidden] * len(cell.sized))
    program = program_of(loop_called(wide_key(cell)), dtype is not torch.float32)
    units = program.units(lambda size: cell.length(size, *sizes))
    reports = []
    for way in ("forward", "backward"):
        plan = planner.plan_for(program, way, units, case.batch, dtype, H100, steps=case.steps)
        reports += [{**asdict(case), **asdict(r)} for r in ahead.compiled(cell, sizes, dtype, plan, way)]
    return reports
