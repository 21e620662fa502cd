"""Small series and small runs of forecasters."""

import numpy as np
from safetensors.torch import load_file

from carousel.forecasting.task import ForecastTask
from carousel.training.processes import Processes
from carousel.training.trainer import Trainer


def wave(steps=120, season=8, noise=0.1, seed=1, slope=0.02):
    """A wave on a slope, with noise."""
    t = np.arange(steps)
    return 5 + slope * t + np.sin(2 * np.pi * t / season) + noise * np.random.default_rng(seed).normal(size=steps)


def train(folder, config, stop_at=None):
    """Train a run, or interrupt it after a step; return the last event."""
    trainer = Trainer(folder, config, Processes(), ForecastTask)

    def watch(event):
        if event["event"] == "step" and event["step"] == stop_at:
            trainer.interrupted = True

    trainer.observer = watch
    return trainer.run()


def tensors(folder):
    return {f"{name}:{k}": v for name in ("model", "checkpoint") for k, v in load_file(folder / f"{name}.safetensors").items()}
