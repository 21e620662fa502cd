"""Grids and trees: ours beside the level-by-level loop in PyTorch's operations, and beside plain PyTorch written by hand."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from carousel import kernels
from carousel.bench.timing import Work, side_by_side
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
    levels = layer.levels(side, side, ((side, side),) * batch, layer.corners[0], x.device)
    return Case(f"mdlstm, {side} × {side}, B = {batch}, H = {units}", layer, levels, layer, x)


def trees(nodes: int = 50, batch: int = 64, units: int = 150) -> Case:
    """Return a batch of binary trees of ``nodes`` nodes each, cut at random as parts of sentences, read by a Tree-LSTM."""
    chance = random.Random(0)
    forest = Forest.joined(Forest(_drawn(nodes, chance)) for _ in range(batch))
    layer, x = Tree("tree-lstm", units, units), torch.randn(len(forest), units)
    levels = forest.levels(2, False, x.device)
    return Case(f"tree-lstm, {nodes} nodes, B = {batch}, H = {units}", layer, levels, lambda x: layer(x, forest), x)


def _drawn(nodes: int, chance: random.Random) -> list[list[int]]:
    """Return the children of each node of a random tree: parts of a sentence are cut in two until each is a word or two."""
    children: list[list[int]] = []

    def part(size: int) -> int:
        number = len(children)
        children.append([])
        if size > 1:
            left = chance.randint(1, max(1, size - 2))
            children[number] = [part(left), *([part(size - 1 - left)] if size - 1 - left else [])]
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


def _products(case: Case, what: str) -> Work:
    """Return the products alone: of the input at once, level by level from the states, and backwards both and the weights'."""
    layer, sizes = case.layer, case.levels.sizes
    (gates, units), (width, *_) = (5, layer.hidden_size), layer.sizes
    rows, wide = len(case.levels.order), torch.randn(2 * units, gates * units)
    of_input = sum(p.kind == "dense" and not layer.cell.from_state(p) for p in layer.cell.trace.parameters)
    x, w = torch.randn(rows, width), torch.randn(width, of_input * units)
    before, adjoints = torch.randn(rows, 2 * units), torch.randn(rows, gates * units)

    def work() -> None:
        torch.mm(x, w)
        at = 0
        for n in sizes:
            torch.mm(before[at : at + n], wide)
            if what == "training":
                torch.mm(adjoints[at : at + n], wide.T)
            at += n
        if what == "training":
            torch.mm(adjoints[:, : of_input * units], w.T)
            torch.mm(x.T, adjoints[:, : of_input * units])
            torch.mm(before.T, adjoints)

    return work


def by_hand(case: Case) -> Callable[[Tensor], Tensor]:
    """Return the same work in plain PyTorch as DGL batches it: frames of all nodes, whose rows each level reads and writes.

    Products of the input are taken at once, those of the states for all gates together; frames are written by ``index_copy``,
    which copies them, since autograd needs the old ones.
    """
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
