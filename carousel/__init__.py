"""Carousel: recurrent networks with gated memory. A cell is its equations."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carousel.equations import (
        Cell,
        EquationError,
        absolute,
        cell,
        clip,
        concat,
        cos,
        detach,
        dropout,
        elu,
        erf,
        erfc,
        exp,
        gelu,
        gelu_tanh,
        hard_sigmoid,
        hard_tanh,
        identity,
        layer_norm,
        log,
        logistic,
        maximum,
        mean,
        minimum,
        norm,
        relu,
        rms_norm,
        sign,
        silu,
        sin,
        softmax,
        softplus,
        softsign,
        sqrt,
        tanh,
        together,
        total,
        where,
        zoneout,
    )
    from carousel.hierarchy import GridHierarchy, SequenceHierarchy
    from carousel.layers import (
        Clamp,
        Forest,
        Grid,
        Recurrent,
        Streaming,
        Tree,
        chrono,
        from_torch,
        from_torch_state,
        to_torch,
        to_torch_state,
    )
    from carousel.runs.loading import (
        Ensemble,
        ForecastRun,
        LabellerRun,
        LanguageRun,
        TranscriberRun,
        TranslatorRun,
        Trials,
        load,
    )
    from carousel.runs.training import resume, train

__version__ = "0.2.0"

__all__ = [
    "Cell",
    "Clamp",
    "Ensemble",
    "EquationError",
    "ForecastRun",
    "Forest",
    "Grid",
    "GridHierarchy",
    "LabellerRun",
    "LanguageRun",
    "Recurrent",
    "SequenceHierarchy",
    "Streaming",
    "TranscriberRun",
    "TranslatorRun",
    "Tree",
    "Trials",
    "__version__",
    "absolute",
    "cell",
    "chrono",
    "clip",
    "concat",
    "cos",
    "detach",
    "dropout",
    "elu",
    "erf",
    "erfc",
    "exp",
    "from_torch",
    "from_torch_state",
    "gelu",
    "gelu_tanh",
    "hard_sigmoid",
    "hard_tanh",
    "identity",
    "layer_norm",
    "load",
    "load_ipython_extension",
    "log",
    "logistic",
    "maximum",
    "mean",
    "minimum",
    "norm",
    "relu",
    "resume",
    "rms_norm",
    "sign",
    "silu",
    "sin",
    "softmax",
    "softplus",
    "softsign",
    "sqrt",
    "tanh",
    "to_torch",
    "to_torch_state",
    "together",
    "total",
    "train",
    "where",
    "zoneout",
]

# Where those names are, the cheapest room first: each imports the ones before it anyway.
ROOMS = ("carousel.equations", "carousel.layers", "carousel.hierarchy", "carousel.runs.loading", "carousel.runs.training")


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for: ``import carousel`` alone loads nothing."""
    if name in __all__:
        for room in ROOMS:
            if hasattr(module := import_module(room), name):
                globals()[name] = found = getattr(module, name)
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """Let cells and layers show themselves in a notebook. It is done by itself where IPython runs already."""
    formatter = shell.display_formatter.ipython_display_formatter
    classes = (("equations.cell", "Cell"), ("layers.recurrent", "Recurrent"), ("layers.levelled", "Levelled"))
    for module, name in classes:
        formatter.for_type_by_name(f"carousel.{module}", name, lambda shown: import_module("carousel.notebook").show(shown))


if (_ipython := sys.modules.get("IPython")) and (_shell := getattr(_ipython, "get_ipython", lambda: None)()):
    load_ipython_extension(_shell)
