"""``carousel transcribe``: train a transcriber, score it, read with it, look at it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from carousel import files
from carousel.cli import commands, options, screen, training
from carousel.corpora import digits
from carousel.errors import InputError
from carousel.insight import figures
from carousel.runs.making import owned
from carousel.runs.transcriber import KINDS, TranscriberRun, configured, prepared
from carousel.training.processes import Processes
from carousel.transcription.config import ExamplesConfig, TranscriptionConfig, TranscriptionTraining
from carousel.transcription.model import TranscriberConfig
from carousel.transcription.task import NATS

EXAMPLE = "Example: carousel transcribe train digits --hidden 96 --subsample 1,2"
MOST_BEAM = 1 << 12

app = commands.Commands(
    no_args_is_help=True,
    help="Train a transcriber of sequences or images (CTC), score it, read with it, show where it sees each label.",
)
Beam = Annotated[int, typer.Option(min=1, max=MOST_BEAM, help="Number of prefixes; 1: the best path, greedily.")]
Language = Annotated[
    Path | None,
    typer.Option("--lm", help="A run folder of carousel train, a language model of transcriptions.", show_default=False),
]
Alpha = Annotated[float, typer.Option(min=0, max=100, help="Weight of the language model's log-probability.")]
Beta = Annotated[float, typer.Option(min=-100, max=100, help="Bonus of each label, in nats.")]
Rows = Annotated[str, typer.Argument(help="An .npz file; or the run's own data: train, valid, test.")]


def _examples(help: str) -> Any:
    return typer.Option(help=help, rich_help_panel=ExamplesConfig.group, show_default=False)


@app.command("train", epilog=EXAMPLE)
@options.made_from(ExamplesConfig, TranscriberConfig, TranscriptionTraining)
def train(
    context: typer.Context,
    data: Annotated[
        str | None,
        typer.Argument(help="digits, or an .npz file with inputs, lengths, targets.", show_default=False),
    ] = None,
    valid: Annotated[Path | None, _examples("An .npz file to validate on; without it, the last tenth of the examples.")] = None,
    test: Annotated[Path | None, _examples("An .npz file for the end.")] = None,
    out: Annotated[Path | None, training.out("DATA")] = None,
    resume: options.Resume = None,
    json: options.Json = False,
    **given: Any,
) -> None:
    """Train a transcriber: sequences or images in, labels out; where each label stands need not be told.

    An .npz file has inputs, (N, steps, numbers) or images (N, height, width); lengths, (N,) or (N, 2), where they differ; and
    targets: strings, of which each character is a label, or whole numbers (N, longest), -1 beyond the end. Ctrl-C stops the
    training so that --resume can continue.
    """
    processes = Processes()

    def fresh() -> tuple[Path, TranscriptionConfig]:
        if data is None:
            raise InputError("give an .npz file to train on, or digits, or --resume RUN")
        settings = {name: value for kind in KINDS for name, value in options.chosen(kind, given).items()}
        cell = settings.pop("cell").strip()
        config = configured({"train": data, "valid": valid or "", "test": test or ""}, cell, settings)
        return out or Path("runs") / f"{Path(data).stem}-{config.model.cell}", config

    own = "its own data; leave the file out"
    folder, config = training.begin(context, processes, resume, TranscriptionConfig, given, (data, own), fresh)
    with owned(folder, processes):
        _train(folder, config, processes, json, fresh=resume is None)


def _train(folder: Path, config: TranscriptionConfig, processes: Processes, json: bool, *, fresh: bool) -> None:
    """Prepare, train and tell. Data that are refused leave no folder behind where the run is ``fresh``."""
    show = screen.TrainingScreen(config.model.cell, NATS)
    with screen.busy("preparing"):
        trainer = prepared(folder, config, processes, fresh=fresh, observer=show)

    def scored() -> dict[str, float]:
        run = TranscriberRun(folder)
        return {f"{part}_label_error": run.score(part).rate for part in ("valid", "test") if trainer.task.has(part)}

    training.follow(trainer, show, json, "carousel transcribe train", scored)


@app.command("corpus", epilog="Example: carousel transcribe corpus forms --content forms")
def corpus(
    folder: Annotated[Path, typer.Argument(help="Where to write; made where it is missing.", show_default=False)],
    train: Annotated[int, typer.Option(min=1, max=1_000_000, help="Strings to train on.")] = 4000,
    valid: Annotated[int, typer.Option(min=1, max=1_000_000, help="Strings for validation.")] = 500,
    test: Annotated[int, typer.Option(min=1, max=1_000_000, help="Strings for testing.")] = 1000,
    content: Annotated[str, options.option(ExamplesConfig, "content")] = "any",
    resolution: Annotated[int, options.option(ExamplesConfig, "resolution")] = 1,
    seed: options.Seed = 1,
) -> None:
    """Write strings of handwritten digits as .npz files, and what they say as text for a language model.

    Digits of training, validation and test are images of different writers: those of scikit-learn's set, side by side.
    """
    options.build(ExamplesConfig, {"content": content, "resolution": resolution})
    with files.owning(folder), screen.busy(f"writing {folder}"):
        for part, count in {"train": train, "valid": valid, "test": test}.items():
            made = digits.strings(part, count, seed, content, resolution)
            with files.replacing(folder / f"{part}.npz") as file:
                np.savez_compressed(file, inputs=made.images, lengths=made.widths, targets=np.array(made.texts))
            files.write(folder / f"{part}.txt", "".join(f"{line}\n" for line in made.texts))
    print(f"wrote {folder}: {train} strings to train on, {valid} for validation, {test} for testing")


@app.command("score", epilog="Example: carousel transcribe score runs/digits-lstm-v2 --beam 10")
def score(
    run: options.TranscriberRun,
    data: Rows = "test",
    beam: Beam = 1,
    lm: Language = None,
    alpha: Alpha = 1.0,
    beta: Beta = 0.0,
    others: options.Others = None,
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Print the label error rate: substitutions, insertions and deletions divided by the correct labels.

    Several runs are an ensemble: each finds transcriptions, and the one with the highest mean of log-probabilities is taken.
    """
    if threads:
        torch.set_num_threads(threads)
    reader = TranscriberRun(run)
    examples = reader.examples(data)
    with screen.counting("reading") as tick:
        found = reader.score(examples, tick=tick, beam=beam, language=lm, alpha=alpha, beta=beta, others=others or ())
    if json:
        how = {"beam": beam, "lm": lm and str(lm), "alpha": alpha, "beta": beta, "with": [str(other) for other in others or ()]}
        screen.print_json({**found.as_dict(), **how})
        return
    print(f"label error {100 * found.rate:.2f} % of {found.labels:,} labels")
    print(f"{found.substitutions:,} substitutions, {found.insertions:,} insertions, {found.deletions:,} deletions")
    print(f"exactly right: {found.exact:,} of {found.transcriptions:,} transcriptions")


@app.command("read", epilog="Example: carousel transcribe read runs/digits-lstm-v2 strings/test.npz --beam 10")
def read(
    run: options.TranscriberRun,
    file: Annotated[Path, typer.Argument(help="An .npz file with inputs and lengths.", show_default=False)],
    beam: Beam = 1,
    best: Annotated[int, typer.Option(min=1, help="Transcriptions of each input, best first; no more than --beam.")] = 1,
    lm: Language = None,
    alpha: Alpha = 1.0,
    beta: Beta = 0.0,
    others: options.Others = None,
    json: Annotated[bool, typer.Option("--json", help="A line of JSON each, with scores.")] = False,
) -> None:
    """Transcribe inputs: a line each. Of several transcriptions, each has its score before it."""
    if best > beam:
        raise InputError(f"a beam of {beam} cannot give the best {best}; give a larger --beam")
    reader = TranscriberRun(run)
    for found in reader.several(reader.inputs(file), reader.search(beam, lm, alpha, beta, others or ())):
        if json:
            screen.print_json([t.as_dict() for t in found[:best]])
        for t in () if json else found[:best]:
            print(f"{t.score:.4f}\t{t.text}" if best > 1 else t.text, flush=True)


@app.command("show", epilog="Example: carousel transcribe show runs/digits-lstm-v2 --number 3 --figure spikes.png")
def show(
    run: options.TranscriberRun,
    data: Rows = "test",
    number: Annotated[int, typer.Option(min=0, help="Which example, counted from 0.")] = 0,
    figure: options.Figure = None,
    beam: Beam = 1,
    lm: Language = None,
    alpha: Alpha = 1.0,
    beta: Beta = 0.0,
    json: options.Json = False,
) -> None:
    """Show where a transcriber sees each label of an example: the spikes of its probabilities over the input."""
    figures.check(figure)
    reader = TranscriberRun(run)
    examples = reader.examples(data)
    if number >= len(examples):
        raise InputError(f"there is no example {number}; {data} has {len(examples):,}, counted from 0")
    one = examples.rows([number])
    found = reader.spikes(one.inputs, one.ids(0), beam=beam, language=lm, alpha=alpha, beta=beta)
    if figure is not None:
        figures.save(reader.figure(found), figure)
    if json:
        screen.print_json(found.as_dict())
        return
    print(f"read as {found.text}, meant {found.meant}")
    rows = [
        {
            "label": p["label"],
            "from": str(p["begin"]),
            "up to": str(p["stop"]),
            "peak": str(p["peak"]),
            "probability": f"{p['probability']:.3f}",
        }
        for p in found.places
    ]
    if rows:
        screen.print_rows("steps of the input", rows, ["label"])
    if figure is not None:
        print(f"wrote {figure}")
