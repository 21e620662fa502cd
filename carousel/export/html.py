"""The page of ``carousel serve`` as one HTML file that computes what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carousel.export.javascript.file import Script, of_language
from carousel.export.javascript.translator import of_translator
from carousel.language.model import LanguageModel
from carousel.page.facts import facts, translator_facts
from carousel.page.files import one_file
from carousel.text.vocabulary import Vocabulary
from carousel.translation.model import Translator


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
    known = facts(model.recurrent, vocabulary, run=name, parameters=model.count(), example=example)
    return _page(known, of_language(model, vocabulary, precision), precision, hash, answers or {})


def translator_page(
    model: Translator,
    source: Vocabulary,
    target: Vocabulary,
    precision: str = "int8",
    *,
    name: str = "model",
    example: str = "",
    hash: str = "",
) -> str:
    """Return a translator as one HTML file: the page, both networks, their weights and the vocabularies.

    Args:
        model: a translator.
        source: the vocabulary of the sentences that it reads.
        target: the vocabulary of the sentences that it writes.
        precision: of dense weights: int8, bfloat16 or float32.
        name: the page's title.
        example: the sentence that the page shows first.
        hash: the view that the page opens with in place of the example, as it stands in the page's address.

    Returns:
        The text of the file.

    Raises:
        InputError: weights are not finite.
    """
    known = translator_facts(model, source, run=name, example=example)
    return _page(known, of_translator(model, source, target, precision), precision, hash, {})


def _page(facts: Mapping[str, Any], script: Script, precision: str, hash: str, answers: Mapping[str, Any]) -> str:
    return one_file({"api/run": {**facts, "precision": precision}, **answers}, hash, script.code, script.weights)
