"""``@cell``: a function of equations becomes a cell."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from carousel.equations.before import Before
from carousel.equations.cell import Cell, Constant, Mask
from carousel.equations.errors import EquationError
from carousel.equations.heads import in_heads
from carousel.equations.inputs import Inputs
from carousel.equations.running import Written, of_python
from carousel.equations.trace import trace


@dataclass(frozen=True)
class Said:
    """The arguments of ``@cell``, which are described there."""

    name: str | None = None
    constants: Mapping[str, Constant] | None = None
    masks: Mapping[str, Mask] | None = None
    matrices: Mapping[str, Mask] | None = None
    input_size: str | None = None
    same: Sequence[str] = field(default=())
    inputs: Inputs | None = None
    before: Before = ()
    heads: int = 1

    def check(self) -> None:
        """Raise TypeError for a constant, mask or matrix that is no function, and for letters that two of them have."""
        shaped = "(rows, columns)"
        for what, given, takes in (
            ("constants", self.constants, "the number of units"),
            ("masks", self.masks, shaped),
            ("matrices", self.matrices, shaped),
        ):
            for key, value in (given or {}).items():
                if not callable(value):
                    raise TypeError(
                        f"{what}: {key} must be a function of {takes} that gives an array, not {_a(value)}: "
                        "its size is known only when a layer is made"
                    )
        if both := set(self.constants or {}) & set(self.matrices or {}):
            raise TypeError(f"c.{min(both)} is among the constants and the matrices: give one of them other letters")

    def facts(self, written: Written, name: str, doc: str) -> dict[str, Any]:
        """Return the arguments of a ``Cell`` for a function, its trace among them, by their names.

        Args:
            written: the function.
            name: the function's.
            doc: its docstring, without the indent.

        Raises:
            EquationError: with file and line, where the equations cannot be a cell.
        """
        letters = frozenset(self.constants or {}), frozenset(self.matrices or {})
        called = self.name or name.strip("<>").replace("_", "-")
        made = trace(written, *letters, called, self.input_size, tuple(self.same), self.inputs, self.before)
        try:
            made = in_heads(made, self.heads)
        except EquationError as error:
            raise EquationError(error.reason, written.filename, written.first, made.name) from None
        first, _, rest = doc.partition("\n")
        given = {"constants": self.constants, "masks": self.masks, "matrices": self.matrices}
        return {"trace": made, "doc": first, "citation": " ".join(rest.split()), **given}


@overload
def cell(function: Callable[..., Any], /) -> Cell: ...
@overload
def cell(
    *,
    name: str | None = None,
    constants: Mapping[str, Constant] | None = None,
    masks: Mapping[str, Mask] | None = None,
    matrices: Mapping[str, Mask] | None = None,
    input_size: str | None = None,
    same: Sequence[str] = (),
    inputs: Inputs | None = None,
    before: Before = (),
    heads: int = 1,
) -> Callable[[Callable[..., Any]], Cell]: ...


def cell(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    constants: Mapping[str, Constant] | None = None,
    masks: Mapping[str, Mask] | None = None,
    matrices: Mapping[str, Mask] | None = None,
    input_size: str | None = None,
    same: Sequence[str] = (),
    inputs: Inputs | None = None,
    before: Before = (),
    heads: int = 1,
) -> Any:
    """Make a cell from a function of equations.

    The function's arguments are the input ``e``, then the states, then ``W`` (dense weights), ``w`` (diagonal ones),
    ``b`` (biases) and, optionally, ``t`` (the number of steps before this one), ``c`` (constants), ``p`` (rates of noise,
    which a layer sets) and further inputs. It returns the states' new values in the order of its arguments; the first is the
    layer's output.

    Args:
        function: of the equations.
        name: the function's by default, with hyphens.
        constants: from a constant's letters to a function of the number of units.
        masks: from a dense weight's name to a function of (rows, columns) that returns 0 for a missing connection.
        matrices: from a constant matrix's letters to a function of (rows, columns): ``c.A @ h``.
        input_size: the state that has as many units as the input, ``"h"``, for equations that combine both unit by unit, such
            as ``o * tanh(h) + e``. A layer of the cell takes no other input size.
        same: states of the same size, although no equation implies it, ``("y", "z")``; otherwise the output has its own size.
        inputs: further inputs of each step, from the argument's name to 1 (one number per row), the name of the input or a
            state (the same number of units), or None (a size that the layer is given): ``{"d": 1, "k": "h"}``.
        before: the names of a step's predecessors, if it is not a chain: with ``("up", "left")`` a state ``h`` is ``h.up`` and
            ``h.left``, zero without a predecessor. A single name, ``"child"``, is a set of any number of predecessors:
            ``together(h.child)`` is the sum over it. A layer of such a cell is a ``Grid`` or a ``Tree``.
        heads: number of diagonal blocks of dense weights from states, one per head; units of a head see no other head.

    Raises:
        EquationError: with file and line, where the equations cannot be a cell.
        TypeError: there is no function.
    """
    said = Said(name, constants, masks, matrices, input_size, same, inputs, before, heads)
    said.check()

    def make(f: Callable[..., Any]) -> Cell:
        if not inspect.isfunction(f):
            raise TypeError(f"@cell stands above a function that states equations, not {_a(f)}")
        return Cell(**said.facts(of_python(f), f.__name__, inspect.getdoc(f) or ""), function=f)

    return make if function is None else make(function)


def _a(value: Any) -> str:
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"
