"""The whole file: constants, the state, a step of all layers."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from torch import nn

import carousel
from carousel.export.c99.layers import further, layer_code
from carousel.export.checks import check_steps
from carousel.layers import Recurrent

HERE = Path(__file__).parent
BARE = HERE / "bare.c"


def of_layer(layer: Recurrent, precision: str = "float32", *, libm: bool = True) -> str:
    """Return layers as one C99 file with the functions ``model_init`` and ``model_step`` and no global state.

    Arguments for a step's further inputs stand between ``x`` and ``y``, in the cell's order: vectors are pointers, numbers
    are passed by value.

    Args:
        layer: layers that read in one direction. Constant arrays of the file hold their parameters.
        precision: of dense weights: float32, bfloat16 or int8.
        libm: include ``math.h``. Without it the file has mathematical functions of its own, and includes nothing.

    Returns:
        The text of the file.

    Raises:
        InputError: the layers read in both directions, are a ``Grid`` or ``Tree``, or have weights that are not finite; or
            no precision has that name.
    """
    body = layers_code(layer, precision)
    sizes = f"#define MODEL_INPUTS {layer.input_size}\n#define MODEL_OUTPUTS {layer.output_size}\n"
    return f"{head(layer, precision, libm)}{sizes}\n{whole(body, libm)}"


def layers_code(layer: Recurrent, precision: str, *, open: bool = False) -> str:
    """Return the constants, the state and the functions of layers; arguments as those of ``of_layer`` and ``layer_code``."""
    check_steps(layer)
    codes = [layer_code(layer, number, precision, open=open) for number in range(layer.num_layers)]
    inputs, signature = layer.cell.trace.inputs, f"const float *x, {further(layer.cell)}float *y"
    steps = []
    for number in range(layer.num_layers):
        begin, end = f"y{number - 1}" if number else "x", f"y{number}" if number < layer.num_layers - 1 else "y"
        steps.append(f"  layer{number}(s, {begin}, {''.join(f'{x.symbol}, ' for x in inputs)}{end});")
        if number and layer.skip == "residual":
            steps.append(f"  for (k = 0; k < {layer.output_size}; k++) {end}[k] += {begin}[k];")
    units = [layer.cell.length(x.size, *layer.sizes()) for x in inputs]
    others = [f"x[{layer.input_size}]"]
    others += [str(x.symbol) if x.is_number else f"{x.symbol}[{n}]" for x, n in zip(inputs, units, strict=True)]
    between = [f"  float y{number}[{layer.sizes(number + 1)[0]}];" for number in range(layer.num_layers - 1)]
    between += ["  int k;"] if between and layer.skip == "residual" else []
    initial = "".join(c.initial for c in codes)
    parts = [
        "".join(c.weights for c in codes),
        "typedef struct {\n" + "".join(c.members for c in codes) + "} model_state;\n",
        *(c.step for c in codes),
        "/* Sets the states before the first step. */\nvoid model_init(model_state *s);",
        f"void model_init(model_state *s) {{\n{'  int k;' + chr(10) if 'k = 0' in initial else ''}{initial}}}\n",
        f"/* Takes a step with the input {', '.join(others)}; the output is y[{layer.output_size}]. */",
        f"void model_step(model_state *s, {signature});",
        "\n".join([f"void model_step(model_state *s, {signature}) {{", *between, *steps, "}"]),
    ]
    return "\n".join(parts) + "\n"


def head(layer: nn.Module, precision: str, libm: bool = True) -> str:
    """Return how the file begins."""
    said = f"{layer!r}, weights in {precision}"
    return f"/* {said}. Made by carousel {carousel.__version__}. */\n\n{'#include <math.h>' + chr(10) * 2 if libm else ''}"


def whole(body: str, libm: bool = True) -> str:
    """Return functions together with the helpers that they call; without ``math.h``, functions of ``bare.c`` take its place."""
    text = f"{helpers(body)}\n{body}"
    if libm:
        return text
    text = re.sub(r"\bINFINITY\b", "own_infinity()", re.sub(r"\bNAN\b", "own_nan()", text))
    text = re.sub(rf"\b({'|'.join(n.removeprefix('own_') for n in _helpers(BARE) if n.endswith('f'))})\(", r"own_\1(", text)
    return f"{helpers(text, BARE)}\n{text}"


def helpers(body: str, known: Path = HERE / "helpers.c") -> str:
    """Return the helpers that a text of C uses, directly or through other helpers, in the order of ``helpers.c``."""
    found, code = "", re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
    for name, text in reversed(_helpers(known).items()):
        if re.search(rf"\b{name}\b" if "typedef" in text else rf"\b{name}[()]", code + found):
            found = text + found
    return found


@cache
def _helpers(known: Path) -> dict[str, str]:
    parts = re.split(r"^/\* (\w+) \*/\n", known.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
