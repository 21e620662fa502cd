"""``carousel score``: how well a model knows a text."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from carousel.cli import options, screen
from carousel.runs.language import LanguageRun

EXAMPLE = "Example: carousel score runs/book-lstm-v2 other.txt --words"


def command(
    run: options.Run,
    file: Annotated[Path, typer.Argument(help="A text file, UTF-8.", show_default=False)],
    words: Annotated[bool, typer.Option("--words", help="Print each word's surprisal in bits.")] = False,
    json: options.Json = False,
) -> None:
    """Tell perplexity, bits per character and share of unknown words of a text.

    The text is read as the model was trained: in one piece, or each sentence on its own.
    """
    model = LanguageRun(run)
    if words:
        for line in model.surprisals(file):
            if json:
                screen.print_json([{"word": w, "bits": round(b, 4), "known": known} for w, b, known in line])
            else:
                print("\n".join(f"{b:8.3f}  {w}{'' if known else '  (unknown)'}" for w, b, known in line), end="\n\n")
        return
    with ExitStack() as stack:
        with screen.preparing() as tick:
            corpus = stack.enter_context(model.encoded(file, lambda n: tick("reading", n)))
        with screen.counting("scoring") as tick:
            found = model.score(corpus, tick=tick)
    if json:
        screen.print_json({"run": str(run), "file": str(file), **found.as_dict()})
        return
    print(f"perplexity          {found.perplexity:.2f}")
    print(f"bits per character  {found.bits_per_character:.4f}")
    print(f"unknown words       {found.unknown:,} of {found.tokens:,} ({found.unknown_rate:.2%})")
