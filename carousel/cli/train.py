"""``carousel train``: train a language model, or continue a run."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from carousel.cli import options, screen
from carousel.errors import InputError
from carousel.files import is_empty, owning, undoing
from carousel.insight import gradient_decay
from carousel.language.config import Config, TextConfig
from carousel.language.model import LanguageModel, ModelConfig
from carousel.language.prepare import prepare
from carousel.language.task import LanguageTask
from carousel.text.lines import check_file
from carousel.training.checkpoint import read_position
from carousel.training.config import TrainConfig
from carousel.training.processes import Processes
from carousel.training.trainer import Trainer

EXAMPLE = "Example: carousel train book.txt --cell lstm-v2 --layers 2 --hidden 200 --vocab word"
ENOUGH_WORDS = 1000  # for any output layer; the real vocabulary comes later


def configure(
    given: dict[str, Any], files: list[Path], valid: list[Path] | None, test: list[Path] | None, **model: Any
) -> Config:
    """A run's configuration from the options of a command. Paths are kept absolute: it can be continued from anywhere.

    Raises InputError for a model that cannot be built or files that cannot be read.
    """
    paths = {"train": files, "valid": valid, "test": test}
    config = Config(
        options.build(TextConfig, given, **{name: [str(p.absolute()) for p in some or ()] for name, some in paths.items()}),
        options.build(ModelConfig, given, **model),
        options.build(TrainConfig, given),
    )
    for path in (*config.text.train, *config.text.valid, *config.text.test):
        check_file(Path(path))
    network = config.model.keeping(options.cell(config.model.cell), lambda c: LanguageModel(ENOUGH_WORDS, c))
    LanguageModel(ENOUGH_WORDS, network)
    return replace(config, model=network)


@options.made_from(TextConfig, ModelConfig, TrainConfig)
def command(
    context: typer.Context,
    files: options.Files = None,
    valid: options.Valid = None,
    test: options.Test = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run folder; runs/FILE-CELL by default.", show_default=False)
    ] = None,
    resume: options.Resume = None,
    json: options.Json = False,
    **given: Any,
) -> None:
    """Train a language model on text files; Ctrl-C stops it so that --resume can continue.

    Several processes: torchrun --nproc-per-node 2 -m carousel train book.txt
    """
    processes = Processes()
    if resume is not None:
        if files:
            raise InputError("--resume continues a run with its own text; leave the files out")
        options.refuse_beside_resume(context)
        folder, config = resume, Config.load(resume)
        config = extend(folder, config, given["epochs"] if options.is_given(context, "epochs") else None)
    elif not files:
        raise InputError("give a text file to train on, or --resume RUN")
    else:
        config = configure(given, files, valid, test)
        folder = out or Path("runs") / f"{files[0].stem}-{config.model.cell}"
        if processes.first:
            check_out(folder)
    with owning(folder) if processes.first else nullcontext():
        train(folder, config, processes, json, fresh=resume is None)


def train(folder: Path, config: Config, processes: Processes, json: bool, *, fresh: bool = False) -> None:
    """Prepare, train and tell. A text that is refused leaves no folder behind where the run is ``fresh``."""
    with undoing(folder if fresh and processes.first else None):
        if processes.first:
            if fresh:
                check_out(folder)  # once more: nobody else can come in between now
                config.save(folder)
            with screen.preparing() as tick:
                prepare(folder, config, tick)
        processes.wait()
        show = screen.TrainingScreen(config.model.cell)
        observer, watcher = show if processes.first else None, gradient_decay.while_training
        trainer = Trainer(folder, config, processes, LanguageTask, observer, watcher)
    follow(trainer, show, json, f"carousel train --resume {folder}")


def extend(folder: Path, config: Any, epochs: int | None) -> Any:
    """The configuration with so many epochs in all.

    Raises InputError where the run was asked for more already, or ended because it got no better.
    """
    before = config.training.epochs
    if epochs is None or epochs == before:
        return config
    if epochs < before:
        raise InputError(f"{folder} was asked for {before} epochs in all; --epochs can raise that, not lower it to {epochs}")
    checkpoint = folder / "checkpoint.safetensors"
    if checkpoint.exists() and read_position(checkpoint).done:
        patience = config.training.patience
        raise InputError(f"{folder} stopped early, after {patience} epochs that were no better; more --epochs change nothing")
    return replace(config, training=replace(config.training, epochs=epochs))


def follow(trainer: Trainer, show: screen.TrainingScreen, json: bool, again: str) -> None:
    """Train and tell; ``again``: the command that goes on with the run."""
    folder, processes = trainer.folder, trainer.processes
    if processes.first and type(trainer.config).load(folder) != trainer.config:  # more epochs: the next --resume knows them
        trainer.config.save(folder)
        (folder / "result.json").unlink(missing_ok=True)  # the shorter run's
    with show:
        end = trainer.run()
    processes.close()
    if not processes.first:
        return
    if json:
        screen.print_json({**end, "run": str(folder)})
    if end["event"] == "interrupted":
        screen.err.print(f"stopped at step {end['step']}; continue with: {again}")
        sys.exit(130)  # and not by Typer: what is to be said is said
    if not json:
        test = f", test {end['test_perplexity']:.2f}" if "test_perplexity" in end else ""
        early = ", stopped early" if end["stopped_early"] else ""
        print(f"held-out perplexity {end['valid_perplexity']:.2f} after epoch {end['best_epoch']}{early}{test}")
        print(f"run folder {folder}, curve {folder / 'curve.png'}")


def check_out(folder: Path) -> None:
    """Raise InputError for a place that holds anything: a new run's folder is its own."""
    if (folder / "config.json").exists():
        raise InputError(f"{folder} holds a run; continue it with --resume {folder}, or choose another --out")
    if not is_empty(folder):
        raise InputError(f"{folder} is not an empty folder; choose another --out")
