"""Recipes of translators."""

from __future__ import annotations

from pathlib import Path

from carousel.training.recipes import Recipes
from carousel.translation.config import PairsConfig, PairTraining
from carousel.translation.model import TranslatorConfig

RECIPES = Recipes(
    Path(__file__).parent,
    {"text": PairsConfig, "model": TranslatorConfig, "training": PairTraining},
    "bleu",
    "BLEU",
    "carousel translate train",
)
