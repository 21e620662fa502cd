"""LSTM v2: a memory that is never emptied grows on a stream that never ends; a forget gate empties it.

Gers, Schmidhuber and Cummins 2000: embedded Reber strings one after the other, and nothing tells where one ends. The state is
carried on all the time; with v1 it can be put back at the beginning of each string only by someone who knows where that is.
"""

from __future__ import annotations

from math import log

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from carousel.insight.claims.claim import Claim, Figures, Question, Tick, TrialConfig
from carousel.insight.claims.training import Network, train
from carousel.tasks.reber import SYMBOLS, string

CELLS = {"v1": "lstm-v1", "v2": "lstm-v2", "v1 reset": "lstm-v1", "v2 reset": "lstm-v2"}
UNITS, ROWS, LENGTH, STEPS, RATE = 8, 16, 50, 2000, 0.01
TEST_ROWS, TEST_LENGTH = 8, 20_000


class Stream:
    """Rows of a stream of strings, read piece by piece: symbols, the symbols after them, where strings begin, how many bits
    nobody can know of the next symbol, and where it is the one that only the memory can tell."""

    def __init__(self, seed: int, rows: int):
        self.randoms = [np.random.default_rng([seed, row]) for row in range(rows)]
        self.waiting: list[list[tuple[int, bool, float, bool]]] = [[] for _ in range(rows)]

    def read(self, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the next ``length`` steps, (T, B) each."""
        for random, waiting in zip(self.randoms, self.waiting, strict=True):
            while len(waiting) <= length:
                text, after = string(random)
                free = [0.0, *(log(len(a), 2) for a in after)]  # bits of each symbol, by those before it
                last = len(text) - 2
                waiting += [(SYMBOLS.index(c), k == 0, free[k], k == last) for k, c in enumerate(text)]
        rows = [w[: length + 1] for w in self.waiting]
        for waiting in self.waiting:
            del waiting[:length]
        now, begins, bits, far = (torch.tensor([[step[k] for step in row] for row in rows]).T for k in range(4))
        return now[:-1], now[1:], begins[:-1], bits[1:].float(), far[1:]


def measure(way: str, seed: int, setting: TrialConfig, tick: Tick) -> Figures:
    """Train on one endless stream and test on another, 20 000 symbols long."""
    torch.manual_seed(seed)
    network, resets = Network(CELLS[way], len(SYMBOLS), UNITS, len(SYMBOLS)), way.endswith("reset")
    stream, hx = Stream(1000 + seed, ROWS), None

    def loss(_step: int) -> Tensor:
        nonlocal hx
        x, y, begins, _, _ = stream.read(LENGTH)
        logits, hx = network(_vectors(x), hx, begins if resets else None)
        hx = tuple(h.detach() for h in hx)
        return cross_entropy(logits.flatten(0, 1), y.flatten())

    steps = setting.steps or STEPS
    train(network, loss, steps, RATE, tick)
    with torch.no_grad():
        x, y, begins, bits, far = Stream(seed, TEST_ROWS).read(TEST_LENGTH)
        logits, (_, h) = network(_vectors(x), None, begins if resets else None)
    half = slice(TEST_LENGTH // 2, None)  # the long run
    surprise = cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view_as(y) / log(2)
    candidates = torch.tensor([SYMBOLS.index(c) for c in "TP"])
    told = candidates[logits[..., candidates].argmax(-1)] == y
    return {
        "remembered": told[half][far[half]].float().mean().item(),
        "excess": (surprise - bits)[half].mean().item(),
        "memory": h.abs().amax(-1).mean().item(),
    }


def _vectors(x: Tensor) -> Tensor:
    return one_hot(x, len(SYMBOLS)).float()


CLAIM = Claim(
    "forget",
    "Model controls when memory, h_t, is reduced",
    'Renshaw 2014, slide "LSTM v2: forget (remember) gate"; Gers, Schmidhuber and Cummins 2000',
    {
        "v1": "LSTM v1, state carried on for ever",
        "v2": "LSTM v2, state carried on for ever",
        "v1 reset": "LSTM v1, state put back where a string begins",
        "v2 reset": "LSTM v2, state put back where a string begins",
    },
    {
        "remembered": "share of the far symbols right (0.5: guessing)",
        "excess": "bits a symbol above the least possible",
        "memory": "largest |h| of a unit after 20 000 symbols",
    },
    (
        Question("without resets, v2 remembers more than v1", "remembered", "v2", "v1", higher=True),
        Question("without resets, v2's memory stays smaller than v1's", "memory", "v2", "v1"),
        Question("v1 needs the resets", "remembered", "v1 reset", "v1", higher=True),
        Question("v2 does not: without them it remembers as much, to a hundredth", "remembered", "v2", "v2 reset", True, 0.01),
    ),
    measure,
)
