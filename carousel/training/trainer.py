"""The training of a run in its folder, which can stop at any instant and go on as if it had not."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from carousel import files
from carousel.errors import InputError, TrainingError
from carousel.layers import State
from carousel.training import kept, run_folder
from carousel.training.ahead import Ahead
from carousel.training.averaging import Average
from carousel.training.board import Board
from carousel.training.checkpoint import Position, load_checkpoint, read_position, save_checkpoint
from carousel.training.config import RunConfig
from carousel.training.curve import draw_curve
from carousel.training.descent import Descent, Step, not_finite
from carousel.training.device import found
from carousel.training.evaluate import evaluate
from carousel.training.graphed import Graphed
from carousel.training.interruption import interruptible
from carousel.training.monitor import Monitor
from carousel.training.optimizers import configured, rate
from carousel.training.processes import Processes
from carousel.training.task import Batch, Feed, TaskMaker

Observer = Callable[[dict[str, Any]], None]
Watcher = Callable[[Any, Any], dict[str, Any]]  # of a model and a batch, numbers for the metrics
DRAWN_EVERY = 10.0  # seconds between two drawings of the curve while a run goes on: one takes as long as many small steps


class Trainer:
    """A run in its folder, which ``prepare`` has filled.

    Args:
        folder: of the run.
        config: of the run; its ``training`` says how.
        processes: the ones that share the run.
        make_task: called with folder, configuration and this process's share of the rows.
        observer: told of steps, validations and the end.
        watcher: asked every ``watch_gradients`` steps, before the step, for a line of the metrics; it must leave model and
            random state as they are.

    Raises:
        InputError: the folder, or a checkpoint in it, cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        config: RunConfig,
        processes: Processes,
        make_task: TaskMaker,
        observer: Observer | None = None,
        watcher: Watcher | None = None,
    ):
        self.folder, self.config, self.processes = folder, config, processes
        self.training = training = config.training
        training.check()
        run_folder.check_places(folder)
        if training.even_rows % processes.count:
            raise InputError(f"a batch of {training.batch_size} rows cannot be shared by {processes.count} processes")
        if training.cuda_graph and processes.count > 1:
            raise InputError("`cuda_graph` is for one process")
        if training.threads:
            torch.set_num_threads(training.threads)
        self.device = found(training.device, processes.local_rank)
        if self.device.type != "cpu":
            torch.accelerator.set_device_index(self.device.index)
        self.reads_late = self.device.type != "cpu"  # losses, several at once: each reading waits for the device
        self.observer = observer or (lambda event: None)
        self.watcher = watcher if training.watch_gradients else None
        torch.manual_seed(training.seed)
        self.task = make_task(folder, config, processes.share)
        self.model, self.metric = self.task.model.to(self.device), self.task.metric
        optimizer = configured(training, self.model)
        self.average = Average(training, self.model)
        self.monitor = Monitor(self.model)
        self.board = Board(folder) if training.tensorboard and processes.first else None
        self.position = Position()
        self.carried: State | None = None
        if processes.rank:  # every process draws its own dropout masks
            torch.manual_seed(training.seed + 7919 * processes.rank)
        if self.checkpoint.exists():
            self.position, self.carried = load_checkpoint(self.checkpoint, self.model, optimizer, processes, self.average)
        if processes.first:
            self._metrics_before(self.position)  # before anything is told, unreadable lines are refused
        self.train_feed, self.valid_feed = self.task.feed("train", training.seed), self.task.feed("valid")
        self.steps = training.epochs * len(self.train_feed)
        if self.train_feed.cut:
            self.observer({"event": "cut", "rows": self.train_feed.cut, "length": training.length})
        self.descent = Descent(
            self.model.parameters(),
            optimizer,
            clip=training.clip,
            rates=lambda taken: [self.rate() * self._length] * len(optimizer.param_groups),
            processes=processes.count,
        )
        self.ahead = Ahead(self.device)
        self.graphed = Graphed(self.descent, partial(self._forward, self.model)) if self.graphs else None
        self.interrupted = False
        self._length = 1.0  # of the batch, of what the rate is for
        self._timed, self._timed_targets = time.monotonic(), 0  # speed is of this process, loss of the whole run
        self._clipped = self._stepped = 0  # steps since the last line of the metrics, and the clipped ones
        self._unread: list[tuple[int, int, Step]] = []  # numbers, targets and steps whose losses have not been read

    @property
    def checkpoint(self) -> Path:
        """The file from which the run can be taken up again."""
        return self.folder / run_folder.CHECKPOINT

    @property
    def graphs(self) -> bool:
        """Return whether steps are recorded and replayed."""
        return self.training.cuda_graph

    def rate(self) -> float:
        """Return the learning rate of the next step."""
        return rate(self.training, self.position.step, self.steps, self.position.decays)

    def run(self) -> dict[str, Any]:
        """Train to the end, or to where it is interrupted (SIGINT, SIGTERM); return the last event.

        Raises:
            TrainingError: the loss or its gradient is no longer finite, or a file cannot be written.
            InputError: another process owns the folder.
        """
        with files.owning(self.folder) if self.processes.first else nullcontext():
            return self._run()

    def _run(self) -> dict[str, Any]:
        position, training = self.position, self.training
        if self.processes.first:
            rows = self._metrics_before(position)
            with self._writing():
                run_folder.write_metrics(self.folder, rows)
                kept.forget_after(self.folder, position.step)
        model = self.processes.wrap(self.model, some_unused=self.task.some_unused)
        self._drawn = saved = time.monotonic()
        begun = saved - position.seconds
        if not position.step:
            self._keep()
        with interruptible(self._interrupt):
            while position.epoch < training.epochs and not position.done:
                self.model.train()
                self._timed, self._timed_targets = time.monotonic(), 0
                batches = self.train_feed.batches(position.epoch, position.batch)
                for batch, step in self._steps(model, batches):
                    self._count(batch, step)
                    position.seconds = time.monotonic() - begun
                    self._keep()
                    if position.step % training.log_every == 0:
                        self._log()
                    due = time.monotonic() - saved > training.save_every
                    stop, due = self._agree(self.interrupted, due)
                    if stop or due:
                        self._save()
                        saved = time.monotonic()
                    if stop:
                        if position.epoch:
                            self._draw()
                        return self._tell({"event": "interrupted", "step": position.step, "epoch": position.epoch + 1})
                self._validate()
                self._save()
                saved = time.monotonic()
            return self._finish()

    def _interrupt(self) -> None:
        self.interrupted = True

    def _steps(self, model: nn.Module, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Step]]:
        given = self.ahead.over(batches, lambda: self.carried)
        coming = next(given, None)
        while coming is not None:
            batch, arguments = coming
            self.ahead.wait(arguments)
            self._measure(batch, arguments)
            if self.graphed:
                step, state = self.graphed.step(arguments, batch.targets)
            else:
                loss, state = self._forward(model, *arguments)
                step = self.descent.step(loss, batch.targets)
            self.carried = self.task.carry(state)
            coming = next(given, None)  # before anybody waits for this step
            yield batch, step

    def _measure(self, batch: Batch, arguments: tuple[Any, ...]) -> None:
        """Measure all that is measured before the step."""
        position, training = self.position, self.training
        if self.watcher and self.processes.first and position.step % training.watch_gradients == 0:
            self._record({"event": "gradients", "step": position.step, **self.watcher(self.model, batch)})
        if self._monitored(position.step) and self.processes.first:
            with self._autocast():
                self.monitor.look(arguments)
        if training.vary_length:
            self._length = batch.targets / (training.batch_size * training.length)

    def _forward(self, model: nn.Module, *arguments: Any) -> tuple[Tensor, Any]:
        with self._autocast():
            return model(*arguments)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.training.precision == "bfloat16")

    def _count(self, batch: Batch, step: Step) -> None:
        position, training = self.position, self.training
        self._stepped += 1
        if training.average == "ema" and not self.average.mean:
            self.average.begin()
        if self.average.mean:
            position.averaged += 1
            self.average.add(position.averaged)
        position.step += 1
        position.batch += 1
        self._timed_targets += batch.targets
        self._unread.append((position.step, batch.targets, step))
        monitored = self._monitored(position.step - 1)
        if not self.reads_late or monitored or position.step % training.log_every == 0:
            self._read()
        if monitored and self.processes.first:
            unclipped = step.norm / training.clip if step.clipped else 1.0
            row = {"event": "monitor", "step": position.step, "epoch": position.epoch + 1, "norm": step.norm}
            self._record(row | self.monitor.row(unclipped))

    def _read(self) -> None:
        """Read losses and norms of the steps since the last reading."""
        unread, self._unread = self._unread, []
        losses = self.processes.add([step.loss for _, _, step in unread])
        for (number, targets, step), loss in zip(unread, losses, strict=True):
            if wrong := not_finite(loss, step.norm):
                raise self._not_finite(wrong, number)
            self._clipped += step.clipped
            self.position.loss += loss
            self.position.targets += targets
            self.observer({"event": "step", "step": number, "steps": self.steps, "loss": loss, "targets": targets})

    def _monitored(self, step: int) -> bool:
        """Return whether the first process measures a step; losses, which are of all processes, are then read by all."""
        every = self.training.monitor
        return bool(every) and step % every == 0

    def _log(self) -> None:
        position, metric, now = self.position, self.metric, time.monotonic()
        row: dict[str, Any] = {"event": "train", "step": position.step, "epoch": position.epoch + 1}
        row |= self._value(position.loss, position.targets) | {"lr": self.descent.optimizer.param_groups[0]["lr"]}
        row[f"{metric.unit}_per_second"] = round(self._timed_targets / (now - self._timed))
        row["seconds"] = round(position.seconds, 2)
        if self.watcher:
            row["clipped"] = round(self._clipped / self._stepped, 4)
        position.loss, position.targets = 0.0, 0
        self._timed, self._timed_targets = now, 0
        self._clipped = self._stepped = 0
        self._record(row)

    def _value(self, loss: float, targets: float) -> dict[str, float]:
        return {"loss": loss / targets, self.metric.name: self.metric.of(loss, targets)}

    def _keep(self) -> None:
        """Keep the weights of this step where they are asked for: the mean of the weights, where there is one."""
        every = self.training.keep_every
        if not every or self.position.step % every:
            return
        self._read()
        if self.processes.first:
            with self._writing(), self.average.in_place():
                kept.keep(self.model, self.folder, self.position.step)

    def _evaluate(self, feed: Feed) -> tuple[float, float]:
        loss, targets = self.processes.add(list(evaluate(self.model, feed, self._tick)))
        return loss, targets

    def _validate(self) -> None:
        self._read()
        before = self.position.validations
        with self.average.in_place():
            loss = self._judge()
        if self.average.due(loss, before):
            self.average.begin()
        if self.training.average == "nt-asgd":
            before.append(loss)

    def _judge(self) -> float:
        """Validate the present weights, save them if they are the best, and return their loss."""
        position, training = self.position, self.training
        value = self._value(*self._evaluate(self.valid_feed))
        position.epoch += 1
        position.batch = 0
        better = value["loss"] < position.best
        if better:
            position.best, position.best_epoch, position.bad_epochs = value["loss"], position.epoch, 0
            if self.processes.first:
                with self._writing():
                    run_folder.save_model(self.model, self.folder)
        else:
            position.bad_epochs += 1
            position.decays += 1
        position.done = bool(training.patience) and position.bad_epochs >= training.patience
        row = {"event": "valid", "step": position.step, "epoch": position.epoch, **value}
        self._record(row | {"best": better, "seconds": round(position.seconds, 2)})
        if time.monotonic() - self._drawn > DRAWN_EVERY:
            self._draw()
        return value["loss"]

    def _draw(self) -> None:
        if self.processes.first:
            with self._writing():
                rows = run_folder.read_metrics(self.folder, self.metric)
                draw_curve(rows, self.folder / run_folder.CURVE, self.model.config.cell, self.metric)
        self._drawn = time.monotonic()

    def _finish(self) -> dict[str, Any]:
        self._draw()
        position, metric = self.position, self.metric
        end = {"event": "end", "step": position.step, "epoch": position.epoch, "best_epoch": position.best_epoch}
        end |= {f"valid_{metric.name}": metric.of(position.best, 1), "parameters": self.model.count()}
        end |= {"seconds": round(position.seconds, 2), "stopped_early": position.epoch < self.training.epochs}
        if self.task.has("test"):
            kept.load_model(self.model, self.folder)
            end[f"test_{metric.name}"] = metric.of(*self._evaluate(self.task.feed("test")))
        if self.processes.first:
            with self._writing():
                files.write(self.folder / run_folder.RESULT, json.dumps(end, indent=1) + "\n")
        return self._tell(end)

    def _tick(self, done: int, total: int) -> None:
        self.observer({"event": "scoring", "done": done, "total": total})

    def _agree(self, *flags: bool) -> list[bool]:
        """Return whether any process says so: all must save, or stop, at the same step."""
        return [n > 0 for n in self.processes.add([float(f) for f in flags])]

    def _not_finite(self, what: str, step: int) -> TrainingError:
        good = "no checkpoint was written yet"
        if self.checkpoint.exists():
            good = f"the last good checkpoint is {self.checkpoint}, of step {read_position(self.checkpoint).step}"
        epoch = self.position.epoch + 1
        return TrainingError(f"{what} is not finite at step {step} (epoch {epoch}); {good}; try a smaller `lr` or `clip`")

    def _save(self) -> None:
        self._read()
        if not all(p.isfinite().all() for p in self.model.parameters()):  # an update may overflow where its gradient did not
            raise self._not_finite("a weight", self.position.step)
        with self._writing():
            optimizer = self.descent.optimizer
            save_checkpoint(self.checkpoint, self.model, optimizer, self.position, self.carried, self.processes, self.average)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            old = (
                f"the last good checkpoint, {self.checkpoint}, is untouched"
                if self.checkpoint.exists()
                else "no checkpoint was written yet"
            )
            raise TrainingError(f"cannot save to {self.folder} at step {self.position.step}: {error.strerror}; {old}") from None

    def _record(self, row: dict[str, Any]) -> None:
        if self.processes.first:
            with self._writing():
                run_folder.append_metrics(self.folder, row)
            if self.board:
                self.board.add(row)
        self.observer(row)

    def _metrics_before(self, position: Position) -> list[dict[str, Any]]:
        """Leave out lines that an earlier try wrote after its last checkpoint: they will be written again."""

        def before(row: dict[str, Any]) -> bool:
            event, at = row.get("event"), row["step"]
            if at == position.step:  # gradients are measured before the step, so they are measured again
                return event in ("train", "monitor") or (event == "valid" and row.get("epoch", math.inf) <= position.epoch)
            return bool(at < position.step)

        return run_folder.read_metrics(self.folder, self.metric, before)

    def _tell(self, event: dict[str, Any]) -> dict[str, Any]:
        self.observer(event)
        return event
