"""Training: one loop, that can stop at any instant and go on as if it had not."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from carousel import files
from carousel.errors import InputError, TrainingError
from carousel.language.checkpoint import Position, load_checkpoint, save_checkpoint
from carousel.language.curve import draw_curve
from carousel.language.feeding import Sentences
from carousel.language.folder import load_weights, read_json_lines, read_tensors, save_model, write_json_lines
from carousel.language.lesson import LessonMaker, Reading
from carousel.language.model import detach
from carousel.language.processes import Processes
from carousel.language.score import evaluate
from carousel.layers import State
from carousel.training.config import RunConfig

WRITTEN = ("checkpoint.safetensors", "model.safetensors", "metrics.jsonl", "curve.png", "result.json")
Observer = Callable[[dict[str, Any]], None]
Watcher = Callable[[Any, Any], dict[str, Any]]  # of a model and a batch, numbers for the metrics


class Trainer:
    """A run in its folder, which ``prepare`` has filled. ``observer`` is told of steps, validations and the end.
    ``watcher`` is asked every ``watch_gradients`` steps, before the step; it must leave model and random state as they are.
    ``lesson`` makes model and batches; by default a language model's.

    Raises InputError where the folder, or a checkpoint in it, cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        config: RunConfig,
        processes: Processes,
        observer: Observer | None = None,
        watcher: Watcher | None = None,
        lesson: LessonMaker = Reading,
    ):
        self.folder, self.config, self.processes = folder, config, processes
        self.training = training = config.training
        training.check()
        for name in WRITTEN:
            if (folder / name).is_dir():
                raise InputError(f"{folder / name} is a folder, and the run writes a file there; move it away")
        if training.even_rows % processes.count:
            raise InputError(f"a batch of {training.batch_size} rows cannot be shared by {processes.count} processes")
        if training.threads:
            torch.set_num_threads(training.threads)
        self.observer = observer or (lambda event: None)
        self.watcher = watcher if training.watch_gradients else None
        torch.manual_seed(training.seed)
        self.lesson = lesson(folder, config, processes.share)
        self.model = self.lesson.model
        self.optimizer = self._optimizer()
        self.position = Position()
        self.hx: State | None = None
        if processes.rank:  # every process draws its own dropout masks
            torch.manual_seed(training.seed + 7919 * processes.rank)
        if self.checkpoint.exists():
            self.position, self.hx = load_checkpoint(self.checkpoint, self.model, self.optimizer, processes)
        if processes.first:
            self._metrics_before(self.position)  # before anything is told, what cannot be read is refused
        self.train_batches = self.lesson.feed("train", training.seed)
        self.valid_batches = self.lesson.feed("valid")
        self.steps = training.epochs * len(self.train_batches)
        if isinstance(self.train_batches, Sentences) and self.train_batches.cut:
            self.observer({"event": "cut", "sentences": self.train_batches.cut, "length": training.length})
        self.interrupted = False
        self._timed, self._timed_words = time.monotonic(), 0  # speed is of this process, loss of the whole run
        self._clipped = self._stepped = 0  # steps since the last line of the metrics, and those that were clipped

    @property
    def checkpoint(self) -> Path:
        """Where the run can be taken up again."""
        return self.folder / "checkpoint.safetensors"

    def _optimizer(self) -> torch.optim.Optimizer:
        training, parameters = self.training, list(self.model.parameters())
        if training.optimizer == "sgd":
            return torch.optim.SGD(
                parameters, training.lr, momentum=training.momentum, weight_decay=training.weight_decay, fused=True
            )
        return torch.optim.AdamW(parameters, training.lr, weight_decay=training.weight_decay, fused=True)

    def rate(self) -> float:
        """The learning rate of the next step: warm-up, then cosine to zero, steps down on plateaus, or constant."""
        training, step = self.training, self.position.step
        rate = training.lr * min(1.0, (step + 1) / max(1, training.warmup))
        if training.schedule == "cosine":
            return rate * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return rate * training.decay**self.position.decays if training.schedule == "plateau" else rate

    def run(self) -> dict[str, Any]:
        """Train to the end, or to where it is interrupted (SIGINT, SIGTERM); gives the last event.

        Raises TrainingError where the loss or its gradient is no longer finite, or a file cannot be written; InputError where
        another process owns the folder.
        """
        with files.owning(self.folder) if self.processes.first else nullcontext():
            return self._run()

    def _run(self) -> dict[str, Any]:
        position, training = self.position, self.training
        if self.processes.first:
            rows = self._metrics_before(position)
            with self._writing():
                write_json_lines(self.folder / "metrics.jsonl", rows)
        model = self.processes.wrap(self.model, some_unused=self.lesson.some_unused)
        begun, saved = time.monotonic() - position.seconds, time.monotonic()
        with self._interruptible():
            while position.epoch < training.epochs and not position.done:
                self.model.train()
                self._timed, self._timed_words = time.monotonic(), 0
                for batch in self.train_batches.batches(position.epoch, position.batch):
                    self._step(model, batch)
                    position.seconds = time.monotonic() - begun
                    if position.step % training.log_every == 0:
                        self._log()
                    due = time.monotonic() - saved > training.save_every
                    stop, due = self._agree(self.interrupted, due)
                    if stop or due:
                        self._save()
                        saved = time.monotonic()
                    if stop:
                        return self._tell({"event": "interrupted", "step": position.step, "epoch": position.epoch + 1})
                self._validate()
                self._save()
                saved = time.monotonic()
            return self._finish()

    def _step(self, model: nn.Module, batch: Any) -> None:
        position, training, device = self.position, self.training, self.training.device
        if self.watcher and self.processes.first and position.step % training.watch_gradients == 0:
            self._record({"event": "gradients", "step": position.step, **self.watcher(self.model, batch)})
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        with torch.autocast(device, torch.bfloat16, enabled=training.precision == "bfloat16"):
            loss, hx = model(*batch.given(self.hx, device))
        self.hx = detach(hx) if training.feed == "stream" else None  # sentences carry nothing on
        self.optimizer.zero_grad(set_to_none=True)
        # The mean over all processes' words; DistributedDataParallel divides the sum of gradients by their number.
        (loss * (self.processes.count / batch.words)).backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), training.clip or math.inf)
        (nats,) = self.processes.add([loss.item()])
        if not (math.isfinite(nats) and math.isfinite(norm.item())):
            raise self._not_finite("the gradient" if math.isfinite(nats) else "the loss", position.step + 1)
        self._clipped += bool(training.clip) and norm.item() > training.clip
        self._stepped += 1
        self.optimizer.step()
        position.step += 1
        position.batch += 1
        position.loss_nats += nats
        position.loss_words += batch.words
        self._timed_words += batch.words
        self.observer({"event": "step", "step": position.step, "steps": self.steps, "nats": nats, "words": batch.words})

    def _log(self) -> None:
        position, now = self.position, time.monotonic()
        loss = position.loss_nats / position.loss_words
        row = {"event": "train", "step": position.step, "epoch": position.epoch + 1, "loss": loss}
        row |= {"perplexity": _perplexity(loss), "lr": self.optimizer.param_groups[0]["lr"]}
        row |= {"words_per_second": round(self._timed_words / (now - self._timed)), "seconds": round(position.seconds, 2)}
        if self.watcher:
            row["clipped"] = round(self._clipped / self._stepped, 4)
        position.loss_nats, position.loss_words = 0.0, 0
        self._timed, self._timed_words = now, 0
        self._clipped = self._stepped = 0
        self._record(row)

    def _validate(self) -> None:
        position, training = self.position, self.training
        nats, words = self.processes.add(list(evaluate(self.model, self.valid_batches, self._tick)))
        loss = nats / words
        position.epoch += 1
        position.batch = 0
        better = loss < position.best
        if better:
            position.best, position.best_epoch, position.bad_epochs = loss, position.epoch, 0
            if self.processes.first:
                with self._writing():
                    save_model(self.model, self.folder / "model.safetensors")
        else:
            position.bad_epochs += 1
            position.decays += 1
        position.done = bool(training.patience) and position.bad_epochs >= training.patience
        row = {"event": "valid", "step": position.step, "epoch": position.epoch, "loss": loss}
        self._record(row | {"perplexity": _perplexity(loss), "best": better, "seconds": round(position.seconds, 2)})
        if self.processes.first:
            with self._writing():
                draw_curve(read_json_lines(self.folder / "metrics.jsonl"), self.folder / "curve.png", self.model.config.cell)

    def _finish(self) -> dict[str, Any]:
        position = self.position
        end = {"event": "end", "step": position.step, "epoch": position.epoch, "best_epoch": position.best_epoch}
        end |= {"valid_perplexity": _perplexity(position.best), "parameters": self.model.count()}
        end |= {"seconds": round(position.seconds, 2), "stopped_early": position.epoch < self.training.epochs}
        if self.lesson.has("test"):
            path = self.folder / "model.safetensors"
            load_weights(self.model, read_tensors(path, "the model's weights")[0], path)
            nats, words = self.processes.add(list(evaluate(self.model, self.lesson.feed("test"), self._tick)))
            end["test_perplexity"] = _perplexity(nats / words)
        if self.processes.first:
            with self._writing():
                files.write(self.folder / "result.json", json.dumps(end, indent=1) + "\n")
        return self._tell(end)

    def _tick(self, done: int, total: int) -> None:
        self.observer({"event": "scoring", "done": done, "total": total})

    def _agree(self, *flags: bool) -> list[bool]:
        """Whether any process says so: all must save, or stop, at the same step."""
        return [n > 0 for n in self.processes.add([float(f) for f in flags])]

    def _not_finite(self, what: str, step: int) -> TrainingError:
        good = "no checkpoint was written yet"
        if self.checkpoint.exists():
            _, metadata = read_tensors(self.checkpoint, "a checkpoint")
            at = json.loads(metadata["carousel"])["position"]["step"]
            good = f"the last good checkpoint is {self.checkpoint}, of step {at}"
        epoch = self.position.epoch + 1
        return TrainingError(f"{what} is not finite at step {step} (epoch {epoch}); {good}; try a smaller --lr or --clip")

    def _save(self) -> None:
        if not all(p.isfinite().all() for p in self.model.parameters()):  # an update may overflow where its gradient did not
            raise self._not_finite("a weight", self.position.step)
        with self._writing():
            save_checkpoint(self.checkpoint, self.model, self.optimizer, self.position, self.hx, self.processes)

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
            with self._writing(), (self.folder / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
        self.observer(row)

    def _metrics_before(self, position: Position) -> list[dict[str, Any]]:
        """Lines that an earlier try wrote after its last checkpoint are left out: they will be written again."""

        def before(row: dict[str, Any]) -> bool:
            event, at = row.get("event"), row["step"]
            if at == position.step:  # gradients are measured before the step, so they are measured again
                return event == "train" or (event == "valid" and row.get("epoch", math.inf) <= position.epoch)
            return bool(at < position.step)

        return read_json_lines(self.folder / "metrics.jsonl", before)

    def _tell(self, event: dict[str, Any]) -> dict[str, Any]:
        self.observer(event)
        return event

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """The first SIGINT or SIGTERM lets the step end and saves; the second is as Python has it."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

        def stop(number: int, frame: Any) -> None:
            self.interrupted = True
            signal.signal(number, before[signal.Signals(number)])

        for s in before:
            signal.signal(s, stop)
        try:
            yield
        finally:
            for s, handler in before.items():
                signal.signal(s, handler)


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 700.0))
