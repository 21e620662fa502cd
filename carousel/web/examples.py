"""What the pages of examples share: an example is chosen by part and number, a quantity by name and layer, and the weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sized
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar, get_args

import numpy as np
from pydantic import Field

from carousel.errors import InputError
from carousel.page.facts import ALONE, CHARACTERS
from carousel.page.files import EXAMPLES, one_file
from carousel.runs.labeller import LabellerRun
from carousel.runs.transcriber import TranscriberRun
from carousel.training.kept import steps
from carousel.web.models import OPENED, ModelRequest

Part = Literal["test", "valid", "train"]
PARTS = get_args(Part)
WAYS = ("forwards", "backwards")
DIGITS = 4
LARGEST_FILE = 100_000_000  # characters of the answers in a page of examples
Page = TypeVar("Page")


class ExampleRequest(ModelRequest):
    """The example of a number in a part of the run's data."""

    part: Part = "test"
    number: int = Field(0, ge=0, le=1_000_000_000)

    def check(self, kept: Sized) -> None:
        """Raise InputError where the part has no example of that number."""
        if self.number >= len(kept):
            raise InputError(f"there is no example {self.number}; {self.part} has {len(kept):,}, counted from 0")


class QuantityRequest(ExampleRequest):
    """A quantity of a layer while it reads an example."""

    name: str = Field(min_length=1, max_length=100)
    layer: int = Field(0, ge=0, le=1000)


class TextRequest(QuantityRequest):
    """The same while it reads what was typed, where something was."""

    text: str | None = Field(None, max_length=CHARACTERS)


class ExamplePage(Protocol):
    """The page of a run that is seen by its examples: its ``facts``, its examples by part, and what it answers about one."""

    facts: dict[str, Any]

    @property
    def kept(self) -> Callable[..., Sized]:
        """Return a function from a part to its examples."""
        ...

    def answers(self, part: Part, number: int) -> Iterator[tuple[str, ExampleRequest, dict[str, Any]]]:
        """Yield all that may be asked about an example: the question's path and body, and the answer."""
        ...


def in_one_file(page: ExamplePage, count: int) -> str:
    """Return the page of a run's first ``count`` examples as one HTML file.

    They are those of the first part that is there; the file has all gates and states of theirs, and no model.

    Raises:
        InputError: the run has no examples of its own, or the file would be too large.
    """
    if not page.facts["parts"]:
        raise InputError("the run has no data of its own, so that a page has no example to show")
    part: Part = page.facts["parts"][0]
    count = min(count, len(page.kept(part)))
    told: dict[str, Any] = {"api/run": {**page.facts, **ALONE, "parts": [part]}}
    size = 0
    for number in range(count):
        for path, asked, answer in page.answers(part, number):
            size += len(json.dumps(answer))
            if size > LARGEST_FILE:
                raise InputError(
                    f"examples up to number {number} take more than {LARGEST_FILE // 10**6} MB; take fewer `examples`"
                )
            question = json.dumps(asked.model_dump(exclude_unset=True), separators=(",", ":"))
            told[f"{path} {question}"] = answer | ({"count": count} if "count" in answer else {})
    return one_file(told, page=EXAMPLES[page.facts["task"]])


class Pages(Generic[Page]):
    """The page of a run with its best weights, and with those that it kept on the way.

    Args:
        run: whose weights are seen first.
        page: makes the page of a run.
    """

    def __init__(self, run: LabellerRun | TranscriberRun, page: Callable[[Any], Page]):
        self.run, self.page, self.first = run, page, page(run)
        self._with = lru_cache(OPENED)(self._opened)

    def of(self, asked: ModelRequest) -> Page:
        """Return the page of the weights asked for. Raises InputError for another run, or weights that are not there."""
        number, _, which = asked.model.partition("@")
        if int(number):
            raise InputError(f"there is no run {number}; this page shows one, run 0")
        return self._with(which) if which else self.first

    def _opened(self, which: str) -> Page:
        return self.page(type(self.run)(f"{self.run.folder}@{which}"))

    def weights(self) -> dict[str, Any]:
        """Return the weights that the page may ask for; only its own where it was opened with those of a step."""
        return ALONE if self.run.which else {**ALONE, "kept": steps(self.run.folder)}


def quantities(facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each quantity that a page can show, as a question has it."""
    for layer in range(facts["layers"]):
        for name in facts["names"]:
            yield {"name": name, "layer": layer}


def parts_of(folder: Path, path: Callable[[Path, str], Path]) -> list[str]:
    """Return the parts of a run's own data that are there; ``path`` gives their files."""
    return [part for part in PARTS if path(folder, part).exists()]


def check_size(found: int, most: int, what: str) -> None:
    """Raise InputError where an example has more nodes, steps or values than the page shows."""
    if found > most:
        raise InputError(f"the example has {found:,} {what}; the page shows at most {most:,}")


def told(values: np.ndarray) -> Any:
    """Return values as JSON shows them. Raises InputError where they are not finite."""
    if not np.isfinite(values).all():
        raise InputError("the model's values are not finite; was it trained to the end?")
    return values.astype(float).round(DIGITS).tolist()
