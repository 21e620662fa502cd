"""A run folder: configuration, vocabulary, encoded text, weights, checkpoint, metrics, curve."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from carousel import __version__, files
from carousel.errors import InputError
from carousel.language.config import Config
from carousel.language.model import LanguageModel, Trainable
from carousel.text.vocabulary import Vocabulary

MOVE_AWAY = "move the file away, and the run goes on without it"


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
