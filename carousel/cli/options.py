"""Options that several commands share, and what they mean to a run."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated

import typer

from carousel.errors import InputError
from carousel.layers import Clamp
from carousel.training.config import LARGEST, LARGEST_SIZE, MOST_LAYERS, MOST_THREADS

MODEL, TRAINING, TEXT = "Model", "Training", "Text"

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON; progress stays on standard error.")]
Figure = Annotated[Path | None, typer.Option(help="Write a figure there (.png, .pdf or .svg).", show_default=False)]
Run = Annotated[Path, typer.Argument(help="A run folder, as carousel train leaves it.", show_default=False)]
TranslatorRun = Annotated[Path, typer.Argument(help="A run folder, as carousel translate train leaves it.", show_default=False)]
Text = Annotated[str, typer.Argument(help="The text to read.", show_default=False)]
Layer = Annotated[int | None, typer.Option(min=0, help="Layer to show; the last by default.", show_default=False)]
ClampOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--clamp",
        help="Hold a valve: f=0, or units f[3,5]=0, from word to word f=0@4:9, in a layer 1/f=0; several times.",
        show_default=False,
    ),
]
Files = Annotated[list[Path] | None, typer.Argument(help="Text files to train on, UTF-8.", show_default=False)]
Valid = Annotated[
    list[Path] | None,
    typer.Option(help="Held-out text for validation; without it, the last tenth of the lines.", rich_help_panel=TEXT),
]
Test = Annotated[list[Path] | None, typer.Option(help="Held-out text for the end.", rich_help_panel=TEXT)]
Vocab = Annotated[str, typer.Option(help="Vocabulary: word, char or bpe.", rich_help_panel=TEXT)]
VocabSize = Annotated[
    int | None,
    typer.Option(
        max=LARGEST, help="Most entries of the vocabulary (all words or characters; 8000 byte pairs).", rich_help_panel=TEXT
    ),
]
Feed = Annotated[str, typer.Option(help="stream: one continuous text; sentences: one a row, padded.", rich_help_panel=TEXT)]
Layers = Annotated[int, typer.Option(min=1, max=MOST_LAYERS, help="Recurrent layers.", rich_help_panel=MODEL)]
Hidden = Annotated[int, typer.Option(min=1, max=LARGEST_SIZE, help="Units of a layer.", rich_help_panel=MODEL)]
Embedding = Annotated[
    int | None, typer.Option(min=1, max=LARGEST_SIZE, help="Size of e; --hidden's by default.", rich_help_panel=MODEL)
]
Projection = Annotated[
    int, typer.Option(min=0, max=LARGEST_SIZE, help="Size of a projected message (lstm-v4); 0: half.", rich_help_panel=MODEL)
]
Dropout = Annotated[float, typer.Option(help="Dropout on inputs, between layers and on outputs.", rich_help_panel=MODEL)]
DropoutInput = Annotated[float | None, typer.Option(help="Dropout on inputs, if other.", rich_help_panel=MODEL)]
DropoutOutput = Annotated[float | None, typer.Option(help="Dropout on outputs, if other.", rich_help_panel=MODEL)]
SameMask = Annotated[bool, typer.Option("--same-mask", help="One dropout mask for all steps of a row.", rich_help_panel=MODEL)]
Tied = Annotated[bool, typer.Option("--tied", help="Output weights are the embedding.", rich_help_panel=MODEL)]
Softmax = Annotated[
    str,
    typer.Option(help="Output layer: full, adaptive (rare words cheaper), sampled (cheaper to train).", rich_help_panel=MODEL),
]
Init = Annotated[str, typer.Option(help="Recurrent weights start uniform or orthogonal.", rich_help_panel=MODEL)]
ForgetBias = Annotated[float | None, typer.Option(help="Start the forget gate's bias there.", rich_help_panel=MODEL)]
LearnedInitial = Annotated[
    bool, typer.Option("--learned-initial", help="Learn the states before the first word.", rich_help_panel=MODEL)
]
BatchSize = Annotated[int, typer.Option(min=1, max=LARGEST, help="Rows of a batch.", rich_help_panel=TRAINING)]
Length = Annotated[
    int,
    typer.Option(
        min=0,
        max=LARGEST,
        help="Steps of truncated back-propagation; with sentences, where they are cut (0: never).",
        rich_help_panel=TRAINING,
    ),
]
Epochs = Annotated[int, typer.Option(min=1, max=LARGEST, help="Times the text is read, in all.", rich_help_panel=TRAINING)]
Optimizer = Annotated[str, typer.Option(help="adamw or sgd.", rich_help_panel=TRAINING)]
Rate = Annotated[float, typer.Option("--lr", help="Learning rate.", rich_help_panel=TRAINING)]
Momentum = Annotated[float, typer.Option(help="Of sgd.", rich_help_panel=TRAINING)]
WeightDecay = Annotated[float, typer.Option(help="Weight decay.", rich_help_panel=TRAINING)]
Warmup = Annotated[
    int, typer.Option(min=0, max=LARGEST, help="Steps in which the rate grows to --lr.", rich_help_panel=TRAINING)
]
Schedule = Annotated[
    str,
    typer.Option(
        help="cosine (to zero at the end), plateau (--decay when validation is no better), constant.",
        rich_help_panel=TRAINING,
    ),
]
Decay = Annotated[float, typer.Option(help="Factor of the rate on a plateau.", rich_help_panel=TRAINING)]
Clip = Annotated[float, typer.Option(min=0, help="Largest norm of the gradient; 0: no clipping.", rich_help_panel=TRAINING)]
Patience = Annotated[
    int,
    typer.Option(min=0, help="Stop after so many epochs without a better validation; 0: never.", rich_help_panel=TRAINING),
]
WatchGradients = Annotated[
    int,
    typer.Option(
        min=0,
        help="Every so many steps, measure how fast the error fades on its way back, and how often it is clipped; 0: never.",
        rich_help_panel=TRAINING,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        help="Of products in training: float32, or bfloat16 (autocast), faster where there is hardware for it.",
        rich_help_panel=TRAINING,
    ),
]
LARGEST_SEED = 2**63 - 1
Seed = Annotated[
    int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of weights, dropout and order.", rich_help_panel=TRAINING)
]
Threads = Annotated[int, typer.Option(min=0, max=MOST_THREADS, help="Threads; 0: PyTorch's choice.", rich_help_panel=TRAINING)]
LogEvery = Annotated[
    int, typer.Option(min=1, max=LARGEST, help="Steps between lines of metrics.jsonl.", rich_help_panel=TRAINING)
]
SaveEvery = Annotated[float, typer.Option(min=0, help="Seconds between checkpoints.", rich_help_panel=TRAINING)]


def is_given(context: typer.Context, name: str) -> bool:
    """Whether the option stands on the command line, and is no default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def refuse_beside_resume(context: typer.Context) -> None:
    """Raise InputError for an option that --resume would ignore."""
    for option in context.command.params:
        if option.name and option.name not in ("resume", "epochs", "json") and is_given(context, option.name):
            name = next((o for o in option.opts if o.startswith("--")), option.opts[0])
            raise InputError(f"--resume continues a run with its own settings; leave {name} out (--epochs may be raised)")


CLAMP = re.compile(r"(?:(\d+)/)?(\w+)(?:\[([\d,\s]+)\])?=([-+.\deE]+)(?:@(\d*):(\d*))?")


def clamps(given: list[str] | None) -> list[Clamp]:
    """``--clamp``'s values. Raises InputError for one that cannot be read."""
    found = []
    for text in given or ():
        match = CLAMP.fullmatch(text.strip())
        try:
            if match is None:
                raise ValueError
            layer, name, units, value, begin, end = match.groups()
            chosen = None if units is None else tuple(int(u) for u in units.split(","))
            if not math.isfinite(float(value)) or (begin and end and int(end) <= int(begin)):
                raise ValueError
            number = None if layer is None else int(layer)
            found.append(Clamp(name, float(value), chosen, int(begin or 0), int(end) if end else None, number))
        except ValueError:
            raise InputError(f"--clamp takes f=0, f[3,5]=0, f=0@4:9 (from 4 up to 9) or 1/f=0, not {text!r}") from None
    return found


def layer_number(layer: int | None, layers: int) -> int:
    """The layer to show, the last by default. Raises InputError where there is none of that number."""
    if layer is not None and layer >= layers:
        raise InputError(f"there is no layer {layer}; layers are 0 to {layers - 1}")
    return layers - 1 if layer is None else layer
