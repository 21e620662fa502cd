"""Read a transcriber's data, a corpus or .npz files, and write labels and examples into the run folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from carousel.corpora import digits
from carousel.errors import InputError
from carousel.transcription.config import DIGITS, ExamplesConfig, TranscriptionConfig
from carousel.transcription.examples import Examples, Inputs, check_fits, encoded, inputs_of, read_arrays, texts_of
from carousel.transcription.folder import Alphabet, examples_path
from carousel.transcription.model import Transcriber

HELD_OUT = 10  # where no validation data are given, one example in ten: the last ones
HELD_OUT_STRINGS, TEST_STRINGS = 500, 1000
SEED = 1  # of the strings: runs with other seeds see the same ones

Tick = Callable[[str, int], None]
Read = dict[str, tuple[Inputs, list[list[str]], str]]  # by part: inputs, transcriptions, their place in errors


def prepare(folder: Path, config: TranscriptionConfig, tick: Tick | None = None) -> None:
    """Write the labels and examples of a run, unless they are there already.

    Args:
        folder: of the run.
        config: of the run; its ``data`` names the files.
        tick: called with the activity and the number of examples done.

    Raises:
        InputError: the data cannot be used: an empty transcription, a label that is not in the training data, an image
            smaller than a block, a transcription longer than its input. Written files are then removed.
    """
    wanted = [examples_path(folder, part) for part in ("train", "valid")]
    wanted += [examples_path(folder, "test")] if config.data.test or config.data.train == DIGITS else []
    if (folder / "labels.json").exists() and all(path.exists() for path in wanted):
        return
    try:
        _make(folder, config, tick or (lambda what, n: None))
    except InputError:
        if not (folder / "checkpoint.safetensors").exists():
            (folder / "labels.json").unlink(missing_ok=True)
        shutil.rmtree(folder / "data", ignore_errors=True)
        raise


def _make(folder: Path, config: TranscriptionConfig, tick: Tick) -> None:
    read = _generated(config.data, config.model.reads) if config.data.train == DIGITS else _given(config)
    inputs, texts, _ = read["train"]
    labels = tuple(sorted({label for text in texts for label in text}, key=_in_order))
    alphabet = Alphabet(labels, inputs.size)
    model = Transcriber(len(labels), inputs.size, config.model)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for part, (own, transcriptions, where) in read.items():
        check_size(own, inputs.size, where)
        found = Examples(own, encoded(transcriptions, labels, where))
        check_fits(found, steps_after(model, own, where), where)
        found.save(examples_path(folder, part))
        tick(part, len(found))
    alphabet.save(folder)


def _in_order(label: str) -> tuple[int, str]:
    return (int(label), "") if label.isascii() and label.isdecimal() else (2**31, label)


def check_size(inputs: Inputs, size: int, where: str) -> None:
    """Raise InputError, naming ``where``, for inputs whose steps have another number of numbers than those to train on."""
    if inputs.size != size:
        raise InputError(f"{where}: a step has {inputs.size} numbers, and {size} in the data to train on")


def steps_after(model: Transcriber, inputs: Inputs, where: str) -> list[int]:
    """Return the steps of each input after subsampling. Raises InputError, naming ``where``, for one smaller than a block."""
    sizes = inputs.sizes.reshape(len(inputs), -1).tolist()
    given = [(s[0], s[1]) if len(s) == 2 else (1, s[0]) for s in sizes]
    try:
        return [n for _, n in model.hierarchy.reduced(given)]
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def _generated(data: ExamplesConfig, reads: str) -> Read:
    if data.valid or data.test:
        raise InputError("`valid` and `test` are for files; strings of digits come with both")
    counts = {"train": data.strings, "valid": HELD_OUT_STRINGS, "test": TEST_STRINGS}
    found: Read = {}
    for part, count in counts.items():
        made = digits.strings(part, count, SEED, data.content, data.resolution)
        inputs = inputs_of({"inputs": made.images, "lengths": made.widths}, reads, DIGITS)
        found[part] = inputs, [list(text) for text in made.texts], f"{DIGITS}, {part}"
    return found


def _given(config: TranscriptionConfig) -> Read:
    found: Read = {}
    for part in ("train", "valid", "test"):
        if path := getattr(config.data, part):
            arrays = read_arrays(Path(path), ("inputs", "targets"), ("lengths",))
            inputs = inputs_of(arrays, config.model.reads, path)
            found[part] = inputs, texts_of(arrays["targets"], len(inputs), path), path
    if "valid" not in found:
        inputs, texts, path = found["train"]
        if len(texts) < HELD_OUT:
            raise InputError(f"{path} has {len(texts)} examples, too few to hold out every tenth; give `valid`, or more")
        at = len(texts) - len(texts) // HELD_OUT
        found["train"] = inputs.rows(slice(at)), texts[:at], path
        found["valid"] = inputs.rows(slice(at, None)), texts[at:], f"{path}, the last tenth, held out"
    return found


@torch.no_grad()
def learn_scale(model: Transcriber, inputs: Inputs) -> None:
    """Set a model's scaling of inputs: mean and deviation of each number of a series, or of all pixels of images together."""
    rows = [inputs.row(k).reshape(-1, inputs.size) for k in range(len(inputs))]
    axis = 0 if model.config.reads == "series" else None
    count = sum(r.shape[0] if axis == 0 else r.size for r in rows)
    mean = sum(r.sum(axis, dtype=np.float64) for r in rows) / count
    variance = sum(np.square(r.astype(np.float64) - mean).sum(axis) for r in rows) / count
    deviation = np.sqrt(variance)
    model.mean.copy_(torch.as_tensor(mean).expand(inputs.size))
    model.deviation.copy_(torch.as_tensor(np.where(deviation > 1e-6, deviation, 1.0)).expand(inputs.size))
