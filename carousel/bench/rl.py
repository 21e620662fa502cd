"""RecurrentPPO with our layers beside sb3-contrib's own: frames a second, and what is learned."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from statistics import fmean
from typing import Any

import torch
from torch import nn

from carousel.plotting import Figure

THEIRS = "sb3-contrib"
SOLVED = 500  # steps, the longest episode of the task
ENVIRONMENTS = 8
# For this task, as RL Baselines3 Zoo has found them; its rate and clipping fall linearly to nothing.
SETTINGS: dict[str, Any] = {
    "n_steps": 32,
    "batch_size": 256,
    "n_epochs": 20,
    "gae_lambda": 0.8,
    "gamma": 0.98,
    "learning_rate": lambda left: 1e-3 * left,
    "clip_range": lambda left: 0.2 * left,
}
POLICY: dict[str, Any] = {
    "ortho_init": False,
    "activation_fn": nn.ReLU,
    "lstm_hidden_size": 64,
    "net_arch": {"pi": [64], "vf": [64]},
}


def available() -> bool:
    """Return whether sb3-contrib is installed."""
    return find_spec("sb3_contrib") is not None


def _environment() -> Any:
    """Make a pole on a cart, of which places are seen and no velocities: two frames are needed to know where it goes."""
    import gymnasium
    import numpy as np

    env = gymnasium.make("CartPole-v1")
    seen = np.array([0, 2])
    space = env.observation_space
    return gymnasium.wrappers.TransformObservation(
        env, lambda all_: all_[seen], gymnasium.spaces.Box(space.low[seen], space.high[seen])
    )


class _Learner:
    """One way, with one seed: it learns some frames at a time, and its time is counted."""

    def __init__(self, way: str, steps: int, seed: int):
        from sb3_contrib import RecurrentPPO
        from stable_baselines3.common.env_util import make_vec_env

        from carousel.integrations.sb3 import RecurrentPolicy

        theirs = way == THEIRS
        policy = POLICY if theirs else POLICY | {"cell": way}
        envs = make_vec_env(_environment, n_envs=ENVIRONMENTS, seed=seed)
        kind: Any = "MlpLstmPolicy" if theirs else RecurrentPolicy
        self.model: Any = RecurrentPPO(kind, envs, seed=seed, device="cpu", policy_kwargs=policy, **SETTINGS)
        self.steps, self.spent, self.curve = steps, {"update": 0.0, "all": 0.0}, list[tuple[int, float]]()

    @contextmanager
    def _counting(self, what: str) -> Iterator[None]:
        begun = time.process_time()  # others on the machine take none of it
        yield
        self.spent[what] += time.process_time() - begun

    def learn(self, frames: int) -> None:
        """Go on for some frames."""
        model, train = self.model, self.model.train

        def timed() -> None:
            with self._counting("update"):
                train()

        model.train = timed
        try:
            with self._counting("all"):
                self._go_on(frames)
        finally:
            model.train = train
        episodes = [e["r"] for e in list(model.ep_info_buffer or [])[-20:]]
        if episodes:
            self.curve.append((model.num_timesteps, fmean(episodes)))

    def _go_on(self, frames: int) -> None:
        model = self.model
        # ``learn`` counts what is left of its own frames alone; the schedules are of the whole run.
        done, update = model.num_timesteps, model._update_current_progress_remaining
        model._update_current_progress_remaining = lambda now, _: update(now, self.steps)
        try:
            model.learn(frames, reset_num_timesteps=done == 0)
        finally:
            model._update_current_progress_remaining = update


def measure(
    cells: Sequence[str], steps: int, seeds: int, tick: Callable[[int, int], None] = lambda done, total: None
) -> list[dict[str, Any]]:
    """Train each way on the same task with the same settings, some frames of each in turn.

    Args:
        cells: names of cells; sb3-contrib's own policy is beside them.
        steps: frames of a run.
        seeds: runs of each way.
        tick: called with what is done, and of how much.

    Returns:
        Of each way and seed: frames a second of the processor's time in all ("overall") and in the updates ("update", a frame
        as often as it is used), and its curve: frames so far, and the mean length of the last twenty episodes.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that the processor's time is what one would wait for on a quiet machine
    ways, rows = [THEIRS, *cells], []
    piece = 4 * SETTINGS["n_steps"] * ENVIRONMENTS
    rounds = max(1, steps // piece)
    try:
        for seed in range(seeds):
            learners = {way: _Learner(way, rounds * piece, seed) for way in ways}
            for turn in range(rounds):
                tick(seed * rounds + turn, seeds * rounds)
                for learner in learners.values():
                    learner.learn(piece)
            for way, each in learners.items():
                frames = each.model.num_timesteps
                rows.append(
                    {
                        "way": way,
                        "seed": seed,
                        "frames": frames,
                        "overall": frames / each.spent["all"],
                        "update": frames * SETTINGS["n_epochs"] / each.spent["update"],
                        "curve": each.curve,
                    }
                )
    finally:
        torch.set_num_threads(threads)
    return rows


def draw(rows: Sequence[dict[str, Any]]) -> Figure:
    """Draw the curves: every seed thin, the mean of a way thick."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for k, way in enumerate(dict.fromkeys(r["way"] for r in rows)):
        curves = [r["curve"] for r in rows if r["way"] == way]
        for curve in curves:
            axes.plot(*zip(*curve, strict=True), color=f"C{k}", alpha=0.3, linewidth=1)
        points = [(column[0][0], fmean(v for _, v in column)) for column in zip(*curves, strict=False)]
        axes.plot(*zip(*points, strict=True), color=f"C{k}", linewidth=2, label=way)
    axes.axhline(SOLVED, color="grey", linewidth=0.8, linestyle=":")
    axes.set_title("CartPole without velocities, RecurrentPPO", loc="left")
    axes.set_xlabel("frames")
    axes.set_ylabel("steps an episode, mean of the last 20")
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
