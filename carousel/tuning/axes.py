"""The settings that a search varies, each an option of a command, and what it may be."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from carousel.errors import InputError

RANGE = re.compile(r"([-+.\deE]+):([-+.\deE]+)(:log)?")
ON, OFF = "on", "off"
FORMS = "lr=0.0001:0.1:log, layers=1:3, cell=lstm,gru or tied=on,off"


def opposite(option: str) -> str:
    """Return the option that turns off a switch: of ``--tied``, ``--no-tied``; of ``--no-spelling``, ``--spelling``."""
    return option.replace("--no-", "--", 1) if option.startswith("--no-") else option.replace("--", "--no-", 1)


@dataclass(frozen=True)
class Axis:
    """One setting.

    Args:
        name: of the option, without dashes.
        values: those to choose from; empty for a range.
        low: the lower end of a range.
        high: the upper end.
        whole: whether the numbers of a range are whole.
        log: whether a range is searched by its logarithm.
    """

    name: str
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    log: bool = False

    @property
    def option(self) -> str:
        """The option on a command line."""
        return f"--{self.name}"

    @property
    def ends(self) -> tuple[str, ...]:
        """The values that show whether an option takes this axis: all of them, or the ends of the range."""
        return self.values or (self.text(self.low), self.text(self.high))

    def suggest(self, trial: Any) -> str:
        """Return the value that an Optuna trial is given, as text."""
        if self.values:
            return str(trial.suggest_categorical(self.name, self.values))
        if self.whole:
            return self.text(trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log))
        return self.text(trial.suggest_float(self.name, self.low, self.high, log=self.log))

    def text(self, number: float) -> str:
        """Return a number of the range as text, to six digits, which people can copy."""
        return str(int(number)) if self.whole else f"{number:.6g}"

    def words(self, value: str) -> list[str]:
        """Return the words on a command line that set the option."""
        if set(self.values) == {ON, OFF}:
            return [self.option if value == ON else opposite(self.option)]  # a recipe may have it on
        return [f"{self.option}={value}"]


def axis(text: str) -> Axis:
    """Return the axis that a text such as ``lr=0.0001:0.1:log`` describes. Raises InputError."""
    name, equals, rest = (part.strip() for part in text.partition("="))
    name = name.lstrip("-").replace("_", "-")
    if not (name and equals and rest):
        raise InputError(f"`search` takes {FORMS}, not {text!r}")
    match = RANGE.fullmatch(rest)
    if match is None:
        values = tuple(dict.fromkeys(v.strip() for v in rest.split(",") if v.strip()))
        if len(values) < 2:
            raise InputError(f"`search` {name}: one value leaves nothing to search; it takes {FORMS}")
        return Axis(name, values)
    try:
        low, high = float(match[1]), float(match[2])
    except ValueError:
        raise InputError(f"`search` {name}: {match[1]}:{match[2]} are no two numbers") from None
    log = match[3] is not None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"`search` {name}: the first number must be less than the second, not {match[1]}:{match[2]}")
    if log and low <= 0:
        raise InputError(f"`search` {name}: a logarithm needs numbers above 0, not {match[1]}")
    whole = all(re.fullmatch(r"[-+]?\d+", end) for end in (match[1], match[2]))
    return Axis(name, (), low, high, whole, log)


def axes(texts: list[str]) -> list[Axis]:
    """Return the axes of a search. Raises InputError for none, and for one that comes twice."""
    found = [axis(text) for text in texts]
    names = [a.name for a in found]
    if not found:
        raise InputError(f"nothing is searched: give `search`, such as {FORMS}")
    if twice := next((n for n in names if names.count(n) > 1), None):
        raise InputError(f"`search` {twice} is given twice")
    return found
