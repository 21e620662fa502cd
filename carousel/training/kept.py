"""Weights of a run beside its best ones: those that were kept on the way, and the newest, of its checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

from carousel.errors import InputError
from carousel.training.run_folder import CHECKPOINT, KEPT, MODEL, load_weights, read_tensors, save_model
from carousel.training.task import Trainable

LAST = "last"  # the newest weights
NAMED = re.compile(rf"(.+)@(\d+|{LAST})", re.DOTALL)
IN_CHECKPOINT = "model."  # before the names of weights


def placed(given: str | Path) -> tuple[Path, str | None]:
    """Return the folder that ``RUN``, ``RUN@400`` or ``RUN@last`` names, and which weights: None for the best.

    A folder whose own name is such goes before.
    """
    match = NAMED.fullmatch(str(given))
    if match is None or Path(given).exists():
        return Path(given), None
    return Path(match[1]), match[2] if match[2] == LAST else str(int(match[2]))


def named(folder: Path, which: str | None) -> str:
    """Return the name of a run with the weights that are not its best."""
    return folder.resolve().name + (f"@{which}" if which else "")


def steps(folder: Path) -> list[int]:
    """Return the steps after which a run kept its weights, in order; 0 is before the first."""
    found = (folder / KEPT).glob("*.safetensors") if (folder / KEPT).is_dir() else ()
    return sorted(int(path.stem) for path in found if path.stem.isdecimal())


def path_of(folder: Path, which: str | None) -> Path:
    """Return the file that has a run's weights: None for the best, the number of a step, or ``last``."""
    if which is None:
        return folder / MODEL
    return folder / CHECKPOINT if which == LAST else folder / KEPT / f"{which}.safetensors"


def load_model(model: Trainable, folder: Path, which: str | None = None) -> None:
    """Put a run's weights into a model, and turn its dropout off.

    Args:
        model: of the run.
        folder: of the run.
        which: as ``path_of`` has it.

    Raises:
        InputError: the file is missing, not whole or another model's; or the run kept no weights of that step.
    """
    path = path_of(folder, which)
    if which not in (None, LAST) and not path.is_file():
        known = ", ".join(map(str, steps(folder)))
        kept = f"it kept those of steps {known}" if known else "it kept none on the way, which takes `keep_every`"
        raise InputError(f"{folder} kept no weights of step {which}; {kept}")
    tensors, _ = read_tensors(path, "the newest weights" if which == LAST else "the model's weights")
    if which == LAST:
        tensors = {k.removeprefix(IN_CHECKPOINT): v for k, v in tensors.items() if k.startswith(IN_CHECKPOINT)}
    load_weights(model, tensors, path)
    model.eval()


def keep(model: Trainable, folder: Path, step: int) -> None:
    """Write a model's weights after a step into the run folder, beside the best."""
    (folder / KEPT).mkdir(exist_ok=True)
    save_model(model, folder, f"{KEPT}/{step}.safetensors")


def forget_after(folder: Path, step: int) -> None:
    """Remove the weights of later steps, which a run that goes on from this step writes again."""
    for later in steps(folder):
        if later > step:
            path_of(folder, str(later)).unlink(missing_ok=True)
