"""The page of a labeller of trees: expressions of its data, or typed ones, with the values of a quantity at every node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from carousel.corpora import listops
from carousel.errors import InputError
from carousel.labelling.folder import sequences_path
from carousel.labelling.tree_figure import TreeView
from carousel.labelling.trees import PLAIN, in_plain, written
from carousel.page.facts import CHARACTERS, NUMBERS, cell_facts
from carousel.runs.labeller import LabellerRun
from carousel.training.kept import named
from carousel.web.application import application
from carousel.web.examples import Pages, Part, TextRequest, check_size, parts_of, quantities, told

NODES = 4000  # of a tree that is shown


class TreePage:
    """A labeller of trees as the page sees it."""

    def __init__(self, run: LabellerRun):
        self.run, self.kept = run, lru_cache(run.sequences)
        layers = run.model.recurrent.layers
        units = layers[0].units()
        self.most = max(2, min(NODES, NUMBERS // max(units.values())))
        self.facts = {
            **{"run": named(run.folder, run.which), "task": "trees", **cell_facts(run.model.recurrent.cell, units)},
            **{"layers": len(layers), "directions": 1, "parameters": run.model.count(), "labels": list(run.labels)},
            **{"whole": run.config.model.whole, "parts": parts_of(run.folder, sequences_path)},
            "limits": {"nodes": self.most, "characters": CHARACTERS},
        }

    def tree(self, asked: TextRequest) -> dict[str, Any]:
        """Return a tree, its labels, and the values of a quantity at its nodes.

        Raises:
            InputError: there is no such example, the text is no tree, or the model has no such quantity or layer.
        """
        if asked.text is None:
            kept = self.kept(asked.part)
            asked.check(kept)
            row, right = kept.row(asked.number), None
            check_size(len(row.x), self.most, "nodes")
            view, count = self.run.view(row, asked.name, asked.layer), {"count": len(kept)}
        else:
            line, right = self._read(asked.text)
            view, count = self.run.view(line, asked.name, asked.layer), {}
            check_size(len(view), self.most, "nodes")
        return {**self._told(view, right), "text": self._written(view), **count}

    def answers(self, part: Part, number: int) -> Iterator[tuple[str, TextRequest, dict[str, Any]]]:
        """Yield all that may be asked about an example: the question's path and body, and the answer."""
        for quantity in quantities(self.facts):
            asked = TextRequest(part=part, number=number, **quantity)
            yield "api/tree", asked, self.tree(asked)

    def _read(self, text: str) -> tuple[str, str | None]:
        """Return a typed tree as a line in brackets, and its label where the text says it: a ListOps expression has a value."""
        line = " ".join(text.split())
        if self.run.config.data.form == PLAIN and "(" not in line and line.startswith("["):
            found = listops.parsed(line)
            return str(found), str(found.value) if str(found.value) in self.run.labels else None
        return line, None

    def _written(self, view: TreeView) -> str:
        """Return a tree as one types it: a ListOps expression as such, any other in brackets."""
        parents = view.parents.tolist()
        if self.run.config.data.form != PLAIN:
            return written(view.tokens, view.right if len(view.right) == len(view) else view.labels, parents)
        line, tokens = in_plain(view.tokens, parents), " ".join(filter(None, view.tokens))
        with suppress(InputError):
            if str(listops.parsed(tokens)) == line:
                return tokens
        return line

    def _told(self, view: TreeView, right: str | None) -> dict[str, Any]:
        assert view.values is not None
        return {
            "tokens": list(view.tokens),
            "known": list(view.known),
            "parents": view.parents.tolist(),
            "ends": view.ends,
            "heights": view.heights,
            "labels": list(view.labels),
            "probabilities": told(view.probabilities),
            "right": list(view.right) if right is None else [right],
            "values": told(view.values),
        }


def create_tree_app(run: LabellerRun, hosts: Iterable[str] = ()) -> FastAPI:
    """Return the application of a labeller of trees; arguments are those of ``create_app``."""
    pages = Pages(run, TreePage)
    app, _ = application(hosts, "examples.html")

    @app.get("/api/run")
    def about() -> JSONResponse:
        return JSONResponse({**pages.first.facts, **pages.weights()})

    @app.post("/api/tree")
    def tree(asked: TextRequest) -> JSONResponse:
        return JSONResponse(pages.of(asked).tree(asked))

    return app
