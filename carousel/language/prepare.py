"""From text files to a vocabulary and encoded texts in the run folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from carousel.errors import InputError
from carousel.language.config import Config, TextConfig
from carousel.text.encoded import EncodedText
from carousel.text.lines import lines
from carousel.text.vocabulary import Vocabulary

HELD_OUT = 10  # where no validation text is given, one line in ten: the last ones, never lines here and there

Tick = Callable[[str, int], None]


def prepare(folder: Path, config: Config, tick: Tick | None = None) -> None:
    """Learn the vocabulary and encode the texts, as far as that is not done already.

    Args:
        folder: of the run.
        config: of the run; its ``text`` names the files.
        tick: told of progress, as (activity, characters).

    Raises:
        InputError: a text cannot be used. The files that were made of it so far are removed, so that nothing old meets the
            text once it is mended; but never the vocabulary of a run that has a checkpoint.
    """
    tick = tick or (lambda what, n: None)
    data = folder / "data"
    if not config.text.train:
        raise InputError(f"{folder / 'config.json'} names no text to train on")
    sources = {name: [Path(p) for p in getattr(config.text, name)] for name in ("train", "valid", "test")}
    wanted = [name for name, paths in sources.items() if paths or name == "valid"]
    if not all(EncodedText.exists(data, name) for name in wanted):
        try:
            _encode(folder, config.text, sources, [n for n in wanted if not EncodedText.exists(data, n)], tick)
        except InputError:
            if not (folder / "checkpoint.safetensors").exists():
                (folder / "vocab.json").unlink(missing_ok=True)
            shutil.rmtree(data, ignore_errors=True)
            raise
    _check_length(folder, config)


def _encode(folder: Path, text: TextConfig, sources: dict[str, list[Path]], missing: list[str], tick: Tick) -> None:
    split: int | None = None
    if not sources["valid"]:
        split = split_at(sources["train"][0], sum(1 for _ in told(lines(sources["train"]), "reading", tick)))
    if not (folder / "vocab.json").exists():
        reading = told(islice(lines(sources["train"]), split), "vocabulary", tick)
        Vocabulary.train(text.vocabulary, reading, text.vocabulary_size).save(folder / "vocab.json")
    vocabulary = Vocabulary.load(folder / "vocab.json", text.vocabulary)
    for name in missing:
        if split is None or name == "test":
            source = lines(sources[name])
        else:
            source = islice(lines(sources["train"]), *((split,) if name == "train" else (split, None)))
        EncodedText.encode(source, vocabulary, folder / "data", name, lambda n, name=name: tick(f"encoding {name}", n))  # type: ignore[misc]


def _check_length(folder: Path, config: Config) -> None:
    """Raise InputError where the training text does not fill one batch."""
    training, corpus = config.training, EncodedText.open(folder / "data", "train")
    source = config.text.train[0]
    if training.feed == "stream":
        needed = training.batch_size * training.length
        if len(corpus) < needed:
            raise InputError(
                f"{source} has {len(corpus)} tokens, fewer than one batch of {training.batch_size} rows × "
                f"{training.length} steps = {needed}; give more text, or a smaller `batch_size` or `length`"
            )
    elif corpus.facts.lines < training.batch_size:
        raise InputError(
            f"{source} has {corpus.facts.lines} sentences, fewer than one batch of {training.batch_size}; "
            "give more text or a smaller `batch_size`"
        )


def split_at(path: Path, total: int) -> int:
    """Return the number of lines to train on where the last ones are held out. Raises InputError for too few."""
    if total < HELD_OUT:
        raise InputError(f"{path} has {total} lines, too few to hold some out; give `valid`")
    return total - total // HELD_OUT


def told(source: Iterator[str], what: str, tick: Tick) -> Iterator[str]:
    """Yield lines, and tell of each."""
    for line in source:
        tick(what, len(line) + 1)
        yield line
