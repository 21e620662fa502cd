"""The files that the loop leaves in a run folder and reads there: weights, lines of metrics, the result."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from carousel import __version__, files
from carousel.errors import InputError
from carousel.training.task import Metric, Trainable

KEPT = "kept"  # the folder of weights that were kept on the way
MODEL, CHECKPOINT, METRICS, CURVE, RESULT = WRITTEN = (
    "model.safetensors",
    "checkpoint.safetensors",
    "metrics.jsonl",
    "curve.png",
    "result.json",
)
MOVE_AWAY = "move the file away, and the run goes on without it"
Row = dict[str, Any]


def check_places(folder: Path) -> None:
    """Raise InputError where a folder, a pipe or a device has the name of a file that the run writes."""
    for path in (folder / name for name in WRITTEN):
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "a pipe or a device"
            raise InputError(f"{path} is {kind}, and the run writes a file there; move it away")
    if (folder / KEPT).exists() and not (folder / KEPT).is_dir():
        raise InputError(f"{folder / KEPT} is no folder, and the run makes one there; move it away")


def save_model(model: Trainable, folder: Path, name: str = MODEL) -> None:
    """Write the weights; the metadata says of which model."""
    content = packed(weights(model), {"format": f"carousel {model.kind}", "carousel": __version__})
    files.write(folder / name, content)


def packed(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """Return a safetensors file: equal content gives equal bytes, while the library orders metadata by chance."""
    content = save(tensors, metadata)
    stop = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:stop])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[stop:]


def weights(model: Trainable) -> dict[str, Tensor]:
    """Return the state dict on the CPU, each tensor in one piece."""
    return {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}


def read_tensors(path: Path, what: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata of a safetensors file.

    Args:
        path: of the file.
        what: the name of its content in errors.

    Raises:
        InputError: it is missing, cut short or something else.
    """
    with _tensors(path, what) as file:
        return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118 (not a dictionary)


def read_metadata(path: Path, what: str) -> dict[str, str]:
    """Read the metadata alone of a safetensors file; arguments and refusals as those of ``read_tensors``."""
    with _tensors(path, what) as file:
        return file.metadata() or {}


@contextmanager
def _tensors(path: Path, what: str) -> Iterator[Any]:
    if not path.is_file():
        raise InputError(f"{path} is missing; without {what} the run folder cannot be used")
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not whole, or no safetensors file: {error}") from None


def load_weights(model: Trainable, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put tensors that were read from ``path`` into a model. Raises InputError where they are another model's."""
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


def read_result(folder: Path) -> dict[str, Any]:
    """Read ``result.json`` of a finished run. Raises InputError where it is none."""
    path = folder / RESULT
    result = files.read_object(path)
    if not _are_numbers(result, ("parameters", "seconds")):
        raise InputError(f"{path} is not the result of a run; move it away, and the run goes on to its end")
    return result


def write_metrics(folder: Path, rows: list[Row]) -> None:
    """Write ``metrics.jsonl`` anew."""
    files.write(folder / METRICS, "".join(json.dumps(r) + "\n" for r in rows))


def append_metrics(folder: Path, row: Row) -> None:
    """Add a line to ``metrics.jsonl``."""
    with (folder / METRICS).open("a") as file:
        file.write(json.dumps(row) + "\n")


def read_metrics(folder: Path, metric: Metric, wanted: Callable[[Row], bool] | None = None) -> list[Row]:
    """Read the rows of ``metrics.jsonl`` that are ``wanted``; a last line that was cut short is left out.

    Args:
        folder: of the run; without the file there are no rows.
        metric: that the run's task has.
        wanted: asked of each row; by default all are.

    Raises:
        InputError: a line that no run has written, with its number.
    """
    path, rows = folder / METRICS, []
    lines = files.read(path).split("\n") if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines):
                break
            raise InputError(f"{path}, line {number} is not JSON; {MOVE_AWAY}") from None
        sound = isinstance(row, dict) and _are_numbers({"epoch": 0, **row}, ("step", "epoch"))
        if sound and wanted is not None and not wanted(row):
            continue
        if not sound or not _is_metrics(row, metric):
            raise InputError(f"{path}, line {number} is no line of metrics; {MOVE_AWAY}")
        rows.append(row)
    return rows


def _is_metrics(row: Row, metric: Metric) -> bool:
    event = row.get("event")
    valid = ("step", "epoch", "loss", metric.name, "seconds")
    numbers = {"train": (*valid, f"{metric.unit}_per_second"), "valid": valid, "gradients": ("step",)}
    half_life = event != "gradients" or row.get("half_life", "") is None or _are_numbers(row, ("half_life",))
    clipped = "clipped" not in row or _are_numbers(row, ("clipped",))
    return half_life and clipped and isinstance(event, str) and _are_numbers(row, numbers.get(event, ("epoch",)))


def _are_numbers(row: Row, names: tuple[str, ...]) -> bool:
    return all(type(row.get(n)) in (int, float) for n in names)
