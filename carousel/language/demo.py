"""The demonstration's settings, which fit into a few minutes on two cores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from carousel.corpora.python_docs import write_topics
from carousel.language.config import Config, TextConfig
from carousel.language.model import ModelConfig
from carousel.training.config import TrainConfig

CELLS = ["mlp", "lstm-v2"]


def demo_configs(folder: Path, epochs: int | None = None) -> dict[str, Config]:
    """Write the text into ``folder`` and say how each cell is trained on it.

    Byte pairs know every text, so that bits per character are exact and mean the same for all models. With 1 000 of them
    the 3-gram is at its best; smaller units would starve it of context, larger ones both of examples.
    """
    paths = {k: [str(p.absolute())] for k, p in write_topics(folder / "topics").items()}
    text = TextConfig(**paths, vocabulary="bpe", vocabulary_size=1000)
    model = ModelConfig(embedding=192, hidden=384, dropout=0.5)
    training = TrainConfig(batch_size=16, length=50, epochs=epochs or 12, lr=4e-3, warmup=50, log_every=20)
    return {cell: Config(text, replace(model, cell=cell), training) for cell in CELLS}
