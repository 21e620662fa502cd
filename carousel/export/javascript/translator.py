"""A translator as JavaScript: encoder, bridge, attention, decoder, and both vocabularies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from carousel.export.c99.layers import seen_of
from carousel.export.checks import check_sequence
from carousel.export.javascript.file import READING, Script, as_json, script
from carousel.export.javascript.layers import layer_code
from carousel.export.javascript.vocabulary import data
from carousel.export.javascript.weights import packed
from carousel.export.rounding import numbers
from carousel.layers import Recurrent
from carousel.text.vocabulary import Vocabulary
from carousel.translation.model import Translator


def of_translator(model: Translator, source: Vocabulary, target: Vocabulary, precision: str = "float32") -> Script:
    """Return a translator as JavaScript; ``load`` gives a ``Translator``.

    Args:
        model: a translator. Its encoder may read in both directions, since it is given whole sentences.
        source: the vocabulary of the sentences that it reads.
        target: the vocabulary of the sentences that it writes.
        precision: of dense weights: float32, bfloat16 or int8. All sums are in double precision, all arrays in single.

    Raises:
        InputError: no precision has that name, or weights are not finite.
    """
    written = _Writer()
    network = written.network(model)
    about = {
        "source": data(source),
        "target": data(target),
        "names": seen_of(model.encoder_layers()[0][0], 0),
        "count": model.depth,
        "directions": model.encoder.directions,
    }
    end = f"  return new Translator({network}, {as_json(about)});\n"
    said = f"{model.encoder!r}, weights in {precision}"
    parts = ["layers", *READING, "translator"]
    return script(said, parts, "\n".join(written.steps), packed(written.matrices, written.vectors, precision), end)


@dataclass
class _Writer:
    """Collects the steps of all layers and the weights; its methods return what stands for them in JavaScript."""

    steps: list[str] = field(default_factory=list)
    matrices: dict[str, np.ndarray] = field(default_factory=dict)
    vectors: dict[str, np.ndarray] = field(default_factory=dict)

    def layer(self, stack: Recurrent, number: int, direction: int = 0) -> str:
        check_sequence(stack)
        called = len(self.steps)
        code = layer_code(stack, number, direction, called)
        self.steps.append(code.text)
        self.matrices |= code.matrices
        self.vectors |= code.vectors
        return f"layer{called}"

    def matrix(self, name: str, values: Any) -> str:
        self.matrices[name] = numbers(values)
        return name

    def vector(self, name: str, values: Any) -> str:
        self.vectors[name] = numbers(values)
        return name

    def linear(self, name: str, layer: nn.Module | None) -> str:
        if layer is None:
            return "null"
        assert isinstance(layer, nn.Linear)
        bias = "null" if layer.bias is None else self.vector(f"{name}_bias", layer.bias)
        return f"[{self.matrix(name, layer.weight)}, {bias}]"

    def network(self, model: Translator) -> str:
        """Return the network as an object."""
        encoder, attention = model.encoder, model.attention
        read = [[self.layer(stack, k, d) for d in range(encoder.directions)] for stack, k in model.encoder_layers()]
        write = [
            [self.layer(stack, k) for k in range(stack.num_layers)] if stack is not None else []
            for stack in (model.decoder, model.upper)
        ]
        source = self.matrix("source_embedding", model.source_embedding.weight)
        target = self.matrix("model_embedding", model.embedding.weight)
        bridge = {
            name: _list(self.linear(f"bridge_{name}{j}", each) for j, each in enumerate(maps))
            if isinstance(maps, nn.ModuleList)
            else "null"
            for name, maps in zip(encoder.cell.states, model.bridge.maps, strict=True)
        }
        looks = "null"
        if attention is not None:
            score = "null" if attention.score is None else self.vector("attention_score", attention.score.weight)
            maps = {
                "key": self.linear("attention_key", attention.key),
                "query": self.linear("attention_query", attention.query),
            }
            looks = _object(maps | {"score": score})
        output = target if model.output.weight is None else self.matrix("model_output", model.output.weight)
        return _object(
            {
                "embedding": _object({"source": source, "target": target, "size": str(model.decoder.input_size)}),
                "encoder": _list(map(_list, read)),
                "subsample": _list(map(str, model.config.steps())),
                "decoder": _list(write[0]),
                "upper": _list(write[1]),
                "bridge": _object(bridge),
                "attention": looks,
                "readout": self.linear("model_readout", model.readout),
                "output": f"[{output}, {self.vector('model_output_bias', model.output.bias)}]",
            }
        )


def _list(items: Any) -> str:
    return f"[{', '.join(items)}]"


def _object(fields: dict[str, str]) -> str:
    return "{ " + ", ".join(f"{name}: {value}" for name, value in fields.items()) + " }"
