"""A layer one step at a time, in constant memory: each input gives an output at once."""

from __future__ import annotations

import torch
from torch import Tensor

from carousel import kernels
from carousel.layers.clamp import Clamps, listed
from carousel.layers.further import check_names
from carousel.layers.parameters import tensor
from carousel.layers.precision import PRECISIONS, checked, rounded_layer
from carousel.layers.recurrent import Recurrent, State


class Streaming:
    """``layer`` fed step by step, without derivatives: ``output = stream(x)`` for x (B, input_size), ``stream(x, d=gaps)``.

    Equivalent to calling the layer with one step and the last states each time, but weights are packed and memory is
    allocated once. Later changes of the layer's parameters have no effect; dropout and noise are off.

    Args:
        layer: one direction, any depth.
        hx: the states to begin with, as the layer takes them; by default its initial states.
        batch: number of rows, if ``hx`` is not given.
        clamp: as the layer takes it; steps are counted from here. With a clamp the layer is called at each step, more slowly.
        precision: of dense weights: float32 (unchanged), bfloat16 (the vectors that they multiply are rounded as well, if the
            processor has such products) or int8 (integers with one scale per row; vectors are rounded to 16 bits).

    Raises:
        ValueError: for a layer that reads backwards as well, states that do not fit, or a precision that is none.
        TypeError: for states that are no tensors, and for another layer.
    """

    def __init__(
        self,
        layer: Recurrent,
        hx: State | None = None,
        batch: int = 1,
        clamp: Clamps | None = None,
        precision: str = "float32",
    ):
        if layer.cell.before:
            raise TypeError(f"a stream is of a Recurrent, which takes one step after another, not of a {type(layer).__name__}")
        if layer.bidirectional:
            raise ValueError("a bidirectional layer needs the whole sequence, so it cannot be fed step by step")
        self.layer = layer
        with torch.no_grad():
            batch = batch if hx is None else _rows(hx, batch)
            states = layer.states_of(layer.initial_state(batch) if hx is None else hx, batch)
        self._hx: State = states[0] if len(states) == 1 else tuple(states)
        self.clamps, self.steps = listed(clamp), 0
        self.steppers, products = None, PRECISIONS[checked(precision)]
        if not self.clamps:
            self.steppers = kernels.steppers(layer.cell.quiet, self._each_layer(), products)
        if self.steppers is None and products is not None:
            self.layer = rounded_layer(layer, precision)
            if not self.clamps:
                self.steppers = kernels.steppers(layer.cell.quiet, self._each_layer())

    def _each_layer(self) -> list[tuple[int, dict[str, Tensor], dict[str, Tensor]]]:
        """Input size, states and parameters of each layer."""
        layer = self.layer
        layer.refresh()
        states = layer.layout.apart([self._hx] if isinstance(self._hx, Tensor) else self._hx)
        return [
            (
                layer.sizes(k)[0],
                {n: s[k] for n, s in zip(layer.cell.states, states, strict=True)},
                layer.parameters_of(k) | layer.rates_of(layer.cell.quiet, k),
            )
            for k in range(layer.num_layers)
        ]

    @torch.no_grad()
    def __call__(self, x: Tensor, /, **inputs: Tensor) -> Tensor:
        """Return the layer's output for one step, (B, output_size); the next call overwrites it.

        ``inputs``: the further ones of the step, (B, size) by name, or (B,) of one number a row.
        """
        if not isinstance(x, Tensor):
            raise TypeError(f"a step's input is a tensor, (rows, input_size), not {type(x).__name__}")
        check_names(self.layer.cell, inputs)
        if self.steppers is None:
            time = 1 if self.layer.batch_first else 0
            given = {name: tensor(f"input {name}", value).unsqueeze(time) for name, value in inputs.items()}
            clamps = [c.later(self.steps) for c in self.clamps]
            output, self._hx = self._still(x.unsqueeze(time), clamps, given)
            self.steps += 1
            return output[:, 0] if self.layer.batch_first else output[0]
        for k, stepper in enumerate(self.steppers):
            below, x = x, stepper.take(x)
            x = x + below if k and self.layer.skip == "residual" else x
        return x

    def _still(self, x: Tensor, clamps: Clamps, inputs: dict[str, Tensor]) -> tuple[Tensor, State]:
        """Call the layer as in evaluation, without dropout and noise."""
        layer, training = self.layer, self.layer.training
        layer.training = False
        try:
            output, hx = layer(x, self._hx, clamp=clamps, **inputs)
        finally:
            layer.training = training
        return output, hx

    @property
    def hx(self) -> State:
        """The states after the last step, as the layer gives them."""
        if self.steppers is None:
            return self._hx
        each = [s.state() for s in self.steppers]
        given = [self._hx] if isinstance(self._hx, Tensor) else list(self._hx)
        names = self.layer.cell.states
        together = self.layer.layout.together
        states = tuple(together([e[n] for e in each]).to(s.dtype) for n, s in zip(names, given, strict=True))
        return states[0] if len(states) == 1 else states


def _rows(hx: State, otherwise: int) -> int:
    """Return the rows of given states; other values are refused elsewhere."""
    first = hx[0] if isinstance(hx, list | tuple) and hx else hx
    return first.shape[1] if isinstance(first, Tensor) and first.dim() == 3 else otherwise
