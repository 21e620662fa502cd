"""A translator's run folder: what differs from a language model's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from carousel.errors import InputError
from carousel.language.folder import RunConfig, TrainConfig, load_weights, read_tensors
from carousel.text.vocabulary import KINDS, Vocabulary
from carousel.translation.model import Translator, TranslatorConfig

SIDES = ("source", "target")


@dataclass(frozen=True)
class PairsConfig:
    """Two files each, the source's and the target's, aligned line by line; ``valid`` empty: the last tenth of the pairs.

    ``shared``: one vocabulary for both languages. ``longest``: pairs of which a side has more entries are left out.
    """

    train: list[str] = field(default_factory=list)
    valid: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    vocabulary: str = "bpe"
    vocabulary_size: int | None = None
    shared: bool = True
    longest: int = 200

    def check(self) -> None:
        """Raise InputError for a value that cannot be."""
        for name in ("train", "valid", "test"):
            paths = getattr(self, name)
            if len(paths) != 2 and (paths or name == "train"):
                raise InputError(f"{name} takes two files, the source's and the target's, not {len(paths)}")
        if self.vocabulary not in KINDS:
            raise InputError(f"no vocabulary is called {self.vocabulary!r}; there are {', '.join(KINDS)}")
        if self.longest < 2:
            raise InputError(f"longest must be at least 2, not {self.longest}")


@dataclass(frozen=True)
class PairTraining(TrainConfig):
    """As for a language model, but a row is a pair. ``batch_tokens``: where above 0, batches hold as many rows as that
    many entries of the longer side allow, and ``batch_size`` does not count."""

    feed: str = "sentences"
    batch_size: int = 64
    length: int = 0
    batch_tokens: int = 0

    @property
    def even_rows(self) -> int:
        """None: batches of pairs differ in their rows anyway."""
        return 0

    def check(self) -> None:
        """Raise InputError for a value that cannot be."""
        super().check()
        if self.feed != "sentences":
            raise InputError(f"a translator reads sentences, not feed {self.feed!r}")
        if self.batch_tokens < 0:
            raise InputError(f"batch_tokens must be at least 0, not {self.batch_tokens}")


@dataclass(frozen=True)
class TranslationConfig(RunConfig):
    """All that a translator's run was asked to be; ``config.json``."""

    kind = Translator.kind
    text: PairsConfig = field(default_factory=PairsConfig)
    model: TranslatorConfig = field(default_factory=TranslatorConfig)
    training: PairTraining = field(default_factory=PairTraining)


def vocabulary_paths(folder: Path, shared: bool) -> tuple[Path, Path]:
    """Where the vocabularies of source and target lie; twice the same where they are one."""
    if shared:
        return folder / "vocab.json", folder / "vocab.json"
    return folder / "vocab.source.json", folder / "vocab.target.json"


def load_vocabularies(folder: Path, text: PairsConfig) -> tuple[Vocabulary, Vocabulary]:
    """The source's and the target's. Raises InputError where one is missing."""
    source, target = vocabulary_paths(folder, text.shared)
    one = Vocabulary.load(source, text.vocabulary)
    return one, one if text.shared else Vocabulary.load(target, text.vocabulary)


def load_translator(folder: Path) -> tuple[Translator, Vocabulary, Vocabulary, TranslationConfig]:
    """The best model of a run, its vocabularies and configuration. Raises InputError where the folder is not whole."""
    config = TranslationConfig.load(folder)
    source, target = load_vocabularies(folder, config.text)
    model = Translator(source.size, target.size, config.model)
    path = folder / "model.safetensors"
    load_weights(model, read_tensors(path, "the model's weights")[0], path)
    model.eval()
    return model, source, target, config
