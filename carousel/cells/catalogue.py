"""All cells by family and year, and the search among them."""

from __future__ import annotations

from dataclasses import dataclass

from carousel.cells import CELLS
from carousel.cells.papers import FAMILIES, YEARS
from carousel.equations import Cell

LECTURES: dict[str, dict[int, tuple[str, ...]]] = {
    "simple": {1990: ("rnn", "rnn-logistic"), 1997: ("cec",), 2003: ("mlp",), 2014: ("clockwork",), 2015: ("relu-rnn",)},
    "gated": {2014: ("gru-original", "gru")},
    "memory": {
        1997: ("lstm-v1", "lstm-1997", "lstm-1997-truncated"),
        2000: ("lstm-v2",),
        2002: ("lstm-v3",),
        2014: ("lstm-v4",),
        2015: ("lstm", "lstm-coupled"),
        2017: ("vanilla", "nig", "nfg", "nog", "niaf", "noaf", "cifg", "np", "fgr"),
    },
}
MEANING = {
    "simple": "a state without gates",
    "gated": "one state, and gates: relatives of the GRU",
    "memory": "a memory beside the message: relatives of the LSTM",
    "linear": "a weighted mean over time, without a dense product in the recurrence",
    "dynamical": "differential equations, a step of time at once",
    "told": "more than one input: the time of each, what is missing, how much each counts",
    "branched": "a step follows several: grids and trees",
}


@dataclass(frozen=True)
class Entry:
    """A cell, what family it is of, and when it was published."""

    cell: Cell
    family: str
    year: int


def catalogue() -> list[Entry]:
    """Return all cells, by family, then by year."""
    every = []
    for family in MEANING:
        lectures = [(year, CELLS[n]) for year, names in LECTURES.get(family, {}).items() for n in names]
        years = YEARS if family == "branched" else FAMILIES.get(family, {})
        papers = [(year, c) for year, cells in years.items() for c in cells]
        every += [Entry(c, family, year) for year, c in sorted([*lectures, *papers], key=lambda each: each[0])]
    return every


def found(wanted: str, entries: list[Entry]) -> list[Entry]:
    """Return the cells that have a text in their name, family, year, description, source or equations, in any case."""

    def told(entry: Entry) -> str:
        c = entry.cell
        return "\n".join((c.name, entry.family, str(entry.year), c.doc, c.citation, c.text)).casefold()

    return [entry for entry in entries if wanted.casefold() in told(entry)]
