"""What the run of a translator is asked to be."""

from __future__ import annotations

from dataclasses import dataclass, field

from carousel.errors import InputError
from carousel.text.vocabulary import KINDS
from carousel.training.config import RunConfig, TrainConfig
from carousel.translation.model import Translator, TranslatorConfig


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
