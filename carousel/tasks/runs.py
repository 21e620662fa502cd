"""Many trials: each in a file of its own, side by side in processes, none of them twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from carousel import files
from carousel.cells import finding
from carousel.errors import InputError
from carousel.tasks.recipes import Recipe
from carousel.tasks.rows import ROWS, Row

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
Tell = Callable[[str, int, int], None]  # a trial's name, sequences presented, of at most


@dataclass(frozen=True)
class Job:
    """One trial to be done."""

    row: str
    recipe: Recipe
    seed: int
    cap: int | None = None

    @property
    def name(self) -> str:
        """The trial's name, of its file and on the screen."""
        return f"{self.row}.{self.recipe.cell}.{self.recipe.name}.{self.seed}"

    def file(self, folder: Path) -> Path:
        """Return where its result lies."""
        return folder / f"{self.name}.json"


def name_of(result: dict[str, Any]) -> str:
    """Return the name of the job whose result it is."""
    return f"{result['row']}.{result['cell']}.{result['recipe']}.{result['seed']}"


def row(key: str) -> Row:
    """Return the row of that key."""
    return next(r for r in ROWS if r.key == key)


def find(task: str, setting: dict[str, int]) -> list[Row]:
    """Return the rows of a task (its name, or the paper's number) that have this setting. Raises InputError for none."""
    names = dict.fromkeys(r.task for r in ROWS)
    if task == "all":
        return [r for r in ROWS if r.plan is not None]
    of_task = [r for r in ROWS if task in (r.task, r.experiment) and task != "later"]
    if not of_task:
        raise InputError(f"there is no task {task!r}; there are {', '.join(names)} and all")
    rows = [r for r in of_task if all(r.setting.get(n) == v for n, v in setting.items())]
    if not rows:
        there = "; ".join(" ".join(f"{n}={v}" for n, v in r.setting.items()) for r in of_task if r.setting)
        raise InputError(f"{task} has no such row; it has {there or 'no settings'}")
    return rows


def results(folder: Path) -> list[dict[str, Any]]:
    """Read all finished trials of a folder. Raises InputError for a file that is none."""
    return [_read(path) for path in sorted(folder.glob("*.json"))]


def _read(path: Path) -> dict[str, Any]:
    try:
        result = files.read_object(path)
        whole = row(result["row"]) and all(isinstance(result[n], str) for n in ("cell", "recipe"))
        whole = whole and isinstance(result["success"], bool) and "settings" in result
        whole = whole and all(_are_numbers(g, ("after", "wrong", "of", "squared")) for g in result["goals"].values())
        if not (whole and _are_numbers(result, ("cap", "seed", "presented", "seconds", "cpu_seconds", "weights"))):
            raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        raise InputError(f"{path} is not the result of a trial: move it away") from None
    return result


def _are_numbers(values: dict[str, Any], names: tuple[str, ...]) -> bool:
    return all(type(values[n]) in (int, float) for n in names)


def run(jobs: Sequence[Job], folder: Path, processes: int, tell: Tell | None = None) -> Iterator[dict[str, Any]]:
    """Do the trials that are not done yet; yield each result as it comes, earlier results first.

    Raises:
        InputError: a file is no result, or another process owns the folder.
    """
    wanted = []
    for job in jobs:
        done = _done(job, folder)
        if done is None:
            wanted.append(job)
        else:
            yield done
    if wanted:
        with files.owning(folder):
            yield from _side_by_side(wanted, folder, processes, tell)


def _side_by_side(wanted: list[Job], folder: Path, processes: int, tell: Tell | None) -> Iterator[dict[str, Any]]:
    context = multiprocessing.get_context("spawn")  # a fork would inherit PyTorch's threads
    told = context.Queue()
    before = {n: os.environ.get(n) for n in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # the processes that start now read them
    cells = [finding.REFERENCES[c] for c in {job.recipe.cell for job in wanted} if c in finding.REFERENCES]
    pool = ProcessPoolExecutor(min(processes, len(wanted)), context, _begin, (told, cells))
    try:
        waiting: set[Future[dict[str, Any]]] = {pool.submit(_work, job, folder) for job in wanted}
        while waiting:
            done_now, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
            _listen(told, tell)
            for future in done_now:
                yield future.result()
        pool.shutdown()
    finally:
        for process in list((pool._processes or {}).values()):  # the ones that still run were interrupted
            process.terminate()
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


def _done(job: Job, folder: Path) -> dict[str, Any] | None:
    """Return the result of a finished trial of the same recipe, if it was successful or given at least as many sequences."""
    path = job.file(folder)
    if not path.exists():
        return None
    result = _read(path)
    enough = result["success"] or result["cap"] >= (job.cap or row(job.row).cap)
    return result if enough and result["settings"] == asdict(job.recipe) else None


def _listen(told: Any, tell: Tell | None) -> None:
    while True:
        try:
            name, presented, most = told.get_nowait()
        except queue.Empty:
            return
        if tell is not None:
            tell(name, presented, most)


_told: Any = None


def _begin(told: Any, cells: list[str]) -> None:
    for reference in cells:
        finding.find(reference)
    import torch

    global _told
    _told = told
    torch.set_num_threads(1)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """Leave no process behind when the command is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: Job, folder: Path) -> dict[str, Any]:
    from carousel.tasks.trial import trial

    def tick(presented: int, most: int) -> None:
        _told.put((job.name, presented, most))

    result = trial(row(job.row), job.recipe, job.seed, job.cap, tick)
    files.write(job.file(folder), json.dumps(result, indent=1) + "\n")
    return result
