"""``carousel translate``: train a translator, use it, score it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from typer.core import TyperGroup

from carousel import files
from carousel.cli import commands, options, screen, training
from carousel.corpora import czech
from carousel.corpora.czech_pairs import read_pairs
from carousel.errors import InputError
from carousel.language.task import PERPLEXITY
from carousel.runs.making import made, of_cell, owned, prepared
from carousel.runs.translator import TranslatorRun
from carousel.text.lines import check_file
from carousel.training.processes import Processes
from carousel.translation import score as scoring
from carousel.translation.config import PairsConfig, PairTraining, TranslationConfig
from carousel.translation.czech_genders import genders as count_genders
from carousel.translation.model import Translator, TranslatorConfig
from carousel.translation.prepare import prepare
from carousel.translation.recipes import RECIPES
from carousel.translation.task import TranslationTask
from carousel.translation.translate import LONGEST, Interpreter

EXAMPLE = "Example: carousel translate train talks.en talks.cs --attention general --bidirectional"
OTHERWISE = "run"  # the command that is meant where none is named


class Group(TyperGroup):
    """Commands by name; anything else is a run folder to translate with."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Resolve as Typer does, with the command that may be left out."""
        return super().resolve_command(ctx, args if args[0] in self.commands else [OTHERWISE, *args])


app = commands.Commands(
    cls=Group,
    no_args_is_help=True,
    help="Train a translator, score it, and translate: carousel translate RUN, a line in, a line out.",
)


def two(help: str) -> Any:
    """Return the option that takes a source and a target."""
    return typer.Option(help=help, rich_help_panel=PairsConfig.group, show_default=False)


@app.command("train", epilog=EXAMPLE)
@options.made_from(PairsConfig, TranslatorConfig, PairTraining)
def train(
    context: typer.Context,
    source: Annotated[Path | None, typer.Argument(help="Sentences, one a line, UTF-8.", show_default=False)] = None,
    target: Annotated[Path | None, typer.Argument(help="Their translations, line by line.", show_default=False)] = None,
    valid: Annotated[
        tuple[Path, Path] | None, two("Source and target to validate on; without them, the last tenth of the pairs.")
    ] = None,
    test: Annotated[tuple[Path, Path] | None, two("Source and target for the end.")] = None,
    out: Annotated[Path | None, training.out("SOURCE")] = None,
    resume: options.Resume = None,
    recipe: options.Recipe = None,
    json: options.Json = False,
    **given: Any,
) -> None:
    """Train a translator on two files whose lines are translations of each other.

    Ctrl-C stops it so that --resume can continue. Several processes: torchrun --nproc-per-node 2 -m carousel translate train …
    """
    processes = Processes()

    def fresh() -> tuple[Path, TranslationConfig]:
        if source is None or target is None:
            raise InputError("give two files, the source and the target, or --resume RUN")
        config = _configure(given, (source, target), valid, test, options.recipe_settings(context, RECIPES, recipe))
        return out or Path("runs") / f"{source.stem}-{config.model.cell}", config

    own = "its own texts; leave the files out"
    folder, config = training.begin(context, processes, resume, TranslationConfig, given, (source, own), fresh)
    with owned(folder, processes):
        _train(folder, config, processes, json, fresh=resume is None)


def _train(folder: Path, config: TranslationConfig, processes: Processes, json: bool, *, fresh: bool) -> None:
    """Prepare, train and tell. A text that is refused leaves no folder behind where the run is ``fresh``."""
    counts: dict[str, dict[str, int]] = {}

    def prepare_pairs() -> None:
        with screen.preparing() as tick:
            counts.update(prepare(folder, config, tick))

    show = screen.TrainingScreen(config.model.cell, PERPLEXITY)
    trainer = prepared(folder, config, processes, TranslationTask, prepare_pairs, fresh=fresh, observer=show)
    if processes.first:
        _tell(counts, config.text.longest)
    training.follow(trainer, show, json, "carousel translate train")


@app.command("corpus", epilog="Example: carousel translate corpus pairs --train 60000")
def corpus(
    folder: Annotated[Path, typer.Argument(help="Where to write; made where it is missing.", show_default=False)],
    train: Annotated[int, typer.Option(min=1, help="Pairs to train on.")] = 60000,
    valid: Annotated[int, typer.Option(min=1, help="Pairs for validation.")] = 1000,
    test: Annotated[int, typer.Option(min=1, help="Pairs for testing.")] = 2000,
    seed: options.Seed = 1,
) -> None:
    """Write English sentences and their Czech translations in which the subject decides forms much later.

    Beside each text stands a JSONL file: each English word's labels (gender, number, capital letter, tense), and the
    Czech words that agree, with the right form and a wrong one. Test subjects and predicates were never together in training.
    """
    with files.owning(folder), screen.busy(f"writing {folder}"):
        czech.write(folder, train, valid, test, seed)
    print(f"wrote {folder}: {train} pairs to train on, {valid} for validation, {test} for testing")


MOST_ROWS = 1 << 16  # hypotheses or lines: more is never meant
Beam = Annotated[int, typer.Option(min=1, max=MOST_ROWS, help="Number of hypotheses; 1: greedy.")]
Alpha = Annotated[float, typer.Option(min=0, max=10, help="Translations are ranked by log p / length to this power.")]
Longest = Annotated[int, typer.Option(min=2, help="Tokens read from a line; a message tells of the rest.")]


@app.command(OTHERWISE, epilog='Example: carousel translate runs/talks-lstm-v2 --text "I am a boy"')
def run(
    run: options.TranslatorRun,
    text: Annotated[str | None, typer.Option(help="Translate this; otherwise standard input.", show_default=False)] = None,
    beam: Beam = 5,
    best: Annotated[int, typer.Option(min=1, help="Translations of each line, best first; no more than --beam.")] = 1,
    alpha: Alpha = 1.0,
    rows: Annotated[
        int, typer.Option(min=1, max=MOST_ROWS, help="Lines translated together; 1: each line as soon as it comes.")
    ] = 1,
    longest: Longest = LONGEST,
    others: options.Others = None,
    json: Annotated[bool, typer.Option("--json", help="A line of JSON each, with scores and attention.")] = False,
) -> None:
    """Translate: a line in, a line out; "run" may be left out. Of several translations, each has its score before it.

    Several runs are an ensemble: the probability of a token is the mean of theirs; attention is the first run's.
    """
    if best > beam:
        raise InputError(f"a beam of {beam} cannot give the best {best}; give a larger --beam")
    interpreter = _interpreter(run, beam=beam, best=best, alpha=alpha, attention=json, longest=longest, others=others or ())
    source = text.split("\n") if text is not None else commands.standard_input()
    for found in interpreter.lines(source, rows):
        if json:
            screen.print_json([t.as_dict() for t in found])
        for t in () if json else found:
            print(f"{t.score:.4f}\t{t.text}" if best > 1 else t.text, flush=True)


def _interpreter(folder: Path, **how: Any) -> Interpreter:
    def told(number: int, tokens: int) -> None:
        screen.err.print(f"line {number} has {tokens:,} tokens; only the first {how['longest']:,} are read")

    return TranslatorRun(folder).interpreter(told=told, **how)


@app.command("score", epilog="Example: carousel translate score runs/talks-lstm-v2 test.en test.cs")
def score(
    run: options.TranslatorRun,
    source: Annotated[Path, typer.Argument(help="Sentences to translate.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="Their reference translations.", show_default=False)],
    labels: Annotated[
        Path | None,
        typer.Option(help="JSONL that carousel translate corpus wrote beside them: score agreement.", show_default=False),
    ] = None,
    genders: Annotated[
        bool, typer.Option("--genders", help="English to Czech: count gender on sentences with man, boy, woman or girl.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the translations to this file.", show_default=False)
    ] = None,
    beam: Beam = 5,
    alpha: Alpha = 1.0,
    rows: Annotated[int, typer.Option(min=1, max=MOST_ROWS, help="Lines translated together.")] = 64,
    longest: Longest = LONGEST,
    others: options.Others = None,
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Score translations by BLEU and chrF, cased and detokenised, by sacrebleu, with its signatures; and by exact matches.

    Several runs are an ensemble: the probability of a token is the mean of theirs.
    """
    if threads:
        torch.set_num_threads(threads)
    if out is not None:
        files.check(out)
    given, references = scoring.read_aligned(source, target)
    pairs = None if labels is None else read_pairs(labels)
    if pairs is not None and [p.text for p in pairs] != given:
        raise InputError(f"{labels} does not belong to {source}: its sentences are others")
    interpreter = _interpreter(run, beam=beam, alpha=alpha, longest=longest, others=others or ())
    begun = time.monotonic()
    with screen.counting("translating") as tick:
        outputs = scoring.translate_all(interpreter, given, rows, tick)
    found = scoring.score(outputs, references)
    agreed = {} if pairs is None else scoring.agreement(pairs, outputs)
    counted = [count_genders(given, t) for t in (outputs, references)] if genders else []
    if out is not None:
        files.write(out, "".join(o + "\n" for o in outputs))
    if json:
        how = {"beam": beam, "alpha": alpha, "with": [str(other) for other in others or ()]}
        row = {**found.as_dict(), **how, "seconds": round(time.monotonic() - begun, 2)}
        row |= {"agreement": {k: a.as_dict() for k, a in agreed.items()}} if agreed else {}
        screen.print_json(row | dict(zip(("genders", "genders_of_reference"), (g.as_dict() for g in counted), strict=False)))
        return
    print(f"BLEU {found.bleu:.2f}  {found.signatures[0]}")
    print(f"chrF {found.chrf:.2f}  {found.signatures[1]}")
    print(f"exactly as the reference: {100 * found.exact:.2f} % of {found.lines:,} lines")
    if agreed:
        columns = {"words that agree": "left"} | dict.fromkeys(("right", "another form", "not there", "share"), "right")
        table = [
            dict(zip(columns, (k, f"{a.right:,}", f"{a.wrong:,}", f"{a.missing:,}", f"{100 * a.share:.2f} %"), strict=True))
            for k, a in agreed.items()
        ]
        screen.out.print(screen.table("", columns, table))
    for what, g in zip(("translations", "references"), counted, strict=False):
        print(
            f"{what} of {g.sentences} sentences with a man, boy, woman or girl: {g.same} name one of that gender, "
            f"{g.other} of the other, {g.none} neither; of the words beside, {g.right} agree and {g.wrong} do not"
        )


def _configure(
    given: dict[str, Any],
    train: tuple[Path, Path],
    valid: tuple[Path, Path] | None,
    test: tuple[Path, Path] | None,
    otherwise: dict[str, Any],
) -> TranslationConfig:
    """Return a configuration as :func:`carousel.cli.train.configure` does, of a translator."""
    settings = {name: value for kind in options.TRANSLATION for name, value in options.chosen(kind, given).items()} | otherwise
    pairs = {"train": train, "valid": valid, "test": test}
    texts = {name: [str(p.absolute()) for p in paths or ()] for name, paths in pairs.items()}
    config = TranslationConfig(
        made(PairsConfig, settings | texts), made(TranslatorConfig, settings), made(PairTraining, settings)
    )
    for path in (*config.text.train, *config.text.valid, *config.text.test):
        check_file(Path(path))
    network = of_cell(config.model, commands.cell(config.model.cell), lambda c: Translator(2, 2, c))
    return replace(config, model=network)


def _tell(counts: dict[str, dict[str, int]], longest: int) -> None:
    for name, n in counts.items():
        reasons = [f"{n['empty']:,} with an empty side"] * bool(n["empty"])
        reasons += [f"{n['long']:,} with more than {longest} tokens"] * bool(n["long"])
        if reasons:
            screen.err.print(f"{name}: {n['pairs']:,} pairs; left out are {' and '.join(reasons)}")
