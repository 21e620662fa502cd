"""Training a language model with Carousel beside the same model written plainly in PyTorch."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from carousel.bench.timing import Work, side_by_side
from carousel.kernels.alike import moved
from carousel.language.feeding import Stream
from carousel.language.model import LanguageModel, ModelConfig, detach

STEPS = 10  # that are timed at once on a GPU


class Plain(nn.Module):
    """Embedding, torch.nn.LSTM, output layer: as anyone would write it."""

    def __init__(self, vocabulary_size: int, config: ModelConfig):
        super().__init__()
        self.drop = nn.Dropout(config.dropout)
        self.embedding = nn.Embedding(vocabulary_size, config.input_size)
        self.lstm = nn.LSTM(config.input_size, config.width, config.layers, dropout=config.dropout)
        self.output = nn.Linear(config.width, vocabulary_size)
        if config.tied:
            self.output.weight = self.embedding.weight

    def forward(self, x: Tensor, hx: Any, y: Tensor) -> tuple[Tensor, Any]:
        """Return the loss summed over words, and the states."""
        h, hx = self.lstm(self.drop(self.embedding(x)), hx)
        logits = self.output(self.drop(h))
        return nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum"), hx


def measure(
    batches: Stream,
    vocabulary_size: int,
    config: ModelConfig,
    softmaxes: list[str],
    precisions: list[str],
    seconds: float,
    device: torch.device,
) -> list[dict[str, Any]]:
    """Measure the words a second of a whole training step (forward, backward, clipping, AdamW), on the same batches for all.

    On a GPU several steps are timed at once, since the processor goes on while the card works. Ratios are to the plain model
    in the first precision.
    """
    steps = 1 if device.type == "cpu" else STEPS
    works: dict[str, Work] = {}
    for precision in precisions:
        works |= _in_precision(batches, vocabulary_size, config, softmaxes, precision, device)
    medians = side_by_side({name: partial(_several, work, steps, device) for name, work in works.items()}, seconds)
    per_step = batches.rows * batches.length
    baseline = next(iter(medians.values()))
    return [
        {
            "model": name,
            "milliseconds": 1000 * s / steps,
            "words_per_second": steps * per_step / s,
            "ratio": baseline / s,
        }
        for name, s in medians.items()
    ]


def _several(step: Work, steps: int, device: torch.device) -> None:
    for _ in range(steps):
        step()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _in_precision(
    batches: Stream,
    vocabulary_size: int,
    config: ModelConfig,
    softmaxes: list[str],
    precision: str,
    device: torch.device,
) -> dict[str, Work]:
    torch.manual_seed(0)
    works = {f"torch.nn.LSTM, {precision}": _training(Plain(vocabulary_size, config), batches, precision, device)}
    for kind in softmaxes:
        own = ModelConfig(**{**vars(config), "softmax": kind, "tied": config.tied and kind != "adaptive"})
        model = LanguageModel(vocabulary_size, own)
        model.output.learn_frequencies(torch.arange(vocabulary_size, 0, -1))
        works[f"carousel, {kind} softmax, {precision}"] = _training(model, batches, precision, device)
    return works


def _training(model: nn.Module, batches: Stream, precision: str, device: torch.device) -> Work:
    model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    source = _forever(batches)
    hx: Any = None

    def step() -> None:
        nonlocal hx
        batch = next(source)
        x, y = moved(batch.x, device), moved(batch.y, device)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            loss, hx = model(x, None if batch.fresh else hx, y)
        hx = detach(hx)
        optimizer.zero_grad(set_to_none=True)
        (loss / batch.targets).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    model.train()
    return step


def _forever(batches: Stream) -> Any:
    while True:
        for batch in batches.batches(0, 0):
            if batch.x.shape[0] == batches.length:
                yield batch
