"""A run folder, whatever kind of run it holds."""

from __future__ import annotations

from pathlib import Path

from carousel.errors import InputError
from carousel.forecasting.model import Forecaster
from carousel.labelling.model import Labeller
from carousel.language.model import LanguageModel
from carousel.runs.ensemble import Ensemble
from carousel.runs.forecaster import ForecastRun
from carousel.runs.labeller import LabellerRun
from carousel.runs.language import LanguageRun
from carousel.runs.transcriber import TranscriberRun
from carousel.runs.translator import TranslatorRun
from carousel.runs.trials import Trials
from carousel.training.config import run_kind
from carousel.training.kept import placed
from carousel.transcription.model import Transcriber
from carousel.translation.model import Translator

__all__ = ["Ensemble", "ForecastRun", "LabellerRun", "LanguageRun", "Run", "TranscriberRun", "TranslatorRun", "Trials", "load"]

Run = LanguageRun | TranslatorRun | TranscriberRun | ForecastRun | LabellerRun | Trials
KINDS: dict[str, type[LanguageRun] | type[TranslatorRun] | type[TranscriberRun] | type[ForecastRun] | type[LabellerRun]] = {
    LanguageModel.kind: LanguageRun,
    Translator.kind: TranslatorRun,
    Transcriber.kind: TranscriberRun,
    Forecaster.kind: ForecastRun,
    Labeller.kind: LabellerRun,
}
TRIAL = "*.*.*.*.json"  # row, cell, recipe, seed


def load(folder: str | Path) -> Run:
    """Return the run in a folder: a language model, a translator, a transcriber, a forecaster, a labeller, or trials.

    If you know the kind, use its class: ``carousel.LanguageRun("runs/x")``. Loading executes nothing from the folder.

    Args:
        folder: from ``carousel train``, ``translate train``, ``transcribe train``, ``forecast train``, ``label train`` or
            ``tasks run``; ``RUN@400`` selects the weights kept after step 400 (``keep_every``), ``RUN@last`` those of the
            checkpoint.

    Raises:
        InputError: a ValueError of one line; the folder is none, or not whole.
    """
    place, _ = placed(folder)
    if not (place / "config.json").exists():
        if any(place.glob(TRIAL)):
            return Trials(place)
        if inside := sorted(str(p.parent) for p in place.glob("*/config.json")):
            raise InputError(f"{place} holds several runs; load one of {', '.join(inside)}")
    kind = run_kind(place)
    if kind not in KINDS:
        raise InputError(f"{place} holds the run of a {kind}, which this version of Carousel does not know")
    return KINDS[kind](folder)
