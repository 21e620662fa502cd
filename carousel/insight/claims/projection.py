"""LSTM v4: a projected message makes the recurrent products smaller.

Language models on a text, everything alike but the cell. Perplexity on held-out text says what the quality is, words a second
what it costs; the two cells take turns, seed by seed.
"""

from __future__ import annotations

import json
from dataclasses import replace
from statistics import median

from carousel.insight.claims.claim import Claim, Figures, Question, Setting, Tick
from carousel.language.corpus import Corpus
from carousel.language.folder import Config, TextConfig, TrainConfig, load_run, read_json_lines
from carousel.language.model import ModelConfig
from carousel.language.prepare import prepare
from carousel.language.processes import Processes
from carousel.language.python_docs import write_topics
from carousel.language.score import score
from carousel.language.training import Trainer

CELLS = {"v3": "lstm-v3", "v4": "lstm-v4"}
MODEL = ModelConfig(embedding=192, hidden=384, projection=0, dropout=0.4)
TRAINING = TrainConfig(batch_size=16, length=50, epochs=6, lr=4e-3, warmup=50, log_every=5, save_every=1e9)


def measure(way: str, seed: int, setting: Setting, tick: Tick) -> Figures:
    """Train for some epochs (``setting.steps``) and score the held-out text."""
    run = setting.folder / f"{CELLS[way]}-{seed}"
    config = _config(setting)
    config = replace(
        config,
        model=replace(config.model, cell=CELLS[way]),
        training=replace(config.training, seed=seed, epochs=setting.steps or TRAINING.epochs),
    )
    if not (run / "result.json").exists():
        run.mkdir(parents=True, exist_ok=True)
        prepare(run, config)
        config.save(run)

        def observe(event: dict) -> None:
            if event["event"] == "step":
                tick(event["step"], event["steps"])

        if Trainer(run, config, Processes(), observe).run()["event"] == "interrupted":
            raise KeyboardInterrupt
    model, vocabulary, _ = load_run(run)
    held_out = Corpus.open(run / "data", "test" if Corpus.exists(run / "data", "test") else "valid")
    rows = [r for r in read_json_lines(run / "metrics.jsonl") if r["event"] == "train"]
    return {
        "perplexity": score(model, held_out, vocabulary.end).perplexity,
        "words per second": median(r["words_per_second"] for r in rows),
        "parameters": float(json.loads((run / "result.json").read_text())["parameters"]),
    }


def _config(setting: Setting) -> Config:
    if setting.text:
        return Config(TextConfig([str(p.absolute()) for p in setting.text]), MODEL, TRAINING)
    paths = {k: [str(p.absolute())] for k, p in write_topics(setting.folder / "topics").items()}
    return Config(TextConfig(**paths, vocabulary="bpe", vocabulary_size=1000), MODEL, TRAINING)


CLAIM = Claim(
    "projection",
    "Reduces dimensionality of recursive messages. Can speed up training without affecting results quality",
    'Renshaw 2014, slide "LSTM v4: output projection layer"; Sak, Senior and Beaufays 2014',
    {"v3": "LSTM v3, 384 units", "v4": "LSTM v4, 384 units, messages of 192"},
    {"perplexity": "held-out perplexity", "words per second": "words a second in training", "parameters": "parameters"},
    (
        Question("v4 trains faster", "words per second", "v4", "v3", higher=True),
        Question("at no loss of quality (perplexity at most 2 % higher)", "perplexity", "v4", "v3", margin=0.02),
    ),
    measure,
    "perplexity",
)
