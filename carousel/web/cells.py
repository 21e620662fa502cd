"""Questions about typed cells, and the engines of their one-unit cells as modules that the page imports."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Lock
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from carousel.equations.typed import LONGEST
from carousel.web.aside import Aside

KEPT = 100  # engines, of the last texts that were asked about


class CellRequest(BaseModel):
    """The text of a cell, or the name of one of the catalogue; ``units`` of the input and of the states."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = Field(None, max_length=2 * LONGEST)
    name: str | None = Field(None, max_length=100)
    units: int = Field(32, ge=1, le=4096)


class DecayRequest(BaseModel):
    """The text of a cell whose gradient is followed back at first weights."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=2 * LONGEST)
    units: int = Field(32, ge=1, le=256)


class Cells:
    """Answers the page's questions about cells.

    Args:
        aside: the process that works them out.
    """

    def __init__(self, aside: Aside):
        self.aside, self.lock = aside, Lock()
        self.engines: OrderedDict[str, str] = OrderedDict()

    def about(self, asked: CellRequest) -> dict[str, Any]:
        """Return a cell's facts for the page; the engine of one unit by the name of its module."""
        text = asked.text or ""
        if asked.text is None:
            found = self.aside.ask("named", name=asked.name or "")
            if "error" in found:
                return found
            text = found["text"]
        found = self.aside.ask("about", text=text, units=asked.units)
        one = found.get("one", {})
        if "code" in one:
            one["module"] = self.keep(one.pop("code"))
        return {**found, "text": text}

    def keep(self, code: str) -> str:
        """Keep a module, and return its name."""
        name = f"{hashlib.sha256(code.encode()).hexdigest()[:24]}.js"
        with self.lock:
            self.engines[name] = code
            self.engines.move_to_end(name)
            while len(self.engines) > KEPT:
                self.engines.popitem(last=False)
        return name

    def engine(self, name: str) -> str:
        """Return a module. Raises HTTPException where it is not kept any longer."""
        with self.lock:
            if name not in self.engines:
                raise HTTPException(404, f"there is no engine {name}")
            return self.engines[name]


def answer_cells(app: FastAPI) -> Cells:
    """Make an application answer questions about cells; return the answerer, whose process ends with the application.

    A text that is refused is an answer as any other, ``error`` and ``line``: browsers log what is no success.
    """
    cells, whole = Cells(Aside("carousel.web.cell_worker")), app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Any]:
        async with whole(app) as state:
            yield state
        cells.aside.end()

    app.router.lifespan_context = lifespan

    @app.get("/api/cells")
    def menu() -> JSONResponse:
        return JSONResponse(cells.aside.ask("menu"))

    @app.post("/api/cell")
    def about(asked: CellRequest) -> JSONResponse:
        return JSONResponse(cells.about(asked))

    @app.post("/api/decay")
    def decay(asked: DecayRequest) -> JSONResponse:
        return JSONResponse(cells.aside.ask("decay", text=asked.text, units=asked.units))

    @app.get("/engine/{name}")
    def engine(name: str) -> Response:
        return Response(cells.engine(name), media_type="text/javascript")

    return cells
