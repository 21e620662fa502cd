"""The page of ``carousel serve`` as one HTML file that computes what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carousel.export.javascript.file import Script
from carousel.page.files import one_file


def page(
    known: Mapping[str, Any],
    script: Script,
    precision: str = "int8",
    *,
    hash: str = "",
    answers: Mapping[str, Any] | None = None,
    model: str = "0",
) -> str:
    """Return a model as one HTML file: the page, the networks, their weights and the vocabularies.

    Args:
        known: facts of the model, as ``carousel.page.facts`` has them.
        script: the model as JavaScript.
        precision: of its dense weights.
        hash: the view that the page opens with in place of the example, as it stands in the page's address.
        answers: answers that the page cannot compute, by the question to the server.
        model: the name of the model, as the page's questions have it.

    Returns:
        The text of the file.
    """
    told = {"api/run": {**known, "precision": precision}, **(answers or {})}
    return one_file(told, hash, script.code, script.weights, model)
