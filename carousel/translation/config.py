"""The configuration of a translator's run."""

from __future__ import annotations

from dataclasses import dataclass, field

from carousel.errors import InputError
from carousel.language.config import TextConfig
from carousel.training.config import ExampleTraining, RunConfig
from carousel.training.fields import setting
from carousel.translation.model import Translator, TranslatorConfig


@dataclass(frozen=True)
class PairsConfig(TextConfig):
    """Two files each, the source's and the target's, aligned line by line; ``valid`` empty: the last tenth of the pairs.

    ``shared``: one vocabulary for both languages. ``longest``: pairs of which a side has more tokens are left out.
    """

    vocabulary: str = "bpe"
    shared: bool = setting(True, "Use a vocabulary for each language.", option="--separate")
    longest: int = setting(200, "Leave out pairs with more tokens than this on either side.", least=2)

    def check(self) -> None:
        """Raise InputError for a value that cannot be."""
        super().check()
        for name in ("train", "valid", "test"):
            paths = getattr(self, name)
            if len(paths) != 2 and (paths or name == "train"):
                raise InputError(f"`{name}` takes two files, the source's and the target's, not {len(paths)}")


@dataclass(frozen=True)
class PairTraining(ExampleTraining):
    """The settings of training where a row is a pair. ``batch_tokens``: where above 0, batches hold as many rows as that
    many tokens of the longer side allow, and ``batch_size`` does not count."""

    feed: str = setting("sentences", choices=("sentences",))
    batch_size: int = setting(64, "Pairs of a batch.", least=1)
    batch_tokens: int = setting(0, "Tokens of a batch's longer side, instead of `batch_size` pairs.", least=0)


@dataclass(frozen=True)
class TranslationConfig(RunConfig):
    """The configuration of a translator's run; ``config.json``."""

    kind = Translator.kind
    text: PairsConfig = field(default_factory=PairsConfig)
    model: TranslatorConfig = field(default_factory=TranslatorConfig)
    training: PairTraining = field(default_factory=PairTraining)
