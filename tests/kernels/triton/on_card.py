"""Check every cell's kernels on a GPU against the reference in float64 on the processor; no test: no machine of ours has one.

``PYTHONPATH=.:tests/helpers python tests/kernels/triton/on_card.py [PROCESSES]`` prints a line for each case that fails or is
left to the reference, then how many agree.
"""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

import torch
from in_triton import agree

from carousel.cells import get
from carousel.cells.catalogue import catalogue
from carousel.kernels.triton.backend import usable

OPTIONS = (([3, 2, 1], {"resets": True}), ([4, 4, 4, 4], {"reverse": True}))


def checked(case):
    """Return the case, and nothing, or what is wrong."""
    name, dtype, way = case
    os.environ.pop("CAROUSEL_TRITON_WAY", None)
    if way:
        os.environ["CAROUSEL_TRITON_WAY"] = way
    try:
        cell = get(name)
        if not usable(cell, torch.zeros(1, device="cuda", dtype=dtype)):
            return case, "left to the reference"
        if cell.rates and dtype is not torch.float32:
            return case, "left to the reference"
        for batch_sizes, options in OPTIONS:
            agree(cell, dtype, batch_sizes, device="cuda", **options)
    except Exception as error:  # told as it is
        return case, f"{type(error).__name__}: {error}"[:300]
    return case, None


def main():
    every = [entry.cell.name for entry in catalogue() if not entry.cell.before]
    some = ["lstm", "lstm-v3", "lstm-v4", "gru", "gru-original", "rnn", "fgr", "clockwork", "mlp"]
    cases = [(name, torch.float32, "") for name in (*every, "slstm-3-heads", "lstm-v2-2-heads")]
    cases += [(name, torch.bfloat16, "") for name in some]
    cases += [(name, torch.float32, way) for way in ("stepwise", "rows", "grid", "held") for name in some[:6]]
    context = multiprocessing.get_context("spawn")  # CUDA and forks do not agree
    with ProcessPoolExecutor(int(sys.argv[1]) if sys.argv[1:] else 1, mp_context=context) as pool:
        right = 0
        for (name, dtype, way), wrong in pool.map(checked, cases):
            right += wrong is None
            if wrong:
                print(f"{name}, {str(dtype)[6:]}{f', {way}' if way else ''}: {wrong}", flush=True)
    print(f"{right} of {len(cases)} agree")


if __name__ == "__main__":
    main()
