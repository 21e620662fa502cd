"""Check every cell's kernels on a GPU against the reference in float64 on the processor; no test: no machine of ours has one.

``PYTHONPATH=.:tests/helpers python tests/kernels/triton/on_card.py [PROCESSES]`` prints a line for each case that fails or is
left to the reference, then how many agree. It exits with status 1 where one fails. ``tests/training/on_card.py`` checks whole
runs.
"""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import torch
from in_triton import agree

from carousel.cells import get
from carousel.cells.catalogue import catalogue
from carousel.kernels.triton.backend import usable

LEFT = "left to the reference"
OPTIONS = (([3, 2, 1], {"resets": True}), ([4, 4, 4, 4], {"reverse": True}))
LONG = (([3] * 90 + [2] * 50 + [1] * 25, {"resets": True}), ([2] * 200, {"reverse": True}))  # several tiles of a scan


class Case(NamedTuple):
    """What runs. ``units``: of the states; more than a tile has, so that programs meet. ``record``: all, and hold some."""

    cell: str
    dtype: torch.dtype = torch.float32
    way: str = ""
    units: int = 19
    record: bool = False

    def __str__(self):
        said = [self.cell, str(self.dtype)[6:], self.way, f"{self.units} units", "recorded" if self.record else ""]
        return ", ".join(filter(None, said))


def checked(case):
    """Return the case, and nothing, or what is wrong."""
    os.environ.pop("CAROUSEL_TRITON_WAY", None)
    if case.way:
        os.environ["CAROUSEL_TRITON_WAY"] = case.way
    try:
        cell = get(case.cell)
        if not usable(cell, torch.zeros(1, device="cuda", dtype=case.dtype)):
            return case, LEFT
        names = [n for n in cell.names if n != "t"] if case.record else []
        more = {"units": case.units, "record": names, "clamp": [n for n in names if n in ("f", "z", "h")]}
        for batch_sizes, options in LONG if case.way == "scan" else OPTIONS:
            for seed in (1, 2, 3) if case.way == "stepwise" else (1,):  # the third is replayed from a CUDA graph
                agree(cell, case.dtype, batch_sizes, device="cuda", seed=seed, **options, **more)
    except Exception as error:  # told as it is
        return case, f"{type(error).__name__}: {error}"[:300]
    return case, None


def cases():
    """Every cell; some in half precision, in each way, in heads, recorded and held, over several programs that meet."""
    every = [entry.cell.name for entry in catalogue() if not entry.cell.before]
    some = ["lstm", "lstm-v3", "lstm-v4", "gru", "gru-original", "rnn", "fgr", "clockwork", "mlp"]
    over_units = ["gru-layer-norm", "lstm-layer-norm", "lmu"]
    found = [Case(name) for name in (*every, "slstm-3-heads", "lstm-v2-2-heads")]
    found += [Case(name, torch.bfloat16) for name in (*some, "gru-layer-norm", "lstm-variational")]
    ways = ("stepwise", "rows", "grid", "held")
    found += [Case(name, way=way, units=70) for way in ways for name in (*some[:6], *over_units)]
    found += [Case("gru-2-heads", way=way, units=128) for way in ways]
    found += [Case(f"{name}-{heads}-heads", units=heads * 32) for name in ("slstm", "gru", "rnn") for heads in (2, 4)]  # apart
    linear = [
        "min-gru",
        "min-lstm",
        "qrnn",
        "t-rnn",
        "gilr",
        "sru",
        "brc",
        "ind-rnn",
        "lstm-1997-truncated",
    ]  # the last four backwards
    found += [Case(name, way="scan", units=70, record=held) for name in linear for held in (False, True)]
    found += [Case(name, torch.bfloat16, "scan", 300) for name in linear[:5]]
    found += [Case("lstm-v2-2-heads", torch.bfloat16, units=256), Case("lstm-v2-2-heads", way="grid", units=256)]
    return found + [Case(name, record=True, units=units) for name in (*some[:4], *over_units[:2]) for units in (19, 70)]


def main():
    every = cases()
    context = multiprocessing.get_context("spawn")  # CUDA and forks do not agree
    with ProcessPoolExecutor(int(sys.argv[1]) if sys.argv[1:] else 1, mp_context=context) as pool:
        right = left = 0
        for case, wrong in pool.map(checked, every):
            right, left = right + (wrong is None), left + (wrong == LEFT)
            if wrong:
                print(f"{case}: {wrong}", flush=True)
    print(f"{right} of {len(every)} agree")
    sys.exit(right + left < len(every))


if __name__ == "__main__":
    main()
