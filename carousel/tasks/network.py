"""The network of today's recipe: any cell of ``carousel.cells``, symbols embedded, outputs read off the messages."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from carousel.cells import fed_alone
from carousel.layers import Recurrent
from carousel.tasks.problem import Problem

INPUT, RECURRENT, OUTPUT = 0.5, 0.1, 0.5
HEARD, HEARD_INPUT = 15, 0.25
LAG = 10  # steps beyond which feedback is to be smaller


class Network(nn.Module):
    """Embedding (of symbols), one recurrent layer, a linear output layer, which hears the input too where ``problem.direct``.

    First weights (:meth:`start`) suit a memory that is to last ``problem.lag`` steps. ``without`` leaves out one detail,
    to measure its worth: "embeddings" start at random, "outputs" within ±1, "sureness" is the same everywhere; "start": all
    first weights are PyTorch's.
    """

    def __init__(self, problem: Problem, cell: str, hidden: int, embedding: int, *, without: str = ""):
        super().__init__()
        self.symbols, self.lag, self.without = problem.symbols, problem.lag, without
        self.embedding = nn.Parameter(torch.randn(problem.inputs, embedding)) if problem.symbols else None
        self.layer = Recurrent(fed_alone(cell), embedding if problem.symbols else problem.inputs, hidden)
        self.output = nn.Linear(self.layer.output_size, problem.outputs)
        # Of 2a and 2b, as in the paper: a symbol that follows from the last one alone takes no memory.
        self.direct = nn.Parameter(torch.zeros(problem.inputs, problem.outputs)) if problem.direct else None
        if without != "start":
            self.start()

    @torch.no_grad()
    def start(self) -> None:
        """Draw first weights: no drift, gates at the scale of the lag.

        A memory adds its input over all steps: a part that is the same at each of them would carry it away, and noise would
        drown the part that counts. So biases and symbols' embeddings start at zero; gates' weights from the input start at zero
        (a gate that opens with the input that it lets in adds up its square); weights from the states are small, the smaller
        the longer the lag. Forget gates (``f``, a GRU's ``z``) begin open for the lag, at log(lag) + 1 as in Tallec and
        Ollivier 2018; input gates at −log(lag)/2, where noise that is added up over the lag stays of size one. There one step
        moves the memory by 1/√lag, and outputs' weights are as much larger: one step can be heard while the memory stays small,
        where it is linear. A network without gates has no such memory: its recurrent weights start orthogonal.
        Where there are more outputs than units, most are never asked: theirs stay small.
        """
        gates = self.layer.cell.gates
        recurrent = RECURRENT * self._calm
        for letters, weight in self._of("W").items():
            into, of = letters[0], letters[1:]
            if of == "e":
                weight.uniform_(-INPUT, INPUT)
                if into in gates and into in "ifz":
                    weight.zero_()
            elif gates:
                weight.uniform_(-recurrent, recurrent)
            else:
                nn.init.orthogonal_(weight)
        if self.embedding is not None:
            self.embedding.sub_(self.embedding.mean(0) if self.without == "embeddings" else self.embedding)
        for letters, bias in self._of("b").items():
            if letters in gates and letters in "fz":
                bias.fill_(math.log(self.lag) + 1)
            elif letters in gates and letters == "i":
                bias.fill_(-math.log(self.lag) / 2)
            else:
                bias.zero_()
        many = self.output.out_features > self.output.in_features
        size = 1.0 if many or self.without == "outputs" else max(1.0, OUTPUT * self.lag**0.5)
        self.output.weight.uniform_(-size, size)
        self.output.bias.zero_()

    def _of(self, space: str) -> dict[str, Tensor]:
        """Return the cell's weights ("W") or biases ("b") by their letters."""
        return {name[2:]: p for name, p in self.layer.parameters_of().items() if name.startswith(f"{space}.")}

    @property
    def _calm(self) -> float:
        return min(1.0, LAG / self.lag)

    def inner(self) -> list[nn.Parameter]:
        """Return all parameters but the outputs'."""
        return [*self.layer.parameters(), *([] if self.embedding is None else [self.embedding])]

    def uncertainty(self) -> np.ndarray:
        """Return how unsure each weight of :meth:`inner` is to begin with, as a variance.

        Cells' biases and their weights from the states act at every step, and a memory adds them up: a change that an
        output never shows can saturate the units. They are surer than the rest, by LAG / lag; without gates nothing adds up.
        """
        gates = self.layer.cell.gates
        of_bias = {id(b): letters not in gates for letters, b in self._of("b").items()}
        of_state = {id(w): letters[0] not in gates and letters[1:] != "e" for letters, w in self._of("W").items()}
        steady = of_bias | of_state if gates and self.without != "sureness" else {}
        return np.concatenate([np.full(p.numel(), self._calm if steady.get(id(p)) else 1.0) for p in self.inner()])

    def messages(self, inputs: Tensor) -> Tensor:
        """Return the layer's messages after each step, (T, B, size)."""
        if self.embedding is not None:
            inputs = nn.functional.embedding(inputs, self.embedding)
        return self.layer(inputs)[0]

    def read(self, messages: Tensor, symbols: Tensor) -> Tensor:
        """Return the outputs of messages (…, size) at steps whose inputs were ``symbols`` (…)."""
        z = self.output(messages)
        return z if self.direct is None else z + nn.functional.embedding(symbols, self.direct)

    def forward(self, inputs: Tensor, lengths: Tensor | None) -> Tensor:
        """Return the outputs (T, B, outputs), or (B, outputs) after the last of ``lengths`` steps."""
        messages = self.messages(inputs)
        if lengths is not None:
            last = (lengths - 1, torch.arange(len(lengths)))
            messages, inputs = messages[last], inputs[last]
        return self.read(messages, inputs)


class Sparse(Network):
    """A network of Martens and Sutskever (2011): symbols enter it as they are, one unit each.

    Without gates first weights are theirs: each unit hears 15 others and up to 15 inputs, with weights drawn from a normal
    distribution of variance 1/15, inputs' a quarter of that size. (So in Sutskever's later code; the variance is a choice of
    balance: smaller, and the states carry nothing; larger, and they are chaotic.)
    """

    def __init__(self, problem: Problem, cell: str, hidden: int):
        super().__init__(problem, cell, hidden, problem.inputs)

    @torch.no_grad()
    def start(self) -> None:
        if self.layer.cell.gates:
            super().start()
        else:
            for letters, weight in self._of("W").items():
                weight.copy_(_sparse(weight.shape, HEARD) * (HEARD_INPUT if letters[1:] == "e" else 1.0))
            for bias in self._of("b").values():
                bias.zero_()
            self.output.weight.copy_(_sparse(self.output.weight.shape, HEARD))
            self.output.bias.zero_()
        if self.embedding is not None:
            self.embedding.copy_(torch.eye(len(self.embedding)))
            self.embedding.requires_grad_(False)

    def watched(self, inputs: Tensor, lengths: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Return what ``forward`` does, and all states (T, B, size) of its steps, those after a sequence's end zero."""
        x = inputs if self.embedding is None else nn.functional.embedding(inputs, self.embedding)
        messages, _, recorded = self.layer(x, record=self.layer.cell.states)
        states = [s[0] for s in recorded.values()]
        if lengths is None:
            return self.read(messages, inputs), states
        inside = (torch.arange(len(inputs))[:, None] < lengths)[..., None]
        last = (lengths - 1, torch.arange(len(lengths)))
        return self.read(messages[last], inputs[last]), [s * inside for s in states]


def _sparse(shape: Sequence[int], heard: int) -> Tensor:
    """Draw a weight (into, from) of which each row has ``heard`` entries that are not zero."""
    into, of = shape
    weight = torch.zeros(into, of)
    for row in weight:
        chosen = torch.randperm(of)[:heard]
        row[chosen] = torch.randn(len(chosen)) / heard**0.5
    return weight
