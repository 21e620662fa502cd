"""The tensors of a loop: which it takes, by kind; what each is called and how large; how dense weights stand in stacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from carousel.equations.loop import Loop
from carousel.equations.notes import ROW, Expr, Product, Size

# Kinds of tensors that have derivatives, in the order in which a call gives them.
KINDS = ("data", "dense", "biases", "hoisted", "vectors", "before", "initial")


@dataclass(frozen=True)
class Arriving:
    """The tensors with which a run backwards begins.

    ``given``: the gradient of the output. ``final``: those of the states after. ``recorded``: those of the recorded values.
    ``saved``: what the run forwards has saved. ``asked``: the kinds whose gradients are wanted, of those that are computed on
    request.
    """

    given: Tensor
    final: Sequence[Tensor]
    recorded: Sequence[Tensor]
    saved: Sequence[Tensor]
    asked: Sequence[str]


@dataclass(frozen=True)
class Tensors:
    """The tensors of one call of a loop.

    ``data``: (Σ batch_sizes, input_size). ``dense``: weights, masked. ``biases``: those added to products of the input.
    ``hoisted``: other inputs of the steps, (Σ batch_sizes, width). ``vectors``: (units,) each. ``before``, ``initial``: states
    (B, units), the latter empty without ``resets``. ``clock``: the step numbers, (Σ batch_sizes,).
    """

    data: Tensor
    dense: Sequence[Tensor]
    biases: Sequence[Tensor]
    hoisted: Sequence[Tensor]
    vectors: Sequence[Tensor]
    before: Sequence[Tensor]
    initial: Sequence[Tensor]
    clock: Tensor | None
    resets: Tensor | None

    @classmethod
    def of(cls, lists: Mapping[str, Sequence[Any]], clock: Tensor | None, resets: Tensor | None) -> Tensors:
        """Make it of lists by kind."""
        return cls(**{**lists, "data": lists["data"][0]}, clock=clock, resets=resets)

    def lists(self) -> dict[str, Sequence[Tensor]]:
        """Return the tensors that have derivatives by kind, in order."""
        return {k: (self.data,) if k == "data" else getattr(self, k) for k in KINDS}


@dataclass(frozen=True, eq=False)  # hashed by identity, quickly: a boundary remembers what has passed
class Described:
    """A tensor of a call: the user's name for it, of each dimension the sizes whose sum it is, and whether its type is
    float32 even where others are of lower precision. Of several ``heads`` each size is shared out, and the heads are the first
    dimension."""

    label: str
    shape: tuple[tuple[str, ...], ...]
    single: bool = False
    heads: int = 1

    @property
    def dimensions(self) -> int:
        """The number of its dimensions."""
        return len(self.shape) + (self.heads > 1)

    def type(self, given: torch.dtype) -> torch.dtype:
        """Return its type where others have the type ``given``."""
        return torch.promote_types(given, torch.float32) if self.single else given

    def at(self, lengths: Mapping[str, int]) -> tuple[int, ...]:
        """Return the shape where the sizes have these lengths."""
        whole = tuple(sum(lengths[n] for n in dimension) for dimension in self.shape)
        return whole if self.heads == 1 else (self.heads, *(n // self.heads for n in whole))


@dataclass(frozen=True, eq=False)  # hashed by identity, quickly: names are made of it at every call
class Stack:
    """Dense weights with the same operand, one below the other: ``symbols[k]`` += weight k @ ``operand``.

    ``size``: of each sum; ``depth``: of the operand. ``parts``: of each weight its number among the dense ones, and the sizes
    of the columns before those that multiply this operand. ``biases``: of each sum, numbers of what it begins with; None for a
    stack inside the loop. ``heads``: blocks of each weight.
    """

    name: str
    symbols: tuple[Expr, ...]
    operand: Expr
    size: str
    depth: str
    parts: tuple[tuple[int, tuple[str, ...]], ...]
    biases: tuple[tuple[int, ...], ...] | None = None
    heads: int = 1


class Source(NamedTuple):
    """The tensor of a call that tells a size: a dimension of it is the size so many ``times``, and the sizes ``beside``, shared
    among ``heads``."""

    kind: str
    number: int
    dimension: int
    times: int = 1
    beside: tuple[str, ...] = ()
    heads: int = 1


class Interface:
    """The tensors of a loop's calls. Sizes are named ``n_`` and a letter; ``rows`` and ``batch`` are those of all steps and of
    the first; where steps follow several, there is one row of states before."""

    def __init__(self, loop: Loop):
        self.loop = loop
        self.states = {s.before: s for s in loop.states if s.size is not None}
        self.names: dict[Size, str] = {}
        for root in dict.fromkeys(s.root for s in loop.sizes.values() if s is not None):
            name = f"n_{root.letter}"
            self.names[root] = f"{name}{len(self.names)}" if name in self.names.values() else name
        self.row = tuple(name for root, name in self.names.items() if root is ROW)  # the size of one number a row, if any
        rest = loop.hoisted[len(loop.outer) :]
        inner = [(g, j, group) for g, group in enumerate(loop.groups) for j in range(len(group.operands))]
        products = [p for o in loop.outer for p in o.products] + [p[j] for _, j, group in inner for p in group.products]
        weights = {p.weight.name: p.weight for p in products}
        self.dense, self.biases = tuple(weights), tuple(dict.fromkeys(b for o in loop.outer for bs in o.biases for b in bs))
        self.dense_symbols = tuple(w.symbol for w in weights.values())
        self.state_names = tuple(s.name for s in self.states.values())
        self.outer = tuple(self._outer(j) for j in range(len(loop.outer)))
        # (group, operand) → its stack
        self.inner = {
            (g, j): self._stack(f"{g}_{j}", group.symbols, group.operands[j], [p[j] for p in group.products])
            for g, j, group in inner
        }
        self.stacks = (*self.outer, *self.inner.values())
        # Of a size that weights or reductions part in heads, how many; kernels keep the heads' units apart.
        self.heads = {size: s.heads for s in self.inner.values() if s.heads > 1 for size in (s.size, s.depth)}
        reductions = [r for stage in loop.stages for r in stage.reductions]
        self.heads |= {self.names[r.size.root]: r.heads for r in reductions if r.heads is not None and r.heads > 1}
        # Of each state, the groups and stacks that multiply it.
        self.through = [[(g, s) for (g, _), s in self.inner.items() if s.operand == state] for state in self.states]
        # The vectors that are learned, by number.
        self.learned = tuple(k for k, v in enumerate(loop.vectors) if v not in loop.constants)

        of_bias = {b: self.size(s) for o in loop.outer for s, bs in zip(o.symbols, o.biases, strict=True) for b in bs}
        states = [(f"{s.name}.{s.edge}" if s.edge else s.name, (("batch",), (self.size(b),))) for b, s in self.states.items()]
        self.tensors: dict[str, tuple[Described, ...]] = {
            "data": (Described("input", (("rows",), (self.size(loop.input),))),),
            "dense": tuple(
                Described(
                    f"parameter {n}",
                    ((self.names[w.rows.root],), tuple(self.names[c.root] for c in w.columns)),
                    heads=w.heads,
                )
                for n, w in weights.items()
            ),
            "biases": tuple(Described(f"parameter {_called(b)}", ((of_bias[b],),)) for b in self.biases),
            "hoisted": tuple(
                Described(f"the hoisted input {', '.join(map(str, ss))}", (("rows",), (self.size(ss[0]),) * len(ss)))
                for ss in rest
            ),
            "vectors": tuple(
                Described(f"parameter {_called(v)}", ((self.size(v),),), single=v in loop.words) for v in loop.vectors
            ),
            "before": tuple(Described(f"state {n} before the first step", shape) for n, shape in states),
            "initial": tuple(Described(f"state {n} after a reset", shape) for n, shape in states),
            "clock": (Described("the step number", (("rows",),)),) if loop.clock is not None else (),
            "given": (Described("the gradient of the output", (("rows",), states[0][1][1])),),
            "final": tuple(
                Described(f"the gradient of state {n} after the last step", shape) for n, shape in states if not loop.edges
            ),
            "recorded": tuple(Described(f"the gradient of {s}", (("rows",), (self.size(s),))) for s in loop.recorded),
        }
        self.sources, self.towers = self._sources(products), self._towers()

    def size(self, symbol: Expr) -> str:
        """Return the name of the number of units of a symbol of the loop."""
        found = self.loop.sizes[symbol]
        assert found is not None, symbol
        return self.names[found.root]

    def _outer(self, j: int) -> Stack:
        outer = self.loop.outer[j]
        biases = tuple(tuple(self.biases.index(b) for b in bs) for bs in outer.biases)
        return self._stack(f"outer{j}", outer.symbols, self.loop.input, outer.products, biases)

    def _stack(
        self,
        name: str,
        symbols: tuple[Expr, ...],
        operand: Expr,
        products: Sequence[Product],
        biases: tuple[tuple[int, ...], ...] | None = None,
    ) -> Stack:
        parts = tuple(
            (self.dense.index(p.weight.name), tuple(self.names[c.root] for c in p.weight.columns[: p.part])) for p in products
        )
        heads = max(p.weight.heads for p in products)
        return Stack(name, symbols, operand, self.size(symbols[0]), self.size(operand), parts, biases, heads)

    def _towers(self) -> tuple[tuple[int, ...], ...]:
        """Return the numbers of stacks, in the order of their columns, which together are all that some weights multiply.

        The gradients of these weights are rows of one matrix, to which each stack gives some columns.
        """
        beside: dict[tuple[int, ...], list[int]] = {}
        for k, stack in enumerate(self.stacks):
            beside.setdefault(tuple(number for number, _ in stack.parts), []).append(k)
        numbers = [n for weights in beside for n in weights]
        return tuple(tuple(found) for weights, ks in beside.items() if (found := self._tower(weights, ks, numbers)))

    def _tower(self, weights: tuple[int, ...], stacks: list[int], numbers: list[int]) -> list[int]:
        """Return the stacks with these weights in the order of their columns, nothing where these are not all, each once.

        ``numbers``: the weights of all stacks.
        """
        ordered = sorted(stacks, key=lambda k: len(self.stacks[k].parts[0][1]))
        columns: tuple[str, ...] = ()
        for stack in (self.stacks[k] for k in ordered):
            if stack.heads > 1 or any(prefix != columns for _, prefix in stack.parts):
                return []
            columns += (stack.depth,)
        whole = all(self.tensors["dense"][n].shape[1] == columns and numbers.count(n) == 1 for n in weights)
        return ordered if whole else []

    def _sources(self, products: Sequence[Product]) -> dict[str, Source]:
        """Return for each size a tensor that has it alone, or beside sizes that are found before."""
        found: dict[str, Source] = {}
        for kind in ("before", "vectors", "data", "dense", "hoisted"):
            for k, tensor in enumerate(self.tensors[kind]):
                for dimension, sizes in enumerate(tensor.shape, tensor.heads > 1):
                    if len(set(sizes)) == 1:
                        found.setdefault(sizes[0], Source(kind, k, dimension, len(sizes), heads=tensor.heads))
        for k, tensor in enumerate(self.tensors["dense"]):  # a part of a concatenation that has left the loop
            columns = tensor.shape[1]
            unknown = [n for n in columns if n not in found]
            if len(set(unknown)) == 1 and all(n in found for n in columns if n not in unknown):
                beside = tuple(n for n in columns if n not in unknown)
                found[unknown[0]] = Source("dense", k, 1, len(unknown), beside)
        # A part of a concatenation that is made of parameters alone: what nothing decides is of the states' own size.
        first, *others = ((self.size(s), Source("before", k, 1)) for k, s in enumerate(self.states))
        own = next((place for size, place in others if size not in (first[0], self.size(self.loop.input))), first[1])
        parts = [c for p in products for c in p.weight.columns]
        for part in (*parts, *self.loop.counts.values()):  # of a vector that is only summed, too
            found.setdefault(self.names[part.root], own)
        return {n: place for n, place in found.items() if n.startswith("n_") and n not in self.row}

    @property
    def sizes(self) -> tuple[str, ...]:
        """The names of the sizes that have a length in each call."""
        return (*self.sources, *self.row)

    def lengths(self, shapes: Mapping[str, Sequence[torch.Size | tuple[int, ...]]]) -> dict[str, int]:
        """Return the number of units behind each size, from the shapes of tensors by kind."""
        found: dict[str, int] = {}
        for size, s in self.sources.items():
            found[size] = (shapes[s.kind][s.number][s.dimension] * s.heads - sum(found[n] for n in s.beside)) // s.times
        return found | dict.fromkeys(self.row, 1)

    def lengths_of(self, lists: Mapping[str, Sequence[Tensor]]) -> dict[str, int]:
        """Return the number of units behind each size, from tensors by kind."""
        return self.lengths({kind: [x.shape for x in xs] for kind, xs in lists.items()})


@cache
def interface_of(loop: Loop) -> Interface:
    """Return a loop's interface, made once."""
    return Interface(loop)


def _called(symbol: Expr) -> str:
    """Return the name that the equations give a parameter."""
    return str(symbol).replace("_", ".", 1).replace("__", "_")
