"""The server behind the page: a few questions about runs, answered in JSON, and the page's own files."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import Field, ValidationError

from carousel.errors import InputError
from carousel.insight.search.switches import Off
from carousel.labelling.model import Labeller
from carousel.page.facts import PREDICTIONS
from carousel.runs.labeller import LabellerRun
from carousel.runs.loading import load
from carousel.runs.transcriber import TranscriberRun
from carousel.training.config import run_kind
from carousel.training.kept import LAST, placed
from carousel.transcription.model import Transcriber
from carousel.web.application import application
from carousel.web.clamps import ClampRequest, made
from carousel.web.examples import in_one_file
from carousel.web.labels import LabelPage, create_label_app
from carousel.web.models import ModelRequest, Models, has_best
from carousel.web.transcriptions import TranscriptionPage, create_transcription_app
from carousel.web.trees import TreePage, create_tree_app


class WatchRequest(ModelRequest):
    """A text to read."""

    text: str
    clamps: list[ClampRequest] = Field([], max_length=100)
    predictions: int = Field(8, ge=1, le=PREDICTIONS)


class PageRequest(ModelRequest):
    """The page as one file: what is seen, and the questions behind it as the page knows them, path and body."""

    hash: str = Field(max_length=100_000)
    questions: list[str] = Field(max_length=10)


class GradientsRequest(ModelRequest):
    """A text of which one word's error, by default the last one's, is to flow back."""

    text: str
    word: int | None = Field(None, ge=1)
    clamps: list[ClampRequest] = Field([], max_length=100)


class ConnectivityRequest(ModelRequest):
    """A text, and the quantity by which each word's log-odds are derived at each word before it."""

    text: str
    name: str = Field(max_length=100)
    clamps: list[ClampRequest] = Field([], max_length=100)


class PatchRequest(ModelRequest):
    """Two texts: values of the first are put into the reading of the second."""

    text: str
    other: str
    name: str | None = Field(None, max_length=100)
    layer: int | None = Field(None, ge=0)


class FindRequest(ModelRequest):
    """Places of the corpus: where units do as on the words [``begin``, ``end``) of a text, where the states are nearest to the
    one after the last of these words, or where a unit is highest and lowest."""

    kind: Literal["like", "nearest", "unit"]
    name: str = Field(max_length=100)
    layer: int = Field(0, ge=0, le=1000)
    text: str = ""
    begin: int = Field(0, ge=0, le=1_000_000)
    end: int = Field(1, ge=1, le=1_000_000)
    threshold: float = Field(0.3, gt=0, le=60_000, allow_inf_nan=False)
    off: Off = "both"
    unit: int = Field(0, ge=0, le=1_000_000)


class ProbeRequest(ModelRequest):
    """A unit from which the properties of the corpus's words are to be read."""

    name: str = Field(max_length=100)
    layer: int = Field(0, ge=0, le=1000)
    unit: int = Field(ge=0, le=1_000_000)


def create_app(
    run: Path,
    hosts: Iterable[str] = (),
    corpus: Path | None = None,
    annotations: Path | None = None,
    beside: Sequence[Path] = (),
) -> FastAPI:
    """Return the application for one run folder, or several side by side.

    From here on a request opens no files but those of the runs: weights that were kept or replaced, and metrics. The states of
    the corpus are written into the run folder when they are asked for first.

    Args:
        run: the run folder, maybe with its weights: ``RUN@400``.
        hosts: names that it answers to besides this machine's own.
        corpus: the text that the page searches; the run's held-out text by default.
        annotations: of the corpus.
        beside: further runs on the same vocabulary.

    Raises:
        InputError: a folder is no whole run, or the runs differ in kind or vocabulary.
    """
    of_examples = _of_examples(run, hosts, [*filter(None, (corpus, annotations)), *beside])
    if of_examples is not None:
        return of_examples
    models = Models([run, *beside], corpus, annotations)
    app, _ = application(hosts, "index.html")

    # Plain functions: each request has a thread of its own.
    @app.get("/api/run")
    def about() -> JSONResponse:
        return JSONResponse(models.about())

    @app.post("/api/training")
    def training(asked: ModelRequest) -> JSONResponse:
        return JSONResponse(models.training(asked.model))

    @app.post("/api/watch")
    def watch(asked: WatchRequest) -> JSONResponse:
        return JSONResponse(_watch(models, asked))

    @app.post("/api/gradients")
    def gradients(asked: GradientsRequest) -> JSONResponse:
        return JSONResponse(_gradients(models, asked))

    @app.post("/api/connectivity")
    def connectivity(asked: ConnectivityRequest) -> JSONResponse:
        view = models.view(asked.model)
        return JSONResponse(view.connectivity(asked.text, asked.name, made(asked.clamps, models)))

    @app.post("/api/patch")
    def patch(asked: PatchRequest) -> JSONResponse:
        return JSONResponse(models.view(asked.model).patch(asked.text, asked.other, asked.name, asked.layer))

    @app.post("/api/find")
    def find(asked: FindRequest) -> JSONResponse:
        how: dict[str, Any] = {"threshold": asked.threshold, "off": asked.off} if asked.kind == "like" else {}
        return JSONResponse(models.view(asked.model).find(**asked.model_dump(exclude={"model", "threshold", "off"}), **how))

    @app.post("/api/probe")
    def probe(asked: ProbeRequest) -> JSONResponse:
        return JSONResponse(models.view(asked.model).probe(asked.name, asked.layer, asked.unit))

    @app.post("/api/page")
    def one_file(asked: PageRequest) -> HTMLResponse:
        answers = {question: _answer(models, asked.model, question) for question in asked.questions}
        return HTMLResponse(models.page(asked.model, asked.hash, {q: a for q, a in answers.items() if a is not None}))

    return app


def _of_examples(run: Path, hosts: Iterable[str], others: Sequence[Path]) -> FastAPI | None:
    """Return the application of a run that is seen by its examples, a labeller or a transcriber; None for any other.

    Raises:
        InputError: the folder is no whole run, the page does not look into it, or there are ``others`` beside it.
    """
    folder, which = placed(run)
    kind = run_kind(folder) if (folder / "config.json").exists() else ""
    if kind not in (Labeller.kind, Transcriber.kind):
        return None
    if others:
        raise InputError(f"{folder} holds a {kind}, whose page shows one run and searches no corpus")
    found = load(Path(f"{folder}@{LAST}") if which is None and not has_best(folder) else run)
    if isinstance(found, LabellerRun):
        return (create_tree_app if found.config.model.before else create_label_app)(found, hosts)
    return create_transcription_app(found, hosts) if isinstance(found, TranscriberRun) else None


def page_of_examples(run: LabellerRun | TranscriberRun, count: int) -> str:
    """Return the page of a run's first examples as one HTML file. Raises InputError where the run has none."""
    if isinstance(run, TranscriberRun):
        return in_one_file(TranscriptionPage(run), count)
    return in_one_file(TreePage(run) if run.config.model.before else LabelPage(run), count)


def create_cell_app(hosts: Iterable[str] = ()) -> FastAPI:
    """Return the application without a run, whose page writes cells alone; ``hosts`` as ``create_app`` has them."""
    app, cells = application(hosts, "cells.html")
    cells.aside.start()  # while the browser opens
    return app


def _watch(models: Models, asked: WatchRequest) -> dict[str, Any]:
    return models.view(asked.model).watch(asked.text, made(asked.clamps, models), asked.predictions)


def _gradients(models: Models, asked: GradientsRequest) -> dict[str, Any]:
    return models.view(asked.model).gradients(asked.text, asked.word, made(asked.clamps, models))


ASKED: dict[str, tuple[type[ModelRequest], Callable[[Models, Any], dict[str, Any]]]] = {
    "api/watch": (WatchRequest, _watch),
    "api/gradients": (GradientsRequest, _gradients),
}


def _answer(models: Models, inside: str, question: str) -> dict[str, Any] | None:
    """Return the answer to a question as the page knows it, its path and its body; None where the model inside answers it."""
    path, _, body = question.partition(" ")
    if path not in ASKED:
        return None
    kind, answer = ASKED[path]
    try:
        asked = kind.model_validate_json(body)
    except ValidationError:
        raise InputError("the page asks for what there is no answer to") from None
    is_told = asked.model != inside or path in models.view(inside).told
    return answer(models, asked) if is_told else None


def listen(host: str, port: int) -> tuple[socket.socket, str]:
    """Return a socket that listens, and its address for a browser.

    Args:
        host: of this machine, by name or address.
        port: 0 for a free one.

    Raises:
        InputError: the port is taken or the host is not this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address[:2], family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot listen on {host} port {port}: {reason}; choose another `port` or `host`") from None
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return listening, f"http://{shown}:{listening.getsockname()[1]}/"


def serve(app: FastAPI, listening: socket.socket) -> None:
    """Answer until interrupted."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, ws="none", server_header=False)
    uvicorn.Server(config).run(sockets=[listening])
