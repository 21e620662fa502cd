"""Times of the questions to a million words × 200 units: ``PYTHONPATH=. python tests/helpers/find_speed.py``."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from carousel.insight.search.peaks import extremes, nearest
from carousel.insight.search.states import Facts, write_states
from carousel.insight.search.switches import Switch, places, runs

TOKENS, UNITS, LINE, AT_ONCE = 1_000_000, 200, 13, 1 << 14


def walks(first, _):
    """Yield random walks, (tokens, units)."""
    random, last = np.random.default_rng(0), np.zeros(UNITS, np.float32)
    for begin in range(first, TOKENS, AT_ONCE):
        steps = 0.05 * random.standard_normal((min(AT_ONCE, TOKENS - begin), UNITS), dtype=np.float32)
        values = last + np.cumsum(steps, 0)
        last = values[-1]
        yield values, ()


def timed(name, ask):
    times = []
    for _ in range(3):
        wall, processor = time.perf_counter(), time.process_time()
        ask()
        times.append((time.perf_counter() - wall, time.process_time() - processor))
    wall, processor = (min(t) for t in zip(*times, strict=True))
    print(f"{name}: {wall:.3f} s, of processor time {processor:.3f} s")


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        states = write_states(Path(folder), Facts("h", 0, UNITS, TOKENS, "", ""), walks)
        starts = np.arange(0, TOKENS, LINE)
        ends = np.append(starts[1:], TOKENS) - 1
        to = states.values(np.array([12345]))[0]
        timed("nearest", lambda: nearest(states, to, starts, ends, 10))
        timed("extremes", lambda: extremes(states, 17, 1, starts, ends, 10))
        for count in (1, 5, 20, 100):
            each = [Switch(u) for u in range(count)]
            timed(f"places of {count} units", lambda each=each: places([runs(states, s, 0.3, starts) for s in each], 5))
