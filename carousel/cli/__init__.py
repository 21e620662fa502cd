"""The command ``carousel``; one file a command."""

from __future__ import annotations

import io
import os
import sys
import warnings
from typing import Annotated, Any

import typer

from carousel import __version__, files, kernels
from carousel.cli import (
    agreement,
    bench,
    cells,
    claims,
    compare,
    demo,
    generate,
    gradients,
    options,
    pairs,
    probe,
    score,
    serve,
    tasks,
    train,
    translate,
    valves,
    walkthrough,
)
from carousel.errors import InputError, TrainingError

app = options.Commands(
    name="carousel",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Recurrent networks with gated memory: a cell is its equations.",
    epilog="Example: carousel train book.txt --cell lstm-v2, then carousel generate runs/book-lstm-v2",
)
for module in (cells, train, generate, score, compare, gradients, valves, pairs, probe, walkthrough, claims, serve, demo):
    app.command(name=module.__name__.rpartition(".")[2], epilog=module.EXAMPLE)(module.command)
app.add_typer(agreement.app, name="agreement")
app.add_typer(translate.app, name="translate")
app.add_typer(bench.app, name="bench")
app.add_typer(tasks.app, name="tasks")


NO_MEMORY = "there is not enough memory for what is asked; ask for less (smaller sizes, shorter lines)"


def _version(wanted: bool) -> None:
    if wanted:
        print(f"carousel {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


def _notice(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"carousel: {_in_one_line(str(message))}", file=sys.stderr)


def _check_environment() -> None:
    try:
        kernels.check_environment()
    except ValueError as error:
        raise InputError(str(error)) from None


def main() -> None:
    """Run the command; exit 0, 2 for bad input, 1 for a failure, 130 when interrupted. Errors are one line."""
    warnings.showwarning = _notice  # one line, like every message of the command
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be text
    message = ""
    try:
        _check_environment()
        status = app(standalone_mode=False) or 0
    except typer.TyperException as error:  # what Typer itself refuses: an unknown option, a value that is no number
        status, message = 2, getattr(error, "format_message", error.__str__)()
    except InputError as error:
        status, message = 2, str(error)
    except (TrainingError, kernels.Unavailable) as error:
        status, message = 1, str(error)
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except MemoryError:
        status, message = 1, NO_MEMORY
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        status, message = 1, NO_MEMORY
    except BrokenPipeError:  # the reader of a pipe has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status, message = 0, ""
    except OSError as error:
        status = 2 if error.filename and error.errno in files.BAD_PLACES else 1
        message = f"{error.filename or 'a file'}: {error.strerror or error}"
    if status == 130:  # Typer makes this status of Ctrl-C
        message = "interrupted; what was finished is kept, nothing is half-written"
    if message:
        print(f"carousel: {_in_one_line(message)}", file=sys.stderr)
    sys.exit(status)


def _in_one_line(message: str) -> str:
    """What others' text, such as the name of a file, could do to the line or to the terminal is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
