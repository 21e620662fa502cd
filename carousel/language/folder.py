"""A run folder: configuration, vocabulary, encoded text, weights, checkpoint, metrics, curve."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from carousel import __version__, files
from carousel.errors import InputError
from carousel.language.model import LanguageModel, ModelConfig, Trainable
from carousel.text.vocabulary import Vocabulary

LARGEST, LARGEST_SIZE, MOST_LAYERS, MOST_THREADS = 2**31 - 1, 1 << 20, 1000, 4096  # more overflows, or is never there
MOST = dict.fromkeys(("hidden", "embedding", "projection"), LARGEST_SIZE) | {"threads": MOST_THREADS}
MOST |= dict.fromkeys(("layers", "decoder_layers"), MOST_LAYERS)


@dataclass(frozen=True)
class TextConfig:
    """Where the text comes from and how it becomes numbers; ``valid`` empty: the last tenth of the training lines."""

    train: list[str] = field(default_factory=list)
    valid: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    vocabulary: str = "word"
    vocabulary_size: int | None = None


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
        kind = found.pop("kind", Config.kind)
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


MOVE_AWAY = "move the file away, and the run goes on without it"


def run_kind(folder: Path) -> str:
    """What kind of model a run folder holds, as its ``config.json`` says. Raises InputError where it has none."""
    return str(_read_config(folder).get("kind", LanguageModel.kind))


@dataclass(frozen=True)
class Config(RunConfig):
    """Of a language model's run."""

    kind = LanguageModel.kind
    text: TextConfig = field(default_factory=TextConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainConfig = field(default_factory=TrainConfig)


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


def save_model(model: Trainable, path: Path) -> None:
    """Write the weights; the metadata says what they are."""
    files.write(path, packed(weights(model), {"format": f"carousel {model.kind}", "carousel": __version__}))


def packed(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """A safetensors file: the same bytes for the same content, while the library writes metadata in an order of chance."""
    content = save(tensors, metadata)
    stop = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:stop])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[stop:]


def weights(model: Trainable) -> dict[str, Tensor]:
    """The state dict, each tensor in one piece."""
    return {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}


def read_tensors(path: Path, what: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file. Raises InputError where it is missing, cut short or something else."""
    if not path.is_file():
        raise InputError(f"{path} is missing; without {what} the run folder cannot be used")
    try:
        with safe_open(path, "pt") as file:
            return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118 (not a dictionary)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not whole, or no safetensors file: {error}") from None


def load_weights(model: Trainable, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put tensors into the model. Raises InputError where they are another model's."""
    own = model.state_dict()
    for key in own:
        if key not in tensors:
            raise InputError(f"{path} is not this run's: it has no {key}, which cell {model.config.cell} needs")
        if tensors[key].shape != own[key].shape:
            shapes = f"{tuple(tensors[key].shape)}, config.json asks for {tuple(own[key].shape)}"
            raise InputError(f"{path} is not this run's: {key} has shape {shapes}")
    foreign = sorted(set(tensors) - set(own))
    if foreign:
        raise InputError(f"{path} is not this run's: it has {foreign[0]}, which cell {model.config.cell} lacks")
    model.load_state_dict(dict(tensors))


def load_run(folder: Path) -> tuple[LanguageModel, Vocabulary, Config]:
    """The best model of a run, its vocabulary and configuration. Raises InputError where the folder is not whole."""
    config = Config.load(folder)
    vocabulary = Vocabulary.load(folder / "vocab.json", config.text.vocabulary)
    model = LanguageModel(vocabulary.size, config.model)
    path = folder / "model.safetensors"
    tensors, _ = read_tensors(path, "the model's weights")
    load_weights(model, tensors, path)
    if config.training.feed == "sentences":
        model.fresh_at = vocabulary.end
    model.eval()
    return model, vocabulary, config


def write_json_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a whole JSON-lines file."""
    files.write(path, "".join(json.dumps(r) + "\n" for r in rows))


def read_result(folder: Path) -> dict[str, Any]:
    """``result.json`` of a finished run. Raises InputError where it is none."""
    path = folder / "result.json"
    found = files.read_object(path)
    if not _numbers(found, ("parameters", "seconds")):
        raise InputError(f"{path} is not the result of a run; move it away, and the run goes on to its end")
    return found


NUMBERS = {
    "train": ("step", "epoch", "loss", "perplexity", "words_per_second", "seconds"),
    "valid": ("step", "epoch", "loss", "perplexity", "seconds"),
    "gradients": ("step",),
}


def read_json_lines(path: Path, wanted: Callable[[dict[str, Any]], bool] | None = None) -> list[dict[str, Any]]:
    """The rows of ``metrics.jsonl``, those that are ``wanted``; a last line that was cut short is left out.

    Raises InputError, with the number of the line, for what no run has written.
    """
    rows = []
    given = files.read(path).split("\n") if path.exists() else []
    for number, line in enumerate(given, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(given):
                break
            raise InputError(f"{path}, line {number} is not JSON; {MOVE_AWAY}") from None
        if not isinstance(row, dict) or not _numbers({"epoch": 0, **row}, ("step", "epoch")):
            raise InputError(f"{path}, line {number} is no line of metrics; {MOVE_AWAY}")
        if wanted is not None and not wanted(row):
            continue
        event = row.get("event")
        half_life = event != "gradients" or row.get("half_life", "") is None or _numbers(row, ("half_life",))
        clipped = "clipped" not in row or _numbers(row, ("clipped",))
        if not (half_life and clipped and isinstance(event, str) and _numbers(row, NUMBERS.get(event, ("epoch",)))):
            raise InputError(f"{path}, line {number} is no line of metrics; {MOVE_AWAY}")
        rows.append(row)
    return rows


def _numbers(row: dict[str, Any], names: tuple[str, ...]) -> bool:
    return all(type(row.get(n)) in (int, float) for n in names)
