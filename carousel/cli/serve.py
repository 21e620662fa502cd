"""``carousel serve``: look into a model, in a browser."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from typing import Annotated

import typer

from carousel.cli import options

EXAMPLE = "Example: carousel serve runs/book-lstm-v2 --open"


def command(
    run: options.Run,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: a free one.")] = 0,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Show a model's valves and memory while it reads: a page on this machine, until Ctrl+C.

    Type a text, step through it, hold a valve, replace a word, and see both runs side by side.
    """
    from carousel.web.server import create_app, listen, serve  # here: its help needs no server

    app = create_app(run, [host])
    listening, address = listen(host, port)
    print(address, flush=True)
    if browser:
        webbrowser.open(address)  # the socket listens already, so the browser waits for the first answer
    with suppress(KeyboardInterrupt):
        serve(app, listening)
