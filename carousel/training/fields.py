"""Meaning and limits of a configuration's fields, for the commands, ``config.json`` and Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, ClassVar

from carousel.errors import InputError

LARGEST, LARGEST_SIZE, MOST_LAYERS = 2**31 - 1, 1 << 20, 1000  # more overflows, or is never there


@dataclass(frozen=True)
class Setting:
    """The meaning and limits of a field. Other fields stand in backticks in ``help``; where that is empty, no command sets it.

    ``least`` and ``most`` may be reached, ``above`` and ``below`` may not; ``option``: its name on the command line, where
    that is not the field's. The option of a field that is on by default turns it off.
    """

    help: str = ""
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    option: str | None = None

    @property
    def range(self) -> str:
        """The range in signs, as help shows it; empty where there is none."""
        low = f"{self.least}<=" if self.least is not None else f"{self.above}<" if self.above is not None else ""
        high = f"<={self.most}" if self.most is not None else f"<{self.below:g}" if self.below is not None else ""
        if high or not low:
            return f"{low}x{high}" if high else ""
        return f"x>={self.least}" if self.least is not None else f"x>{self.above}"

    def refusal(self, value: Any) -> str | None:
        """Say why a value cannot be, or one in a list; None where it can."""
        if isinstance(value, list):
            return next((r for r in map(self.refusal, value) if r), None if value else "must have a value")
        if self.choices:
            return None if value in self.choices else f"must be {' or '.join(self.choices)}, not {value!r}"
        limits = (self.least, self.most, self.above, self.below)
        if isinstance(value, str) and any(limit is not None for limit in limits):
            return f"must be a number, not {value!r}"
        if (self.least, self.below) == (0, 1):
            return None if 0 <= value < 1 else f"is a probability in [0, 1), not {value}"
        for holds, limit in (
            (self.least is None or value >= self.least, f"at least {self.least}"),
            (self.most is None or value <= self.most, f"at most {self.most}"),
            (self.above is None or value > self.above, f"above {self.above}"),
            (self.below is None or value < self.below, f"below {self.below:g}" if self.below else ""),
        ):
            if not holds:
                return f"must be {limit}, not {value}"
        return None


def setting(default: Any, help: str = "", **about: Any) -> Any:
    """Return a field of a dataclass with this default; ``about`` as :class:`Setting`. Whole numbers have 31 bits."""
    if type(default) is int:
        about = {"most": LARGEST, **about}
    return field(default=default, metadata={"setting": Setting(help, **about)})


def settings(kind: type) -> Mapping[str, Setting]:
    """Return the settings of a dataclass's fields, by their names; a base's where only the default is another."""
    ours = [f for base in reversed(kind.__mro__) if is_dataclass(base) for f in fields(base) if "setting" in f.metadata]
    return {f.name: f.metadata["setting"] for f in ours}


TYPES: dict[str, Any] = {
    "int": int,
    "float": (int, float),
    "bool": bool,
    "str": str,
    "list[str]": list,
    "list[int]": list,
    "dict[str, Any]": dict,
}


def is_of(wanted: str, value: Any) -> bool:
    """Return whether a value is of a field's type, as the field's annotation has it: ``int | None``."""

    def fits(kind: str) -> bool:
        if kind == "None":
            return value is None
        if isinstance(value, list):
            return kind.startswith("list[") and all(is_of(kind[5:-1], v) for v in value)
        return isinstance(value, TYPES[kind]) and (kind == "bool" or not isinstance(value, bool))

    return any(map(fits, wanted.split(" | ")))


class Settings:
    """A dataclass whose fields are settings. ``group``: the heading of its options."""

    group: ClassVar[str]

    def check(self) -> None:
        """Raise InputError for a value that cannot be."""
        for name, about in settings(type(self)).items():
            value = getattr(self, name)
            reason = None if value is None else about.refusal(value)
            if reason:
                raise InputError(f"`{name}` {reason}")
