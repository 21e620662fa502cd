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
        model: a language model that reads in one direction.
        vocabulary: its vocabulary.
        precision: of dense weights: int8, bfloat16 or float32.
        name: the page's title.
        example: the text that the page shows first.
        hash: the view that the page opens with in place of the example, as it stands in the page's address.
        answers: answers that the page cannot compute, by the question to the server.

    Returns:
        The text of the file.

    Raises:
        InputError: the output layer has no row for each token, or weights are not finite.
    """
    script = of_language(model, vocabulary, precision)
    known = facts(model.recurrent, vocabulary, run=name, task="read", parameters=model.count(), example=example)
    return one_file({"api/run": known | {"precision": precision}, **(answers or {})}, hash, script.code, script.weights)
