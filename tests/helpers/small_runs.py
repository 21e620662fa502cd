"""Small runs of language models, translators, transcribers and labellers: made, trained, interrupted, compared."""

import torch
from safetensors.torch import load_file

from carousel.labelling.config import LabellingConfig
from carousel.labelling.task import LabellingTask
from carousel.language.task import PERPLEXITY, LanguageTask
from carousel.training.processes import Processes
from carousel.training.run_folder import read_metrics
from carousel.training.trainer import Trainer
from carousel.transcription.config import TranscriptionConfig
from carousel.transcription.task import TranscriptionTask
from carousel.translation.config import TranslationConfig
from carousel.translation.task import TranslationTask

TASKS = {  # else a language model's
    **{TranslationConfig: TranslationTask, TranscriptionConfig: TranscriptionTask},
    LabellingConfig: LabellingTask,
}


def made(folder, config, prepare):
    """Prepare a run folder; return it and its configuration."""
    folder.mkdir(exist_ok=True)
    config.save(folder)
    prepare(folder, config)
    return folder, config


def train(folder, config, stop_at=None):
    """Train a run, or interrupt it after a step; return the last event."""
    trainer = Trainer(folder, config, Processes(), TASKS.get(type(config), LanguageTask))

    def watch(event):
        if event["event"] == "step" and event["step"] == stop_at:
            trainer.interrupted = True

    trainer.observer = watch
    return trainer.run()


def losses(folder, metric=PERPLEXITY):
    return [(r["event"], r["step"], r["loss"]) for r in read_metrics(folder, metric) if "loss" in r]


def tensors(folder):
    return {f"{name}:{k}": v for name in ("model", "checkpoint") for k, v in load_file(folder / f"{name}.safetensors").items()}


_whole = {}  # of each kind of run and its options: the tensors and losses of one that was not stopped


def ends_the_same(make_run, stop_at, **options):
    """Return whether a run that was stopped after a step and went on ends bit for bit as one that was not."""
    parts, config = make_run("parts", **options)
    metric, kind = TASKS.get(type(config), LanguageTask).metric, (type(config), repr(options))
    if kind not in _whole:
        whole, wanted = make_run("whole", **options)
        train(whole, wanted)
        _whole[kind] = tensors(whole), losses(whole, metric)
    assert train(parts, config, stop_at)["event"] == "interrupted"
    train(parts, config)
    (expected, told), got = _whole[kind], tensors(parts)
    assert expected.keys() == got.keys() and told == losses(parts, metric)
    return all(torch.equal(expected[k], got[k]) for k in expected)
