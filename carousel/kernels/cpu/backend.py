"""The back end for processors: loops as C++."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.equations.loop import Loop
from carousel.kernels import compiled, operator
from carousel.kernels.backend import Backend, Call, Result, Stepper, input_type, uncast
from carousel.kernels.compiled import Run
from carousel.kernels.cpu import calls, compiler, plan
from carousel.kernels.cpu.kernel import kernel
from carousel.kernels.cpu.program import program_of
from carousel.kernels.cpu.source import DIRECTIONS, source
from carousel.kernels.cpu.stepping import CpuStepper, steppable
from carousel.kernels.inputs import loop_of
from carousel.kernels.interface import Arriving, Described, Tensors
from carousel.kernels.registry import loop_called
from carousel.kernels.variants import expressible, variant


class Cpu(Backend):
    """Compiled loops, whole or step by step; what is recorded or clamped has loops of its own, compiled when asked for."""

    name = "cpu"

    def configured(self) -> None:
        compiler.simd()

    def supports(self, call: Call) -> bool:
        return call.data.shape[0] > 0 and usable(call.cell, call.data, input_type(call)) and expressible(call)

    def again(self, call: Call) -> Result | None:
        return plan.remembered(call) if plan.usual(call) and not bfloat16_asked_for() else None

    def run(self, call: Call) -> Result:
        bfloat = bfloat16_asked_for()
        usual = plan.usual(call) and not bfloat
        call = uncast(call)
        rounds = bfloat and call.data.dtype is torch.float32 and compiler.bfloat16()
        products = torch.bfloat16 if rounds else None
        # Compiles at first use, and says here if it cannot: of a call that may be derived the run backwards, too.
        made = kernel(loop_called(variant(call).key), call.data.dtype, products)
        made.compile(*DIRECTIONS if _derivable(call) else DIRECTIONS[:1])
        result = operator.run(self.name, call, products)
        if usual:
            plan.remember(call, made)
        return result

    def stepper(
        self,
        cell: Cell,
        input_size: int,
        before: Mapping[str, Tensor],
        parameters: Mapping[str, Tensor],
        products: torch.dtype | None = None,
    ) -> Stepper | None:
        first = next(iter(before.values()))
        if not usable(cell, first) or not steppable(cell):
            return None
        able = products is not torch.bfloat16 or compiler.bfloat16()
        if products is not None and not (able and first.dtype is torch.float32):
            return None
        return CpuStepper(cell, input_size, before, parameters, products)

    def explain(self, cell: Cell, data: Tensor, rows: int, sizes: tuple[int, ...]) -> str | None:
        return "cpu: a compiled loop" if rows and usable(cell, data) else None

    def source(self, cell: Cell, device: torch.device) -> str | None:
        return source(program_of(loop_of(cell))) if device.type == "cpu" else None


class _Kernels(compiled.Kernels):
    """Compiled loops, as calls reach them."""

    def allow(self, data: Tensor, products: torch.dtype | None) -> None:
        if data.device.type != "cpu":
            raise ValueError(f"input is on {data.device}, but the kernels are for the processor")
        able = data.dtype is torch.float32 and products is torch.bfloat16 and compiler.bfloat16()
        if products is not None and not able:
            raise ValueError("products in bfloat16 need float32 tensors, and a processor that has them (AVX512_BF16)")

    def output_type(self, dtype: torch.dtype, products: torch.dtype | None) -> torch.dtype:
        if dtype not in compiler.TYPES:
            wanted = " or ".join(str(t) for t in compiler.TYPES)
            raise ValueError(f"input is {dtype}, but there are kernels for {wanted}: convert it, such as with .float()")
        return dtype

    def saved(self, loop: Loop, output: torch.dtype) -> tuple[Described, ...]:
        return program_of(loop).described

    def forward(self, run: Run, tensors: Tensors, lengths: dict[str, int], save: bool) -> list[Tensor]:
        return calls.forward(_kernel(run, tensors), run, tensors, lengths, save)

    def backward(self, run: Run, tensors: Tensors, lengths: dict[str, int], arriving: Arriving) -> dict[str, list[Tensor]]:
        return calls.backward(_kernel(run, tensors), run, tensors, lengths, arriving)


def _kernel(run: Run, tensors: Tensors) -> calls.Kernel:
    return kernel(loop_called(run.key), tensors.data.dtype, run.products)


def _derivable(call: Call) -> bool:
    """Return whether autograd may ask for a run backwards."""
    given = (call.data, *call.parameters.values(), *call.before.values(), *call.inputs.values(), *(call.initial or {}).values())
    return torch.is_grad_enabled() and any(x.requires_grad for x in given)


def usable(cell: Cell, data: Tensor, dtype: torch.dtype | None = None) -> bool:
    """Return whether there are kernels for a cell and tensors of this device, and of this type (else the data's)."""
    loop = loop_of(cell)
    return data.device.type == "cpu" and (dtype or data.dtype) in compiler.TYPES and bool(loop.stages)


def bfloat16_asked_for() -> bool:
    """Return whether products are wanted in bfloat16: by autocast, or by PyTorch's setting for recurrent layers."""
    autocast = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") is torch.bfloat16
    return autocast or torch.backends.mkldnn.rnn.fp32_precision == "bf16"  # type: ignore[attr-defined]  # newer than the stubs


compiled.provide(Cpu.name, _Kernels())
