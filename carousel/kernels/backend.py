"""The seam between layers and back ends: what a run is asked (``Call``), what it gives (``Result``), who can run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.kernels.alike import autocast
from carousel.kernels.noise import Noise

Clamp = Mapping[str, tuple[Tensor, Tensor]]
Change = Callable[[int, Tensor], Tensor]


class Unavailable(Exception):
    """This machine lacks something that a back end needs: a compiler, a package."""


@dataclass(frozen=True)
class Call:
    """One layer in one direction over whole sequences.

    Args:
        cell: whose equations.
        data: (Σ batch_sizes, input_size), the rows of each step one after the other, as in a PackedSequence.
        batch_sizes: rows of each step, not increasing; None: at every step as many as the states have.
        before: the states before the first step, (B, size) by name.
        parameters: by name, masks not yet applied; rates of noise among them, (units,) each.
        reverse: take the steps from the last to the first; everything is given back in the input's order.
        resets: (Σ batch_sizes,) boolean; where true, a row's state returns to ``initial`` before that step.
        initial: what ``resets`` returns to, (B, size) by name.
        record: names to give back for every step.
        clamp: by name, values that stand instead of what the equation says, and where; (steps, units) each, or
            (Σ batch_sizes, units) where rows differ.
        changes: by name, functions from a step's number and its value, (rows, units), to the value that stands instead.
        segment_length: save only the states between segments of that many steps, and run each segment again on the way
            back; 0: save what each step needs.
        inputs: the further ones, (Σ batch_sizes, size) by name; a number is (Σ batch_sizes, 1).
        follows: where a step of the cell follows several, of each step which it precedes, as ``levels`` says. Then
            ``batch_sizes`` are the steps of each level, any numbers of them, ``before`` is (1, size), the states where there is
            no predecessor, and the result has no states.
        noise: what the cell draws from, of a cell that draws; ``cell.quiet`` is the one that does not.
    """

    cell: Cell
    data: Tensor
    batch_sizes: Sequence[int] | None
    before: Mapping[str, Tensor]
    parameters: Mapping[str, Tensor]
    reverse: bool = False
    resets: Tensor | None = None
    initial: Mapping[str, Tensor] | None = None
    record: Sequence[str] = ()
    clamp: Clamp | None = None
    changes: Mapping[str, Change] = field(default_factory=dict)
    segment_length: int = 0
    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    noise: Noise | None = None
    follows: Tensor | None = None

    @property
    def rows(self) -> list[int]:
        """The rows of each step."""
        if self.batch_sizes is not None:
            return list(self.batch_sizes)
        return equal_steps(self.data.shape[0], self.before[self.cell.states[0]].shape[0])

    @property
    def clamp_of_steps(self) -> dict[str, tuple[Any, ...]]:
        """By name, of each step the values to hold and where: (units,), or (rows, units) where rows differ."""
        return {
            name: tuple(x if len(x) == len(self.rows) else x.split(self.rows) for x in pair)
            for name, pair in (self.clamp or {}).items()
        }


class Result(NamedTuple):
    """The outputs (Σ batch_sizes, output size), the states after each row's last step, the recorded values of every step.

    Recorded values of each of a set have the row of the step that precedes, and are zero where it precedes none.
    """

    output: Tensor
    states: dict[str, Tensor]
    recorded: dict[str, Tensor]


class Stepper(Protocol):
    """Takes one step of a cell at each call, without derivatives; its state stays inside."""

    def take(self, x: Tensor) -> Tensor:
        """Take a step with the input ``x``, (rows, input_size); return the output, which the next step overwrites."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Return the states after the last step, copied, (rows, size) by name."""
        ...


class Backend(Protocol):
    """Runs loops of cells. A back end inherits from this, names itself, and answers where it differs from these answers."""

    name: str
    asked_for: bool = False  # whether it runs only calls of those who asked for it by name

    def configured(self) -> None:
        """Raise ValueError for a setting of the environment that means nothing, Unavailable where no call could run."""
        return None

    def supports(self, call: Call) -> bool:
        """Return whether ``run`` does this call; decided by device, type, cell and what is asked."""
        ...

    def again(self, call: Call) -> Result | None:
        """Run a call that differs from one before in nothing but its numbers; None leaves it to ``run``."""
        return None

    def run(self, call: Call) -> Result:
        """Run a supported call. Raises ValueError for tensors that do not fit, Unavailable, NoDerivative."""
        ...

    def stepper(
        self,
        cell: Cell,
        input_size: int,
        before: Mapping[str, Tensor],
        parameters: Mapping[str, Tensor],
        products: torch.dtype | None = None,
    ) -> Stepper | None:
        """Return a stepper from the states ``before``, or None where calls of one step each are the way to go.

        ``products``: the type of weights that are multiplied, bfloat16 or int8, if another than the states'.
        """
        return None

    def explain(self, cell: Cell, data: Tensor, rows: int, sizes: tuple[int, ...]) -> str | None:
        """Return how ``rows`` rows of such data would run, or None where they would not.

        Args:
            cell: whose loop.
            data: an input of the layer; its type and device count.
            rows: of the batch.
            sizes: of the input, the states, the projection and the inputs that ``cell.sized`` names.
        """
        return None

    def source(self, cell: Cell, device: torch.device) -> str | None:
        """Return the code of a cell's loop for a device, or None where there is none. Raises NoDerivative."""
        return None


def equal_steps(rows: int, batch: int) -> list[int]:
    """Return the rows of each step where all have ``batch`` of them.

    Raises:
        ValueError: where ``rows`` are not so many, and where PyTorch exports a number of steps that it leaves open.
    """
    if rows == batch:
        return [batch]
    if batch < 1 or rows % batch:
        raise ValueError(f"the input has {rows} rows, which is no whole number of steps of {batch} rows each")
    steps = rows // batch
    if torch.compiler.is_exporting() and isinstance(steps, torch.SymInt) and steps.node.maybe_as_int() is None:
        raise ValueError("the steps are written out one by one here, so export needs a fixed number of them, not a dynamic one")
    return [batch] * steps


def input_type(call: Call) -> torch.dtype:
    """Return the type that a call's input is brought to: under autocast it comes in any, and the parameters' is wanted."""
    if not autocast(call.data.device) or not call.data.is_floating_point():
        return call.data.dtype
    return next(iter({**call.parameters, **call.before}.values())).dtype  # a cell may have no parameters


def uncast(call: Call) -> Call:
    """Return the call with its inputs brought to that type."""
    dtype = input_type(call)
    if all(x.dtype is dtype for x in (call.data, *call.inputs.values())):
        return call
    return replace(call, data=call.data.to(dtype), inputs={n: x.to(dtype) for n, x in call.inputs.items()})
