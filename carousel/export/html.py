"""The page of ``carousel serve`` as one HTML file that computes what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carousel.export.javascript.file import of_language
from carousel.language.model import LanguageModel
from carousel.page.facts import facts
from carousel.page.files import one_file
from carousel.text.vocabulary import Vocabulary


def page(
    model: LanguageModel,
    vocabulary: Vocabulary,
    precision: str = "int8",
    *,
    name: str = "model",
    example: str = "",
    hash: str = "",
    answers: Mapping[str, Any] | None = None,
) -> str:
    """Return a language model as one HTML file: the page, the cell, its weights and the vocabulary.

    Args:
        model: of a run.
        vocabulary: the model's.
        precision: of dense weights: int8, bfloat16 or float32.
        name: which the page has as its title.
        example: the text that is read first.
        hash: what is seen first instead, as in the page's address.
        answers: what the page cannot compute and is to know, by the question to the server.

    Raises:
        InputError: an output layer that has no row for each token; weights that are not finite.
    """
    script = of_language(model, vocabulary, precision)
    known = facts(model.recurrent, vocabulary, run=name, task="read", parameters=model.count(), example=example)
    return one_file({"api/run": known | {"precision": precision}, **(answers or {})}, hash, script.code, script.weights)
