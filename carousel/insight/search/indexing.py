"""The states of a text, indexed once for each model, quantity and layer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch

from carousel import files
from carousel.corpora.annotated import Sentence
from carousel.errors import InputError
from carousel.insight.search.indexed import Indexed
from carousel.insight.search.reading import reader
from carousel.insight.search.states import Facts, Tick, open_states, write_states
from carousel.insight.search.tracks import tracks
from carousel.language.model import LanguageModel
from carousel.text.encoded import EncodedText
from carousel.text.lines import Text, check_file, lines_of
from carousel.text.vocabulary import Vocabulary
from carousel.training.run_folder import weights

NAME = "text"  # of the encoded text in its folder


def encoded(text: Text, vocabulary: Vocabulary, folder: Path) -> tuple[EncodedText, Path]:
    """Return a text as token ids, encoded once, and the folder where it and its states are kept.

    Args:
        text: the text, or the path of its file, or its lines.
        vocabulary: of the model.
        folder: that has a folder for each text, named by its digest.

    Raises:
        InputError: the text cannot be read, or another process writes there.
    """
    given = text if isinstance(text, Path) else [*lines_of(text)]
    place = folder / _digest(given, vocabulary)
    if not EncodedText.exists(place, NAME):
        with files.owning(place):
            EncodedText.encode(lines_of(given), vocabulary, place, NAME)
    return EncodedText.open(place, NAME, vocabulary.size), place


def indexed(
    model: LanguageModel,
    vocabulary: Vocabulary,
    text: EncodedText,
    folder: Path,
    *,
    name: str | None = None,
    layer: int = -1,
    annotations: Sequence[Sentence] | None = None,
    tick: Tick | None = None,
) -> Indexed:
    """Return a text with the model's states after each token, which are written where they are not there yet.

    Args:
        model: a language model.
        vocabulary: the model's.
        text: to search in.
        folder: of its states.
        name: the quantity; the memory by default.
        layer: its number; the last by default.
        annotations: of the text's lines.
        tick: told of the tokens that are read, and of all.

    Raises:
        InputError: the cell has nothing of that name, or no such layer; the annotations are another text's; values are not
            finite; another process writes the states.
    """
    units, layers = model.recurrent.units(), model.recurrent.num_layers
    name = name or [s for s in model.recurrent.cell.states if s in units][-1]
    if name not in units:
        raise InputError(f"this cell has nothing called {name!r}; it has {', '.join(units)}")
    if not -layers <= layer < layers:
        raise InputError(f"there is no layer {layer}; layers are 0 to {layers - 1}")
    layer = range(layers)[layer]
    beside = tracks(annotations, text, vocabulary) if annotations is not None else {}
    facts = Facts(
        name,
        layer,
        model.recurrent.units(layer)[name],
        len(text),
        _of_model(model),
        f"{text.facts.checksum} {text.facts.lines}",
    )
    states = open_states(folder, facts)
    if states is None:
        states = write_states(folder, facts, reader(model, text, vocabulary.end, name, layer), tick)
    return Indexed(model, vocabulary, text, states, beside)


def _digest(text: Path | list[str], vocabulary: Vocabulary) -> str:
    """Return a digest of a text's bytes, and of the vocabulary."""
    found = hashlib.blake2b(vocabulary.tokenizer.to_str().encode(), digest_size=8)
    if isinstance(text, Path):
        check_file(text)
        with text.open("rb") as file:
            while piece := file.read(1 << 20):
                found.update(piece)
    else:
        found.update("\n".join(text).encode())
    return found.hexdigest()


def _of_model(model: LanguageModel) -> str:
    """Return a digest of the weights, and of where the model begins anew."""
    found = hashlib.blake2b(f"{model.fresh_at} {model.recurrent.cell.name}".encode(), digest_size=16)
    for name, x in sorted(weights(model).items()):
        found.update(name.encode())
        found.update(x.flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
