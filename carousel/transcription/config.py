"""The configuration of a transcriber's run."""

from __future__ import annotations

from dataclasses import dataclass, field

from carousel.corpora.digits import CONTENTS
from carousel.training.config import ExampleTraining, RunConfig
from carousel.training.fields import Settings, setting
from carousel.transcription.model import Transcriber, TranscriberConfig

DIGITS = "digits"  # the corpus that is generated


@dataclass(frozen=True)
class ExamplesConfig(Settings):
    """The data of a transcriber.

    ``train`` is "digits", for the generated corpus, or the path of an .npz file; ``valid`` and ``test`` are paths, or empty.
    Without ``valid``, the last tenth of a file's examples is held out.
    """

    group = "Data"

    train: str = DIGITS
    valid: str = ""
    test: str = ""
    strings: int = setting(4000, "Strings of digits to train on, for the corpus digits.", least=1, most=1_000_000)
    content: str = setting("any", "Strings of digits: any digits, or forms (dates and amounts).", choices=CONTENTS)
    resolution: int = setting(
        1, "Strings of digits: pixels for one of scikit-learn's images, in height and in width.", least=1, most=8
    )


@dataclass(frozen=True)
class TranscriptionTraining(ExampleTraining):
    """The settings of training on batches of examples."""

    feed: str = setting("examples", choices=("examples",))
    batch_size: int = setting(32, "Examples of a batch.", least=1)
    epochs: int = setting(20, "Times the examples are read, in all.", least=1)


@dataclass(frozen=True)
class TranscriptionConfig(RunConfig):
    """The configuration of a transcriber's run; ``config.json``."""

    kind = Transcriber.kind
    data: ExamplesConfig = field(default_factory=ExamplesConfig)
    model: TranscriberConfig = field(default_factory=TranscriberConfig)
    training: TranscriptionTraining = field(default_factory=TranscriptionTraining)
