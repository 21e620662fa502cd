"""``carousel compare``: several cells under one budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from carousel import files
from carousel.cli import options, screen
from carousel.cli.train import DEFAULT, check, configure, text_config
from carousel.errors import InputError
from carousel.language.compare import Comparison

EXAMPLE = "Example: carousel compare book.txt --cells mlp,rnn,cec,lstm-v1,lstm-v2 --epochs 5"


def command(
    files: options.Files = None,
    cells: Annotated[str, typer.Option(help="Cells, separated by commas.")] = "mlp,rnn,cec,lstm-v1,lstm-v2,lstm-v3,lstm-v4",
    parameters: Annotated[
        int | None,
        typer.Option(help="Give each model as many units as this number of parameters allows.", show_default=False),
    ] = None,
    valid: options.Valid = None,
    test: options.Test = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder; runs/FILE-compare by default.", show_default=False)
    ] = None,
    vocab: options.Vocab = "word",
    vocab_size: options.VocabSize = None,
    feed: options.Feed = DEFAULT.feed,
    layers: options.Layers = 1,
    hidden: options.Hidden = 200,
    embedding: options.Embedding = None,
    projection: options.Projection = 0,
    dropout: options.Dropout = 0.2,
    dropout_input: options.DropoutInput = None,
    dropout_output: options.DropoutOutput = None,
    same_mask: options.SameMask = False,
    tied: options.Tied = False,
    softmax: options.Softmax = "full",
    init: options.Init = "uniform",
    learned_initial: options.LearnedInitial = False,
    batch_size: options.BatchSize = DEFAULT.batch_size,
    length: options.Length = DEFAULT.length,
    epochs: options.Epochs = 5,
    optimizer: options.Optimizer = DEFAULT.optimizer,
    lr: options.Rate = DEFAULT.lr,
    momentum: options.Momentum = DEFAULT.momentum,
    weight_decay: options.WeightDecay = DEFAULT.weight_decay,
    warmup: options.Warmup = DEFAULT.warmup,
    schedule: options.Schedule = DEFAULT.schedule,
    decay: options.Decay = DEFAULT.decay,
    clip: options.Clip = DEFAULT.clip,
    patience: options.Patience = DEFAULT.patience,
    precision: options.Precision = DEFAULT.precision,
    seed: options.Seed = DEFAULT.seed,
    threads: options.Threads = DEFAULT.threads,
    log_every: options.LogEvery = DEFAULT.log_every,
    save_every: options.SaveEvery = DEFAULT.save_every,
    json: options.Json = False,
) -> None:
    """Train several cells on the same text with the same settings: the lecture's progression in one table and figure.

    Interrupted, the same command goes on where it stopped.
    """
    values = {**locals(), "forget_bias": None}
    if not files:
        raise InputError("give a text file to train on")
    names = [c.strip() for c in cells.split(",") if c.strip()]
    if not names:
        raise InputError("--cells needs at least one cell")
    text = text_config(files, valid, test, vocab, vocab_size)
    config = configure(text, names[0], values)
    for name in names:
        check(configure(text, name, values))
    folder = out or Path("runs") / f"{files[0].stem}-compare"
    rows = run(folder, config, names, parameters)
    if json:
        screen.print_json(rows)
        return
    show(rows, "Held-out text under one budget")
    print(f"\nfigure {folder / 'compare.png'}")


def run(folder: Path, config: Any, names: list[str], parameters: int | None = None) -> list[dict[str, Any]]:
    """Compare, with progress on the screen."""
    screens: list[screen.TrainingScreen] = []

    def observer(cell: str) -> screen.TrainingScreen:
        for s in screens:
            s.__exit__(None, None, None)
        screens[:] = [screen.TrainingScreen(cell).__enter__()]
        return screens[0]

    with files.owning(folder):
        with screen.preparing() as tick:
            comparison = Comparison(folder, config, names, parameters, tick)
        try:
            return comparison.run(observer)
        finally:
            for s in screens:
                s.__exit__(None, None, None)


def show(rows: list[dict[str, Any]], title: str) -> None:
    """The table of a comparison."""
    headings = ["model", "parameters", "perplexity", "bits per character", "words per second", "seconds"]
    formats = [
        {
            "model": r["model"],
            "parameters": f"{r['parameters']:,}" if "parameters" in r else "",
            "perplexity": f"{r['perplexity']:.2f}" if r["perplexity"] < 1e7 else f"{r['perplexity']:.1e}",
            "bits per character": f"{r['bits_per_character']:.3f}",
            "words per second": f"{r['words_per_second']:,.0f}" if r.get("words_per_second") else "",
            "seconds": f"{r['seconds']:.0f}" if "seconds" in r else "",
        }
        for r in rows
    ]
    screen.out.print(screen.table(title, {h: "left" if h == "model" else "right" for h in headings}, formats))
