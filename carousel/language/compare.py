"""Several cells under one budget, and the counting models beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from carousel import files
from carousel.errors import InputError
from carousel.language.corpus import Corpus
from carousel.language.curve import draw_comparison
from carousel.language.folder import Config, load_run, read_json_lines
from carousel.language.model import LanguageModel, ModelConfig
from carousel.language.ngram import Trigram, Unigram
from carousel.language.prepare import Tick, prepare
from carousel.language.processes import Processes
from carousel.language.score import Score, score
from carousel.language.training import Observer, Trainer
from carousel.language.vocabulary import Vocabulary

Rows = list[dict[str, Any]]


def compare(
    folder: Path,
    config: Config,
    cells: list[str],
    *,
    parameters: int | None = None,
    tick: Tick | None = None,
    observer: Callable[[str], Observer] | None = None,
) -> Rows:
    """Train each cell with the same configuration in ``folder/CELL``, score it on the held-out text, draw one figure.

    Cells that are finished are not trained again, an unfinished one goes on. With ``parameters`` each cell's hidden
    size is the largest whose model has no more than that; otherwise all have ``config.model.hidden``. Rows for the
    unigram and the 3-gram come first. The held-out text is the test text where there is one, else the validation text.

    Raises InputError for an unknown cell or a folder that holds another comparison.
    """
    folder.mkdir(parents=True, exist_ok=True)
    asked = json.loads(json.dumps({**asdict(config), "parameters": parameters}))
    plan = folder / "compare.json"
    if plan.exists() and json.loads(plan.read_text()).get("asked") != asked:
        raise InputError(f"{folder} holds a comparison with other settings; choose another --out")
    shared = folder / "text"
    shared.mkdir(exist_ok=True)
    prepare(shared, config, tick)
    vocabulary = Vocabulary.load(shared / "vocab.json", config.text.vocabulary)
    configs = {}
    for cell in cells:  # all are checked before the first is trained
        model = replace(config.model, cell=cell)
        configs[cell] = replace(config, model=_fit(vocabulary.size, model, parameters) if parameters else model)
        LanguageModel(vocabulary.size, configs[cell].model)
    files.write(plan, json.dumps({"asked": asked}, indent=1))
    rows, floor = _counted(shared, vocabulary)
    for cell, own in configs.items():
        run = folder / cell
        result = run / "result.json"
        if not result.exists():
            _link(shared, run)
            own.save(run)
            trainer = Trainer(run, own, Processes(), observer(cell) if observer else None)
            if trainer.run()["event"] == "interrupted":
                raise KeyboardInterrupt
        trained = [r for r in read_json_lines(run / "metrics.jsonl") if r["event"] == "train"]
        speed = sorted(r["words_per_second"] for r in trained)
        found = _held_out_score(run)
        rows.append(
            {"model": cell, "parameters": json.loads(result.read_text())["parameters"], "hidden": own.model.hidden}
            | found.as_dict()
            | {"words_per_second": speed[len(speed) // 2] if speed else None}
            | {"seconds": json.loads(result.read_text())["seconds"]}
        )
    draw_comparison({c: read_json_lines(folder / c / "metrics.jsonl") for c in cells}, folder / "compare.png", floor)
    files.write(plan, json.dumps({"asked": asked, "rows": rows}, indent=1))
    return rows


def _fit(words: int, model: ModelConfig, parameters: int) -> ModelConfig:
    """The largest hidden size whose model has at most ``parameters``; tied models keep embedding and output equal."""

    def at(hidden: int) -> ModelConfig:
        return replace(model, hidden=hidden, embedding=hidden if model.tied else model.embedding)

    low, high = 0, 1
    while LanguageModel(words, at(high)).count() <= parameters:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if LanguageModel(words, at(middle)).count() <= parameters else (low, middle)
    if low == 0:
        raise InputError(f"no {model.cell} with {words} words has as few as {parameters} parameters")
    return at(low)


def _held_out(folder: Path) -> Corpus:
    return Corpus.open(folder / "data", "test" if Corpus.exists(folder / "data", "test") else "valid")


def _held_out_score(run: Path) -> Score:
    model, vocabulary, config = load_run(run)
    return score(model, _held_out(run), vocabulary.end, sentences=config.training.feed == "sentences")


def _counted(folder: Path, vocabulary: Vocabulary) -> tuple[Rows, dict[str, float]]:
    """Rows of the counting models on the held-out text; and their perplexities on the validation text, for the figure."""
    train, valid, held_out = (Corpus.open(folder / "data", "train"), Corpus.open(folder / "data", "valid"), _held_out(folder))
    counted: dict[str, Unigram | Trigram] = {
        "unigram": Unigram(train, vocabulary.size),
        "3-gram": Trigram(train, vocabulary.end, vocabulary.size),
    }
    rows = [{"model": n, **Score.of(m.score(held_out), held_out.facts).as_dict()} for n, m in counted.items()]
    return rows, {n: Score.of(m.score(valid), valid.facts).perplexity for n, m in counted.items()}


def _link(shared: Path, run: Path) -> None:
    """The run's text is the comparison's: linked, not copied."""
    run.mkdir(exist_ok=True)
    for name in ("vocab.json", "data"):
        if not (run / name).exists():
            (run / name).symlink_to(Path("..") / shared.name / name)
