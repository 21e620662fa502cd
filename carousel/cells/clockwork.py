"""The Clockwork RNN: groups of units that tick at their own periods."""

import numpy as np

from carousel.equations import cell, tanh, where

GROUPS = 7  # periods 1, 2, 4 … 64, as in the paper's generation experiment


def periods(units: int) -> np.ndarray:
    """Return the period of each unit: powers of two, in up to seven groups as equal as they can be."""
    groups = np.array_split(np.arange(units), min(GROUPS, units))
    return np.concatenate([np.full(len(g), 2.0**k) for k, g in enumerate(groups)])


def slower_to_faster(rows: int, columns: int) -> np.ndarray:
    """Return 1 where a unit may hear another: one of its own period or of a longer one."""
    return (periods(rows)[:, None] <= periods(columns)[None, :]).astype(float)


@cell(constants={"T": periods}, masks={"W.hh": slower_to_faster})
def clockwork(e, h, t, W, b, c):
    """Clockwork RNN: a unit of period T changes only at every T-th step.

    Renshaw 2014, slide "Further thoughts"; Koutník et al. 2014, equations (1) to (4).
    """
    h = where(t % c.T == 0, tanh(W.he @ e + W.hh @ h + b.h), h)
    return h
