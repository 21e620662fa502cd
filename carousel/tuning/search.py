"""A search: a folder with trials, each a run folder, and the study in which Optuna keeps what it knows of them."""

from __future__ import annotations

import json
import platform
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carousel import files
from carousel.errors import InputError, TrainingError
from carousel.tuning.axes import axes

if TYPE_CHECKING:
    import optuna

SETTINGS, STUDY, TRIALS, LOG = "search.json", "study.db", "trials", "output.txt"
CHECKPOINT, METRICS = "checkpoint.safetensors", "metrics.jsonl"  # of a run folder
CAROUSEL = (sys.executable, "-m", "carousel")
EVERY = 0.3  # seconds between looks at a trial's metrics
PATIENCE = 60  # seconds that an interrupted run has to save itself
KEYS = {"event", "step", "epoch", "loss", "best", "seconds"}  # of a row; the one beside them is the metric
FIRST, BEFORE = 5, 1  # no trial is given up before so many have ended, nor before so many epochs
Observer = Callable[[Mapping[str, Any]], None]


def optuna_module() -> Any:
    """Return Optuna. Raises TrainingError where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise TrainingError("a search needs Optuna: pip install 'carousel-rnn[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


@dataclass(frozen=True)
class Settings:
    """The settings of a search.

    Args:
        command: the words after ``carousel`` that train a run, such as ``train book.txt --epochs 3``.
        search: the settings that vary, as ``axes`` takes them.
        seed: of Optuna's choices.
        prune: whether trials are given up that are worse than the median of the others at their epoch.
        storage: a database's URL; empty: a file in the search's folder.
        name: of the study in the database.
    """

    command: list[str]
    search: list[str]
    seed: int = 1
    prune: bool = True
    storage: str = ""
    name: str = "carousel"


@dataclass(frozen=True)
class Trial:
    """One trial as it stands.

    Args:
        number: counted from 0 through all machines that share a database.
        state: "complete", "pruned", "fail" or "running".
        loss: the best validation loss, in the loss's unit a target; None where no epoch was finished.
        settings: the values by the options' names.
        metric: the measure's name and value at that loss.
        seconds: of training.
        folder: of the run.
    """

    number: int
    state: str
    loss: float | None
    settings: dict[str, str]
    metric: dict[str, float] = field(default_factory=dict)
    seconds: float | None = None
    folder: str = ""


class Search:
    """A search in a folder; made anew of the same folder it goes on.

    Args:
        folder: of the search; it is made.
        settings: of a new search; None: those that the folder holds.

    Raises:
        InputError: settings that differ from the folder's, a database that cannot be opened.
    """

    def __init__(self, folder: Path, settings: Settings | None = None):
        place = folder / SETTINGS
        if place.exists():
            known = _read(place)
            if settings is not None and settings != known:
                differs = next(k for k, v in asdict(known).items() if v != asdict(settings)[k])
                raise InputError(
                    f"{folder} holds a search with another `{differs}`; take another folder, or leave the settings out"
                )
            settings = known
        elif settings is None:
            raise InputError(f"{folder} holds no search: give `search` and, after --, the command that trains a run")
        self.folder, self.settings, self.axes = folder, settings, axes(settings.search)
        self.optuna = optuna_module()
        folder.mkdir(parents=True, exist_ok=True)
        self.study = self._study()
        if not place.exists():
            files.write(place, json.dumps(asdict(settings), indent=1) + "\n")

    def _study(self) -> optuna.Study:
        optuna, settings = self.optuna, self.settings
        url = settings.storage or f"sqlite:///{(self.folder / STUDY).absolute()}"
        try:
            study = optuna.create_study(
                storage=url,
                study_name=settings.name,
                load_if_exists=True,
                direction="minimize",
                pruner=optuna.pruners.MedianPruner(FIRST, BEFORE) if settings.prune else optuna.pruners.NopPruner(),
            )
            seed = settings.seed + len(study.trials)  # that a search which goes on does not choose again what it chose
        except Exception as error:  # of SQLAlchemy, of a database's driver
            raise InputError(f"the database {url} cannot be opened: {str(error).splitlines()[0]}") from None
        study.sampler = optuna.samplers.TPESampler(seed=seed)
        return study

    def run(self, trials: int, path: tuple[str, ...], observer: Observer) -> None:
        """Run trials until so many have ended, on all machines together. An interruption stops the run of the last one, too.

        Args:
            trials: completed, pruned and failed ones.
            path: of the command, the words before its first argument, such as ``("translate", "train")``.
            observer: is told of each epoch and trial.

        Raises:
            InputError: the command refuses its first trial.
        """
        self._take_up()
        while (ended := len(self._ended())) < trials:
            observer({"event": "trials", "ended": ended, "trials": trials})
            trial = self.study.ask()
            values = {a.name: a.suggest(trial) for a in self.axes}
            place = self.folder / TRIALS / f"{trial.number:05d}"
            place.parent.mkdir(exist_ok=True)
            before = trial.user_attrs.get("continues")
            if before is not None and (old := Path(before)).is_dir():
                old.rename(place)
            trial.set_user_attr("place", f"{platform.node()}:{place.absolute()}")
            again = (place / CHECKPOINT).exists()
            if not again and place.exists():
                shutil.rmtree(place)  # a run that was stopped before it could be resumed
            words = [*path, "--resume", str(place)] if again else self._command(path, values, place)
            self._train(trial, words, place, observer)
        observer({"event": "trials", "ended": ended, "trials": trials})

    def _command(self, path: tuple[str, ...], values: Mapping[str, str], place: Path) -> list[str]:
        chosen = [word for a in self.axes for word in a.words(values[a.name])]
        return [*path, *chosen, "--out", str(place), *self.settings.command[len(path) :]]

    def _train(self, trial: optuna.Trial, words: list[str], place: Path, observer: Observer) -> None:
        states = self.optuna.trial.TrialState
        output = self.folder / TRIALS / f"{place.name}.txt"
        with output.open("wb") as log:
            # In a session of its own: Ctrl-C in a terminal reaches the search alone, which passes it on once. A run that is
            # interrupted twice does not save itself.
            process = subprocess.Popen(
                [*CAROUSEL, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                pruned = self._follow(trial, process, place, observer)
            except BaseException:
                _stop(process)
                raise
        rows = list(validations(place))
        if rows:
            best = min(rows, key=lambda row: row["loss"])
            trial.set_user_attr("metric", {k: v for k, v in best.items() if k not in KEYS})
            trial.set_user_attr("seconds", rows[-1]["seconds"])
        if pruned:
            self.study.tell(trial, state=states.PRUNED)
        elif process.returncode == 0 and rows:
            self.study.tell(trial, best["loss"])
        else:
            self.study.tell(trial, state=states.FAIL)
            said = (output.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1].removeprefix("carousel: ")
            if process.returncode == 2 and not self.study.get_trials(False, (states.COMPLETE, states.PRUNED)):
                raise InputError(f"the command refuses trial {trial.number}: {said}")
            observer({"event": "failed", "number": trial.number, "said": said})
            return
        observer({"event": "pruned" if pruned else "complete", "number": trial.number})

    def _follow(self, trial: optuna.Trial, process: subprocess.Popen[bytes], place: Path, observer: Observer) -> bool:
        """Report a trial's epochs as they are validated; stop one that is to be pruned, and return whether it was."""
        epoch = 0
        while True:
            over = process.poll() is not None
            rows = list(validations(place))
            for row in (r for r in rows if r["epoch"] > epoch):
                epoch = row["epoch"]
                trial.report(row["loss"], epoch)
                observer({"event": "epoch", "number": trial.number, "epoch": epoch, "loss": row["loss"]})
            if over:
                return False
            if self.settings.prune and rows and trial.should_prune():
                _stop(process)
                return True
            time.sleep(EVERY)

    def _take_up(self) -> None:
        """Let the trials that an interruption has left in this folder go on first."""
        states, here = self.optuna.trial.TrialState, f"{platform.node()}:{(self.folder / TRIALS).absolute()}/"
        for old in self.study.get_trials(True, (states.RUNNING,)):
            place = str(old.user_attrs.get("place", ""))
            if place.startswith(here):
                self.study.tell(old.number, state=states.FAIL)
                self.study.enqueue_trial(old.params, user_attrs={"continues": place.split(":", 1)[1]})

    def _ended(self) -> list[Trial]:
        return [t for t in self.trials() if t.state != "running"]

    def trials(self) -> list[Trial]:
        """Return all trials, in order, without the beginnings of those that were interrupted and taken up again."""
        every, found = self.study.get_trials(False), []
        again = {t.user_attrs.get("continues") for t in every}
        for t in every:
            values = t.intermediate_values.values()
            settings = {
                a.name: a.text(t.params[a.name]) if not a.values else str(t.params[a.name])
                for a in self.axes
                if a.name in t.params
            }
            attrs = t.user_attrs
            folder = str(attrs.get("place", "")).split(":", 1)[-1]
            loss = min(values) if values else t.value
            found.append(
                Trial(t.number, t.state.name.lower(), loss, settings, attrs.get("metric", {}), attrs.get("seconds"), folder)
            )
        return [t for t in found if t.state != "waiting" and not (t.state == "fail" and t.folder in again)]

    def importances(self) -> dict[str, float]:
        """Return the share of the spread of losses that each setting explains (fANOVA, Hutter et al. 2014), largest first."""
        states = self.optuna.trial.TrialState
        if len(self.study.get_trials(False, (states.COMPLETE,))) < 4:
            return {}
        evaluator = self.optuna.importance.FanovaImportanceEvaluator(seed=self.settings.seed)
        try:
            found = self.optuna.importance.get_param_importances(self.study, evaluator=evaluator)
        except (ValueError, RuntimeError, ZeroDivisionError):  # all losses are equal
            return {}
        return {name: float(share) for name, share in found.items()}


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a run, which saves itself, and wait for it, at most until the search is interrupted again."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
            process.wait()


def validations(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a run's metrics that say a validation, those that are whole."""
    path = folder / METRICS
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and row.get("event") == "valid":
            yield row


def _read(path: Path) -> Settings:
    try:
        return Settings(**files.read_object(path))
    except TypeError:
        raise InputError(f"{path} is not the settings of a search") from None
