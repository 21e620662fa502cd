"""``carousel score``: how well a model, or several together, know a text."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from carousel.cli import options, screen
from carousel.errors import InputError
from carousel.language.adaptation import STATIC, Adaptation, adaptation
from carousel.language.score import Score
from carousel.layers.precision import PRECISIONS
from carousel.runs.ensemble import Ensemble
from carousel.runs.language import LanguageRun

EXAMPLE = "Example: carousel score runs/book-lstm-v2 other.txt --dynamic --cache 2000"


@options.made_from(Adaptation)
def command(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="A run folder, as carousel train leaves it; several are an ensemble.", show_default=False
        ),
    ],
    file: Annotated[Path, typer.Argument(help="A text file, UTF-8.", show_default=False)],
    words: Annotated[bool, typer.Option("--words", help="Print each word's surprisal in bits.")] = False,
    mean: Annotated[
        bool, typer.Option("--mean", help="Of several runs of one shape, score the mean of their weights as well.")
    ] = False,
    precision: Annotated[
        str, typer.Option(help=f"Precision of the weights, as in an export: {', '.join(PRECISIONS)}.")
    ] = "float32",
    json: options.Json = False,
    **given: Any,
) -> None:
    """Print perplexity, bits per character and share of unknown words of a text.

    The text is read as the model was trained: in one piece, or each sentence on its own. Scores of a model that adapts to the
    text, or of several models together, stand beside the static score of each model.
    """
    how = options.chosen(Adaptation, given)
    if words and (adaptation(how).asked or len(runs) > 1):
        raise InputError("--words tells the surprisals of one model as it is; leave it out, or the other runs and options")
    if mean and len(runs) == 1:
        raise InputError("--mean takes the mean of several runs' weights, and there is one run")
    ensemble = Ensemble([LanguageRun(run).rounded(precision) for run in runs])
    if words:
        print_words(ensemble, file, json)
        return
    with ExitStack() as stack:
        with screen.preparing() as tick:
            corpus = stack.enter_context(ensemble.runs[0].encoded(file, lambda n: tick("reading", n)))
        with screen.activities() as told:
            found = ensemble.score(corpus, mean=mean, told=told, **how)
    scored = [(str(run), member) for run, member in zip(runs, found.members, strict=True)]
    if json and len(runs) == 1:
        screen.print_json({"run": str(runs[0]), "file": str(file), **found.members[0].as_dict()})
    elif json:
        screen.print_json({"runs": [name for name, _ in scored], "file": str(file), **found.as_dict()})
    elif len(runs) == 1 and not found.members[0].adapted:
        print(f"perplexity          {screen.perplexity(found.perplexity)}")
        print(f"bits per character  {found.bits_per_character:.4f}")
    else:
        scored += [] if found.of_mean is None else [("mean of their weights", found.of_mean)]
        print_table(scored + ([("all together", found)] if len(runs) > 1 else []), alone=len(runs) == 1)
    if not json:
        print(f"unknown words       {found.unknown:,} of {found.tokens:,} ({found.unknown_rate:.2%})")


def print_table(scored: list[tuple[str, Score]], alone: bool) -> None:
    """Print a line for each score, the static one of each model first."""
    rows = []
    for name, score in scored:
        for k, (way, found) in enumerate({STATIC: score, **score.adapted}.items()):
            values = {
                "perplexity": screen.perplexity(found.perplexity),
                "bits per character": f"{found.bits_per_character:.4f}",
            }
            rows.append({"model": "" if k else name, "evaluation": way, **values})
    columns = {"model": "left", "evaluation": "left", "perplexity": "right", "bits per character": "right"}
    if alone:
        del columns["model"]
    screen.out.print(screen.table("", columns, rows))


def print_words(ensemble: Ensemble, file: Path, json: bool) -> None:
    """Print the surprisal of each token, a line of text after the other."""
    for line in ensemble.runs[0].surprisals(file):
        if json:
            screen.print_json([{"word": w, "bits": round(b, 4), "known": known} for w, b, known in line])
        else:
            print("\n".join(f"{b:8.3f}  {w}{'' if known else '  (unknown)'}" for w, b, known in line), end="\n\n")
