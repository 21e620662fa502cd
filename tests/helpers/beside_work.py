"""Time of a training step beside busy processes: ``PYTHONPATH=. python tests/helpers/beside_work.py [PROCESSES …]``; 0, 4, 10.

An LSTM, 20 rows, 200 units, 35 steps, forwards and backwards on two threads for 8 s, in a process of its own, with threads that
wait as OpenMP has them by itself and with threads that sleep.
"""

import os
import subprocess
import sys
import time
from statistics import median

POLICIES = {"by itself": {}, "passive": {"OMP_WAIT_POLICY": "passive"}}


def step_times() -> list[float]:
    import torch

    from carousel import Recurrent

    torch.set_num_threads(2)
    layer, x = Recurrent("lstm-v2", 200, 200), torch.randn(35, 20, 200)
    found, end = [], time.monotonic() + 10
    while time.monotonic() < end:
        begun = time.perf_counter()
        layer.zero_grad()
        layer(x)[0].sum().backward()
        found.append(time.perf_counter() - begun)
    return found[len(found) // 5 :]  # the first ones compile


def main(counts: list[int]) -> None:
    for count in counts:
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
        try:
            for name, policy in POLICIES.items():
                made = subprocess.run(
                    [sys.executable, __file__, "child"], env=os.environ | policy, stdout=subprocess.PIPE, check=True
                )
                print(f"{count} busy processes, {name}: {float(made.stdout):.1f} ms a step")
        finally:
            for process in busy:
                process.kill()


if __name__ == "__main__":
    if sys.argv[1:] == ["child"]:
        print(1000 * median(step_times()))
    else:
        main([int(n) for n in sys.argv[1:]] or [0, 4, 10])
