"""What a compiled loop keeps, carries and is called with; its C++ is printed from this."""

from __future__ import annotations

from functools import cached_property

from carousel.equations.derivative import Backward, derive
from carousel.equations.loop import Loop
from carousel.equations.terms import Expr, Product, Size
from carousel.kernels.cpu import blocks


class Program:
    """A loop forward and backward, and the arrays of a call. Raises NoDerivative where SymPy has none."""

    def __init__(self, loop: Loop):
        self.loop = loop
        self.backward: Backward = derive(self.loop)
        roots = dict.fromkeys(s.root for s in [*self.loop.sizes.values(), *self.backward.sizes.values()] if s is not None)
        self.letters: dict[Size, str] = {}
        for root in roots:
            taken = root.letter in self.letters.values()
            self.letters[root] = f"{root.letter}{len(self.letters)}" if taken else root.letter
        self.states = {s.before: s for s in self.loop.states if s.size is not None}
        self.plain = self._plain()
        self.forward_blocks = blocks.Forward(self).blocks()
        self.backward_blocks = blocks.Backward(self).blocks()

    def _plain(self) -> dict[Expr, Expr]:
        """Values that follow from the step number alone, as expressions of it."""
        found: dict[Expr, Expr] = {}
        for symbol, expr in self.loop.definitions.items():
            if self.loop.sizes.get(symbol) is None:
                found[symbol] = expr.subs(found)
        return found

    def size(self, symbol: Expr) -> str:
        """The C++ name of the number of units of a symbol."""
        return "n_" + self.letters[self.root(symbol)]

    def root(self, symbol: Expr) -> Size:
        found = self.backward.sizes.get(symbol)
        assert found is not None, symbol
        return found.root

    @cached_property
    def operands(self) -> tuple[Expr, ...]:
        """Vectors that dense weights multiply."""
        return tuple(dict.fromkeys(x for g in self.loop.groups for x in g.operands))

    @cached_property
    def kept(self) -> tuple[Expr, ...]:
        """What a forward run keeps of every step for the run backwards; what was given to it is there anyway."""
        given = {s for symbols in self.loop.entering[len(self.loop.outer) :] for s in symbols}
        return tuple(x for x in dict.fromkeys([*self.operands, *self.backward.saved]) if x not in given)

    @cached_property
    def remembered(self) -> tuple[Expr, ...]:
        """States whose value before the step is read, or kept."""
        read = {x for s in self.loop.stages for _, e in s.equations for x in e.free_symbols} | set(self.kept)
        return tuple(s for s in self.states if s in read)

    @cached_property
    def crossing(self) -> tuple[Expr, ...]:
        """Values of a step that a later stage of it reads."""
        return tuple(dict.fromkeys(x for b in blocks.Forward(self).loaded() for x in b))

    @cached_property
    def crossing_back(self) -> tuple[Expr, ...]:
        """The same of the run backwards."""
        return tuple(dict.fromkeys(x for b in blocks.Backward(self).loaded() for x in b))

    @cached_property
    def lent(self) -> tuple[Expr, ...]:
        """Values with an array that is also there where nothing is kept: a later stage reads it."""
        needed = [x for x in self.operands if x not in self.states] + [x for x in self.crossing if x not in self.states]
        return tuple(dict.fromkeys(needed))

    @cached_property
    def stored(self) -> tuple[Expr, ...]:
        """All values that have an array: of every step where derivatives are wanted, else of two steps."""
        return tuple(dict.fromkeys([*self.remembered, *self.kept, *self.lent]))

    @cached_property
    def shared(self) -> tuple[int | None, ...]:
        """For each entering tensor, the group whose adjoints are its gradient, number for number."""
        adjoints = list(self.backward.adjoints)
        # Zeros say nothing of whose they are: they may be of another number of units.
        return tuple(adjoints.index(e) if any(e) and e in adjoints else None for e in self.backward.entering)

    # The arrays of a call, in order; the operator gives them in this order.

    @cached_property
    def forward_arrays(self) -> list[str]:
        """Of the struct Forward."""
        outer = range(len(self.loop.outer))
        names = ["x", *(f"outer_panel{j}" for j in outer), *(f"outer_bias{j}" for j in outer)]
        names += [f"E{j}" for j in range(len(self.loop.entering))] + [str(v) for v in self.loop.vectors]
        names += [f"panel{g}_{k}" for g, k in self.weights] + self.outer_weights + self.inner_weights
        names += [f"{x}_kept" for x in self.stored]
        names += [f"{s}_initial" for s in self.remembered] + [f"{s.after}_final" for s in self.states.values()]
        return [*names, "output", *self.clock]

    @cached_property
    def backward_arrays(self) -> list[str]:
        """Of the struct Backward."""
        names = [str(v) for v in self.loop.vectors] + [f"{v}_bar" for v in self.backward.vectors]
        names += [f"panel{g}_{k}" for g, k in self.weights] + self.inner_weights
        names += [f"E{j}" for j in range(len(self.loop.outer), len(self.loop.entering))]
        names += [f"{x}_kept" for x in self.backward.saved if x in self.kept]
        names += [f"A{g}" for g in range(len(self.loop.groups))]
        names += [f"E{j}_bar" for j, g in enumerate(self.shared) if g is None]
        names += [f"{s}_bar" for s in self.states] + [f"{s}_direct" for s in self.states if self.backward.carried[s] != 0]
        return [*names, *(f"{x}_lent" for x in self.crossing_back), str(self.backward.given), *self.clock]

    @property
    def clock(self) -> list[str]:
        """The array of step numbers, for a cell that has them."""
        return [str(self.loop.clock)] if self.loop.clock is not None else []

    @cached_property
    def weights(self) -> list[tuple[int, int]]:
        """(group, operand) of each packed dense weight inside the loop."""
        return [(g, k) for g, group in enumerate(self.loop.groups) for k in range(len(group.operands))]

    @cached_property
    def outer_products(self) -> list[Product]:
        """The products with the input, in the order of ``outer_weights``."""
        return [p for o in self.loop.outer for p in o.products]

    @cached_property
    def inner_products(self) -> list[Product]:
        """The products inside the loop, in the order of ``inner_weights``."""
        return [p[k] for g, k in self.weights for p in self.loop.groups[g].products]

    @cached_property
    def outer_weights(self) -> list[str]:
        """A pointer and a stride for each."""
        return [f"outer{j}_{n}" for j, o in enumerate(self.loop.outer) for n in range(len(o.symbols))]

    @cached_property
    def inner_weights(self) -> list[str]:
        """A pointer and a stride for each."""
        return [f"W{g}_{k}_{n}" for g, k in self.weights for n in range(len(self.loop.groups[g].symbols))]

    @cached_property
    def sizes(self) -> list[str]:
        """Letters of the sizes, in the order in which a call gives their numbers."""
        symbols = [*self.states, *self.loop.vectors, *self.operands, *(s for g in self.loop.groups for s in g.symbols)]
        symbols += [s for symbols in self.loop.entering for s in symbols] + [self.loop.input]
        used = {self.root(s) for s in symbols}
        used |= {c.root for p in [*self.outer_products, *self.inner_products] for c in p.weight.columns}
        return [letter for root, letter in self.letters.items() if root in used]
