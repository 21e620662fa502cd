"""A loop as C++ needs it: the arrays and numbers of a call by name, in the order in which compiled code reads them.

This is the only place that knows the order; who calls gives a mapping from names. In the names of arrays:

============ ==========================================================================================================
x            the input, of every step; ``output`` the first state, ``given`` its gradient
panel_S      the weights of stack S, packed (backward of several heads panel_S_k, of weight k alone); W_S_k the address of
             its weight k, W_S_k_stride from one row to the next, W_S_k_begin the columns of its rows before that address
bias_S       what the sums of a stack that multiplies the input begin with; E_j hoisted inputs, those sums first
V_stored     a value of a step: of every step where derivatives are wanted, else of two steps
S_initial    states that a reset returns to, S_final those after each row's last step
A_g          adjoints of a group's sums, E_j_bar of a hoisted input, of every step; v_bar of a vector, one a thread
V_recorded   a recorded value of every step, V_given its gradient
V_own        one number a row that another block reads, of each thread and row (and head, of a reduction by head); V_partial
             what a thread has of a reduction
S_bar        what is carried back to a state, S_direct the same of every step; V_cross what a later block reads
at slot rows where each step's rows are, and how many; ``resets`` of all rows of all steps
follow_P     of each row of all steps the row that it precedes as P, or of a set its own among those of all members; where there
             is none, -1 forwards, and backwards a row of zeros behind all others of A_g and S_direct
children     of each row of all steps where its set begins among the rows of all members, and their number; ``owner`` of each of
             these the row of all steps that it precedes, ``members`` the one that it is
============ ==========================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property

from carousel.equations.loop import Loop
from carousel.equations.notes import Expr
from carousel.kernels.interface import Described, Stack, interface_of
from carousel.kernels.liveness import BackwardFlow, ForwardFlow, Liveness

STEPS = ("at", "slot", "rows", "resets")  # arrays of every call
VECTORS = {"sum": 2, "max": 1}  # that hold what a thread has of a reduction: a sum, and what rounding has taken from it
NUMBERS = ("steps", "batch", "threads", "chunk", "packed")  # numbers of every call


@dataclass(frozen=True)
class Signature:
    """The names of what a compiled function takes, in its order."""

    arrays: tuple[str, ...]
    numbers: tuple[str, ...]


@dataclass(frozen=True)
class Stored:
    """A value of a step that has an array. ``always``: also without derivatives; ``state``: its number, where it is a state."""

    array: str
    size: str
    always: bool
    state: int | None


@cache
def panel(stack: Stack) -> str:
    """Return the array of a stack's packed weights."""
    return f"panel_{stack.name}"


@cache
def panels(stack: Stack) -> tuple[str, ...]:
    """Return the arrays of a stack's weights, packed for products with the transposed; of several heads one a weight."""
    return tuple(f"{panel(stack)}_{k}" for k in range(len(stack.parts))) if stack.heads > 1 else (panel(stack),)


@cache
def pointers(stack: Stack) -> tuple[str, ...]:
    """Return the addresses of a stack's weights; to each belongs a number, its stride."""
    return tuple(f"W_{stack.name}_{k}" for k in range(len(stack.parts)))


@cache
def stride(pointer: str) -> str:
    """Return the number between rows of a weight."""
    return f"{pointer}_stride"


@cache
def begin(pointer: str) -> str:
    """Return the number of a row's columns before a weight."""
    return f"{pointer}_begin"


class CppProgram:
    """A loop forward and backward, and what calls of it take. Raises NoDerivative where SymPy has none."""

    def __init__(self, loop: Loop):
        self.loop, self.live, self.interface = loop, Liveness(loop), interface_of(loop)
        back, outer = self.live.derivative, len(loop.outer)
        given = {s for symbols in loop.hoisted[outer:] for s in symbols}
        # Values that a run forwards saves of every step; what was given to it is there anyway.
        self.saved = tuple(x for x in dict.fromkeys([*self.live.operands, *back.saved]) if x not in given)
        # States whose value before the step is read, or saved.
        self.read_states = tuple(s for s in self.live.states if s in self.live.read() | set(self.saved))
        # Values that are stored also where nothing is saved, since a later stage reads them.
        shared_out = self.live.forward.shared_out
        read_later = [
            *self.live.operands,
            *(x for x in self.live.forward.cross_stage if not self.live.row(x) or x in shared_out),
        ]
        self.cross_stage = tuple(x for x in dict.fromkeys(read_later) if x not in self.live.states)
        always, states = {*self.read_states, *self.cross_stage}, list(self.live.states)
        self.stored = {
            x: Stored(f"{x}_stored", self.size(x), x in always, states.index(x) if x in states else None)
            for x in dict.fromkeys([*self.read_states, *self.saved, *self.cross_stage])
        }
        self.described = tuple(Described(f"the saved value {x}", (("rows",), (self.size(x),))) for x in self.saved)

        self.vectors = tuple(map(str, loop.vectors))
        self.sums = {f"{v}_bar": self.size(v) for v in back.vectors}  # of learned vectors' gradients
        self.hoisted = tuple(f"E_{j}" for j in range(outer, len(loop.hoisted)))
        self.sums_of_input = {f"E_{j}": stack for j, stack in enumerate(self.interface.outer)}
        self.follows = {edge: f"follow_{edge}" for edge in loop.edges}
        self.of_set = ("children", "owner", "members") if loop.over_set else ()
        chain = not loop.edges
        self.initial = {f"{s}_initial": k for k, s in enumerate(states) if s in self.read_states and chain}
        self.final = tuple(f"{s.after}_final" for s in self.live.states.values() if chain)
        self.adjoints = {f"A_{g}": (len(x.symbols), self.size(x.symbols[0])) for g, x in enumerate(loop.groups)}
        # Adjoints of hoisted inputs, where they are not those of a group.
        self.own = {
            f"E_{j}_bar": (len(symbols), self.size(symbols[0]))
            for j, (symbols, shared) in enumerate(zip(loop.hoisted, self.live.shared, strict=True))
            if shared is None
        }
        self.carried = tuple(f"{s}_bar" for s in states if chain)
        self.direct = tuple(f"{s}_direct" for s in states)
        shared_out = self.live.backward.shared_out
        crossing = (x for x in self.live.backward.cross_stage if not self.live.row(x) or x in shared_out)
        self.cross_back = {f"{x}_cross": self.size(x) for x in crossing}
        self.gathers = {way: _gathers(self.live, flow) for way, flow in self.live.flows.items()}
        self.clock = "" if loop.clock is None else str(loop.clock)
        self.given = str(back.given)
        self.recorded = {x: f"{x}_recorded" for x in loop.recorded}
        self.given_recorded = tuple(map(str, back.recorded))

    def size(self, symbol: Expr) -> str:
        """Return the name of the number of units of a symbol, forward or backward."""
        return self.interface.names[self.live.root(symbol)]

    @cached_property
    def forward(self) -> Signature:
        """The names that a run forwards takes."""
        stacks = self.interface.stacks
        arrays = ["x", *(f"bias_{s.name}" for s in self.interface.outer), *self.sums_of_input, *self.hoisted, *self.vectors]
        arrays += [*map(panel, stacks), *(s.array for s in self.stored.values()), *self.initial, *self.final, "output"]
        arrays += [*self.recorded.values(), *self.gathers["forward"], *self.follows.values(), *self.of_set]
        return self._signature(arrays, stacks)

    @cached_property
    def backward(self) -> Signature:
        """The names that a run backwards takes."""
        stacks = tuple(self.interface.inner.values())
        packed = [name for s in stacks for name in panels(s)]
        arrays = [*self.hoisted, *self.vectors, *packed, *(f"{x}_stored" for x in self.saved)]
        arrays += [*self.sums, *self.adjoints, *self.own, *self.carried, *self.direct, *self.cross_back]
        arrays += [self.given, *self.given_recorded, *self.gathers["backward"], *self.follows.values(), *self.of_set]
        return self._signature(arrays, stacks)

    def _signature(self, arrays: list[str], stacks: Iterable[Stack]) -> Signature:
        weights = [w for s in stacks for w in pointers(s)]
        clock = [self.clock] if self.clock else []
        return Signature(
            (*STEPS, *arrays, *weights, *clock), (*NUMBERS, *self.interface.sizes, *map(stride, weights), *map(begin, weights))
        )


def _gathers(live: Liveness, flow: ForwardFlow | BackwardFlow) -> dict[str, tuple[int, int]]:
    """Return the arrays that each thread has for itself: of each row the numbers, and the vectors."""
    rows = {f"{x}_own": (1, 0) for x in flow.cross_stage if live.row(x)}
    partial = [r for place in flow.places for r in flow.gathered(place)]
    rows |= {f"{r.symbol}_own": (r.heads, 0) for r in partial if r.heads is not None}
    return rows | {f"{r.symbol}_partial": (0, VECTORS[r.kind] * (r.heads or 1)) for r in partial}


@cache
def program_of(loop: Loop) -> CppProgram:
    """Return a loop's program, made once."""
    return CppProgram(loop)
