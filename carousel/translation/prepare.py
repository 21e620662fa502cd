"""From pairs of text files to vocabularies and encoded texts in the run folder."""

from __future__ import annotations

import json
import shutil
from itertools import chain, islice
from pathlib import Path

from carousel import files
from carousel.errors import InputError
from carousel.language.prepare import Tick, split_at, told
from carousel.text.encoded import EncodedText
from carousel.text.lines import lines
from carousel.text.vocabulary import Vocabulary
from carousel.translation.config import PairsConfig, TranslationConfig
from carousel.translation.folder import SIDES, load_vocabularies, vocabulary_paths
from carousel.translation.pairs import Pairs

LEFT_OUT = "left-out.json"


def prepare(folder: Path, config: TranslationConfig, tick: Tick | None = None) -> dict[str, dict[str, int]]:
    """Learn vocabularies and encode the texts, where that is not done already.

    Args:
        folder: of the run.
        config: of the run; its ``text`` names the files.
        tick: told of progress, as (activity, characters).

    Returns:
        For each text how many pairs are kept ("pairs"), and how many are left out because a side is "empty" or "long".

    Raises:
        InputError: a text cannot be used. The files that were made of it so far are removed, but never the vocabularies of a
            run that has a checkpoint.
    """
    config.text.check()
    data, begun = folder / "data", (folder / "checkpoint.safetensors").exists()
    counts = _read_counts(data / LEFT_OUT)
    if counts is None:
        try:
            _encode(folder, config.text, tick or (lambda what, n: None), begun)
            counts = _count(folder, config)
        except InputError:
            for path in () if begun else vocabulary_paths(folder, config.text.shared):
                path.unlink(missing_ok=True)
            shutil.rmtree(data, ignore_errors=True)
            raise
        files.write(data / LEFT_OUT, json.dumps(counts, indent=1) + "\n")
    return counts


def _read_counts(path: Path) -> dict[str, dict[str, int]] | None:
    """Return the counts of an earlier call; None where there are none, or the file is not whole."""
    try:
        counts: dict[str, dict[str, int]] = files.read_object(path)
        whole = all({"pairs", "empty", "long"} == set(n) for n in counts.values())
        whole = whole and all(type(k) is int for n in counts.values() for k in n.values())
    except (OSError, ValueError, AttributeError, TypeError):  # InputError is a ValueError
        return None
    return counts if whole else None


def _encode(folder: Path, text: PairsConfig, tick: Tick, begun: bool) -> None:
    sources = {name: [Path(p) for p in getattr(text, name)] for name in ("train", "valid", "test") if getattr(text, name)}
    for paths in sources.values():
        _check_aligned(paths, tick)
    split: int | None = None
    if "valid" not in sources:
        split = split_at(sources["train"][0], sum(1 for _ in lines(sources["train"][0])))
    reading = [told(islice(lines(path), split), "vocabulary", tick) for path in sources["train"]]
    for path, source in zip(
        vocabulary_paths(folder, text.shared), [chain(*reading), None] if text.shared else reading, strict=True
    ):
        if source is not None and not (begun and path.exists()):  # weights of a vocabulary stand for its tokens
            Vocabulary.train(text.vocabulary, source, text.vocabulary_size).save(path)
    vocabularies = load_vocabularies(folder, text)
    for name in ("train", "valid", "test"):
        paths = sources.get(name, sources["train"] if name == "valid" else [])
        first, last = (0, split) if name == "train" else (split or 0, None) if name not in sources else (0, None)
        for path, side, vocabulary in zip(paths, SIDES, vocabularies, strict=False):

            def count(n: int, what: str = f"encoding {name}") -> None:
                tick(what, n)

            EncodedText.encode(islice(lines(path), first, last), vocabulary, folder / "data", f"{name}.{side}", count)


def _check_aligned(paths: list[Path], tick: Tick) -> None:
    source, target = paths
    counts = [sum(1 for _ in told(lines(path), "reading", tick)) for path in (source, target)]
    if counts[0] != counts[1]:
        raise InputError(
            f"{source} has {counts[0]} lines and {target} {counts[1]}; they must be each other's translations, line by line"
        )


def _count(folder: Path, config: TranslationConfig) -> dict[str, dict[str, int]]:
    counts = {}
    for name in ("train", "valid", "test"):
        if not EncodedText.exists(folder / "data", f"{name}.{SIDES[0]}"):
            continue
        source, target = (EncodedText.open(folder / "data", f"{name}.{side}") for side in SIDES)
        pairs = Pairs(source, target, (0, 0), 1, longest=config.text.longest)
        counts[name] = {"pairs": len(pairs.kept), "empty": pairs.empty, "long": pairs.long}
        if not counts[name]["pairs"]:
            raise InputError(
                f"no pair of the {name} texts is left: {pairs.empty} have an empty side, and {pairs.long} "
                f"more than {config.text.longest} tokens; give other texts, or a larger `longest`"
            )
    return counts
