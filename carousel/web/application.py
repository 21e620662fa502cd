"""What every page is: an application behind a guard that hands out the page's files, and says errors in one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from carousel.errors import InputError
from carousel.page.facts import BYTES
from carousel.page.files import files
from carousel.web.cells import Cells, answer_cells
from carousel.web.guard import Guard

LABELS = {"name": "valve", **{n: n.capitalize() for n in ("text", "value", "units", "layer", "from", "to")}}  # the page's
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def application(hosts: Iterable[str], page: str) -> tuple[FastAPI, Cells]:
    """Return an application that hands out the page's files and answers questions about cells, and their answerer."""
    static_files = _static_files()
    # No documentation pages: they would load their scripts from elsewhere.
    app = FastAPI(title="Carousel", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, hosts=hosts, limit=BYTES)
    _say_errors(app)

    @app.get("/")
    def begin() -> Response:
        return static_files[page]

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in static_files:
            raise HTTPException(404, f"there is no {name}")
        return static_files[name]

    return app, answer_cells(app)


def _static_files() -> dict[str, Response]:
    """Return the page's own files, by name."""
    types = {name: TYPES.get(Path(name).suffix) for name in files()}
    return {name: Response(content, media_type=types[name]) for name, content in files().items() if types[name]}


def in_words(text: str) -> str:
    """Return a text in which fields, in backticks, have the page's words."""
    return re.sub(r"`(\w+)`", lambda m: LABELS.get(m[1], m[1].replace("_", " ")), text)


def _place(place: Sequence[str | int]) -> str:
    match place[1:]:
        case ["clamps", int(k), str(field), *_]:
            return in_words(f"`{field}` of clamp {k + 1}: ")
        case ["clamps", int(k)]:
            return f"clamp {k + 1}: "
        case [str(field), *_]:
            return in_words(f"`{field}`: ")
    return ""


def _say_errors(app: FastAPI) -> None:
    """Make every refusal ``{"error": "one line"}``."""

    @app.exception_handler(InputError)
    def bad_input(_: Request, error: InputError) -> JSONResponse:
        return JSONResponse({"error": in_words(str(error))}, 400)

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        first: dict[str, Any] = error.errors()[0]
        said = _place(first["loc"]) + first["msg"].removeprefix("Value error, ")
        return JSONResponse({"error": f"the request is malformed: {said}"}, 422)

    @app.exception_handler(HTTPException)
    def other(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)
