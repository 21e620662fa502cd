"""A language model as an ONNX model: it takes tokens and states and gives logits and states; metadata hold the vocabulary."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from carousel.errors import InputError
from carousel.export.onnx18.file import Asked, needs_package
from carousel.export.onnx18.graph import Graph, Value
from carousel.export.onnx18.layers import layers
from carousel.export.onnx18.weights import Weights
from carousel.export.rounding import numbers
from carousel.language.mixture import MixtureOfSoftmaxes
from carousel.language.model import LanguageModel
from carousel.language.softmax import AdaptiveSoftmax, FullSoftmax
from carousel.text.vocabulary import Vocabulary


def of_language(model: LanguageModel, vocabulary: Vocabulary, precision: str = "float32") -> Any:
    """Return a language model as an ONNX model: ``tokens`` (B, T) and states in, ``logits`` (B, T, tokens) and states out.

    The metadata hold the vocabulary as the library ``tokenizers`` reads it, its kind, the ids of the end of a line and of the
    unknown token, and the names of the states. ``export.onnx`` tells the states' shapes.

    Args:
        model: a language model that reads in one direction.
        vocabulary: its vocabulary.
        precision: of dense weights: float32, float16, bfloat16 or int8. All sums are in float32.

    Raises:
        InputError: as ``export.onnx``; or the model reads in both directions, so it sees the tokens that it should foretell.
    """
    needs_package()
    if model.recurrent.bidirectional:
        raise InputError("a language model that reads from both ends sees the tokens that it should foretell")
    graph = Graph()
    weights, asked = Weights(graph, precision), Asked(graph)
    tokens = asked.value("tokens", 1, ["batch", "time"], np.int64)
    turned = graph.node("Transpose", tokens, perm=[1, 0])
    with torch.no_grad():
        model.recurrent.refresh()
        table, scale = weights.rows(numbers(model.embedding.weight), "embedding")
        stored = [x for x in (table, scale) if x is not None]
        rows = [graph.node("Gather", x, turned, outputs=[Value(graph, "row", x.units, True, x.kind)]) for x in stored]
        data = weights.whole(rows[0], rows[1] if rows[1:] else None, "embedded")
        resets = None
        if model.fresh_at is not None:
            flags = graph.node(
                "Equal", turned, graph.constant(model.fresh_at, np.int64), outputs=[Value(graph, "fresh", 1, True, np.bool_)]
            )
            resets = graph.node("Unsqueeze", flags, graph.constant([-1], np.int64))
        output, after = layers(model.recurrent, data, asked.states(model.recurrent, data), weights, {}, resets)
        flat = graph.node("Reshape", output, graph.constant([-1, output.units], np.int64))
        tied = weights.whole(table, scale, "tied") if model.config.tied else None
        if isinstance(model.output, AdaptiveSoftmax):
            logits = _adaptive(model.output, flat, weights)
        elif isinstance(model.output, MixtureOfSoftmaxes):
            logits = _mixture(model.output, flat, weights, tied)
        else:
            logits = _full(model.output, flat, weights, tied)
    steps = graph.node("Shape", turned, outputs=[Value(graph, "steps", kind=np.int64)])
    shape = graph.node("Concat", steps, graph.constant([vocabulary.size], np.int64), axis=0)
    logits = graph.node("Reshape", logits, shape)
    logits = graph.node("Transpose", logits, perm=[1, 0, 2])
    told = {"kind": vocabulary.kind, "vocabulary": vocabulary.tokenizer.to_str(), "end": str(vocabulary.end)}
    told |= {} if vocabulary.unknown is None else {"unknown": str(vocabulary.unknown)}
    return asked.model(model.recurrent, {"logits": (logits, ["batch", "time"])}, after, told)


def _mixture(output: MixtureOfSoftmaxes, flat: Value, weights: Weights, tied: Value | None) -> Value:
    """Return log-probabilities of all tokens: those of each softmax, weighed by its share."""
    graph, prior, latent = weights.graph, output.prior, output.latent
    shares = _product(flat, weights.dense(numbers(prior.weight), "prior"), prior.out_features)
    shares = graph.node("LogSoftmax", shares, axis=-1)
    bias = weights.vector(numbers(latent.bias), "latent_bias")
    h = graph.node("Tanh", _product(flat, weights.dense(numbers(latent.weight), "latent"), latent.out_features, bias))
    rows = graph.node("Reshape", h, graph.constant([-1, flat.units], np.int64))  # all softmaxes of a step, one after the other
    each = graph.node("LogSoftmax", _full(output, rows, weights, tied), axis=-1)
    each = graph.node("Reshape", each, graph.constant([-1, output.mixtures, output.vocabulary_size], np.int64))
    weighed = graph.node("Add", each, graph.node("Unsqueeze", shares, graph.constant([-1], np.int64)))
    made = Value(graph, "mixed", output.vocabulary_size, True)
    return graph.node("ReduceLogSumExp", weighed, graph.constant([1], np.int64), outputs=[made], keepdims=0)


def _full(output: FullSoftmax | MixtureOfSoftmaxes, flat: Value, weights: Weights, tied: Value | None) -> Value:
    weight = weights.dense(numbers(output.weight), "output") if tied is None else tied
    bias = weights.vector(numbers(output.bias), "output_bias")
    return _product(flat, weight, output.vocabulary_size, bias)


def _adaptive(output: AdaptiveSoftmax, flat: Value, weights: Weights) -> Value:
    """Return log-probabilities of all tokens: frequent ones from the head, each cluster's from the head and its own tail."""
    inner: Any = output.inner
    graph = weights.graph
    head = inner.head
    first = _product(
        flat, weights.dense(numbers(head.weight), "head"), head.out_features, weights.vector(numbers(head.bias), "head_bias")
    )
    first = graph.node("LogSoftmax", first, axis=-1)
    shortlist = inner.shortlist_size
    found = [_columns(first, 0, shortlist)]
    for k, (narrow, wide) in enumerate(inner.tail):
        h = _product(flat, weights.dense(numbers(narrow.weight), f"narrow{k}"), narrow.out_features)
        within = _product(h, weights.dense(numbers(wide.weight), f"wide{k}"), wide.out_features)
        found.append(graph.node("LogSoftmax", within, axis=-1) + _columns(first, shortlist + k, shortlist + k + 1))
    every = graph.node("Concat", *found, outputs=[Value(graph, "ranked", output.rank.numel(), True)], axis=-1)
    return graph.node("Gather", every, graph.constant(output.rank.cpu().numpy(), np.int64), axis=-1)


def _product(x: Value, weight: Value, units: int, *bias: Value) -> Value:
    """Return the products of rows with the rows of a weight; a tied weight needs no transposed copy."""
    made = Value(x.graph, "product", units, True)
    return x.graph.node("Gemm", x, weight, *bias, outputs=[made], transB=1)


def _columns(x: Value, begin: int, end: int) -> Value:
    of, made = x.graph.constant, Value(x.graph, "columns", end - begin, True)
    return x.graph.node("Slice", x, of([begin], np.int64), of([end], np.int64), of([-1], np.int64), outputs=[made])
