"""LSTM v3: gates that see the memory should tell time better.

Gers, Schraudolph and Schmidhuber 2002, "measuring spike delays": spikes come at irregular distances, and at each the network
says how many steps ago the last one was.
"""

from __future__ import annotations

import torch
from torch import Tensor

from carousel.insight.claims.claim import Claim, Figures, Question, Tick, TrialConfig
from carousel.insight.claims.training import Network, train

WAYS = {"v2": ("lstm-v2", 8), "v3": ("lstm-v3", 8), "v2 larger": ("lstm-v2", 9)}
SHORTEST, LONGEST, SPIKES = 10, 40, 8  # steps between spikes, and spikes of a sequence
ROWS, STEPS, RATE, TEST_ROWS = 32, 2000, 0.01, 500


def spikes(generator: torch.Generator, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw spikes (T, B, 1), at each of them the steps since the last one, (T, B), and where they are asked.

    The first spike of a sequence has none before it.
    """
    delays = torch.randint(SHORTEST, LONGEST + 1, (SPIKES, rows), generator=generator)
    times = delays.cumsum(0) - SHORTEST
    x = torch.zeros(int(times.max()) + 1, rows)
    x.scatter_(0, times, 1.0)
    y = torch.zeros_like(x).scatter_(0, times[1:], delays[1:].float())
    return x.unsqueeze(-1), y, y > 0


def measure(way: str, seed: int, setting: TrialConfig, tick: Tick) -> Figures:
    """Train on sequences none of which comes twice; test on fresh ones."""
    torch.manual_seed(seed)
    cell, units = WAYS[way]
    network, generator = Network(cell, 1, units, 1), torch.Generator().manual_seed(1000 + seed)

    def loss(_: int) -> Tensor:
        x, y, asked = spikes(generator, ROWS)
        return ((network(x)[0][..., 0] - y / LONGEST)[asked] ** 2).mean()

    train(network, loss, setting.steps or STEPS, RATE, tick)
    x, y, asked = spikes(torch.Generator().manual_seed(seed), TEST_ROWS)
    with torch.no_grad():
        off = (network(x)[0][..., 0] * LONGEST - y)[asked]
    return {
        "error": off.square().mean().sqrt().item(),
        "exact": (off.abs() < 0.5).float().mean().item(),
        "parameters": float(sum(p.numel() for p in network.parameters())),
    }


CLAIM = Claim(
    "peepholes",
    "Allow the gates to additionally see the internal memory state",
    'Renshaw 2014, slide "LSTM v3: peepholes"; Gers, Schraudolph and Schmidhuber 2002',
    {"v2": "LSTM v2, 8 units", "v3": "LSTM v3, 8 units", "v2 larger": "LSTM v2, 9 units (more parameters than v3's)"},
    {
        "error": "root mean square error, steps",
        "exact": "share of delays right to the step",
        "parameters": "parameters",
    },
    (
        Question("v3 measures delays better than v2 of as many units", "error", "v3", "v2"),
        Question("v3 measures delays better than v2 with a unit more", "error", "v3", "v2 larger"),
    ),
    measure,
)
