"""Forecasters over any cell: after each step, the next ``horizon`` values at once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from carousel.errors import InputError
from carousel.forecasting.config import ForecastConfig, ForecasterConfig
from carousel.layers import dropout
from carousel.training.task import Trainable


class Forecaster(Trainable):
    """Recurrent layers that read a series, and a linear layer that gives the next values.

    The output of a step gives the whole horizon ("direct" forecasts), so the model never reads its own forecasts, and one call
    of the compiled kernels learns from all steps of a window. With ``direct``, a linear
    map of the last values moves the forecast (the autoregressive part of Lai et al. 2018): recurrent layers saturate where a
    series leaves the range that they have seen, and a linear map does not.

    Args:
        columns: how many numbers a step reads.
        horizon: steps to forecast.
        config: the model's settings.
        inputs: how many numbers each further input of the cell has, by name.

    Raises:
        InputError: the configuration cannot be.
    """

    kind = ForecastConfig.kind

    def __init__(self, columns: int, horizon: int, config: ForecasterConfig, inputs: Mapping[str, int] | None = None):
        super().__init__()
        self.config, self.horizon = config, horizon
        config.check()
        self.form = config.form()
        size = columns if config.embedding is None else config.embedding
        self.embedding = nn.Linear(columns, size) if config.embedding is not None else None
        try:
            sized = config.own_cell().sized
            sizes = {n: k for n, k in (inputs or {}).items() if n in sized}
            self.recurrent = config.recurrent_layers(size, input_sizes=sizes)
        except ValueError as error:
            raise InputError(str(error)) from None
        self._check_inputs(inputs or {})
        self.output = nn.Linear(self.recurrent.output_size, horizon * self.form.size)
        self.direct = nn.Linear(config.direct, horizon, bias=False) if config.direct else None
        if self.direct is not None:
            nn.init.zeros_(self.direct.weight)

    def _check_inputs(self, inputs: Mapping[str, int]) -> None:
        cell = self.recurrent.cell
        needed = {x.name: cell.length(x.size, *self.recurrent.sizes()) for x in cell.trace.inputs}
        for name in {*needed, *inputs}:
            if name not in inputs:
                raise InputError(
                    f"cell {cell.name} reads {name} at each step: say which columns with `inputs`, such as {name}=gap"
                )
            if name not in needed:
                known = f"it reads {', '.join(needed)}" if needed else "it reads one input alone"
                raise InputError(f"cell {cell.name} has no input {name!r}: {known}")
            if needed[name] != inputs[name]:
                raise InputError(
                    f"the input {name} of cell {cell.name} has {needed[name]} numbers, and `inputs` gives {inputs[name]}"
                )

    def forward(self, x: Tensor, y: Tensor, counts: Tensor, further: Mapping[str, Tensor] | None = None) -> tuple[Tensor, None]:
        """Return the loss of the forecasts from the steps of windows.

        Args:
            x: the inputs of each step, (T, B, columns).
            y: the values after each step, in the model's scale, (T, B, horizon).
            counts: True where a value is a target, (T, B, horizon).
            further: the cell's further inputs by name, (T, B, n) each.

        Returns:
            The loss, summed over all targets; and None, since no state is carried to the next batch.
        """
        used = counts.any(-1)
        steps, rows = used.nonzero(as_tuple=True)
        raw = self.raw(x, self.read(x, further), (steps, rows))
        return self.form.loss(raw, y[used])[counts[used]].sum(), None

    def read(self, x: Tensor, further: Mapping[str, Tensor] | None = None) -> Tensor:
        """Read windows and return the layers' outputs, (T, B, size)."""
        e = x if self.embedding is None else self.embedding(x)
        h, _ = self.recurrent(e, **(further or {}))
        return dropout(h, self.config.dropout, self.training, self.config.variational_dropout)

    def raw(self, x: Tensor, h: Tensor, at: tuple[Tensor, Tensor]) -> Tensor:
        """Return the raw outputs of forecasts, (N, horizon, size of the form).

        Args:
            x: the inputs of each step, (T, B, columns).
            h: the layers' outputs, as ``read`` returns them.
            at: step and row of each forecast, (N,) each.
        """
        raw = self.output(h[at]).unflatten(-1, (self.horizon, self.form.size))
        if self.direct is None:
            return raw
        last = pad(x[..., 0], (0, 0, self.config.direct - 1, 0)).unfold(0, self.config.direct, 1)  # (T, B, direct)
        return self.form.moved(raw, self.direct(last[at]))

    @torch.no_grad()
    def foretell(self, x: Tensor, ends: Tensor, further: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the raw outputs of the forecasts after each window's last step, (B, horizon, size of the form).

        Args:
            x: the inputs of each step, (T, B, columns).
            ends: the last step of each window, (B,).
            further: the cell's further inputs, (T, B, n) by name.
        """
        return self.raw(x, self.read(x, further), (ends, torch.arange(x.shape[1])))
