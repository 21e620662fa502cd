"""The page of a transcriber: where it sees each label of an example, and the memory of a unit while it reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any, cast

import numpy as np
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import Field

from carousel.errors import InputError
from carousel.layers import Grid, Recurrent
from carousel.page.facts import NUMBERS, cell_facts
from carousel.runs.transcriber import TranscriberRun
from carousel.training.kept import named
from carousel.transcription.decoding import aligned
from carousel.transcription.examples import Examples
from carousel.transcription.folder import examples_path
from carousel.transcription.spikes import Spikes
from carousel.web.application import application
from carousel.web.examples import WAYS, ExampleRequest, Pages, Part, QuantityRequest, check_size, parts_of, quantities, told


class MemoryRequest(QuantityRequest):
    """A quantity of a layer while it reads an example; of a grid one unit's, by default of the unit that moves most."""

    unit: int | None = Field(None, ge=0, le=1_000_000)


class TranscriptionPage:
    """A transcriber as the page sees it."""

    def __init__(self, run: TranscriberRun):
        self.run, self.kept = run, lru_cache(run.examples)
        first = cast("Grid | Recurrent", run.model.hierarchy.layers[0])
        directions = first.corners if isinstance(first, Grid) else WAYS[: first.directions]
        self.is_grid = isinstance(first, Grid)
        self.recorded = lru_cache(4)(self._recorded)
        self.facts = {
            **{"run": named(run.folder, run.which), "task": "transcription", "reads": run.config.model.reads},
            **cell_facts(first.cell, first.units()),
            **{"layers": len(run.model.hierarchy.layers), "parameters": run.model.count(), "labels": list(run.labels)},
            **{"parts": parts_of(run.folder, examples_path), "directions": list(directions)},
        }

    def example(self, asked: ExampleRequest) -> dict[str, Any]:
        """Return an example and where the run sees its labels. Raises InputError where there is no such one."""
        one = self._one(asked)
        found, meant = self.run.spikes(one.inputs, one.ids(0)), one.ids(0)
        told(found.logs)
        check_size(found.picture.size + found.logs.size, NUMBERS, "values")
        right: list[dict[str, Any]] = []
        with suppress(InputError):  # what was meant may have no path
            right = Spikes(
                found.picture, found.logs, tuple(meant), aligned(found.logs, meant), found.labels, found.factor, found.text
            ).places
        return {
            **found.as_dict(),
            "right": right,
            "picture": told(found.picture),
            "count": len(self.kept(asked.part)),
        }

    def memory(self, asked: MemoryRequest) -> dict[str, Any]:
        """Return a quantity at every step: of a sequence (directions, steps, units), of a grid (directions, rows, columns).

        Raises:
            InputError: there is no such example, quantity, layer or unit.
        """
        values = self.recorded(asked.part, asked.number, asked.name, asked.layer)
        if not self.is_grid:
            return {"values": told(values)}
        units, unit = values.shape[-1], asked.unit
        if unit is None:
            unit = int(np.tanh(values).var((1, 2)).sum(0).argmax())  # some memories of a grid grow without bound
        if unit >= units:
            raise InputError(f"there is no unit {unit} of {asked.name}; units are 0 to {units - 1}")
        return {"unit": unit, "values": told(values[..., unit])}

    def answers(self, part: Part, number: int) -> Iterator[tuple[str, ExampleRequest, dict[str, Any]]]:
        """Yield all that may be asked about an example: the question's path and body, and the answer."""
        example = ExampleRequest(part=part, number=number)
        yield "api/example", example, self.example(example)
        for quantity in quantities(self.facts):
            units = range(self.facts["units"][quantity["name"]]) if self.is_grid else ()
            for unit in ({}, *({"unit": k} for k in units)):  # without one, the unit that moves most
                asked = MemoryRequest(part=part, number=number, **{**quantity, **unit})
                yield "api/memory", asked, self.memory(asked)

    def _recorded(self, part: Part, number: int, name: str, layer: int) -> np.ndarray:
        found = self.run.memory(self._one(ExampleRequest(part=part, number=number)).inputs, name, layer)
        check_size(found[..., 0].size if self.is_grid else found.size, NUMBERS, "values")
        return found

    def _one(self, asked: ExampleRequest) -> Examples:
        kept = self.kept(asked.part)
        asked.check(kept)
        return kept.rows([asked.number])


def create_transcription_app(run: TranscriberRun, hosts: Iterable[str] = ()) -> FastAPI:
    """Return the application of a transcriber; arguments are those of ``create_app``."""
    pages = Pages(run, TranscriptionPage)
    app, _ = application(hosts, "examples.html")

    @app.get("/api/run")
    def about() -> JSONResponse:
        return JSONResponse({**pages.first.facts, **pages.weights()})

    @app.post("/api/example")
    def example(asked: ExampleRequest) -> JSONResponse:
        return JSONResponse(pages.of(asked).example(asked))

    @app.post("/api/memory")
    def memory(asked: MemoryRequest) -> JSONResponse:
        return JSONResponse(pages.of(asked).memory(asked))

    return app
