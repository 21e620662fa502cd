"""The models behind the page: runs on one vocabulary, each with its best, its newest or any kept weights."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from carousel import files
from carousel.errors import InputError
from carousel.language.task import PERPLEXITY
from carousel.page.facts import ALONE
from carousel.training.checkpoint import read_position
from carousel.training.kept import LAST, named, path_of, placed, steps
from carousel.training.run_folder import read_metrics
from carousel.web.run_view import RunView, open_run_view

OPENED = 4  # models with other weights than the first that stay in memory
POINTS = 1000  # of a curve
POLL = 0.2  # seconds
Stamp = tuple[int, int, int] | None


class ModelRequest(BaseModel):
    """A question about one of the models: ``0`` is the first run, ``1@400`` the second with the weights of step 400."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(default="0", pattern=r"^\d{1,3}(@(\d{1,18}|last))?$")


class Models:
    """Runs that are looked into, by names as the page has them: ``0`` is the first run, ``1@400`` the second with the weights
    of step 400, ``1@last`` with the newest. A file of weights that was replaced is read anew, whole.

    Args:
        runs: their folders, each maybe with its weights: ``RUN``, ``RUN@400``, ``RUN@last``.
        corpus: the text that the page searches; each run's held-out text by default.
        annotations: of the corpus.

    Raises:
        InputError: a folder is no whole run, or runs differ in kind or vocabulary.
    """

    def __init__(self, runs: Sequence[Path], corpus: Path | None = None, annotations: Path | None = None):
        self.runs, self.texts = [placed(run) for run in runs], (corpus, annotations)
        self.opened: OrderedDict[str, tuple[Stamp, RunView]] = OrderedDict()
        self.lock = Lock()
        self.first: list[RunView] = []
        for k in range(len(runs)):
            self.first.append(self.view(str(k) if self._has_weights(k) else f"{k}@{LAST}"))
        for view, (folder, _) in zip(self.first[1:], self.runs[1:], strict=True):
            if type(view) is not type(self.first[0]):
                raise InputError(
                    f"{folder} holds another kind of run than {self.runs[0][0]}; the page shows one kind at a time"
                )
            if view.spelling != self.first[0].spelling:
                raise InputError(f"{folder} has another vocabulary than {self.runs[0][0]}; side by side they need one")
        self.first[0].check_corpus()

    def _has_weights(self, number: int) -> bool:
        folder, which = self.runs[number]
        return which is not None or has_best(folder)

    def _place(self, name: str) -> tuple[int, Path, str | None]:
        """Return the number of the run that a name means, its folder, and which weights."""
        number, _, which = name.partition("@")
        if int(number) >= len(self.runs):
            raise InputError(f"there is no run {number}; runs are 0 to {len(self.runs) - 1}")
        folder, own = self.runs[int(number)]
        return int(number), folder, which or own

    def view(self, name: str) -> RunView:
        """Return the view of a model. Raises InputError where there is no such run, or the file of its weights is none."""
        number, folder, which = self._place(name)
        with self.lock:
            stamp = _stamp(path_of(folder, which))
            known = self.opened.pop(name, None)
            if known is None or stamp not in (None, known[0]):  # what is opened goes on where its folder was removed
                place = folder if which is None else Path(f"{folder}@{which}")
                facts = self.first[number].facts if number < len(self.first) else None
                known = stamp, open_run_view(place, *self.texts, facts)
            self.opened[name] = known
            spare = [each for each in self.opened if "@" in each]
            for each in spare[: max(0, len(spare) - OPENED)]:
                del self.opened[each]
        return known[1]

    def page(self, name: str, hash: str, answers: Mapping[str, Any]) -> str:
        """Return the page as one HTML file with this model inside; of the others it has their answers."""
        about = self.about()
        every = [{**facts, **ALONE} for facts in (about, *about["others"])]
        return self.view(name).page({**every[0], "others": every[1:]}, hash, answers, name)

    def about(self) -> dict[str, Any]:
        """Return the facts of all runs that the page shows before anything is read: the first's, and the others'."""
        every = [view.facts | self._weights(k) for k, view in enumerate(self.first)]
        return {**every[0], "others": every[1:]}

    def _weights(self, number: int) -> dict[str, Any]:
        folder, which = self.runs[number]
        if which is not None:  # the page was asked for these alone
            return {"run": named(folder, which), **ALONE}
        return {
            "run": named(folder, None),
            "kept": steps(folder),
            "best": path_of(folder, None).exists(),
            "training": files.owner(folder) is not None,
        }

    def training(self, name: str) -> dict[str, Any]:
        """Return the course of a run's training: whether it goes on, the step of its newest weights, the steps whose weights
        were kept, and its metric: each a list of steps and values. Raises InputError for a damaged file."""
        number, folder, _ = self._place(name)
        rows = read_metrics(folder, PERPLEXITY)
        curves = {e: [(r["step"], r[PERPLEXITY.name]) for r in rows if r["event"] == e] for e in ("train", "valid")}
        train = curves["train"]
        checkpoint = path_of(folder, LAST)
        return {
            **self._weights(number),
            "newest": read_position(checkpoint).step if checkpoint.is_file() else None,
            "epoch": rows[-1]["epoch"] if rows and "epoch" in rows[-1] else None,
            "epochs": self.first[number].epochs,
            "metric": PERPLEXITY.name,
            "train": train[:: -(-len(train) // POINTS) or 1],
            "valid": curves["valid"],
        }


def _stamp(path: Path) -> Stamp:
    """Return the facts of a file that change when it is replaced; None where it is missing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def has_best(folder: Path) -> bool:
    """Return whether a run has best weights, or none at all: one that is being trained begins with the newest."""
    return path_of(folder, None).exists() or not path_of(folder, LAST).exists()


def wait_for_weights(run: Path) -> None:
    """Return once a run that is being trained has its first weights; for any other, at once."""
    folder, which = placed(run)
    while which is None and files.owner(folder) and not any(path_of(folder, each).exists() for each in (None, LAST)):
        time.sleep(POLL)
