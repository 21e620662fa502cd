"""A cell's function as the trace takes it: its arguments, and a way to work it out on the values that stand for them."""

from __future__ import annotations

import dis
import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass(frozen=True)
class Written:
    """A function of equations.

    Attributes:
        arguments: their names.
        rates: whether it asks for parts of ``p``, so that this is no vector.
        run: a function of the arguments' values, which returns the function's result and its local variables at the end.
        line_of: a function of an error, which ``run`` raised, to the line where it did.
        filename: where the function stands.
        first: its first line.
        last: its last line.
    """

    arguments: Sequence[str]
    rates: bool
    run: Callable[[list[Any]], tuple[Any, dict[str, Any]]]
    line_of: Callable[[Exception], int | None]
    filename: str
    first: int
    last: int


def of_python(function: Callable[..., Any]) -> Written:
    """Return a function of Python's, which is called once."""
    filename, first = inspect.getfile(function), function.__code__.co_firstlineno

    def line_of(error: Exception) -> int | None:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == filename]
        return lines[-1] if lines else None

    return Written(
        arguments=list(inspect.signature(function).parameters),
        rates=_has_parts(function, "p"),
        run=lambda values: _run(function, values),
        line_of=line_of,
        filename=filename,
        first=first,
        last=max((line for _, _, line in function.__code__.co_lines() if line), default=first),
    )


def _has_parts(function: Callable[..., Any], name: str) -> bool:
    """Return whether the function asks for parts of an argument, ``p.h`` or ``p["h"]``, so that it is no vector."""
    lines = list(dis.get_instructions(function))
    loads = [(x.argval if isinstance(x.argval, tuple) else (x.argval,))[-1] == name and "LOAD" in x.opname for x in lines]
    parts = [x.opname in ("LOAD_ATTR", "LOAD_METHOD") and x.argval != "ago" for x in lines]  # h.ago(2) is of a state
    const = [x.opname.startswith("LOAD_CONST") and isinstance(x.argval, str) for x in lines]
    return any(is_p and (attribute or key) for is_p, attribute, key in zip(loads, parts[1:], const[1:], strict=False))


def _run(function: Callable[..., Any], arguments: list[Any]) -> tuple[Any, dict[str, Any]]:
    """Call the function; also give its local variables at the end, whose names are the equations' names."""
    found: dict[str, Any] = {}

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is function.__code__:
            found.update(frame.f_locals)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        return function(*arguments), found
    finally:
        if callable(before) or before is None:
            sys.setprofile(before)
        else:  # cProfile's: it takes its place itself
            before.enable()
