"""A cell: its equations as a trace, and all that follows from them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy

from carousel.equations import printing
from carousel.equations.before import names
from carousel.equations.errors import EquationError
from carousel.equations.heads import in_heads, number, shared
from carousel.equations.inputs import Inputs
from carousel.equations.notes import ROW, Parameter, Size
from carousel.equations.quiet import quiet
from carousel.equations.stages import Schedule, schedule
from carousel.equations.trace import Trace
from carousel.equations.units import gains_and_biases
from carousel.equations.work import Work, counted

Constant = Callable[[int], np.ndarray]
Mask = Callable[[int, int], np.ndarray]
_OF_KEY: dict[str, list[Any]] = {}  # constants, masks and matrices of the cells whose equations are the same


@dataclass(frozen=True)
class Shape:
    """One parameter of a cell at given sizes, and how it starts.

    ``initial`` is "uniform" (±1/√hidden_size, PyTorch's rule), "orthogonal" (dense weights from a state, on request)
    or a number (a forget gate's bias, on request; gains and biases of a normalisation). With ``heads`` a dense weight from a
    state is (heads, rows of a head, columns of a head).
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    recurrent: bool
    initial: str | float
    heads: int = 1


class Cell:
    """A recurrent cell: its equations, and all that follows from them.

    Made by :func:`cell`. Attributes: ``name``; ``trace`` (the symbols); ``schedule`` (the stages that back ends run);
    ``states`` (their names in the order of a layer's ``hx``; the first is the output); ``names`` (all that can be recorded);
    ``learned`` (the names of all parameters that a layer learns); ``rates`` (the letters of those that it gives), ``given``
    (the same by the parameters' names) and ``quiet`` (the cell without noise, for evaluation); ``doc`` and ``citation`` (the
    first line and the rest of the docstring); ``gates`` (names); ``has_projection`` (the output has a size of its own);
    ``inputs`` (the further ones, by name as ``cell`` takes them); ``before`` (the names of what a step follows, or that of a
    set; of a chain none); ``heads`` (how many blocks on the diagonal dense weights from
    states consist of).
    """

    def __init__(
        self,
        trace: Trace,
        doc: str = "",
        citation: str = "",
        constants: Mapping[str, Constant] | None = None,
        masks: Mapping[str, Mask] | None = None,
        matrices: Mapping[str, Mask] | None = None,
        function: Callable[..., Any] | None = None,
    ):
        self.trace, self.name, self.doc, self.citation = trace, trace.name, doc, citation
        # Made here: torch.compile does not enter a cached property.
        self.states = tuple(dict.fromkeys(s.name for s in trace.states))
        self.before = trace.before
        self.names = trace.names
        self.learned = tuple(p.name for p in trace.parameters if p.learned)
        self.inputs: Inputs = {x.name: x.like for x in trace.inputs}
        self.sized = tuple(x.name for x in trace.inputs if x.like is None)  # the inputs whose sizes a layer is given
        self._sized = [x.size.root for x in trace.inputs if x.like is None]
        self.rates = tuple(p.letters for p in trace.parameters if p.kind == "rate")
        self.heads = trace.heads
        self._other_heads: dict[int, Cell] = {}
        if function is not None:
            self.function, self.__module__ = function, function.__module__
        self.constants, self.masks, self.matrices = dict(constants or {}), dict(masks or {}), dict(matrices or {})
        self._arrays: dict[tuple[str | int, ...], np.ndarray] = {}
        self.schedule: Schedule = schedule(trace)
        self.key = self._key()
        self.quiet, self.given = self, {f"p.{letters}": letters for letters in self.rates}
        if trace.draws:
            still, given = quiet(trace)
            self.quiet = Cell(still, doc, citation, constants, masks, matrices)
            self.quiet.given = given
        for mask in self.masks:
            dense = {p.name: p.heads for p in trace.parameters if p.kind == "dense"}
            if mask not in dense:
                raise EquationError(f"masks: {mask} is no dense weight of {self.name}")
            if dense[mask] > 1:
                raise EquationError(f"masks: {mask} consists of the blocks of {dense[mask]} heads, which take no mask")

    def _key(self) -> str:
        """Return a key that tells cells apart that share a name, as when one is defined again."""
        # An equation has a symbol for a product, so its operand belongs to it.
        products = [(s, p.weight.name, p.operand, p.part) for s, p in self.trace.products.items()]
        roots: dict[Any, int] = {}

        def number_of(size: Size | None) -> int | None:
            return None if size is None else roots.setdefault(size.root, len(roots))

        sizes = [(x, number_of(self.trace.sizes[x])) for x in sorted(self.trace.sizes, key=str)]
        # Their order is that in which the terms of a sum were written, which SymPy's own text leaves out.
        parameters = [(p.name, p.kind, number_of(p.rows), *map(number_of, p.columns)) for p in self.trace.parameters]
        inputs = [(x.name, x.is_number, number_of(x.size)) for x in self.trace.inputs]
        states = [(s.name, s.before, number_of(s.size)) for s in self.trace.states]  # the first is the output
        several = [self.trace.before] if self.trace.before else []
        listed = self.trace.equations, products, sizes, parameters, inputs, states, self.heads, *several
        said = sympy.sstr(listed, order="none")
        key = f"{self.name}:{hashlib.sha256(said.encode()).hexdigest()[:12]}"
        others = _OF_KEY.setdefault(key, [])
        given = self.constants, self.masks, self.matrices
        if given not in others:
            others.append(given)
        number = others.index(given)
        return f"{key}.{number}" if number else key

    def array(self, name: str, *sizes: int) -> np.ndarray:
        """Return the array that a function of the cell's makes for these sizes. It is asked once: a call would feel it.

        Args:
            name: of a constant or constant matrix, ``c.T``, or of the weight that is masked, ``W.hh``.
            sizes: the number of units of a constant, the rows and columns of the others.
        """
        if (name, *sizes) not in self._arrays:
            functions: dict[str, Any] = {**self.masks, **{f"c.{n}": f for n, f in self.constants.items()}}
            functions |= {f"c.{n}": f for n, f in self.matrices.items()}
            self._arrays[name, *sizes] = np.array(functions[name](*sizes))
        return self._arrays[name, *sizes]

    def __repr__(self) -> str:
        spaces = Counter(p.name.split(".")[0] for p in self.trace.parameters)
        said = [f"gates {', '.join(self.gates)}"] if self.gates else []
        said += [f"parameters {', '.join(f'{count} {space}' for space, count in spaces.items())}"] if spaces else []
        said += [f"{self.heads} heads"] if self.heads > 1 else []
        said += [f"a step follows {', '.join(names(self.before))}"] if self.before else []
        said += [self.doc] if self.doc else []
        return f"<cell {self.name}({', '.join(('e', *self.inputs, *self.states))}): {'; '.join(said)}>"

    def _repr_latex_(self) -> str:
        """Return the equations as a notebook shows them."""
        return f"$$\n{self.latex}\n$$"

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickle and copy by reference, as functions are: a cell is where its module has it."""
        return self.function.__qualname__

    def with_heads(self, heads: int) -> Cell:
        """Return the cell with so many heads, the same one each time: dense weights from states become block-diagonal.

        It is called ``lstm-4-heads``, by which :func:`carousel.cells.get` finds it.

        Raises:
            EquationError: a weight cannot be parted, or none is from a state.
        """
        heads = number(heads)
        if heads == self.heads:
            return self
        if heads not in self._other_heads:
            self._other_heads[heads] = HeadedCell(self, heads)
        return self._other_heads[heads]

    @property
    def gates(self) -> tuple[str, ...]:
        """The logistic valves, by their letters."""
        return self.trace.gates

    @property
    def latex(self) -> str:
        """The equations as LaTeX."""
        return printing.latex(self.trace)

    @property
    def text(self) -> str:
        """The equations as plain text, one a line."""
        return printing.plain(self.trace)

    @cached_property
    def _hidden(self) -> Size | None:
        """The states' own size where the output has another (v4's memory); None where there is one size."""
        output = self._output
        given = [*self._sized, *([self.trace.input_size.root] if self.trace.input_like is None else [])]
        for state in self.trace.states:
            if state.size is not None and state.size.root not in (output, *given):
                return state.size.root
        return None

    @cached_property
    def hidden(self) -> str:
        """The name of a state of ``hidden_size`` units, which all sizes have that nothing else decides."""
        root = self._hidden or self._output
        return next(s.name for s in self.trace.states if s.size is not None and s.size.root is root)

    @property
    def _output(self) -> Size:
        size = self.trace.states[0].size
        assert size is not None  # the first state is never the step number
        return size.root

    @property
    def has_projection(self) -> bool:
        """Return whether the output has a size of its own, ``proj_size``."""
        return self._hidden is not None

    @cached_property
    def has_hidden(self) -> bool:
        """Return whether some vector has another size than the input, so that ``hidden_size`` has a meaning."""
        sizes = [s.size for s in self.trace.states] + [x for p in self.trace.parameters for x in (p.rows, *p.columns)]
        sizes += self.trace.sizes.values()
        return any(s is not None and s.root not in (self.trace.input_size.root, *self._sized) for s in sizes)

    @property
    def input_is_memory(self) -> bool:
        """Return whether the input may have another size than a projected output."""
        return not self.has_projection or self.trace.input_size.root is not self._output

    @cached_property
    def recurrent(self) -> tuple[str, ...]:
        """The names of the dense weights from states that are learned."""
        return tuple(p.name for p in self.trace.parameters if p.learned and p.kind == "dense" and self.from_state(p))

    def from_state(self, parameter: Parameter) -> bool:
        """Return whether a dense weight multiplies what depends on a state, or has a state's size."""
        return self.trace.from_state(parameter)

    def length(self, size: Size | None, input_size: int, hidden_size: int, proj_size: int = 0, *further: int) -> int:
        """Return the number of units behind a size of the trace; the step number has 1, and one number a row.

        ``further``: the sizes of the inputs that ``sized`` names.
        """
        if len(further) != len(self._sized):
            raise ValueError(
                f"cell {self.name} has inputs of any sizes, {', '.join(self.sized) or 'none'}: {len(further)} are given"
            )
        if size is None or size is ROW:
            return 1
        if size.root is self.trace.input_size.root:
            return input_size
        for root, units in zip(self._sized, further, strict=True):
            if size.root is root:
                return units
        return proj_size if self.has_projection and size.root is self._output else hidden_size

    def parameter_specs(
        self,
        input_size: int,
        hidden_size: int,
        proj_size: int = 0,
        *further: int,
        recurrent_init: str = "uniform",
        forget_bias: float | None = None,
    ) -> list[Shape]:
        """Return every parameter with its shape and initial value; dense ones are (rows, columns), of several heads
        (heads, rows of a head, columns of a head).

        Args:
            input_size: numbers of the input, as a layer's.
            hidden_size: units of the states.
            proj_size: units of a projected message.
            further: units of the inputs that ``sized`` names.
            recurrent_init: of dense weights from a state, "uniform" or "orthogonal".
            forget_bias: where ``b.f`` starts; by default as the other biases.

        Raises:
            ValueError: the cell has no forget gate to bias, or heads cannot share a vector.
        """
        if forget_bias is not None and "b.f" not in {p.name for p in self.trace.parameters}:
            raise ValueError(f"cell {self.name} has no bias b.f, so forget_bias has nothing to set")

        normal = gains_and_biases(self.trace.expressions)

        def shape(p: Parameter) -> Shape:
            sizes = (p.rows, *p.columns)
            rows, *columns = (self.length(s, input_size, hidden_size, proj_size, *further) for s in sizes)
            from_state = self.from_state(p)
            initial: str | float = recurrent_init if from_state else "uniform"
            initial = normal.get(p.symbol, initial)
            if p.name == "b.f" and forget_bias is not None:
                initial = forget_bias
            if p.heads == 1:
                return Shape(p.name, p.kind, (rows, sum(columns)) if columns else (rows,), from_state, initial)
            shape = (p.heads, *(shared(self.name, p.name, n, p.heads) for n in (rows, *columns)))
            return Shape(p.name, p.kind, shape, from_state, initial, p.heads)

        for stage in (*self.schedule.outside, *self.schedule.inside):
            for r in stage.reductions:
                shared(self.name, "a vector", self.length(r.size, input_size, hidden_size, proj_size, *further), r.heads or 1)
        return [shape(p) for p in self.trace.parameters if p.learned]

    def count(self, input_size: int, hidden_size: int, proj_size: int = 0, *further: int) -> int:
        """Return the number of parameters (masked-out weights are counted as the mask leaves them)."""
        total = 0
        for p in self.parameter_specs(input_size, hidden_size, proj_size, *further):
            total += int(self.array(p.name, *p.shape).sum()) if p.name in self.masks else int(np.prod(p.shape))
        return total

    def work(self, input_size: int, hidden_size: int, proj_size: int = 0, *further: int) -> Work:
        """Count the operations of one step of one row; each pointwise function counts as one."""
        return counted(self.schedule, lambda size: self.length(size, input_size, hidden_size, proj_size, *further))


class HeadedCell(Cell):
    """A cell with another number of heads than it was defined with; it is pickled and copied as that cell and the number."""

    def __init__(self, base: Cell, heads: int):
        self.base = base
        trace = in_heads(base.trace, heads, f"{base.name}-{heads}-heads")
        function = getattr(base, "function", None)
        super().__init__(trace, base.doc, base.citation, base.constants, base.masks, base.matrices, function)

    def with_heads(self, heads: int) -> Cell:
        return self.base.with_heads(heads)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.base.with_heads, (self.heads,)
