"""What every command is, and the cells that it names. PyTorch is not loaded for it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import typer
from typer.core import TyperCommand

from carousel.cells import fed_alone, in_sequence
from carousel.cells.finding import find
from carousel.equations import Cell
from carousel.errors import InputError, TrainingError

FLAGS: dict[str, str] = {}  # the options of all configurations' fields, by the fields' names; ``options`` puts them here


def with_flags(text: str, known: Mapping[str, str]) -> str:
    """Return a text in which options stand for the names in backticks, and no backticks are left."""
    return re.sub(r"`(\w+)`", lambda found: known.get(found[1], found[1]), text)


def cell(reference: str, *, alone: bool = True) -> Cell:
    """Return the cell that a command names. Raises InputError where there is none.

    ``alone``: also where it has further inputs, which the command would not feed.
    """
    try:
        found = find(reference.strip())
        return fed_alone(found) if alone else found
    except ValueError as error:
        raise InputError(str(error)) from None


def cells(references: str, *, alone: bool = True) -> list[str]:
    """Return the names of cells that a command names, separated by commas, and runs over sequences. Raises InputError."""
    try:
        found = [in_sequence(cell(reference, alone=alone)).name for reference in references.split(",") if reference.strip()]
    except ValueError as error:
        raise InputError(str(error)) from None
    if not found:
        raise InputError("--cells needs at least one cell")
    return found


class Command(TyperCommand):
    """A command whose errors name its options."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write help as Typer does, without the opposites of switches (``--no-…``), which would take a column."""
        opposites = {p.name: p.secondary_opts for p in self.params}
        try:
            for p in self.params:
                p.secondary_opts = []
            super().format_help(ctx, formatter)
        finally:
            for p in self.params:
                p.secondary_opts = opposites[p.name]

    def invoke(self, ctx: Any) -> Any:
        """Invoke as Typer does, and name the option where an error names a field in backticks."""
        kernels: Any = sys.modules.get("carousel.kernels")  # a command that runs no model has not loaded it
        unavailable = kernels.Unavailable if kernels else ()
        known = FLAGS | {p.name: max(p.opts, key=len) for p in self.params if p.name and p.opts[0].startswith("-")}
        try:
            if kernels:
                _check_environment(kernels)
            return super().invoke(ctx)
        except unavailable as error:
            raise TrainingError(str(error)) from error
        except (InputError, TrainingError) as error:
            raise type(error)(with_flags(str(error), known)) from error


def _check_environment(kernels: Any) -> None:
    try:
        kernels.check_environment()
    except ValueError as error:
        raise InputError(str(error)) from None


class Commands(typer.Typer):
    """Several commands, whose errors name their options."""

    def command(self, *given: Any, **how: Any) -> Any:
        """Add a command as Typer does, of our class."""
        return super().command(*given, cls=Command, **how)


def standard_input() -> Iterator[str]:
    """Yield the lines of standard input as they come. Raises InputError for bytes that are not UTF-8, or NUL."""
    for number, raw in enumerate(sys.stdin.buffer, 1):
        if b"\0" in raw:
            raise InputError(f"line {number} of standard input has a NUL byte; is it text?")
        try:
            line = raw.decode("utf-8").rstrip("\r\n")
            yield line.removeprefix("\ufeff") if number == 1 else line
        except UnicodeDecodeError as error:
            raise InputError(
                f"line {number} of standard input is not UTF-8: byte 0x{raw[error.start]:02x}; convert it"
            ) from None
