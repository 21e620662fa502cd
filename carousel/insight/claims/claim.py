"""A claim: networks to train, the figures to measure of each, the questions to ask of them, and the rule of the verdict."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carousel import files
from carousel.errors import InputError

Tick = Callable[[int, int], object]
Figures = dict[str, float]
CERTAIN = 2.0  # standard errors


@dataclass(frozen=True)
class Question:
    """A question: is ``figure`` lower (or higher) in one way than in another, in pairs by seed?

    ``margin``: a way may be that share worse and still pass, which makes of it the question whether nothing is lost.
    """

    asks: str
    figure: str
    way: str
    other: str
    higher: bool = False
    margin: float = 0.0

    def gains(self, runs: Mapping[tuple[str, int], Figures]) -> list[float]:
        """Return by seed how much better the way is than it has to be."""
        seeds = sorted({seed for way, seed in runs if way == self.way} & {seed for way, seed in runs if way == self.other})
        sign = 1 if self.higher else -1
        gains = []
        for seed in seeds:
            a, b = (runs[way, seed][self.figure] for way in (self.way, self.other))
            gains.append(sign * (a - b) + self.margin * abs(b))
        return gains

    def verdict(self, runs: Mapping[tuple[str, int], Figures]) -> str:
        """Return "holds" where the gain is above zero with every seed and its mean more than two standard errors; "does not
        hold" where it is so below zero; else "undecided"."""
        gains = self.gains(runs)
        if len(gains) < 2:
            return "undecided"
        mean, error = statistics.mean(gains), statistics.stdev(gains) / math.sqrt(len(gains))
        if abs(mean) <= CERTAIN * error:
            return "undecided"
        return "holds" if min(gains) > 0 else "does not hold" if max(gains) < 0 else "undecided"


@dataclass(frozen=True)
class TrialConfig:
    """The setting of a trial: ``steps`` of training (0: the claim's own), for text the files, and where work is kept."""

    steps: int = 0
    text: tuple[Path, ...] = ()
    folder: Path = field(default_factory=Path)


@dataclass(frozen=True)
class Claim:
    """A lecture's sentence. ``ways``: by name the networks to train; ``figures``: by name the measurements, with their units;
    ``measure(way, seed, setting, tick)`` trains and measures."""

    name: str
    says: str
    source: str
    ways: Mapping[str, str]
    figures: Mapping[str, str]
    questions: Sequence[Question]
    measure: Callable[[str, int, TrialConfig, Tick], Figures]


class Trial:
    """The runs of a claim, kept in ``folder`` as they finish, so that none is done twice.

    Raises InputError where the folder holds a trial of another claim or setting.
    """

    def __init__(self, claim: Claim, setting: TrialConfig):
        self.claim, self.setting = claim, setting
        self.path = setting.folder / f"{claim.name}.json"
        self.asked = {"claim": claim.name, "steps": setting.steps, "text": [str(p.absolute()) for p in setting.text]}
        self.runs: dict[tuple[str, int], Figures] = {}
        if self.path.exists():
            try:
                before = files.read_object(self.path)
                asked = before["asked"]
                self.runs = dict(map(self._run, before["runs"]))
            except (ValueError, KeyError, TypeError):
                raise InputError(f"{self.path} is no trial of a claim; choose another folder") from None
            if asked != self.asked:
                raise InputError(f"{setting.folder} holds a trial with other settings; choose another folder")

    def _run(self, run: dict[str, Any]) -> tuple[tuple[str, int], Figures]:
        if run["way"] not in self.claim.ways or type(run["seed"]) is not int:
            raise ValueError
        return (run["way"], run["seed"]), {name: float(run["figures"][name]) for name in self.claim.figures}

    def run(self, seeds: Iterable[int], tick: Tick | None = None) -> None:
        """Do the runs that are missing, each way in turn with each seed.

        Args:
            seeds: of the runs.
            tick: called with the work done, and all of it.

        Raises:
            InputError: another process owns the folder, or a text cannot be used, of which then nothing is left.
        """
        wanted = [(way, seed) for seed in seeds for way in self.claim.ways]
        missing = [w for w in wanted if w not in self.runs]
        if not missing:
            return
        with files.owning(self.setting.folder):
            for k, (way, seed) in enumerate(missing):

                def part(done: int, total: int, k: int = k) -> None:
                    if tick:
                        tick(k * 1000 + 1000 * done // max(total, 1), 1000 * len(missing))

                self.runs[way, seed] = self.claim.measure(way, seed, self.setting, part)
                self._save()

    def _save(self) -> None:
        runs = [{"way": way, "seed": seed, "figures": f} for (way, seed), f in sorted(self.runs.items())]
        files.write(self.path, json.dumps({"asked": self.asked, "runs": runs}, indent=1) + "\n")

    def values(self, way: str, figure: str) -> list[float]:
        """Return a figure of a way, by seed."""
        return [f[figure] for (w, _), f in sorted(self.runs.items()) if w == way]

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        claim = self.claim
        return {
            "claim": claim.name,
            "says": claim.says,
            "source": claim.source,
            "seeds": sorted({seed for _, seed in self.runs}),
            "ways": {
                way: {"is": text, **{f: [round(v, 5) for v in self.values(way, f)] for f in claim.figures}}
                for way, text in claim.ways.items()
            },
            "verdicts": [{"asks": q.asks, "verdict": q.verdict(self.runs)} for q in claim.questions],
        }
