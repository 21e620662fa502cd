"""Grids and trees: ours beside the level-by-level loop in PyTorch's operations, and beside plain PyTorch written by hand."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from carousel import kernels
from carousel.bench.timing import Work, side_by_side
from carousel.kernels.levels import gathers
from carousel.layers import Forest, Grid, Tree
from carousel.layers.levelled import Levelled, Levels


@dataclass(frozen=True)
class Case:
    """One measurement: the steps of a batch, their levels, and the layer; ``name`` tells the sizes."""

    name: str
    layer: Levelled
    levels: Levels
    run: Callable[[Tensor], Tensor]
    data: Tensor


def grid(side: int = 32, batch: int = 32, units: int = 64) -> Case:
    """Return images of ``side`` × ``side`` pixels, read by an MDLSTM from one corner."""
    layer, x = Grid("mdlstm", units, units), torch.randn(side, side, batch, units)
    levels = layer.levels((side, side), ((side, side),) * batch, layer.corners[0], x.device)
    return Case(f"mdlstm, {side} × {side}, B = {batch}, H = {units}", layer, levels, layer, x)


def trees(nodes: int = 50, batch: int = 64, units: int = 150) -> Case:
    """Return a batch of binary trees of ``nodes`` nodes each, cut at random as parts of sentences, read by a Tree-LSTM."""
    chance = random.Random(0)
    forest = Forest.joined(Forest(_drawn(nodes, chance)) for _ in range(batch))
    layer, x = Tree("tree-lstm", units, units), torch.randn(len(forest), units)
    levels = forest.levels(2, False, x.device)
    return Case(f"tree-lstm, {nodes} nodes, B = {batch}, H = {units}", layer, levels, lambda x: layer(x, forest), x)


def sets(nodes: int = 50, batch: int = 64, units: int = 150) -> Case:
    """Return a batch of trees of ``nodes`` nodes with one to four children, drawn at random, read by a child-sum Tree-LSTM."""
    chance = random.Random(0)
    forest = Forest.joined(Forest(_drawn(nodes, chance, 4)) for _ in range(batch))
    layer, x = Tree("child-sum-lstm", units, units), torch.randn(len(forest), units)
    levels = forest.levels(1, True, x.device)
    return Case(f"child-sum-lstm, {nodes} nodes, B = {batch}, H = {units}", layer, levels, lambda x: layer(x, forest), x)


def _drawn(nodes: int, chance: random.Random, most: int = 2) -> list[list[int]]:
    """Return the children of each node of a random tree: what is left of a sentence is cut into at most so many parts."""
    children: list[list[int]] = []

    def part(size: int) -> int:
        number = len(children)
        children.append([])
        if size > 1:
            parts = 2 if most == 2 else chance.randint(1, most)
            cuts = sorted(chance.randint(1, max(1, size - 2)) for _ in range(parts - 1))
            ends = [0, *cuts, size - 1]
            children[number] = [part(b - a) for a, b in pairwise(ends) if b > a]
        return number

    part(nodes)
    return children


def measure(case: Case, seconds: float) -> list[dict[str, Any]]:
    """Return median seconds of each way, forward and in training, those of the products alone, and GFLOP/s.

    With one thread the time is the processor's, which other programs disturb less.
    """
    rows, clock = [], time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    for what in ("forward", "training"):
        works = {
            "carousel": _work(case.run, case, what),
            "level by level": _by_reference(_work(case.run, case, what)),
            "by hand": _work(by_hand(case), case, what),
            "products": _products(case, what),
        }
        found = side_by_side(works, seconds, clock=clock)
        floor, ours = found.pop("products"), found["carousel"]
        flops = _flops(case) * (3 if what == "training" else 1)
        rows.append({"case": case.name, "run": what, "seconds": found, "floor_seconds": floor, "gflops": flops / ours / 1e9})
    return rows


def _by_reference(work: Work) -> Work:
    def run() -> None:
        with kernels.use("reference"):
            work()

    return run


def _work(run: Callable[[Tensor], Tensor], case: Case, what: str) -> Work:
    x, parameters = case.data, list(case.layer.parameters())

    def forward() -> None:
        with torch.no_grad():
            run(x)

    def training() -> None:
        for p in parameters:
            p.grad = None
        given = x.detach().requires_grad_()
        run(given).sum().backward()

    return forward if what == "forward" else training


def _stacked(layer: Levelled, letters: str) -> Tensor:
    """Return the weights with these letters, one gate below the other."""
    mark = layer.marks[0]
    return torch.cat([layer.parameter(f"W.{name}", mark) for name in letters.split()])


def _flops(case: Case) -> float:
    """Return the operations of one run's products."""
    work = case.layer.cell.work(*case.layer.sizes)
    return len(case.levels.order) * (work.input_products + work.recurrent_products)


class _Product(NamedTuple):
    """A product from the states: ``rows`` of each level, ``depth`` numbers of a row, ``width`` sums."""

    rows: tuple[int, ...]
    depth: int
    width: int


def _from_states(case: Case) -> list[_Product]:
    units, sizes = case.layer.hidden_size, case.levels.sizes
    if not isinstance(case.layer.cell.before, str):
        return [_Product(sizes, 2 * units, 5 * units)]
    found = gathers(case.levels.follows, sizes, of_set=True)
    return [_Product(tuple(len(g.members) for g in found), units, units), _Product(sizes, units, 3 * units)]


def _products(case: Case, what: str) -> Work:
    """Return the products alone: of the input at once, level by level from the states, and backwards both and the weights'."""
    layer, rows = case.layer, len(case.levels.order)
    of_input = sum(p.kind == "dense" and not layer.cell.from_state(p) for p in layer.cell.trace.parameters)
    x, w = torch.randn(rows, layer.sizes[0]), torch.randn(layer.sizes[0], of_input * layer.hidden_size)
    adjoints = torch.randn(rows, w.shape[1])
    states = []
    for p in _from_states(case):
        total = sum(p.rows)
        before, back = torch.randn(total, p.depth), torch.randn(total, p.width)
        states.append((before, back, torch.randn(p.depth, p.width), before.split(p.rows), back.split(p.rows)))

    def work() -> None:
        torch.mm(x, w)
        for level in range(len(case.levels.sizes)):
            for _, _, weight, before, back in states:
                torch.mm(before[level], weight)
                if what == "training":
                    torch.mm(back[level], weight.T)
        if what == "training":
            torch.mm(adjoints, w.T)
            torch.mm(x.T, adjoints)
            for whole, back_of_all, *_ in states:
                torch.mm(whole.T, back_of_all)

    return work


def by_hand(case: Case) -> Callable[[Tensor], Tensor]:
    """Return the same work in plain PyTorch as DGL batches it: frames of all nodes, whose rows each level reads and writes.

    Products of the input are taken at once, those of the states for all gates together; frames are written by ``index_copy``,
    which copies them, since autograd needs the old ones.
    """
    return _sets_by_hand(case) if isinstance(case.layer.cell.before, str) else _named_by_hand(case)


def _sets_by_hand(case: Case) -> Callable[[Tensor], Tensor]:
    layer, order, sizes = case.layer, case.levels.order, list(case.levels.sizes)
    units, places = layer.hidden_size, torch.arange(len(order)).split(sizes)
    found = gathers(case.levels.follows, sizes, of_set=True)

    def run(x: Tensor) -> Tensor:
        p = {n: layer.parameter(n) for n in layer.cell.learned}
        inputs = x[order] @ _stacked(layer, "ie oe he fe").T + torch.cat([p[f"b.{n}"] for n in "iohf"])
        from_sum, from_child = _stacked(layer, "is os hs").T, p["W.fm"].T
        m, h = x.new_zeros(len(order), units), x.new_zeros(len(order), units)
        for e, gather, at in zip(inputs.split(sizes), found, places, strict=True):
            owner, members, nothing = gather.owner, gather.members, x.new_zeros(len(at), units)
            assert owner is not None  # the cell follows a set
            each = m[members]
            f = torch.sigmoid(e[:, 3 * units :][owner] + each @ from_child)
            i, o, u = (e[:, : 3 * units] + nothing.index_add(0, owner, each) @ from_sum).chunk(3, 1)
            now = torch.sigmoid(i) * torch.tanh(u) + nothing.index_add(0, owner, f * h[members])
            h, m = h.index_copy(0, at, now), m.index_copy(0, at, torch.sigmoid(o) * torch.tanh(now))
        return m

    return run


def _named_by_hand(case: Case) -> Callable[[Tensor], Tensor]:
    layer, levels = case.layer, case.levels
    rows, units, mark = len(levels.order), layer.hidden_size, layer.marks[0]
    found = torch.full((2, rows), rows)
    for k in range(2):
        there = (levels.follows[k] >= 0).nonzero().squeeze(1)
        found[k, levels.follows[k, there]] = there
    before = found.split(list(levels.sizes), dim=1)
    places = torch.arange(rows).split(list(levels.sizes))
    tree = isinstance(layer, Tree)

    def run(x: Tensor) -> Tensor:
        p = {n: layer.parameter(n, mark) for n in layer.cell.learned}
        if tree:
            first = torch.cat([_stacked(layer, "il ll rl ol hl"), _stacked(layer, "ir lr rr or hr")], 1).T
            inputs = x[levels.order] @ _stacked(layer, "ie fe fe oe he").T
            inputs = inputs + torch.cat([p["b.i"], p["b.f"], p["b.f"], p["b.o"], p["b.h"]])
        else:
            first = torch.cat([_stacked(layer, "iu uu fu hu ou"), _stacked(layer, "il ul fl hl ol")], 1).T
            inputs = x.reshape(rows, -1)[levels.order] @ _stacked(layer, "ie ue fe he oe").T
            inputs = inputs + torch.cat([p[f"b.{n}"] for n in "iufho"])
        m, h = x.new_zeros(rows + 1, units), x.new_zeros(rows + 1, units)
        for e, (a, b), at in zip(inputs.split(list(levels.sizes)), before, places, strict=True):
            ha, hb = h[a], h[b]
            sums = (e + torch.cat([m[a], m[b]], 1) @ first).chunk(5, 1)
            if tree:
                i, left, right, o = (torch.sigmoid(s) for s in sums[:4])
                now = i * torch.tanh(sums[4]) + left * ha + right * hb
            else:
                i = torch.sigmoid(sums[0] + p["w.iu"] * ha + p["w.il"] * hb)
                u, f = torch.sigmoid(sums[1] + p["w.uu"] * ha), torch.sigmoid(sums[2] + p["w.fl"] * hb)
                now = i * torch.tanh(sums[3]) + u * ha + f * hb
                o = torch.sigmoid(sums[4] + p["w.oh"] * now)
            h, m = h.index_copy(0, at, now), m.index_copy(0, at, o * torch.tanh(now))
        return m

    return run
