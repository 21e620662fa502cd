"""The page of a transcriber: where it sees each label of an example, and the memory of a unit while it reads it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any, Literal, cast

import numpy as np
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

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

PARTS = ("test", "valid", "train")
DIGITS = 4
WAYS = ("forwards", "backwards")


class ExampleRequest(BaseModel):
    """The example of a number in a part of the run's data."""

    model_config = ConfigDict(extra="forbid")

    part: Literal["test", "valid", "train"] = "test"
    number: int = Field(0, ge=0, le=1_000_000_000)


class MemoryRequest(ExampleRequest):
    """A quantity of a layer while it reads an example; of a grid one unit's, by default of the unit that moves most."""

    name: str = Field(max_length=100)
    layer: int = Field(0, ge=0, le=1000)
    unit: int | None = Field(None, ge=0, le=1_000_000)


class TranscriptionPage:
    """A transcriber as the page sees it."""

    def __init__(self, run: TranscriberRun):
        self.run, self.kept = run, lru_cache(run.examples)
        self.parts = [part for part in PARTS if examples_path(run.folder, part).exists()]
        first = cast("Grid | Recurrent", run.model.hierarchy.layers[0])
        directions = first.corners if isinstance(first, Grid) else WAYS[: first.directions]
        self.is_grid = isinstance(first, Grid)
        self.recorded = lru_cache(4)(self._recorded)
        self.facts = {
            **{"run": named(run.folder, run.which), "task": "transcription", "reads": run.config.model.reads},
            **cell_facts(first.cell, first.units()),
            **{"layers": len(run.model.hierarchy.layers), "parameters": run.model.count(), "labels": list(run.labels)},
            **{"parts": self.parts, "directions": list(directions)},
        }

    def example(self, asked: ExampleRequest) -> dict[str, Any]:
        """Return an example and where the run sees its labels. Raises InputError where there is no such one."""
        one = self._one(asked.part, asked.number)
        found, meant = self.run.spikes(one.inputs, one.ids(0)), one.ids(0)
        if not np.isfinite(found.logs).all():
            raise InputError("the model's values are not finite; was it trained to the end?")
        self._check(found.picture.size + found.logs.size)
        right: list[dict[str, Any]] = []
        with suppress(InputError):  # what was meant may have no path
            right = Spikes(
                found.picture, found.logs, tuple(meant), aligned(found.logs, meant), found.labels, found.factor, found.text
            ).places
        return {
            **found.as_dict(),
            "right": right,
            "picture": found.picture.astype(float).round(DIGITS).tolist(),
            "count": len(self.kept(asked.part)),
        }

    def memory(self, asked: MemoryRequest) -> dict[str, Any]:
        """Return a quantity at every step: of a sequence (directions, steps, units), of a grid (directions, rows, columns).

        Raises:
            InputError: there is no such example, quantity, layer or unit.
        """
        values = self.recorded(asked.part, asked.number, asked.name, asked.layer)
        if not self.is_grid:
            return {"values": values.astype(float).round(DIGITS).tolist()}
        units, unit = values.shape[-1], asked.unit
        if unit is None:
            unit = int(np.tanh(values).var((1, 2)).sum(0).argmax())  # some memories of a grid grow without bound
        if unit >= units:
            raise InputError(f"there is no unit {unit} of {asked.name}; units are 0 to {units - 1}")
        return {"unit": unit, "values": values[..., unit].astype(float).round(DIGITS).tolist()}

    def _recorded(self, part: str, number: int, name: str, layer: int) -> np.ndarray:
        found = self.run.memory(self._one(part, number).inputs, name, layer)
        if not np.isfinite(found).all():
            raise InputError("the model's values are not finite; was it trained to the end?")
        self._check(found[..., 0].size if self.is_grid else found.size)
        return found

    def _one(self, part: str, number: int) -> Examples:
        kept = self.kept(part)
        if number >= len(kept):
            raise InputError(f"there is no example {number}; {part} has {len(kept):,}, counted from 0")
        return kept.rows([number])

    def _check(self, numbers: int) -> None:
        if numbers > NUMBERS:
            raise InputError(f"the example has {numbers:,} numbers; the page shows at most {NUMBERS:,}")


def create_transcription_app(run: TranscriberRun, hosts: Iterable[str] = ()) -> FastAPI:
    """Return the application of a transcriber; arguments are those of ``create_app``."""
    page = TranscriptionPage(run)
    app, _ = application(hosts, "transcriptions.html")

    @app.get("/api/run")
    def about() -> JSONResponse:
        return JSONResponse(page.facts)

    @app.post("/api/example")
    def example(asked: ExampleRequest) -> JSONResponse:
        return JSONResponse(page.example(asked))

    @app.post("/api/memory")
    def memory(asked: MemoryRequest) -> JSONResponse:
        return JSONResponse(page.memory(asked))

    return app
