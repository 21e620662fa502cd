"""The network of today's recipe: any cell of ``carousel.cells``, symbols embedded, outputs read off the messages."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from carousel.layers import Recurrent
from carousel.tasks.problem import Problem

INPUT, RECURRENT, EMBEDDING, OUTPUT = 0.5, 0.1, 1.0, 1.0
LAG = 10  # steps for which RECURRENT is meant


class Network(nn.Module):
    """Embedding (of symbols), one recurrent layer, a linear output layer, which hears the input too where ``problem.direct``.

    First weights (:meth:`start`) suit a memory that is to last ``problem.lag`` steps; ``prepared=False`` leaves PyTorch's.
    """

    def __init__(self, problem: Problem, cell: str, hidden: int, embedding: int, *, prepared: bool = True):
        super().__init__()
        self.symbols = problem.symbols
        self.embedding = nn.Parameter(torch.randn(problem.inputs, embedding) * EMBEDDING) if problem.symbols else None
        self.layer = Recurrent(cell, embedding if problem.symbols else problem.inputs, hidden)
        self.output = nn.Linear(self.layer.output_size, problem.outputs)
        # Of 2a and 2b, as in the paper: what follows from the last symbol alone takes no memory.
        self.direct = nn.Parameter(torch.zeros(problem.inputs, problem.outputs)) if problem.direct else None
        if prepared:
            self.start(problem.lag)

    @torch.no_grad()
    def start(self, lag: int) -> None:
        """First weights: no drift, gates at the scale of the lag.

        A memory adds what comes in over all steps, so whatever is the same at each of them would carry it away: biases start
        at zero; symbols' embeddings have the mean zero; what gates hear of the input starts at zero (a gate that opens with
        what it lets in adds up its square); weights from the states are small, the smaller the longer the lag. Forget gates
        (``f``, a GRU's ``z``) begin open for the lag, at log(lag) + 1 as in Tallec and Ollivier 2018; input gates at
        −log(lag)/2, where noise that is added up over the lag stays of size one. A network without gates has no such memory:
        its recurrent weights start orthogonal. Outputs, where there are more than units, start at zero: as the filter learns
        their weights apart, those that are never asked would hold the rest back.
        """
        gates = self.layer.cell.gates
        recurrent = RECURRENT * min(1.0, LAG / lag)
        for name, weight in self.layer.W.items():
            into, of = name[0], name[1]
            if of == "e":
                weight.uniform_(-INPUT, INPUT)
                if into in gates and into in "ifz":
                    weight.zero_()
            elif gates:
                weight.uniform_(-recurrent, recurrent)
            else:
                nn.init.orthogonal_(weight)
        if self.embedding is not None:
            self.embedding.sub_(self.embedding.mean(0))
        for name, bias in self.layer.b.items():
            letters = name.removesuffix("_l0")
            if letters in gates and letters in "fz":
                bias.fill_(math.log(lag) + 1)
            elif letters in gates and letters == "i":
                bias.fill_(-math.log(lag) / 2)
            else:
                bias.zero_()
        if self.output.out_features > self.output.in_features:
            self.output.weight.zero_()
        else:
            self.output.weight.uniform_(-OUTPUT, OUTPUT)
        self.output.bias.zero_()

    def messages(self, inputs: Tensor) -> Tensor:
        """What the layer says after each step, (T, B, size)."""
        if self.embedding is not None:
            inputs = nn.functional.embedding(inputs, self.embedding)
        found, _ = self.layer(inputs)
        return found

    def read(self, messages: Tensor, symbols: Tensor) -> Tensor:
        """The outputs of messages (…, size) at steps whose inputs were ``symbols`` (…)."""
        z = self.output(messages)
        return z if self.direct is None else z + nn.functional.embedding(symbols, self.direct)

    def forward(self, inputs: Tensor, lengths: Tensor | None) -> Tensor:
        """(T, B, outputs), or (B, outputs) after the last of ``lengths`` steps."""
        messages = self.messages(inputs)
        if lengths is not None:
            last = (lengths - 1, torch.arange(len(lengths)))
            messages, inputs = messages[last], inputs[last]
        return self.read(messages, inputs)
