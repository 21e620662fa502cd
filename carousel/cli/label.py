"""``carousel label``: train a labeller, score it, label with it."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from carousel import files
from carousel.cli import commands, options, screen, training
from carousel.corpora import listops, python_source, uea
from carousel.errors import InputError
from carousel.insight import figures
from carousel.labelling.config import LabellingConfig, LabelsConfig, LabelTraining
from carousel.labelling.folder import PARTS
from carousel.labelling.model import LabellerConfig
from carousel.labelling.reading import Labelled, in_brackets, is_table, sentences, shaped
from carousel.labelling.score import LabelScore, have_spans
from carousel.labelling.task import NATS
from carousel.labelling.trees import written
from carousel.runs.labeller import KINDS, LabellerRun, Labels, configured, prepared
from carousel.runs.making import owned
from carousel.training.processes import Processes

EXAMPLE = "Example: carousel label train source/train.txt --valid source/valid.txt --bidirectional"
CORPORA = {  # what they consist of, and of which steps
    "python-source": ("functions", "tokens"),
    "listops": ("expressions", "tokens"),
    **{name: (f"{of.sequence}s", "steps") for name, of in uea.SETS.items()},
}
MOST_COLUMNS = 12  # labels, up to which the whole confusion table is printed

app = commands.Commands(no_args_is_help=True, help="Train a labeller, one label a step or a sequence; score it; label with it.")


def _held_out(help: str) -> Any:
    return typer.Option(help=help, rich_help_panel=LabelsConfig.group, show_default=False)


@app.command("train", epilog=EXAMPLE)
@options.made_from(LabelsConfig, LabellerConfig, LabelTraining)
def train(
    context: typer.Context,
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILES...",
            help="Text with tags, or tables (.csv, .npz, .parquet) with a column of labels.",
            show_default=False,
        ),
    ] = None,
    valid: Annotated[list[Path] | None, _held_out("Files to validate on; without them, a tenth of the sequences.")] = None,
    test: Annotated[list[Path] | None, _held_out("Files for the end.")] = None,
    out: Annotated[Path | None, training.out("FILE")] = None,
    resume: options.Resume = None,
    json: options.Json = False,
    **given: Any,
) -> None:
    """Train a labeller: a label for each step of a sequence, or with --whole one for the whole.

    Text has one token a line, the tag in its last column, and an empty line between sentences. Of a table, --label names the
    column of the labels, --sequence the one that says which rows are one sequence. Ctrl-C stops the training so that --resume
    can continue.
    """
    processes = Processes()

    def fresh() -> tuple[Path, LabellingConfig]:
        if not data:
            raise InputError("give a file to train on, or --resume RUN")
        settings = {name: value for kind in KINDS for name, value in options.chosen(kind, given).items()}
        cell = settings.pop("cell").strip()
        config = configured({"train": data, "valid": valid or (), "test": test or ()}, cell, settings)
        return out or Path("runs") / f"{data[0].stem}-{config.model.cell}", config

    own = "its own data; leave the files out"
    folder, config = training.begin(context, processes, resume, LabellingConfig, given, (data, own), fresh)
    with owned(folder, processes):
        show = screen.TrainingScreen(config.model.cell, NATS)
        with screen.busy("preparing"):
            trainer = prepared(folder, config, processes, fresh=resume is None, observer=show)

        def scored() -> dict[str, float]:
            run = LabellerRun(folder)
            found: dict[str, float] = {}
            for part in PARTS[1:]:
                if trainer.task.has(part):
                    score = run.score(part)
                    found |= {f"{part}_accuracy": score.accuracy, f"{part}_macro_f1": score.macro_f1}
            return found

        training.follow(trainer, show, json, "carousel label train", scored)


@app.command("score", epilog="Example: carousel label score runs/train-lstm-v2 source/test.txt --figure confusion.png")
def score(
    run: options.LabellerRun,
    data: Annotated[str, typer.Argument(help="A file as those of the training; or the run's own data: valid, test.")] = "test",
    figure: options.Figure = None,
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Print accuracy and F1, of each label and together, and which labels are mistaken for which."""
    figures.check(figure)
    if threads:
        torch.set_num_threads(threads)
    labeller = LabellerRun(run)
    with screen.counting("labelling") as tick:
        found = labeller.score(data, tick)
    if figure is not None:
        figures.save(labeller.figure(found), figure)
    if have_spans(found.labels) and found.spans is None:
        screen.err.print("whole spans are not scored: pip install 'carousel-rnn[labels]'")
    if json:
        screen.print_json({"run": str(run), "data": data, **found.as_dict()})
        return
    _print(found)
    if figure is not None:
        print(f"wrote {figure}")


def _print(found: LabelScore) -> None:
    shares = {"precision": lambda q: q.precision, "recall": lambda q: q.recall, "F1": lambda q: q.f1}
    rows = [
        {"label": label} | {name: f"{100 * of(q):.2f}" for name, of in shares.items()} | {"count": f"{q.count:,}"}
        for label, q in sorted(found.each.items(), key=lambda item: -item[1].count)
    ]
    screen.print_rows("", rows, ("label",))
    if len(found.labels) <= MOST_COLUMNS:
        table = [
            {"right \\ found": label} | {other: f"{n:,}" for other, n in zip(found.labels, counts, strict=True)}
            for label, counts in zip(found.labels, found.confusion.tolist(), strict=True)
        ]
        screen.print_rows("confusion", table, ("right \\ found",))
    elif wrong := found.mistakes():
        screen.print_rows(
            "most frequent mistakes", [{"right": a, "found": b, "times": f"{n:,}"} for a, b, n in wrong], ("right", "found")
        )
    print(f"accuracy     {100 * found.accuracy:.2f} % of {found.count:,}")
    print(f"macro F1     {100 * found.macro_f1:.2f} %")
    print(f"weighted F1  {100 * found.weighted_f1:.2f} %")
    if found.spans:
        print(f"F1 of spans  {100 * found.spans.f1:.2f} % of {found.spans.count:,}")


@app.command("predict", epilog="Example: carousel label predict runs/train-lstm-v2 tokens.txt > tagged.txt")
def predict(
    run: options.LabellerRun,
    file: Annotated[
        Path | None,
        typer.Argument(help="A file as those of the training, labels or not; else standard input.", show_default=False),
    ] = None,
    json: options.Json = False,
) -> None:
    """Label sequences: of text, a token and its tag a line, each sentence as soon as it has ended; of a table, CSV.

    With --json there is a line for each sequence, with labels and their probabilities.
    """
    labeller = LabellerRun(run)
    table = bool(labeller.names.columns)
    if table and file is None:
        raise InputError(f"{run} was trained on tables; give one")
    if file is not None and is_table(file) == table:
        given: Iterator[Labelled] = iter(labeller.read(file, known=False))
    elif file is not None:
        raise InputError(f"{file} cannot be read by {run}, which was trained on {'a table' if table else 'text'}")
    elif form := labeller.config.data.form:
        trees = in_brackets(commands.standard_input(), "standard input", form, known=False)
        given = (shaped(tree, labeller.config.model) for tree in trees)
    else:
        given = sentences(commands.standard_input(), "standard input", known=False)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if table and not json:
        writer.writerow(["sequence", *([] if labeller.config.model.whole else ["step"]), "label", "probability"])
    for sequence in given:
        (found,) = labeller.predict([sequence])
        if json:
            tokens = {} if table else {"tokens": list(sequence.steps)}
            screen.print_json(
                {
                    "sequence": sequence.name or sequence.place,
                    **tokens,
                    "labels": found.labels,
                    "probabilities": found.probabilities,
                }
            )
        elif table:
            writer.writerows(_table_rows(found, sequence.name, labeller.config.model.whole))
        elif labeller.config.model.whole:
            print(found.labels[0], flush=True)
        elif sequence.parents is not None:
            print(written(list(sequence.steps), found.labels, sequence.parents.tolist()), flush=True)
        else:
            print("".join(f"{token}\t{label}\n" for token, label in zip(sequence.steps, found.labels, strict=True)), flush=True)


def _table_rows(found: Labels, name: str, whole: bool) -> Iterator[list[object]]:
    for step, (label, chance) in enumerate(zip(found.labels, found.probabilities, strict=True), 1):
        yield [name, *([] if whole else [step]), label, chance]


@app.command(
    "show", epilog='Example: carousel label show runs/ops "( ( ( [MAX 2 ) 9 ) ] )" --name h --unit 3 --figure tree.png'
)
def show(
    run: options.LabellerRun,
    tree: Annotated[str, typer.Argument(help="A tree in brackets, as those of the training.", show_default=False)],
    name: Annotated[str, typer.Option(help="A gate or state of the cell; with --unit.", show_default=False)] = "",
    unit: Annotated[int | None, typer.Option(min=0, help="Which unit of it is shown, from 0.", show_default=False)] = None,
    figure: options.Figure = None,
    json: options.Json = False,
) -> None:
    """Show a tree as a labeller reads it: the label that the output layer finds at each node, and the value of a unit.

    Of a run that was trained with --whole, the labels below the root are what the output layer makes of parts of the tree.
    """
    figures.check(figure)
    if bool(name) != (unit is not None):
        raise InputError(f"`name` and `unit` go together; {'say which unit' if name else 'name a gate or state'}")
    labeller = LabellerRun(run)
    view = labeller.view(tree, name)
    rows = view.as_dict(unit)["nodes"]
    if figure is not None:
        figures.save(labeller.tree_figure(view, unit), figure)
    if json:
        screen.print_json({"run": str(run), "nodes": rows})
        return
    quantity = f"{name}[{unit}]"
    table = [
        {"node": "  " * depth + (row["token"] or "·"), "label": row["label"], "probability": f"{row['probability']:.3f}"}
        | ({quantity: f"{row[quantity]:.3f}"} if name else {})
        for depth, row in zip(view.depths, rows, strict=True)
    ]
    screen.print_rows("", table, ("node", "label"))
    if figure is not None:
        print(f"wrote {figure}")


def _count(help: str) -> Any:
    return typer.Option(min=1, max=1_000_000, help=help, show_default=False)


@app.command("corpus", epilog="Example: carousel label corpus python-source source")
def corpus(
    name: Annotated[str, typer.Argument(help=f"{' or '.join(CORPORA)}.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="Where to write; made where it is missing.", show_default=False)],
    train: Annotated[int | None, _count("Functions or expressions to train on; by default 4 000 or 90 000.")] = None,
    valid: Annotated[int | None, _count("Functions or expressions for validation; by default 500 or 2 000.")] = None,
    test: Annotated[int | None, _count("Functions or expressions for testing; by default 1 000 or 10 000.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the expressions.")] = 1,
) -> None:
    """Write a corpus: the source of Python's library with tags, ListOps, or series that sktime or aeon carries.

    python-source has functions of whole modules, a token, its class and the enclosing construct a line; --tag-column 2 of
    carousel label train takes the class. listops has nested operations on digits, a value and a tree a line, for --trees plain
    --whole. japanese-vowels has utterances of nine speakers as tables, basic-motions four motions recorded by a watch.
    """
    if name not in CORPORA:
        raise InputError(f"there is no corpus {name!r}; there are {', '.join(CORPORA)}")
    counts = {part: n for part, n in zip(PARTS, (train, valid, test), strict=True) if n is not None}
    if counts and name in uea.SETS:
        raise InputError(f"{name} is a set of its own size; leave --{next(iter(counts))} out")
    with files.owning(folder), screen.busy(f"writing {folder}"):
        if name == "python-source":
            counted = python_source.write(folder, python_source.COUNTS | counts)
        elif name == "listops":
            counted = listops.write(folder, listops.COUNTS | counts, seed)
        else:
            counted = uea.write(name, folder)
    sequences, steps = CORPORA[name]
    for part, (n, length) in counted.items():
        print(f"{part}: {n:,} {sequences}, {length:,} {steps}")
