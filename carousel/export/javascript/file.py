"""The whole module: weights, the steps of all layers, and the classes that read, write and look inside."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import carousel
from carousel.export.c99.file import helpers
from carousel.export.c99.layers import seen_of
from carousel.export.checks import check_output, check_steps
from carousel.export.javascript.layers import layer_code
from carousel.export.javascript.vocabulary import data
from carousel.export.javascript.weights import packed
from carousel.export.rounding import numbers
from carousel.language.model import LanguageModel
from carousel.layers import Recurrent
from carousel.text.vocabulary import Vocabulary

HERE = Path(__file__).parent
READING = ("tokens", "clamps", "scores")  # files that models of text share


@dataclass(frozen=True)
class Script:
    """A program in two parts: ``code``, which declares ``load(text)``, and the text of the ``weights`` that ``load`` takes."""

    code: str
    weights: str

    def module(self) -> str:
        """Return one module with both parts; its ``load`` takes no argument."""
        return f'{self.code}\nconst packed = "{self.weights}";\nexport const load = () => loaded(packed);\n'


def of_layer(layer: Recurrent, precision: str = "float32") -> Script:
    """Return layers as JavaScript; ``load`` gives ``Layers``. Arguments and errors are the ones of ``js``."""
    steps, matrices, vectors = _layers(layer)
    end = f"  return new Layers([{_names(layer)}]{', true' if layer.skip == 'residual' else ''});\n"
    return script(f"{layer!r}, weights in {precision}", ["layers"], steps, packed(matrices, vectors, precision), end)


def js(layer: Recurrent, precision: str = "float32") -> str:
    """Return layers as one JavaScript module for browsers and Node, which imports nothing; its ``load()`` promises ``Layers``.

    Args:
        layer: layers that read in one direction. The module holds their parameters.
        precision: of dense weights: float32, bfloat16 or int8. Arrays have single precision, sums double.

    Returns:
        The text of the module.

    Raises:
        InputError: the layers read in both directions, are a ``Grid`` or ``Tree``, or have weights that are not finite; or
            no precision has that name.
    """
    return of_layer(layer, precision).module()


def of_language(model: LanguageModel, vocabulary: Vocabulary, precision: str = "float32") -> Script:
    """Return a language model as JavaScript; ``load`` gives a ``LanguageModel``.

    Args:
        model: a language model that reads in one direction.
        vocabulary: its vocabulary.
        precision: of dense weights: float32, bfloat16 or int8. All sums are in double precision, all arrays in single.

    Raises:
        InputError: the output layer has no row for each token, weights are not finite, or no precision has that name.
    """
    check_output(model, "JavaScript")
    steps, matrices, vectors = _layers(model.recurrent)
    matrices |= {"model_embedding": numbers(model.embedding.weight)}
    if not model.config.tied:
        matrices |= {"model_output": numbers(model.output.weight)}
    vectors |= {"model_output_bias": numbers(model.output.bias)}
    output = "model_embedding" if model.config.tied else "model_output"
    ends = f"embedding: model_embedding, output: {output}, bias: model_output_bias, inputs: {model.config.input_size}"
    ends += ", residual: true" if model.recurrent.skip == "residual" else ""
    end = f"  const layers = new TokenLayers([{_names(model.recurrent)}], {{ {ends} }});\n"
    end += f"  return new LanguageModel(layers, {as_json(about(model, vocabulary))});\n"
    said = f"{model.recurrent!r}, weights in {precision}"
    return script(said, ["layers", *READING, "language"], steps, packed(matrices, vectors, precision), end)


def about(model: LanguageModel, vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the description of a model that ``LanguageModel`` of ``language.js`` takes."""
    layers = model.recurrent.num_layers
    return {
        "vocabulary": data(vocabulary),
        "sentences": model.fresh_at is not None,
        "names": seen_of(model.recurrent, 0),
        "count": layers,
        **({} if model.recurrent.alike else {"sizes": [seen_of(model.recurrent, number) for number in range(layers)]}),
    }


def as_json(value: Any) -> str:
    """Return JSON that can stand inside a ``<script>`` of a page."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")


@cache
def part(name: str) -> str:
    """Return a JavaScript file of this folder without its imports and exports, so that several can form one module."""
    text = (HERE / f"{name}.js").read_text("utf-8")
    return re.sub(r"^(import .*;\n|export )", "", text, flags=re.MULTILINE)


def script(said: str, parts: Sequence[str], steps: str, weights: tuple[str, str], end: str) -> Script:
    """Return a whole script.

    Args:
        said: the first line's text.
        parts: names of this folder's files that it needs besides the one of the weights.
        steps: the layers in JavaScript.
        weights: the weights' text and its table of contents, as ``packed`` returns them.
        end: the last lines of ``loaded``, which return the model.
    """
    text, listed = weights
    names = [name for name, *_ in json.loads(listed)]
    inside = "\n".join(f"  {line}" if line else line for line in steps.splitlines())
    body = "".join(f"{part(name)}\n" for name in ("weights", *parts))
    taken = f"  const {{ {', '.join(names)} }} = await unpacked(text, {listed});\n"
    body += f"async function loaded(text) {{\n{taken}\n{inside}\n{end}}}\n"
    return Script(f"// {said}. Made by carousel {carousel.__version__}.\n\n{helpers(body, HERE / 'helpers.js')}\n{body}", text)


def types(of: str) -> str:
    """Return the TypeScript declarations of a module. ``of``: "language", "translator" or "layers"."""
    names = ["layers"] if of == "layers" else ["reading", of]
    return "\n".join((HERE / f"{name}.d.ts").read_text("utf-8") for name in names)


def _layers(layer: Recurrent) -> tuple[str, dict[str, Any], dict[str, Any]]:
    check_steps(layer)
    codes = [layer_code(layer, number) for number in range(layer.num_layers)]
    matrices = {name: x for code in codes for name, x in code.matrices.items()}
    return "\n".join(c.text for c in codes), matrices, {name: x for code in codes for name, x in code.vectors.items()}


def _names(layer: Recurrent) -> str:
    return ", ".join(f"layer{n}" for n in range(layer.num_layers))
