"""The page of a labeller of sequences: a text or a series, its labels, and the values of a quantity at every step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from carousel.errors import InputError
from carousel.labelling.folder import sequences_path
from carousel.labelling.reading import Labelled
from carousel.labelling.sequences import Sequences
from carousel.page.facts import CHARACTERS, NUMBERS, cell_facts, check_alike
from carousel.runs.labeller import LabellerRun
from carousel.training.kept import named
from carousel.web.application import application
from carousel.web.examples import WAYS, Pages, Part, TextRequest, check_size, parts_of, quantities, told


class LabelPage:
    """A labeller of sequences as the page sees it. Raises InputError where its layers differ in size."""

    def __init__(self, run: LabellerRun):
        self.run, self.kept = run, lru_cache(run.sequences)
        layers = run.model.recurrent
        check_alike(layers)
        self.most = max(2, NUMBERS // (layers.directions * max(layers.units().values())))
        self.facts = {
            **{"run": named(run.folder, run.which), "task": "labels", **cell_facts(layers.cell, layers.units())},
            **{"layers": layers.num_layers, "directions": list(WAYS[: layers.directions]), "parameters": run.model.count()},
            **{"labels": list(run.labels), "whole": run.config.model.whole, "columns": list(run.names.columns)},
            "parts": parts_of(run.folder, sequences_path),
            "limits": {"steps": self.most, "characters": CHARACTERS},
        }

    def sequence(self, asked: TextRequest) -> dict[str, Any]:
        """Return a sequence, its labels, and the values of a quantity at its steps.

        Raises:
            InputError: there is no such example, or the model has no such quantity or layer.
        """
        if asked.text is None:
            kept = self.kept(asked.part)
            asked.check(kept)
            return {**self._told(kept.row(asked.number), None, asked), "count": len(kept)}
        if self.run.names.columns:
            raise InputError("this labeller reads numbers, so that nothing can be typed; choose an example")
        tokens = asked.text.split()
        if not tokens:
            raise InputError("the text is empty; give some words to read")
        return self._told(Sequences.of([Labelled(tokens, [], "the text")], self.run.names), tokens, asked)

    def answers(self, part: Part, number: int) -> Iterator[tuple[str, TextRequest, dict[str, Any]]]:
        """Yield all that may be asked about an example: the question's path and body, and the answer."""
        for quantity in quantities(self.facts):
            asked = TextRequest(part=part, number=number, **quantity)
            yield "api/sequence", asked, self.sequence(asked)

    def _told(self, row: Sequences, tokens: list[str] | None, asked: TextRequest) -> dict[str, Any]:
        names = self.run.names
        check_size(len(row.x), self.most, "steps")
        values = told(self.run.memory(row, asked.name, asked.layer))
        (found,) = self.run.predict(row)
        words = [] if names.columns else tokens or names.words(row.x)
        return {
            "tokens": words,
            "known": [] if names.columns else [bool(k) for k in row.x[:, 0]],
            "inputs": told(row.x.T) if names.columns else [],
            "labels": list(found.labels),
            "probabilities": told(np.array(found.probabilities)),
            "right": [self.run.labels[k] for k in row.y.tolist()],
            "values": values,
        }


def create_label_app(run: LabellerRun, hosts: Iterable[str] = ()) -> FastAPI:
    """Return the application of a labeller of sequences; arguments are those of ``create_app``."""
    pages = Pages(run, LabelPage)
    app, _ = application(hosts, "examples.html")

    @app.get("/api/run")
    def about() -> JSONResponse:
        return JSONResponse({**pages.first.facts, **pages.weights()})

    @app.post("/api/sequence")
    def sequence(asked: TextRequest) -> JSONResponse:
        return JSONResponse(pages.of(asked).sequence(asked))

    return app
