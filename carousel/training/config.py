"""How a model is trained, and ``config.json``: all that a run was asked to be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from carousel import __version__, files
from carousel.errors import InputError

FIRST_KIND = "language model"  # of a run whose config.json names no kind, as those of the first version
LARGEST, LARGEST_SIZE, MOST_LAYERS, MOST_THREADS = 2**31 - 1, 1 << 20, 1000, 4096  # more overflows, or is never there
MOST = dict.fromkeys(("hidden", "embedding", "projection"), LARGEST_SIZE) | {"threads": MOST_THREADS}
MOST |= dict.fromkeys(("layers", "decoder_layers"), MOST_LAYERS)


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained. ``batch_size`` counts rows of all processes together; ``length`` is the steps of
    truncated back-propagation (stream) or the longest sentence that is not cut (sentences; 0: none is cut).
    ``warmup`` counts steps, ``patience`` epochs without a better validation (0: never stop early), ``save_every`` seconds.
    """

    feed: str = "stream"
    batch_size: int = 20
    length: int = 35
    epochs: int = 10
    optimizer: str = "adamw"
    lr: float = 3e-3
    momentum: float = 0.0
    weight_decay: float = 0.01
    warmup: int = 100
    schedule: str = "cosine"
    decay: float = 0.25
    clip: float = 1.0
    patience: int = 0
    seed: int = 1
    threads: int = 0
    log_every: int = 50
    save_every: float = 30.0
    precision: str = "float32"
    watch_gradients: int = 0
    device: str = "cpu"

    @property
    def even_rows(self) -> int:
        """Rows of a batch, of which all processes must have as many; 0: they need not."""
        return self.batch_size

    def check(self) -> None:
        """Raise InputError for a value that cannot be."""
        for name, choices in (
            ("feed", ("stream", "sentences")),
            ("optimizer", ("adamw", "sgd")),
            ("schedule", ("cosine", "plateau", "constant")),
            ("precision", ("float32", "bfloat16")),
        ):
            if getattr(self, name) not in choices:
                raise InputError(f"{name} must be {' or '.join(choices)}, not {getattr(self, name)!r}")
        for name, least in (
            ("batch_size", 1),
            ("epochs", 1),
            ("log_every", 1),
            ("warmup", 0),
            ("clip", 0),
            ("patience", 0),
            ("watch_gradients", 0),
        ):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if self.length < (1 if self.feed == "stream" else 0):
            raise InputError(f"length must be at least 1, not {self.length}")
        if not 0 < self.lr < 1e6:
            raise InputError(f"lr must be above 0, not {self.lr}")


class RunConfig:
    """All that a run was asked to be, in parts that are dataclasses, as it is one itself; ``config.json``.

    ``kind``: of the model.
    """

    kind: ClassVar[str]
    training: TrainConfig

    def save(self, folder: Path) -> None:
        """Write ``config.json``."""
        facts = {"carousel": __version__, "kind": self.kind, **asdict(self)}  # type: ignore[call-overload]  # a dataclass
        files.write(folder / "config.json", json.dumps(facts, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``config.json``. Raises InputError where it is missing, no JSON, of another kind, or has an unknown key."""
        path = folder / "config.json"
        found = _read_config(folder)
        found.pop("carousel", None)
        kind = found.pop("kind", FIRST_KIND)
        if kind != cls.kind:
            raise InputError(f"{folder} holds the run of a {kind}, and what is wanted here is that of a {cls.kind}")
        parts: dict[str, Any] = {f.name: f.default_factory for f in fields(cls)}  # type: ignore[arg-type]  # a dataclass
        _refuse_unknown(path, found, parts, "")
        return cls(**{k: _build(path, parts[k], v, k) for k, v in found.items()})


def _read_config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a run folder: there is no such folder")
    try:
        return files.read_object(folder / "config.json")
    except FileNotFoundError:
        raise InputError(f"{folder} is not a run folder: it has no config.json") from None


def run_kind(folder: Path) -> str:
    """What kind of model a run folder holds, as its ``config.json`` says. Raises InputError where it has none."""
    return str(_read_config(folder).get("kind", FIRST_KIND))


T = TypeVar("T")


def _build(path: Path, kind: type[T], values: Any, where: str) -> T:
    if not isinstance(values, dict):
        raise InputError(f"{path}: {where} must be an object, not {type(values).__name__}")
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]  # every kind here is a dataclass
    _refuse_unknown(path, values, known, f" in {where}")
    for name, value in values.items():
        wanted = str(known[name].type)
        allowed: dict[str, Any] = {"int": int, "float": (int, float), "bool": bool, "str": str, "list[str]": list}
        ok = any(
            value is None if w == "None" else isinstance(value, allowed[w]) and (w == "bool" or not isinstance(value, bool))
            for w in wanted.split(" | ")
        )
        if not ok:
            raise InputError(f"{path}: {where}.{name} must be {wanted}, not {value!r}")
        most = MOST.get(name, LARGEST)
        if type(value) is int and name != "seed" and not -most <= value <= most:
            raise InputError(f"{path}: {where}.{name} must be at most {most}, not {value}")
        if isinstance(value, list) and not all(isinstance(v, str) for v in value):
            raise InputError(f"{path}: {where}.{name} must be {wanted}, not {value!r}")
    return kind(**values)


def _refuse_unknown(path: Path, found: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    for key in found:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise InputError(f"{path} has an unknown key {key!r}{where}; {hint}")
