"""Several models on one text, cells under one budget or recipes with their own, and the counting models beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, median, stdev
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
from carousel.training.comparison import Point, draw_comparison
from carousel.training.processes import Processes
from carousel.training.run_folder import read_metrics, read_result
from carousel.training.trainer import Observer, Trainer

Rows = list[dict[str, Any]]


class Comparison:
    """Several models on one text, each a run in ``folder/NAME``, those of further seeds in ``folder/NAME-seed-2`` and so on.

    With ``parameters`` each model's hidden size is the largest that needs no more than that number; otherwise it is the
    configuration's. Making one prepares the text (``tick`` is told of it) and trains nothing.

    Args:
        folder: of the comparison.
        configs: the configurations by the models' names.
        parameters: the most parameters of a model.
        seeds: runs of each model; the first has its configuration's seed, the next one more, and so on.
        tick: told how far the text is prepared.

    Raises:
        InputError: the models read the text differently, or the folder holds another comparison.
    """

    def __init__(
        self,
        folder: Path,
        configs: Mapping[str, Config],
        parameters: int | None = None,
        seeds: int = 1,
        tick: Tick | None = None,
    ):
        (first, config), *others = configs.items()
        for name, other in others:
            if other.text != config.text:
                raise InputError(f"{name} has another vocabulary than {first}; perplexities compare where it is one")
        self.folder, self.asked = folder, json.loads(json.dumps({**asdict(config), "parameters": parameters}))
        self.text = folder / "text"
        fresh = not self._plan.exists()
        if not fresh and _without_cell(files.read_object(self._plan).get("asked")) != _without_cell(self.asked):
            raise InputError(f"{folder} holds a comparison with other settings; choose another folder")
        with files.owning(folder), files.undoing(folder if fresh else None):
            self.text.mkdir(exist_ok=True)
            self._save({})
            prepare(self.text, config, tick)
            self.vocabulary = Vocabulary.load(self.text / "vocab.json", config.text.vocabulary)
            fitted = {n: self._fitted(c, parameters) for n, c in configs.items()}  # all before the first is trained
        self.runs = {name: _of_seeds(folder / name, own, seeds) for name, own in fitted.items()}

    def _fitted(self, config: Config, parameters: int | None) -> Config:
        model = replace(config.model, cell_data=None)
        own = _fit(self.vocabulary.size, model, parameters) if parameters else model
        LanguageModel(self.vocabulary.size, own)
        return replace(config, model=own.keeping(get(model.cell), lambda c: LanguageModel(self.vocabulary.size, c)))

    @property
    def _plan(self) -> Path:
        return self.folder / "compare.json"

    def _save(self, results: dict[str, Any]) -> None:
        files.write(self._plan, json.dumps({"asked": self.asked, **results}, indent=1) + "\n")

    def run(self, observer: Callable[[str], Observer] | None = None, others: Sequence[Point] = ()) -> Rows:
        """Train the unfinished models, score all on the held-out text, draw ``compare.png``; return one row a model.

        Rows for the unigram and the 3-gram come first. The held-out text is the test text where there is one, else the
        validation text. Where a model has several seeds, its row has the means of their numbers, the sample standard deviation
        of their perplexities as ``spread``, and the rows of its runs. The next call after an interruption goes on there.

        Args:
            observer: gives the observer of a run, by the name of its folder.
            others: points of others for the figure: validation perplexities after seconds of training.

        Raises:
            InputError: a run's folder holds another run.
            KeyboardInterrupt: a run is interrupted.
        """
        with files.owning(self.folder):
            rows, floor = _counted(self.text, self.vocabulary)
            for name, runs in self.runs.items():
                for run, config in runs.items():
                    self._train(run, config, observer(run.name) if observer else None)
                rows.append(_row(name, runs))
            self._draw(floor, others)
            self._save({"rows": rows})
            return rows

    def _train(self, run: Path, config: Config, observer: Observer | None) -> None:
        if (run / "result.json").exists():
            if Config.load(run) != config:
                raise InputError(f"{run} was trained on by itself, so it compares with no other; choose another folder")
            return
        _link(self.text, run)
        config.save(run)
        if Trainer(run, config, Processes(), LanguageTask, observer).run()["event"] == "interrupted":
            raise KeyboardInterrupt

    def _draw(self, floor: dict[str, float], others: Sequence[Point]) -> None:
        metrics = {name: [read_metrics(run, PERPLEXITY) for run in runs] for name, runs in self.runs.items()}
        first, *rest = [replace(config.training, seed=0) for runs in self.runs.values() for config in runs.values()]
        budget = ", under one budget" if all(training == first for training in rest) else ""
        words = len(EncodedText.open(self.text / "data", "train", self.vocabulary.size))
        title = f"perplexity on the validation text{budget}"
        draw_comparison(metrics, self.folder / "compare.png", title, PERPLEXITY, floor, words, others)


def _without_cell(asked: Any) -> Any:
    """Return a comparison's settings without the cell of its first model: a comparison takes further cells."""
    if not isinstance(asked, dict) or not isinstance(asked.get("model"), dict):
        return asked
    return asked | {"model": {k: v for k, v in asked["model"].items() if k not in ("cell", "cell_data")}}


def _of_seeds(folder: Path, config: Config, seeds: int) -> dict[Path, Config]:
    """Return the configuration of each run of a model, by its folder."""
    training, found = config.training, {folder: config}
    for seed in range(training.seed + 1, training.seed + seeds):
        found[folder.with_name(f"{folder.name}-seed-{seed}")] = replace(config, training=replace(training, seed=seed))
    return found


def _row(name: str, runs: Mapping[Path, Config]) -> dict[str, Any]:
    rows = [{"model": name, **_numbers(run, config)} for run, config in runs.items()]
    if len(rows) == 1:
        return rows[0]
    varied = [key for key, value in rows[0].items() if any(row[key] != value for row in rows) and value is not None]
    numbers = {key: mean(row[key] for row in rows) for key in varied}
    each = [{"seed": config.training.seed, **row} for row, config in zip(rows, runs.values(), strict=True)]
    return {**rows[0], **numbers, "spread": stdev(row["perplexity"] for row in rows), "runs": each}


def _numbers(run: Path, config: Config) -> dict[str, Any]:
    result = read_result(run)
    speeds = [r["words_per_second"] for r in read_metrics(run, PERPLEXITY) if r["event"] == "train"]
    return {
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
