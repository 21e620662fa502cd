"""Options that several commands share, and their meaning for a run."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from carousel.cli.commands import FLAGS, with_flags
from carousel.errors import InputError
from carousel.forecasting.config import ForecasterConfig, SeriesConfig, WindowTraining
from carousel.labelling.config import LabelsConfig, LabelTraining
from carousel.labelling.model import LabellerConfig
from carousel.language.config import TextConfig
from carousel.language.model import ModelConfig
from carousel.layers import Clamp
from carousel.training.config import TrainConfig
from carousel.training.fields import Setting, Settings, settings
from carousel.training.recipes import Recipes
from carousel.transcription.config import ExamplesConfig, TranscriptionTraining
from carousel.transcription.model import TranscriberConfig
from carousel.translation.config import PairsConfig, PairTraining
from carousel.translation.model import TranslatorConfig
from carousel.tuning.axes import opposite

SIZES = int | list[int]  # one for all layers, or one for each
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON; progress stays on standard error.")]
Figure = Annotated[Path | None, typer.Option(help="Write a figure to this file (.png, .pdf or .svg).", show_default=False)]
Run = Annotated[
    Path,
    typer.Argument(
        help="A run folder, as carousel train leaves it; RUN@400: with the weights of step 400 (--keep-every).",
        show_default=False,
    ),
]
TranslatorRun = Annotated[Path, typer.Argument(help="A run folder, as carousel translate train leaves it.", show_default=False)]
TranscriberRun = Annotated[
    Path, typer.Argument(help="A run folder, as carousel transcribe train leaves it.", show_default=False)
]
LabellerRun = Annotated[Path, typer.Argument(help="A run folder, as carousel label train leaves it.", show_default=False)]
Others = Annotated[
    list[Path] | None,
    typer.Option(
        "--with", metavar="RUN", help="Another run, for an ensemble with the first; repeat it for more.", show_default=False
    ),
]
Text = Annotated[str, typer.Argument(help="The text to read.", show_default=False)]
Annotations = Annotated[
    Path | None, typer.Option(help="Labels for each word of the text (.jsonl), shown beside it.", show_default=False)
]
Layer = Annotated[int | None, typer.Option(min=0, help="Layer to show; the last by default.", show_default=False)]
ClampOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--clamp",
        help="Hold a valve: f=0, or units f[3,5]=0, from word to word f=0@4:9, in a layer 1/f=0; several times.",
        show_default=False,
    ),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        help="Settings by name (carousel recipes), or a .toml file; other options override it (--no-tied turns off).",
        show_default=False,
    ),
]
Files = Annotated[list[Path] | None, typer.Argument(help="Text files to train on, UTF-8.", show_default=False)]
Valid = Annotated[
    list[Path] | None,
    typer.Option(
        help="Held-out text for validation; without it, the last tenth of the lines.", rich_help_panel=TextConfig.group
    ),
]
Test = Annotated[
    list[Path] | None, typer.Option(help="Held-out text to score when training ends.", rich_help_panel=TextConfig.group)
]
Resume = Annotated[
    Path | None, typer.Option(help="Continue the run in this folder; beside it, --epochs may be raised.", show_default=False)
]


def flags(kind: type) -> dict[str, str]:
    """Return the options of a configuration's fields, by the fields' names."""
    return {name: about.option or f"--{name.replace('_', '-')}" for name, about in settings(kind).items() if about.help}


def option(kind: type, name: str, help: str | None = None, *, switch: bool = False) -> Any:
    """Return the option that sets a field of a configuration; ``help`` where a command means something else by it.

    A ``switch`` has an opposite, for what a recipe turns on.
    """
    about, known = settings(kind)[name], flags(kind)
    closed = about.above is about.below is None  # Typer knows no other range
    return typer.Option(
        f"{known[name]}/{opposite(known[name])}" if switch else known[name],
        help=with_flags(help or about.help, known),
        min=about.least if closed else None,
        max=about.most if closed else None,
        metavar=None if closed else f"<float range> [{about.range}]",
        rich_help_panel=None if help else kind.group,  # type: ignore[attr-defined]  # kinds are Settings
    )


def sizes(about: Setting) -> Callable[[str | int], int | list[int]]:
    """Return a parser of a number, or of several with commas between them, within the limits of a field."""

    def parse(text: str | int) -> int | list[int]:
        parts = [part.strip() for part in str(text).split(",")]  # a default is a number
        if not all(part.removeprefix("-").isdecimal() for part in parts):
            raise typer.BadParameter(f"{text!r} is not a whole number, or several such as 400,200.")
        found = [int(part) for part in parts]
        if reason := about.refusal(found):
            raise typer.BadParameter(f"{reason}.")
        return found if len(found) > 1 else found[0]

    return parse


def made_from(*kinds: type, without: Collection[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of configurations' fields, in ``**given``; ``build`` makes the configurations of them."""

    def extend(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        for kind in kinds:
            hints = get_type_hints(kind)
            for name in (n for n in flags(kind) if n not in without):
                default = False if hints[name] is bool else getattr(kind, name)  # a flag turns off a field that is on
                hint, made = hints[name], option(kind, name, switch=hints[name] is bool)
                if hint == SIZES:  # a type that Typer does not know
                    hint, made.parser, made.metavar = Any, sizes(settings(kind)[name]), "INTEGER[,…]"
                parameters.append(
                    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[hint, made])
                )
        command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # Typer reads it
        return command

    return extend


Made = TypeVar("Made", bound=Settings)


def chosen(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the options of a command say of a configuration's fields, by the fields' names."""
    values = {name: given[name] for name in flags(kind) if name in given}
    return values | {name: value != getattr(kind, name) for name, value in values.items() if isinstance(value, bool)}


def build(kind: type[Made], given: Mapping[str, Any], **others: Any) -> Made:
    """Return the configuration that the options of a command ask for. Raises InputError for a value that cannot be."""
    made = kind(**chosen(kind, given), **others)
    made.check()
    return made


ForgetBias = Annotated[float | None, option(ModelConfig, "forget_bias")]
Seed = Annotated[int, option(TrainConfig, "seed")]
Threads = Annotated[int, option(TrainConfig, "threads")]


# The advice may be to train anew, by another command.
FORECASTING = (SeriesConfig, ForecasterConfig, WindowTraining)
TRANSLATION, TRANSCRIPTION = (
    (PairsConfig, TranslatorConfig, PairTraining),
    (ExamplesConfig, TranscriberConfig, TranscriptionTraining),
)
LABELLING = (LabelsConfig, LabellerConfig, LabelTraining)
for _kind in (*TRANSLATION, *TRANSCRIPTION, *FORECASTING, *LABELLING, ModelConfig, TrainConfig):
    FLAGS.update(flags(_kind))


def is_given(context: typer.Context, name: str) -> bool:
    """Return whether the option stands on the command line, and is no default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def recipe_settings(context: typer.Context, recipes: Recipes, name: str | None) -> dict[str, Any]:
    """Return the settings of a recipe that no option on the command line overrides. Raises InputError for an unknown name."""
    settings = recipes.recipe(name).settings if name else {}
    return {field: value for field, value in settings.items() if not is_given(context, field)}


def refuse_beside_resume(context: typer.Context) -> None:
    """Raise InputError for an option that --resume would ignore."""
    for option in context.command.params:
        if option.name and option.name not in ("resume", "epochs", "json") and is_given(context, option.name):
            name = next((o for o in option.opts if o.startswith("--")), option.opts[0])
            raise InputError(f"--resume continues a run with its own settings; leave {name} out (--epochs may be raised)")


CLAMP = re.compile(r"(?:(\d+)/)?(\w+)(?:\[([\d,\s]+)\])?=([-+.\deE]+)(?:@(\d*):(\d*))?")


def clamps(given: list[str] | None) -> list[Clamp]:
    """Return the values of ``--clamp`` as clamps. Raises InputError for one that cannot be read."""
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


def several(option: str, text: str, known: Collection[str]) -> list[str]:
    """Return the names that an option takes, separated by commas. Raises InputError for none, and for an unknown one."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    for name in found or [text]:
        if name not in known:
            raise InputError(f"{option} may be {', '.join(known)}, not {name!r}")
    return found


def numbers(text: str) -> list[int]:
    """Return whole numbers above zero, separated by commas; none where one of them is anything else."""
    parts = [part.strip() for part in text.split(",")]
    return [int(part) for part in parts] if all(part.isdecimal() and int(part) > 0 for part in parts) else []


def layer_number(layer: int | None, layers: int) -> int:
    """Return the number of the layer to show, the last by default. Raises InputError where there is none of that number."""
    if layer is not None and layer >= layers:
        raise InputError(f"there is no layer {layer}; layers are 0 to {layers - 1}")
    return layers - 1 if layer is None else layer
