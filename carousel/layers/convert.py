"""Weights of torch.nn.LSTM, GRU and RNN as a Recurrent's, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from carousel.layers.parameters import suffix
from carousel.layers.recurrent import Recurrent

# For each block of rows in PyTorch's stacked weights: our letter, and the bias that goes with the recurrent
# product where it cannot be added to the input's (inside the GRU's reset gate).
BLOCKS: dict[str, list[tuple[str, str | None]]] = {
    "lstm": [("i", None), ("f", None), ("h", None), ("o", None)],
    "gru": [("r", None), ("z", None), ("n", "nh")],
    "rnn": [("h", None)],
}
MODULES: dict[type[nn.RNNBase], str] = {nn.LSTM: "lstm", nn.GRU: "gru", nn.RNN: "rnn"}


def from_torch(module: nn.RNNBase) -> Recurrent:
    """Return a Recurrent with the weights of ``module`` (torch.nn.LSTM, GRU or RNN, any depth and direction).

    PyTorch's two biases of a gate are added up. An LSTM with ``proj_size`` becomes an ``lstm-v4`` whose peepholes are
    zero, an RNN with ReLU a ``relu-rnn``. Raises ValueError for any other module.
    """
    kind = next((k for t, k in MODULES.items() if isinstance(module, t)), None)
    if kind is None:
        raise ValueError(f"only torch.nn.LSTM, GRU and RNN can be converted, not {type(module).__name__}")
    name = kind
    if kind == "lstm" and module.proj_size:
        name = "lstm-v4"
    if isinstance(module, nn.RNN) and module.nonlinearity == "relu":
        name = "relu-rnn"
    like = next(module.parameters())
    layer = Recurrent(
        name,
        module.input_size,
        module.hidden_size,
        module.num_layers,
        module.bias,
        batch_first=module.batch_first,
        dropout=module.dropout,
        bidirectional=module.bidirectional,
        proj_size=module.proj_size,
        device=like.device,
        dtype=like.dtype,
    )
    layer.load_state_dict(from_torch_state(module.state_dict(), layer))
    return layer


def from_torch_state(state: Mapping[str, Tensor], layer: Recurrent) -> dict[str, Tensor]:
    """Return PyTorch's state dict as one for ``layer`` (cell lstm, lstm-v2, lstm-v3, lstm-v4, gru, rnn or relu-rnn).

    Peepholes become zero, and biases that PyTorch's module does not have. Raises ValueError for another cell, for keys or
    shapes that do not fit, or for biases where the layer has none.
    """
    _a_layer(layer)
    if not isinstance(state, Mapping):
        raise TypeError(f"a state dict is wanted, not {type(state).__name__}")
    for key, value in state.items():
        wanted = 1 if key.startswith("bias") else 2
        if not isinstance(value, Tensor):
            raise TypeError(f"{key} in the state dict is no tensor but {type(value).__name__}")
        if value.dim() != wanted:
            raise ValueError(f"{key} in the state dict has shape {tuple(value.shape)}, expected {wanted} dimensions")
    result = {k: torch.zeros_like(v) for k, v in layer.state_dict().items()}
    blocks, message = _blocks(layer), _message(layer)
    for end in (suffix(*where) for where in _places(layer)):
        try:
            w_ih, w_hh = state[f"weight_ih{end}"], state[f"weight_hh{end}"]
        except KeyError as error:
            raise ValueError(f"the state dict has no {error.args[0]}") from None
        zero = w_ih.new_zeros(len(w_ih))
        b_ih, b_hh = (state.get(f"bias_{x}{end}", zero) for x in ("ih", "hh"))
        rows = [torch.chunk(x, len(blocks)) for x in (w_ih, w_hh, b_ih, b_hh)]
        for (letter, own_bias), from_input, from_state, bias, state_bias in zip(blocks, *rows, strict=True):
            if f"W.{letter}{end}" in result:  # Olah's weights take the concatenation [m; e]
                result[f"W.{letter}{end}"] = torch.cat([from_state, from_input], dim=1)
            else:
                result[f"W.{letter}e{end}"] = from_input.clone()
                result[f"W.{letter}{message}{end}"] = from_state.clone()
            found = {letter: bias.clone(), own_bias: state_bias.clone()} if own_bias else {letter: bias + state_bias}
            if layer.bias:
                result |= {f"b.{name}{end}": value for name, value in found.items()}
            elif any(value.any() for value in found.values()):
                raise ValueError(f"the state dict has biases, and the layer, with bias=False, has none for {letter}{end}")
        if f"weight_hr{end}" in state:
            result[f"W.mm{end}"] = state[f"weight_hr{end}"].clone()
    for key, value in layer.state_dict().items():
        if key not in result or result[key].shape != value.shape:
            raise ValueError(f"{key} would have shape {tuple(result[key].shape)}, the layer has {tuple(value.shape)}")
    return result


def to_torch_state(layer: Recurrent) -> dict[str, Tensor]:
    """Return the layer's weights as a state dict of torch.nn.LSTM, GRU or RNN; each gate's bias stands in ``bias_ih``.

    Raises ValueError where the cell has no such module, or has peepholes that are not zero.
    """
    _a_layer(layer)
    blocks, message = _blocks(layer), _message(layer)
    layer.refresh()
    if len({*zip(layer.hidden_sizes, layer.proj_sizes, strict=True)}) > 1:
        raise ValueError(f"torch.nn.LSTM, GRU and RNN have one size for all layers, not {layer.hidden_sizes}")
    if layer.skip != "none":
        raise ValueError("torch.nn.LSTM, GRU and RNN have no skip connections")
    if layer.learned_initial:
        raise ValueError("torch.nn.LSTM, GRU and RNN have no learned initial states")
    result: dict[str, Tensor] = {}
    for k, direction in _places(layer):
        # Not from the state dict: a pruned or parametrized weight is kept there in parts.
        ours = {name: value.detach() for name, value in layer.parameters_of(k, direction).items()}
        end = suffix(k, direction)
        for name, value in ours.items():
            if name.startswith("w.") and value.any():
                raise ValueError(f"torch.nn.LSTM has no peepholes, but {name}{end} is not zero")
        inputs, states, biases, state_biases = [], [], [], []
        for letter, own_bias in blocks:
            bias = ours[f"b.{letter}"]
            if f"W.{letter}" in ours:
                both = ours[f"W.{letter}"]
                states.append(both[:, : layer.hidden_size])
                inputs.append(both[:, layer.hidden_size :])
            else:
                inputs.append(ours[f"W.{letter}e"])
                states.append(ours[f"W.{letter}{message}"])
            biases.append(bias)
            state_biases.append(ours[f"b.{own_bias}"] if own_bias else torch.zeros_like(bias))
        made = {"weight_ih": inputs, "weight_hh": states}
        made |= {"bias_ih": biases, "bias_hh": state_biases} if layer.bias else {}
        result |= {name + end: torch.cat(parts) for name, parts in made.items()}
        if "W.mm" in ours:
            result[f"weight_hr{end}"] = ours["W.mm"].clone()
    return result


def to_torch(layer: Recurrent) -> nn.RNNBase:
    """Return a torch.nn.LSTM, GRU or RNN that computes the same. Raises ValueError where there is none."""
    _a_layer(layer)
    blocks = _blocks(layer)
    module: Any = next(t for t, k in MODULES.items() if BLOCKS[k] == blocks)
    like = next(layer.parameters())
    options: dict[str, Any] = {"proj_size": layer.proj_size} if layer.proj_size else {}
    options |= {"nonlinearity": "relu"} if layer.cell.name == "relu-rnn" else {}
    made = module(
        layer.input_size,
        layer.hidden_size,
        layer.num_layers,
        bias=layer.bias,
        batch_first=layer.batch_first,
        dropout=layer.dropout,
        bidirectional=layer.bidirectional,
        device=like.device,
        dtype=like.dtype,
        **options,
    )
    made.load_state_dict(to_torch_state(layer))
    return made


def _a_layer(layer: Any) -> None:
    if not isinstance(layer, Recurrent):
        raise TypeError(f"a carousel.layers.Recurrent is wanted, not {type(layer).__name__}")


def _blocks(layer: Recurrent) -> list[tuple[str, str | None]]:
    names = {"lstm-v2": "lstm", "lstm-v3": "lstm", "lstm-v4": "lstm", "relu-rnn": "rnn"}
    kind = names.get(layer.cell.name, layer.cell.name)
    if kind not in BLOCKS:
        raise ValueError(f"PyTorch has no module for cell {layer.cell.name}")
    return BLOCKS[kind]


def _message(layer: Recurrent) -> str:
    return layer.cell.states[0]


def _places(layer: Recurrent) -> Iterator[tuple[int, int]]:
    """Give every layer and direction."""
    return product(range(layer.num_layers), range(layer.directions))
