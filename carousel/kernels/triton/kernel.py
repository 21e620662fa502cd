"""A cell's kernels, made from their text, and what a call of them needs to know of rows, sizes and tiles."""

from __future__ import annotations

import hashlib
import linecache
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import torch
import triton
from torch import Tensor
from triton import language as tl

from carousel.equations.loop import Loop
from carousel.kernels.steps import Steps
from carousel.kernels.triton import interpreted, runtime
from carousel.kernels.triton.program import TileBlock, TritonProgram, program_of
from carousel.kernels.triton.source import SIZES, arrays, source

INTERPRETED = interpreted()


class Functions:
    """The functions of a loop's text, by name, and the arrays and sizes that each takes."""

    def __init__(self, program: TritonProgram):
        text = source(program)
        # Triton reads a function's text again; the name leads it there.
        file = f"<carousel {program.loop.name} {hashlib.sha256(text.encode()).hexdigest()[:16]}>"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        space: dict[str, Any] = {n: f for n, f in vars(runtime).items() if hasattr(f, "fn")}
        space |= {"__name__": f"{__package__}.printed", "tl": tl, "triton": triton}
        exec(compile(text, file, "exec"), space)
        self.functions: dict[str, Any] = {}
        self.arguments: dict[str, list[str]] = {}
        for part in text.split("@triton.jit")[1:]:
            name = part.split("def ", 1)[1].split("(", 1)[0]
            self.functions[name] = space[name]
            heading = part.split("def ", 1)[1].split("):\n", 1)[0]
            self.arguments[name] = [*arrays(heading), *dict.fromkeys(SIZES.findall(heading))]


@cache
def kernels_of(loop: Loop, mixed: bool) -> Functions:
    """Return a loop's kernels, made once."""
    return Functions(program_of(loop, mixed))


class TritonSteps(Steps):
    """Steps as kernels take them, on the device and on the processor; one more at the end has no rows."""

    def __init__(self, batch_sizes: tuple[int, ...], reverse: bool, device: torch.device):
        super().__init__(batch_sizes, reverse, device)
        self.each_rows, self.each_at = [*self.rows.tolist(), 0], [*self.at.tolist(), 0]
        self.all_at = torch.tensor(self.each_at, dtype=torch.int32, device=device)
        self.all_rows = torch.tensor(self.each_rows, dtype=torch.int32, device=device)


_in_graphs: set[TritonSteps] = set()  # whose arrays CUDA graphs read, for as long as these may run


def steps_of(batch_sizes: tuple[int, ...], reverse: bool, device: torch.device) -> TritonSteps:
    """Return the steps, made once for the same arguments."""
    found = _steps(batch_sizes, reverse, device)
    if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        _in_graphs.add(found)
    return found


@lru_cache(maxsize=256)
def _steps(batch_sizes: tuple[int, ...], reverse: bool, device: torch.device) -> TritonSteps:
    return TritonSteps(batch_sizes, reverse, device)


@dataclass(frozen=True)
class Plan:
    """The way in which a loop runs.

    ``way``: "stepwise", a kernel a stage and step beside cuBLAS; "rows", "grid" and "pointwise", one kernel for all steps, its
    programs keeping some rows and all units, or some of both; "scan", one kernel whose programs have some units of one row,
    and steps as the rows of their tiles.
    """

    way: str
    rows: int  # of a tile
    units: int
    depth: int = 64  # of an operand, at once
    parts: int = 1  # programs that share the units of some rows
    warps: int = 4
    stages: int = 2
    pieces: int = 0  # in which an operand is multiplied, where the weights are held
    heads: int = 1  # whose tiles multiply their own head's units alone
    apart: bool = False  # a tile has all of a head, so that no program waits for another

    def kernel(self, way: str) -> str:
        """Return the name of the kernel for all steps, ``way`` "forward" or "backward"."""
        return f"{way}_scan" if self.way == "scan" else f"{way}_held{self.pieces}" if self.pieces else way

    def options(self, *, precision: str) -> dict[str, Any]:
        """Return the arguments with which a kernel for all steps is launched."""
        found: dict[str, Any] = {"BB": self.rows, "BU": self.units}
        if self.way != "scan":
            found |= {"PARTS": 1 if self.apart else self.parts, "PRECISION": precision}
            found |= {} if self.pieces else {"BK": self.depth}
        return found | ({} if INTERPRETED else {"num_warps": self.warps, "num_stages": self.stages} | self.together)

    def __str__(self) -> str:
        tile = f"{self.rows} {'steps' if self.way == 'scan' else 'rows'} × {self.units} units"
        heads = ", one a head" if self.apart else ", by head" if self.heads > 1 else ""
        return f"{self.way} ({tile}, {self.parts} programs a row{heads})" if self.parts > 1 else f"{self.way} ({tile}{heads})"

    @property
    def together(self) -> dict[str, Any]:
        """Programs that wait for one another must all be there."""
        waiting = self.way in ("grid", "held") and self.parts > 1 and not self.apart
        return {"launch_cooperative_grid": True} if waiting else {}


class Launch:
    """One run over some arrays, by name."""

    def __init__(
        self, kernels: Functions, steps: TritonSteps, given: dict[str, Tensor | None], sizes: dict[str, int], plan: Plan
    ):
        self.kernels, self.steps, self.given, self.sizes, self.plan = kernels, steps, given, sizes, plan

    def arrays(self, name: str) -> dict[str, Any]:
        """Return the names of the arguments of a kernel."""
        every = {**self.given, **self.sizes}
        return {a: every.get(a) for a in self.kernels.arguments[name]}

    def whole(self, way: str, flags: dict[str, bool], precision: str) -> None:
        """Launch one kernel for all steps."""
        steps, plan = self.steps, self.plan
        grid = (steps.batch if plan.way == "scan" else -(-steps.batch // plan.rows), plan.parts)
        name = plan.kernel(way)
        self.given["_barrier"] = steps.all_at.new_zeros(grid[0]) if plan.together else None
        self.kernels.functions[name][grid](
            **self.arrays(name), all_at=steps.all_at, all_rows=steps.all_rows, steps=steps.count, **flags,
            **plan.options(precision=precision),
        )  # fmt: skip

    def step(self, name: str, block: TileBlock, step: int, flags: dict[str, bool]) -> None:
        """Launch the kernel of one block and step."""
        at, rows, plan = self.steps.each_at, self.steps.each_rows, self.plan
        grid = (-(-rows[step] // plan.rows), -(-self.sizes[block.size] // plan.units))
        options = {} if INTERPRETED else {"num_warps": plan.warps}
        self.kernels.functions[name][grid](
            **self.arrays(name), at=at[step], rows=rows[step], next_at=at[step + 1], next_rows=rows[step + 1], **flags,
            BB=plan.rows, BU=plan.units, **options,
        )  # fmt: skip
