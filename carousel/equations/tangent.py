"""The tangent of a loop: a loop of the same kind, which carries beside each value how it changes.

Forward accumulation over the assignments of a step. The result holds the loop it is made from, so it needs nothing that
an earlier run has saved, has a derivative and a tangent of its own, and every back end runs it as it stands.
"""

from __future__ import annotations

from dataclasses import replace

import sympy

from carousel.equations.derivative import partial, times
from carousel.equations.loop import Equation, Group, Loop, LoopStage
from carousel.equations.notes import Expr, Parameter, Product, symbols_in
from carousel.equations.stages import Reduction
from carousel.equations.trace import State


def tangent(loop: Loop) -> Loop:
    """Return the loop with its tangent.

    Its states are the tangents of the loop's states, then the states (then the step number); so its output is the tangent
    of the output, and it records the tangents of the values that the loop records. ``hoisted`` are the loop's, then their
    tangents in the same order; ``vectors`` likewise, without tangents of constants; to each dense weight ``W.ab`` comes its
    tangent, ``weight_tangent(loop, "W.ab")``.
    Raises NoDerivative.
    """
    return _Maker(loop).make()


def weight_tangent(loop: Loop, name: str) -> str:
    """Return the name that the tangent of a dense weight has in the tangent of ``loop``."""
    return f"{name}.{_suffix(loop)}"  # letters have no dot


def _suffix(loop: Loop) -> str:
    return f"d{loop.order + 1}"  # a tangent of a tangent has both beside each other


class _Maker:
    def __init__(self, loop: Loop):
        self.loop, self.suffix = loop, _suffix(loop)
        self.sizes = dict(loop.sizes)
        self.moving: set[Expr] = set()  # symbols whose tangent is not known to be zero

    def make(self) -> Loop:
        loop = self.loop
        vectors = [s for s in loop.vectors if s not in loop.constants]
        states = [s for s in loop.states if s.size is not None]
        for s in [*vectors, *(s for symbols in loop.hoisted for s in symbols), *(s.before for s in states)]:
            self.move(s)
        stages = tuple(self.stage(stage) for stage in loop.stages)
        results = dict.fromkeys([*(s.after for s in states), *loop.recorded])
        made = [(self.dotted(s), sympy.Integer(0)) for s in results if s not in self.moving]
        for s in results:
            self.move(s)
        stages[-1].equations.extend(made)
        return replace(
            loop,
            name=f"{loop.name}-tangent",
            about=f"The tangent of {loop.about}",
            order=loop.order + 1,
            states=(
                *map(self.state, states),
                *loop.states,
            ),
            hoisted=(*loop.hoisted, *(tuple(self.dotted(s) for s in symbols) for symbols in loop.hoisted)),
            vectors=(*loop.vectors, *(self.dotted(s) for s in vectors)),
            stages=stages,
            sizes=self.sizes,
            recorded=tuple(map(self.dotted, loop.recorded)),
        )

    def dotted(self, symbol: Expr) -> Expr:
        """Return the symbol of a symbol's tangent."""
        return sympy.Symbol(f"{symbol}_{self.suffix}", real=True)

    def move(self, symbol: Expr) -> None:
        self.moving.add(symbol)
        self.sizes[self.dotted(symbol)] = self.sizes[symbol]

    def state(self, state: State) -> State:
        """Return the state that is a state's tangent."""
        name = f"{state.name}_{self.suffix}"
        return State(name, self.dotted(state.before), self.dotted(state.after), state.size, state.edge)

    def stage(self, stage: LoopStage) -> LoopStage:
        groups: list[Group] = []
        for group in stage.groups:
            groups += [group, self.group(group)]
        reductions: list[Reduction] = []
        for r in stage.reductions:
            reductions.append(r)
            if r.kind != "max" and r.operand in self.moving:
                self.move(r.symbol)
                reductions.append(replace(r, symbol=self.dotted(r.symbol), operand=self.dotted(r.operand)))
        equations: list[Equation] = []
        for symbol, expr in stage.equations:
            equations.append((symbol, expr))
            terms = [times(self.dotted(s), partial(symbol, expr, s)) for s in symbols_in(expr) if s in self.moving]
            change = sympy.Add(*terms)
            if change != 0:
                self.move(symbol)
                equations.append((self.dotted(symbol), change))
        return LoopStage(groups, equations, reductions)

    def group(self, group: Group) -> Group:
        """Return W ẋ of the operands that change, and Ẇ x of all."""
        for symbol in group.symbols:
            self.move(symbol)
        moving = [k for k, x in enumerate(group.operands) if x in self.moving]
        operands = [*(self.dotted(group.operands[k]) for k in moving), *group.operands]
        products = tuple((*(p[k] for k in moving), *(self.changed(x) for x in p)) for p in group.products)
        return Group(tuple(self.dotted(s) for s in group.symbols), tuple(operands), products, group.size)

    def changed(self, product: Product) -> Product:
        """Return the product with the weight's tangent in its place."""
        weight: Parameter = product.weight
        name = weight_tangent(self.loop, weight.name)
        return replace(product, weight=replace(weight, name=name, symbol=self.dotted(weight.symbol)))
