"""The loss of a model on a data set."""

from __future__ import annotations

from collections.abc import Callable

import torch

from carousel.training.task import Feed, Trainable

Tick = Callable[[int, int], None]  # batches done, of how many


@torch.no_grad()
def evaluate(model: Trainable, feed: Feed, tick: Tick | None = None) -> tuple[float, int]:
    """Return the summed loss in nats and the number of targets, both of this process's share."""
    training = model.training
    model.eval()
    device = model.device
    total, targets, state = 0.0, 0, None
    for done, batch in enumerate(feed.batches(), 1):
        loss, state = model(*batch.arguments(state, device))
        total += loss.item()
        targets += batch.own_targets
        if tick:
            tick(done, len(feed))
    model.train(training)
    return total, targets
