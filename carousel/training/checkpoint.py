"""All that is needed to go on with a run as if it had never stopped, in one file that is replaced whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from carousel import files
from carousel.errors import InputError
from carousel.layers import State
from carousel.training.averaging import Average
from carousel.training.device import random_states, set_random_states
from carousel.training.processes import Processes
from carousel.training.run_folder import load_weights, packed, read_metadata, read_tensors, weights
from carousel.training.task import Trainable

FILE_KEYS = {"loss": "loss_nats", "targets": "loss_words"}  # as the file's position has them since 0.1.0
AVERAGES = ("averaged", "validations")  # of the position, where there is a mean of the weights


@dataclass
class Position:
    """The position of a run. ``batch`` counts within the epoch; ``loss``, summed, and ``targets`` since the last log line;
    ``averaged``: number of steps in the mean of the weights; ``validations``: their losses, where ``average`` needs
    them."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best: float = float("inf")
    best_epoch: int = 0
    bad_epochs: int = 0
    decays: int = 0
    loss: float = 0.0
    targets: int = 0
    seconds: float = 0.0
    done: bool = False
    averaged: int = 0
    validations: list[float] = field(default_factory=list)


def save_checkpoint(
    path: Path,
    model: Trainable,
    optimizer: torch.optim.Optimizer,
    position: Position,
    carried: State | None,
    processes: Processes,
    average: Average,
) -> None:
    """Write model, optimizer, carried state, random state, mean of weights and position; all processes call this together.

    Args:
        path: the file, which the first process alone writes.
        model: the model that learns.
        optimizer: the model's optimizer.
        position: the position in the run.
        carried: states of this process's rows, (layers, rows, units) each.
        processes: the run's processes.
        average: the mean of the model's weights.
    """
    states = () if carried is None else (carried,) if isinstance(carried, Tensor) else carried
    gathered = [processes.gather(s.cpu()) for s in states]
    random = {name: processes.gather(state) for name, state in random_states(model.device).items()}
    if not processes.first:
        return
    tensors = {f"model.{k}": v for k, v in weights(model).items()}
    state = optimizer.state_dict()
    for index, values in state["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v.cpu().contiguous() for k, v in values.items() if v is not None}
    tensors |= {f"carried.{k}": torch.cat(parts, dim=1).contiguous() for k, parts in enumerate(gathered)}
    tensors |= {f"average.{k}": v.cpu().contiguous() for k, v in average.mean.items()}
    tensors |= {f"{name}.{rank}": r for name, each in random.items() for rank, r in enumerate(each)}
    stands = {FILE_KEYS.get(k, k): v for k, v in asdict(position).items() if k not in AVERAGES or v}
    facts = {"position": stands, "groups": state["param_groups"], "processes": processes.count}
    files.write(path, packed(tensors, {"carousel": json.dumps(facts)}))


def load_checkpoint(
    path: Path, model: Trainable, optimizer: torch.optim.Optimizer, processes: Processes, average: Average
) -> tuple[Position, State | None]:
    """Put a checkpoint back into model, optimizer, mean of weights and random generators.

    Returns:
        The position, and the carried state of this process's rows.

    Raises:
        InputError: the file is not a whole checkpoint of this run, or of another number of processes.
    """
    tensors, metadata = read_tensors(path, "a checkpoint")
    facts, position = _facts(path, metadata)
    if facts["processes"] != processes.count:
        raise InputError(f"{path} was written by {facts['processes']} processes; continue with as many")
    load_weights(model, _under("model.", tensors), path)
    try:
        state: dict[int, dict[str, Any]] = {}
        for key, value in _under("optimizer.", tensors).items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict({"state": state, "param_groups": facts["groups"]})
        average.load(_under("average.", tensors))
        set_random_states(model.device, lambda name: tensors[f"{name}.{processes.rank}"])
        carried = _under("carried.", tensors)
        states = tuple(carried[str(k)] for k in range(len(carried)))
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise InputError(f"{path} is no whole checkpoint of this run: {error}") from None
    device = model.device
    mine = tuple(s[:, processes.share.rows(s.shape[1])].contiguous().to(device) for s in states)
    return position, None if not mine else mine[0] if len(mine) == 1 else mine


def read_position(path: Path) -> Position:
    """Read where a checkpoint stands. Raises InputError where the file is not a whole checkpoint."""
    return _facts(path, read_metadata(path, "a checkpoint"))[1]


def _facts(path: Path, metadata: Mapping[str, str]) -> tuple[dict[str, Any], Position]:
    try:
        facts = json.loads(metadata["carousel"])
        int(facts["processes"])
        names = {key: name for name, key in FILE_KEYS.items()}
        return facts, Position(**{names.get(k, k): v for k, v in facts["position"].items()})
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{path} is no checkpoint of Carousel") from None


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
