"""Several cells under one budget, and the counting models beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

from carousel import files
from carousel.cells import get
from carousel.errors import InputError
from carousel.language.config import Config
from carousel.language.folder import load_run
from carousel.language.model import LanguageModel, ModelConfig
from carousel.language.ngram import Trigram, Unigram
from carousel.language.prepare import Tick, prepare
from carousel.language.score import Score, score
from carousel.language.task import PERPLEXITY, LanguageTask
from carousel.text.encoded import EncodedText
from carousel.text.vocabulary import Vocabulary
from carousel.training.curve import draw_comparison
from carousel.training.processes import Processes
from carousel.training.run_folder import read_metrics, read_result
from carousel.training.trainer import Observer, Trainer

Rows = list[dict[str, Any]]


class Comparison:
    """Several cells with the same configuration, each a run in ``folder/CELL``.

    With ``parameters`` each cell's hidden size is the largest whose model has no more than that; otherwise all have
    ``config.model.hidden``. Making one prepares the text (``tick`` is told of it) and trains nothing.

    Raises:
        InputError: a cell is unknown, or the folder holds another comparison.
    """

    def __init__(self, folder: Path, config: Config, cells: list[str], parameters: int | None = None, tick: Tick | None = None):
        self.folder, self.asked = folder, json.loads(json.dumps({**asdict(config), "parameters": parameters}))
        self.text = folder / "text"
        fresh = not self._plan.exists()
        if not fresh and files.read_object(self._plan).get("asked") != self.asked:
            raise InputError(f"{folder} holds a comparison with other settings; choose another folder")
        with files.owning(folder), files.undoing(folder if fresh else None):
            self.text.mkdir(exist_ok=True)
            self._save({})
            prepare(self.text, config, tick)
            self.vocabulary = Vocabulary.load(self.text / "vocab.json", config.text.vocabulary)
            self.configs = {c: self._configure(config, c, parameters) for c in cells}  # all before the first is trained

    def _configure(self, config: Config, cell: str, parameters: int | None) -> Config:
        model = replace(config.model, cell=cell, cell_data=None)
        own = _fit(self.vocabulary.size, model, parameters) if parameters else model
        LanguageModel(self.vocabulary.size, own)
        return replace(config, model=own.keeping(get(cell), lambda c: LanguageModel(self.vocabulary.size, c)))

    @property
    def _plan(self) -> Path:
        return self.folder / "compare.json"

    def _save(self, results: dict[str, Any]) -> None:
        files.write(self._plan, json.dumps({"asked": self.asked, **results}, indent=1) + "\n")

    def run(self, observer: Callable[[str], Observer] | None = None) -> Rows:
        """Train the unfinished models, score all on the held-out text, draw ``compare.png``; return one row a model.

        Rows for the unigram and the 3-gram come first. The held-out text is the test text where there is one, else the
        validation text. Raises KeyboardInterrupt where a run is interrupted; the next call goes on there.
        """
        with files.owning(self.folder):
            return self._run(observer)

    def _run(self, observer: Callable[[str], Observer] | None) -> Rows:
        rows, floor = _counted(self.text, self.vocabulary)
        for cell, config in self.configs.items():
            run = self.folder / cell
            if not (run / "result.json").exists():
                _link(self.text, run)
                config.save(run)
                trainer = Trainer(run, config, Processes(), LanguageTask, observer(cell) if observer else None)
                if trainer.run()["event"] == "interrupted":
                    raise KeyboardInterrupt
            elif Config.load(run) != config:
                raise InputError(f"{run} was trained on by itself, so it compares with no other; choose another folder")
            rows.append(_row(cell, run, config))
        metrics = {cell: read_metrics(self.folder / cell, PERPLEXITY) for cell in self.configs}
        title = "perplexity on the validation text, under one budget"
        words = len(EncodedText.open(self.text / "data", "train", self.vocabulary.size))
        draw_comparison(metrics, self.folder / "compare.png", title, PERPLEXITY, floor, words)
        self._save({"rows": rows})
        return rows


def _row(cell: str, run: Path, config: Config) -> dict[str, Any]:
    result = read_result(run)
    speeds = [r["words_per_second"] for r in read_metrics(run, PERPLEXITY) if r["event"] == "train"]
    return {
        "model": cell,
        "parameters": result["parameters"],
        "hidden": config.model.hidden,
        **_held_out_score(run).as_dict(),
        "words_per_second": median(speeds) if speeds else None,
        "seconds": result["seconds"],
    }


def _fit(vocabulary_size: int, model: ModelConfig, parameters: int) -> ModelConfig:
    """Return the largest hidden size whose model has at most ``parameters``; tied models keep embedding and output equal."""

    if isinstance(model.hidden, list):
        raise InputError("`parameters` finds one `hidden` for all layers; leave the sizes of each out")

    def at(hidden: int) -> ModelConfig:
        return replace(model, hidden=hidden, embedding=hidden if model.tied else model.input_size)

    low, high = 0, 1
    while LanguageModel(vocabulary_size, at(high)).count() <= parameters:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if LanguageModel(vocabulary_size, at(middle)).count() <= parameters else (low, middle)
    if low == 0:
        raise InputError(f"no {model.cell} with {vocabulary_size} tokens has as few as {parameters} parameters")
    return at(low)


def _held_out(folder: Path, size: int) -> EncodedText:
    return EncodedText.open(folder / "data", "test" if EncodedText.exists(folder / "data", "test") else "valid", size)


def _held_out_score(run: Path) -> Score:
    model, vocabulary, config = load_run(run)
    return score(model, _held_out(run, vocabulary.size), vocabulary.end, sentences=config.training.feed == "sentences")


def _counted(folder: Path, vocabulary: Vocabulary) -> tuple[Rows, dict[str, float]]:
    """Return rows of the counting models on the held-out text, and their perplexities on the validation text for the figure."""
    train, valid = (EncodedText.open(folder / "data", name, vocabulary.size) for name in ("train", "valid"))
    held_out = _held_out(folder, vocabulary.size)
    counted: dict[str, Unigram | Trigram] = {
        "unigram": Unigram(train, vocabulary.size),
        "3-gram": Trigram(train, vocabulary.end, vocabulary.size),
    }
    rows = [{"model": n, **Score.of(m.score(held_out), held_out.facts).as_dict()} for n, m in counted.items()]
    return rows, {n: Score.of(m.score(valid), valid.facts).perplexity for n, m in counted.items()}


def _link(shared: Path, run: Path) -> None:
    """Link the comparison's text into a run, without a copy."""
    run.mkdir(exist_ok=True)
    for name in ("vocab.json", "data"):
        if not (run / name).exists():
            (run / name).symlink_to(Path("..") / shared.name / name)
