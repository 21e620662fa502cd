"""How long commands take before they do anything, beside ``import torch`` alone."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

TORCH = "import torch"
HELP = ("train", "translate", "generate", "score", "gradients", "probe", "walkthrough", "serve", "tasks", "bench")
COMPLETED = "import sys; sys.argv = ['carousel']; from carousel.cli import main; main()"  # -m would be another name
COMPLETION = {"_CAROUSEL_COMPLETE": "complete_bash", "COMP_WORDS": "carousel tr", "COMP_CWORD": "1"}


def ways(commands: Sequence[str] = HELP) -> dict[str, tuple[list[str], Mapping[str, str]]]:
    """Return what is timed: arguments of Python, and variables of the environment, by name. The first is ``import torch``."""
    shown = {
        "carousel --help": ["--help"],
        "carousel --version": ["--version"],
        "carousel cells": ["cells"],
        **{f"carousel {name} --help": [name, "--help"] for name in commands},
    }
    return {
        TORCH: (["-c", TORCH], {}),
        "import carousel": (["-c", "import carousel"], {}),
        "shell completion": (["-c", COMPLETED], COMPLETION),
        **{name: (["-m", "carousel", *given], {}) for name, given in shown.items()},
    }


def measure(
    repeats: int, commands: Sequence[str] = HELP, tick: Callable[[int, int], None] = lambda done, total: None
) -> list[dict[str, Any]]:
    """Time each way in processes of its own, all of them in turn.

    Args:
        repeats: rounds; a first one, which is not counted, brings files into memory.
        commands: whose ``--help`` is timed.
        tick: called with processes done, and of how many.

    Returns:
        Of each way the medians of its time in seconds ("seconds") and of the processor's ("cpu", which others on the machine
        disturb less), and what both are beside those of ``import torch`` ("ratio", "cpu_ratio", "above" in seconds).
    """
    every = ways(commands)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in every}
    for turn in range(repeats + 1):
        for k, (name, (arguments, variables)) in enumerate(every.items()):
            tick(turn * len(every) + k, (repeats + 1) * len(every))
            found = _timed(arguments, variables)
            if turn:
                times[name].append(found)
    medians = {name: tuple(statistics.median(column) for column in zip(*each, strict=True)) for name, each in times.items()}
    torch, torch_cpu = medians[TORCH]
    return [
        {"name": n, "seconds": s, "cpu": cpu, "ratio": s / torch, "cpu_ratio": cpu / torch_cpu, "above": s - torch}
        for n, (s, cpu) in medians.items()
    ]


def _timed(arguments: Sequence[str], variables: Mapping[str, str]) -> tuple[float, float]:
    """Seconds of a process by the clock, and of the processor."""
    room = str(Path(__file__).parents[2])  # the package that measures is the one that is measured
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([room, os.environ.get("PYTHONPATH", "")]), **variables}
    before, begun = os.times(), time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True)
    seconds, after = time.perf_counter() - begun, os.times()
    if done.returncode or (variables and b"translate" not in done.stdout):
        raise RuntimeError(f"{' '.join(arguments)} failed: {done.stderr.decode(errors='replace').strip()[-200:]}")
    return seconds, after.children_user + after.children_system - before.children_user - before.children_system
