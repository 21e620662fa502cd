"""The back end for GPUs: loops as Triton. Nothing of Triton is imported before a loop runs here."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.equations.derivative import NoDerivative
from carousel.equations.loop import Loop
from carousel.kernels import compiled, operator
from carousel.kernels.alike import autocast
from carousel.kernels.backend import Backend, Call, Result, Unavailable, input_type, uncast
from carousel.kernels.compiled import Run
from carousel.kernels.interface import Arriving, Described, Tensors
from carousel.kernels.past import handed_past, without_past
from carousel.kernels.registry import loop_called, wide_key
from carousel.kernels.triton import available, interpreted
from carousel.kernels.triton.program import Unsupported, program_of
from carousel.kernels.variants import expressible, variant

TYPES = (torch.float32, torch.bfloat16, torch.float16)


class Triton(Backend):
    """Compiled loops on a GPU. float64 and sets of steps are left to others."""

    name = "triton"

    def configured(self) -> None:
        if not available():
            raise Unavailable("there are no kernels for the GPU, since Triton is not installed (pip install triton)")

    def supports(self, call: Call) -> bool:
        if call.data.shape[0] == 0 or input_type(call) not in TYPES or not expressible(call):
            return False
        if not usable(call.cell, call.data, variant(call).key if call.record or call.clamp else None):
            return False
        self.configured()
        return True

    def run(self, call: Call) -> Result:
        call, dtype = uncast(call), multiplied(call.data)
        handed = _looped(call.cell, call.data.device) is not call.cell
        call, past = handed_past(call) if handed else (call, {})
        result = operator.run(self.name, call, None if dtype is call.data.dtype else dtype, wide=True)
        return result._replace(states={**result.states, **past})

    def explain(self, cell: Cell, data: Tensor, rows: int, sizes: tuple[int, ...]) -> str | None:
        if not available() or not usable(cell, data):
            return None
        from carousel.kernels.triton import planner

        cell, dtype = _looped(cell, data.device), multiplied(data)
        program = program_of(loop_called(wide_key(cell)), dtype is not torch.float32)
        units = program.units(lambda size: cell.length(size, *sizes))
        asked = partial(planner.plan, program, sizes=units, batch=rows, dtype=dtype, device=data.device)
        steps = data.shape[:-1].numel() // max(1, rows)
        return f"triton: {', '.join(f'{way} {asked(way=way, steps=steps)}' for way in ('forward', 'backward'))}"

    def source(self, cell: Cell, device: torch.device) -> str | None:
        if device.type != "cuda":
            return None
        from carousel.kernels.triton.source import source

        return source(program_of(loop_called(wide_key(_looped(cell, device))), False))


class _Kernels(compiled.Kernels):
    """Compiled loops, as calls reach them."""

    def output_type(self, dtype: torch.dtype, products: torch.dtype | None) -> torch.dtype:
        if dtype not in TYPES or (products or dtype) not in TYPES:
            raise ValueError(f"input is {dtype}, but there are kernels for {' or '.join(map(str, TYPES))}")
        return products or dtype

    def allow(self, data: Tensor, products: torch.dtype | None) -> None:
        if data.device.type != "cuda" and not interpreted():
            raise ValueError(f"input is on {data.device}, but the kernels are for a GPU")

    def saved(self, loop: Loop, output: torch.dtype) -> tuple[Described, ...]:
        return program_of(loop, output is not torch.float32).described

    def forward(self, run: Run, tensors: Tensors, lengths: dict[str, int], save: bool) -> list[Tensor]:
        from carousel.kernels.triton import calls

        with torch.cuda.device_of(tensors.data):
            return calls.forward(run, tensors, lengths, save)

    def backward(self, run: Run, tensors: Tensors, lengths: dict[str, int], arriving: Arriving) -> dict[str, list[Tensor]]:
        from carousel.kernels.triton import calls

        with torch.cuda.device_of(tensors.data):
            return calls.backward(run, tensors, lengths, arriving)


def multiplied(data: Tensor) -> torch.dtype:
    """Return the type of what is multiplied: autocast's, else the data's."""
    kind = data.device.type
    return torch.get_autocast_dtype(kind) if autocast(data.device) else data.dtype


def _looped(cell: Cell, device: torch.device) -> Cell:
    """Return the cell whose loop runs; under autocast the cell itself, since products before the loop are not rounded."""
    return cell if autocast(device) else without_past(cell)


def usable(cell: Cell, data: Tensor, key: str | None = None) -> bool:
    """Return whether there are kernels for a cell, or the variant of a key, and tensors of this device and type."""
    if data.device.type != "cuda" and not interpreted():
        return False
    dtype = multiplied(data)
    if dtype not in TYPES:
        return False
    try:
        program_of(loop_called(key or wide_key(_looped(cell, data.device))), dtype is not torch.float32)
    except (NoDerivative, Unsupported):
        return False
    return True


compiled.provide(Triton.name, _Kernels())
