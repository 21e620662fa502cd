"""Recipes of language models."""

from __future__ import annotations

from pathlib import Path

from carousel.language.config import TextConfig
from carousel.language.model import ModelConfig
from carousel.training.config import TrainConfig
from carousel.training.recipes import Recipes

RECIPES = Recipes(
    Path(__file__).parent,
    {"text": TextConfig, "model": ModelConfig, "training": TrainConfig},
    "perplexity",
    "test perplexity",
    "carousel train",
)
