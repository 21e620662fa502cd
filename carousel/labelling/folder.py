"""The files of a labeller's run folder: its sequences, names and model."""

from __future__ import annotations

from pathlib import Path

from carousel.labelling.config import LabellingConfig
from carousel.labelling.model import Labeller
from carousel.labelling.names import Names
from carousel.labelling.tree_model import labeller
from carousel.training.kept import load_model

PARTS = ("train", "valid", "test")


def sequences_path(folder: Path, part: str) -> Path:
    """Return the path of a part's sequences."""
    return folder / "data" / f"{part}.npz"


def load_labeller(folder: Path, which: str | None = None) -> tuple[Labeller, Names, LabellingConfig]:
    """Return the model of a run, its names and configuration.

    Args:
        folder: of the run.
        which: weights, as ``carousel.training.kept.path_of`` has them; by default the best.

    Raises:
        InputError: a file is missing or damaged.
    """
    config = LabellingConfig.load(folder)
    names = Names.load(folder)
    model = labeller(len(names.labels), names.inputs, config.model)
    load_model(model, folder, which)
    return model, names, config
