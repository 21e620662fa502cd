"""Recipes of translators can be used."""

import pytest

from carousel.training.fields import settings
from carousel.translation.config import PairsConfig, PairTraining
from carousel.translation.model import Translator, TranslatorConfig
from carousel.translation.recipes import RECIPES


@pytest.mark.parametrize("name", RECIPES.names())
def test_a_recipe_that_comes_along(name):
    found = RECIPES.recipe(name)
    given = [{k: v for k, v in found.settings.items() if k in settings(kind)} for kind in RECIPES.sections.values()]
    text, model, training = (kind(**own) for kind, own in zip(RECIPES.sections.values(), given, strict=True))
    assert (type(text), type(training)) == (PairsConfig, PairTraining) and isinstance(model, TranslatorConfig)
    training.check()
    Translator(100, 100, model)
    assert found.about.endswith(".") and found.papers
    assert found.told == "not yet measured" or found.result["command"].startswith("carousel translate train")
