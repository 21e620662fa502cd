"""LSTM v4: a projected message makes the recurrent products smaller.

Language models on a text, everything alike but the cell. Perplexity on held-out text tells the quality, words a second
of processor time the cost: with one thread it is the same under any load of the machine.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace

from carousel import files
from carousel.corpora.python_docs import write_topics
from carousel.errors import InputError
from carousel.insight.claims.claim import Claim, Figures, Question, Tick, TrialConfig
from carousel.language.config import Config, TextConfig
from carousel.language.folder import load_run
from carousel.language.model import ModelConfig
from carousel.language.prepare import prepare
from carousel.language.score import score
from carousel.language.task import LanguageTask
from carousel.text.encoded import EncodedText
from carousel.training.config import TrainConfig
from carousel.training.processes import Processes
from carousel.training.run_folder import read_result
from carousel.training.trainer import Trainer

WAYS = {"v3": ("lstm-v3", 384, None), "v4": ("lstm-v4", 384, 192), "v4 larger": ("lstm-v4", 608, 192)}
MODEL = ModelConfig(embedding=192, dropout=0.4)
TRAINING = TrainConfig(batch_size=16, length=50, epochs=4, lr=4e-3, warmup=50, log_every=20, save_every=1e9, threads=1)


def measure(way: str, seed: int, setting: TrialConfig, tick: Tick) -> Figures:
    """Train for some epochs (``setting.steps``) and score the held-out text."""
    cell, hidden, projection = WAYS[way]
    run = setting.folder / f"{way.replace(' ', '-')}-{seed}"
    config = _config(setting)
    config = replace(
        config,
        model=replace(config.model, cell=cell, hidden=hidden, projection=projection),
        training=replace(config.training, seed=seed, epochs=setting.steps or TRAINING.epochs),
    )
    if not (run / "speed.json").exists():
        shutil.rmtree(run, ignore_errors=True)  # half a run has no speed
        with files.owning(run), files.undoing(run):  # where the text is refused, the folder goes
            prepare(run, config)
            config.save(run)

        def observe(event: dict) -> None:
            if event["event"] == "step":
                tick(event["step"], event["steps"])

        trainer, begun = Trainer(run, config, Processes(), LanguageTask, observe), time.process_time()
        if trainer.run()["event"] == "interrupted":
            raise KeyboardInterrupt
        trained = trainer.steps * TRAINING.batch_size * TRAINING.length
        files.write(run / "speed.json", json.dumps({"words_per_second": trained / (time.process_time() - begun)}))
    model, vocabulary, _ = load_run(run)
    held_out = EncodedText.open(run / "data", "test" if EncodedText.exists(run / "data", "test") else "valid", vocabulary.size)
    result, speed = read_result(run), files.read_object(run / "speed.json")
    if type(speed.get("words_per_second")) not in (int, float):
        raise InputError(f"{run / 'speed.json'} tells no speed; remove it, and the run is made anew")
    return {
        "perplexity": score(model, held_out, vocabulary.end).perplexity,
        "words per second": speed["words_per_second"],
        "parameters": float(result["parameters"]),
    }


def _config(setting: TrialConfig) -> Config:
    if setting.text:
        return Config(TextConfig([str(p.absolute()) for p in setting.text]), MODEL, TRAINING)
    paths = {k: [str(p.absolute())] for k, p in write_topics(setting.folder / "topics").items()}
    return Config(TextConfig(**paths, vocabulary="bpe", vocabulary_size=1000), MODEL, TRAINING)


CLAIM = Claim(
    "projection",
    "Reduces dimensionality of recursive messages. Can speed up training without affecting results quality",
    'Renshaw 2014, slide "LSTM v4: output projection layer"; Sak, Senior and Beaufays 2014',
    {
        "v3": "LSTM v3, 384 units",
        "v4": "LSTM v4, 384 units, messages of 192",
        "v4 larger": "LSTM v4, 608 units, messages of 192 (as many parameters as v3)",
    },
    {
        "perplexity": "held-out perplexity",
        "words per second": "words a second of processor time in training",
        "parameters": "parameters",
    },
    (
        Question("with as many units, v4 trains faster", "words per second", "v4", "v3", higher=True),
        Question("at no loss of quality (perplexity at most 2 % higher)", "perplexity", "v4", "v3", margin=0.02),
        Question("with as many parameters, v4 trains faster", "words per second", "v4 larger", "v3", higher=True),
        Question("at no loss of quality (perplexity at most 2 % higher)", "perplexity", "v4 larger", "v3", margin=0.02),
    ),
    measure,
)
