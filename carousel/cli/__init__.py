"""The command ``carousel``; one file a command."""

from __future__ import annotations

import gc
import io
import os
import sys
import warnings
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from carousel import __version__, files
from carousel.errors import InputError, TrainingError

# The help of each command, so that the list shows without importing them; a test compares.
COMMANDS = {
    "cells": "List all cells by family and year, with source, parameters and gates; or print the equations of one.",
    "train": "Train a language model on text files; Ctrl-C stops it so that --resume can continue.",
    "recipes": "List the recipes of carousel train and carousel translate train, each with its result; or print one.",
    "tune": "Search for settings of a training with Optuna: each trial is a run, and bad trials are stopped early.",
    "generate": "Generate text with a trained model, printed word by word.",
    "score": "Print perplexity, bits per character and share of unknown words of a text.",
    "compare": "Train several cells or recipes on the same text: the lecture's progression in one table and figure.",
    "gradients": (
        "Measure how the gradient of the last step's error decays: half-life, slope, size after 1, 10 and 100 steps."
    ),
    "valves": "Show every valve, memory and message at every word, and the word's surprisal.",
    "pairs": "Show where two texts' memories and predictions differ, which units carry it and for how long.",
    "probe": "Test how well a property of each word can be read from memory: by all units linearly, and by each unit alone.",
    "find": "Find places in a text where a model's units behave as on a span of words; the nearest states; a unit's extremes.",
    "walkthrough": (
        "Translate two sentences that differ in a word; show valves, memory, probes of it, and the effect of held valves."
    ),
    "claims": "Train the cells that a claim compares, with several seeds, and judge the claim by a rule.",
    "export": "Write a model as a file that runs without Python: C, JavaScript, a page, WebAssembly, ONNX.",
    "serve": "Show a model's valves and memory while it reads: a page on this machine, until Ctrl+C.",
    "demo": "Train an LSTM and an MLP on Python's own documentation, and compare them with n-gram models.",
    "agreement": "Agreement at a distance: generate an English corpus, and score a model on it.",
    "label": "Train a labeller, one label a step or a sequence; score it; label with it.",
    "translate": "Train a translator, score it, and translate: carousel translate RUN, a line in, a line out.",
    "forecast": "Train a forecaster of one or many series, score it by MASE and CRPS, forecast with it, draw its forecasts.",
    "check": "Compare a run's gradients with finite differences, on its own data, in double precision.",
    "transcribe": "Train a transcriber of sequences or images (CTC), score it, read with it, show where it sees each label.",
    "bench": "Measure speed side by side in one run: medians and ratios.",
    "tasks": "The six experiments of 1997, in fewer sequences: list, run, report.",
}


@cache
def loaded(name: str) -> Any:
    """Return a command with all that it does; its module is imported."""
    # Modules stay: looking for garbage among them takes a fifth of the time that loading them takes.
    gc.disable()
    try:
        from carousel.cli import commands

        module = import_module(f"carousel.cli.{name}")
    finally:
        gc.freeze()
        gc.enable()
    if hasattr(module, "app"):
        return typer.main.get_command(module.app)
    alone = commands.Commands(pretty_exceptions_enable=False, rich_markup_mode="rich", add_completion=False)
    alone.command(name=name, epilog=module.EXAMPLE)(module.command)
    return typer.main.get_command(alone)


class Lazy(TyperGroup):
    """The commands, of which only the one that is called is imported."""

    def __init__(self, **given: Any):
        super().__init__(**given)
        self.commands = {name: TyperCommand(name, help=text) for name, text in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Resolve as Typer does, with the command itself in place of its stub."""
        name, _, rest = super().resolve_command(ctx, args)
        command = loaded(str(name))
        command.name = name
        return name, command, rest


app = typer.Typer(
    cls=Lazy,
    name="carousel",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Recurrent networks with gated memory: a cell is its equations.",
    epilog="Example: carousel train book.txt --cell lstm-v2, then carousel generate runs/book-lstm-v2",
)


@cache
def whole() -> Any:
    """Return the command line with all commands loaded, for whoever describes it."""
    group: Any = typer.main.get_command(app)
    group.commands = {name: loaded(name) for name in COMMANDS}
    return group


NO_MEMORY = "there is not enough memory for the request; ask for less (smaller sizes, shorter lines)"


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


def main() -> None:
    """Run the command; exit 0, 2 for bad input, 1 for a failure, 130 when interrupted. Errors are one line."""
    warnings.showwarning = _notice  # one line, like every message of the command
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be text
    message = ""
    try:
        status = app(standalone_mode=False) or 0
    except typer.TyperException as error:  # Typer's own refusals: an unknown option, a value that is no number
        status, message = 2, getattr(error, "format_message", error.__str__)()
    except InputError as error:
        status, message = 2, str(error)
    except TrainingError as error:
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
        message = "interrupted; finished work is kept, nothing is half-written"
    if message:
        print(f"carousel: {_in_one_line(message)}", file=sys.stderr)
    sys.exit(status)


def _in_one_line(message: str) -> str:
    """Escape characters of others' text, such as the name of a file, that would break the line or reach the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
