"""``carousel serve``: look into a model, in a browser."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from carousel.cli import options
from carousel.errors import InputError

EXAMPLE = "Example: carousel serve runs/book-lstm-v2 --open"


def command(
    run: Annotated[
        Path | None,
        typer.Argument(help="A run folder, as carousel train leaves it; without it, cells are written.", show_default=False),
    ] = None,
    others: Annotated[
        list[Path] | None, typer.Argument(help="Further runs on the same vocabulary, beside it.", show_default=False)
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 admits other machines.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: a free one.")] = 0,
    corpus: Annotated[
        Path | None,
        typer.Option(help="Text to find things in, or sentences with labels (.jsonl); else held-out text.", show_default=False),
    ] = None,
    annotations: options.Annotations = None,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Show a model's valves and memory while it reads: a page on this machine, until Ctrl+C.

    Type a text, step through it, hold a valve, replace a word, and see both runs side by side; find where else in a text the
    same units do the same. Several runs read one text side by side; a slider goes through weights that a run kept
    (--keep-every); a run that is being trained is followed. A cell that you type is drawn, and a unit of it trained, in view.

    A labeller is shown by examples: a tree that fills from its leaves, a text above its labels; a transcriber by its spikes.
    """
    from carousel.web.models import wait_for_weights
    from carousel.web.server import create_app, create_cell_app, listen, serve  # here: its help needs no server

    if run is None and (corpus or annotations):
        raise InputError(f"`{'corpus' if corpus else 'annotations'}` is for the page of a run: carousel serve RUN")
    beside = others or []
    for each in (run, *beside) if run else ():
        wait_for_weights(each)
    app = create_cell_app([host]) if run is None else create_app(run, [host], corpus, annotations, beside)
    listening, address = listen(host, port)
    print(address, flush=True)
    if browser:
        webbrowser.open(address)  # the socket listens already, so the browser waits for the first answer
    with suppress(KeyboardInterrupt):
        serve(app, listening)
