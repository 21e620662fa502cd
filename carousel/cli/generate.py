"""``carousel generate``: let a model write."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from carousel.cli import options, screen
from carousel.runs.language import LanguageRun
from carousel.training.config import TrainConfig

EXAMPLE = 'Example: carousel generate runs/book-lstm-v2 --prompt "The" --temperature 0.8 -n 50'


def command(
    run: options.Run,
    prompt: Annotated[str, typer.Option(help="Text to continue.")] = "",
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Tokens to write.")] = 100,
    temperature: Annotated[float, typer.Option(help="Below 1: safer; above 1: more random; 0: always the likeliest.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Choose among the k likeliest; 0: all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Choose among the likeliest tokens whose probabilities sum to this.")] = 1.0,
    seed: Annotated[int | None, options.option(TrainConfig, "seed", "Seed; the same seed gives the same text.")] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Stop at the end of the line.")] = False,
    clamp: options.ClampOptions = None,
    json: options.Json = False,
) -> None:
    """Generate text with a trained model, printed word by word."""
    model = LanguageRun(run)
    begun = time.monotonic()
    pieces = model.pieces(
        prompt,
        count,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        stop_at_end=stop,
        clamp=options.clamps(clamp),
    )
    if unknown := model.unknown(prompt):
        screen.err.print(f"the model does not know {', '.join(unknown)}, and reads <unk> there")
    if json:
        text = "".join(pieces)
        screen.print_json({"prompt": prompt, "text": text, "seconds": round(time.monotonic() - begun, 3)})
        return
    print(prompt, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()
