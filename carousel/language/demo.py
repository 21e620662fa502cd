"""The demonstration's settings, which fit into two minutes on two cores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from carousel.corpora.python_docs import write_topics
from carousel.language.config import Config, TextConfig
from carousel.language.model import ModelConfig
from carousel.training.config import TrainConfig

CELLS = {"mlp": (4, None), "lstm-layer-norm": (9, 1.0)}  # how often each reads the text, and the bias of its forget gate


def demo_configs(folder: Path, epochs: int | None = None) -> dict[str, Config]:
    """Write the text into ``folder`` and say how each cell is trained on it.

    Byte pairs know every text, so that bits per character are exact and mean the same for all models. With 1 000 of them
    the 3-gram is at its best; smaller units would starve it of context, larger ones both of examples. The text is small:
    without the dropout and the decay of weights the LSTM would learn it by heart.
    """
    paths = {k: [str(p.absolute())] for k, p in write_topics(folder / "topics").items()}
    text = TextConfig(**paths, vocabulary="bpe", vocabulary_size=1000)
    model = ModelConfig(embedding=192, hidden=384, dropout=0.5, dropout_input=0.1, dropout_words=0.05)
    training = TrainConfig(
        batch_size=16,
        length=50,
        optimizer="muon",
        lr=8e-3,
        schedule="one-cycle",
        clip=0.5,
        weight_decay=0.3,
        precision="bfloat16",
        log_every=20,
    )
    return {
        cell: Config(text, replace(model, cell=cell, forget_bias=bias), replace(training, epochs=epochs or own))
        for cell, (own, bias) in CELLS.items()
    }
