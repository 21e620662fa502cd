"""How a row is learnt: today's recipe for any cell, the paper's own, with the whole gradient or its own, and by likelihood."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from carousel.cells import get
from carousel.cells.lstm_1997 import lstm_1997, lstm_1997_truncated
from carousel.errors import InputError
from carousel.tasks.learners import Kalman, Learner, adam, plain
from carousel.tasks.likelihood import Newton, adamw
from carousel.tasks.network import Network, Sparse
from carousel.tasks.original import Original
from carousel.tasks.rows import Row

OF_1997 = ("faithful", "truncated")
BY_LIKELIHOOD = ("hessian-free", "adamw")
RECIPES = ("today", *OF_1997, *BY_LIKELIHOOD)
UNITS = 100  # of Martens and Sutskever's networks
MANY = 10  # symbols; more get one number each


@dataclass(frozen=True)
class Recipe:
    """The network and learner of a trial: everything that is not the task.

    ``learner``: "kalman", "adam", "descent", "hessian-free" or "adamw"; ``hidden`` units, ``embedding``'s size for symbols;
    ``rows``: sequences of an update; ``rate``: of Adam and AdamW; ``without``: a detail that is left out (:func:`without`).
    """

    name: str
    cell: str
    learner: str
    hidden: int
    embedding: int = 4
    rows: int = 1
    rate: float = 1e-2
    half: float = 500.0
    without: str = ""
    uncertainty: float = 1.0
    drift: float = 1e-5
    least: float = 1e-4
    memory: float = 0.99
    longest: float = 1.0
    patience: int = 1000


def today(row: Row, cell: str, hidden: int | None = None) -> Recipe:
    """Return today's recipe: one sequence an update; the Kalman filter.

    The exception: 1, where most next symbols are open, takes Adam on the cross-entropy of all of them (so do the
    later problems). In 2a outputs hear the input too, as in the paper's network; 2b learns from the end alone, where its
    error counts.

    Other cells than LSTM v1 get the number of units with which they have about as many weights.
    """
    name, problem = get(cell).name, row.problem
    embedding = 8 if row.learner == "adam" else 1 if problem.inputs > MANY else 4
    inputs = embedding if problem.symbols else problem.inputs
    units = hidden or (row.hidden if name == "lstm-v1" else alike(name, inputs, row.hidden))
    if row.learner == "adam":
        return Recipe("today", name, "adam", units, embedding, rate=0.02, half=200, patience=row.cap // 5)
    patience = min(max(1000, 10 * problem.lag), row.cap // 4)
    return Recipe("today", name, "kalman", units, embedding, patience=patience)


def alike(cell: str, inputs: int, hidden: int) -> int:
    """Return the number of units with which a cell has at least as many weights as LSTM v1 with ``hidden``."""
    wanted = get("lstm-v1").count(inputs, hidden)
    candidate, units = get(cell), 1
    while candidate.count(inputs, units, max(1, units // 2) if candidate.has_projection else 0) < wanted:
        units += 1
    return units


def faithful(row: Row, *, truncated: bool = False) -> Recipe:
    """Return the recipe of the paper's network and descent, down the whole gradient or the paper's.

    Raises:
        InputError: the paper has none.
    """
    name, cell = ("truncated", lstm_1997_truncated) if truncated else ("faithful", lstm_1997)
    if row.plan is None:
        raise InputError(f"{row.task} is not in the paper of 1997: leave `recipe` {name} out")
    return Recipe(name, cell.name, "descent", row.plan.blocks * row.plan.size, 0, rate=row.plan.rate)


def by_likelihood(row: Row, name: str, cell: str, hidden: int | None = None) -> Recipe:
    """Return the recipe of Hessian-free optimization ("hessian-free"), or of AdamW on the same network ("adamw").

    100 units; a step of the former sees 300 sequences, 1 000 where T > 100; of the latter 100; all 32 of five bits.

    Raises:
        InputError: the network of the task's paper is not theirs.
    """
    if row.experiment != "2011":
        raise InputError(f"`recipe` {name} is for the problems of 2011, not for {row.task}")
    rows = 100 if name == "adamw" else 300 if row.problem.lag <= 100 else 1000  # as Sutskever's code advises
    possible = getattr(row.problem, "possible", rows)
    return Recipe(name, get(cell).name, name, hidden or UNITS, 0, rows=min(rows, possible), rate=1e-3, patience=0)


def faithful_cap(row: Row) -> int:
    """Return three times the paper's mean: its own trials went on for much longer, but few needed that."""
    return 3 * max(p.after for p in row.goals.values())


DETAILS: dict[str, dict[str, Any]] = {
    "filter": {"learner": "adam", "rate": 1e-2, "half": 1e9, "patience": 0},
    "patience": {"patience": 0},
    **{name: {} for name in ("start", "embeddings", "outputs", "sureness")},  # Network knows them
}


def without(recipe: Recipe, detail: str) -> Recipe:
    """Return the recipe with one of its DETAILS left out, to see the worth of that."""
    return replace(recipe, name=f"without-{detail}", without=detail, **DETAILS[detail])


def build(recipe: Recipe, row: Row) -> Learner:
    """Make network and learner, drawn with PyTorch's generator."""
    problem = row.problem
    if recipe.learner == "descent":
        assert row.plan is not None
        truncated = recipe.cell == lstm_1997_truncated.name
        original = Original(row.plan, problem.inputs, problem.outputs, problem.symbols, truncated=truncated)
        return plain(original, problem.each, recipe.rate)
    if recipe.learner in BY_LIKELIHOOD:
        sparse = Sparse(problem, recipe.cell, recipe.hidden)
        return Newton(sparse, problem) if recipe.learner == "hessian-free" else adamw(sparse, problem, recipe.rate)
    network = Network(problem, recipe.cell, recipe.hidden, recipe.embedding, without=recipe.without)
    if recipe.learner == "adam":
        return adam(network, problem.each, recipe.rate, recipe.half, problem.lag)
    return Kalman(
        network,
        problem.each,
        uncertainty=recipe.uncertainty,
        drift=recipe.drift,
        least=recipe.least,
        memory=recipe.memory,
        longest=recipe.longest,
        only_end=problem.only_end,
    )
