"""The rows of the paper's tables: a problem, its criterion, the network of 1997, and the figures that the paper reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from carousel.tasks.arithmetic import Marked
from carousel.tasks.counting import Copy, Counting
from carousel.tasks.criteria import Criterion, Goal, Recent, Sets, Tested
from carousel.tasks.lags import LongLag, VeryLongLag
from carousel.tasks.order import TemporalOrder
from carousel.tasks.original import Plan
from carousel.tasks.pathological import Memorisation, Operation, Ordered, Permutation
from carousel.tasks.problem import Problem, Random
from carousel.tasks.reber import ContinualReber, EmbeddedReber
from carousel.tasks.signals import TwoSequences


@dataclass(frozen=True)
class Paper:
    """The paper's report of one goal: sequences until it held, share of successful trials (%), wrong sequences of 2 560."""

    after: int
    success: float = 100
    wrong: float | None = None


@dataclass(frozen=True)
class Row:
    """One row.

    Args:
        task: its name on the command line.
        experiment: the paper's number.
        setting: the numbers in which it differs from the others of its task.
        goals: the paper's figures by the goal's name.
        trials: how many seeds.
        cap: sequences after which a trial has failed.
        hidden: units of today's network.
        learner: of today's recipe.
        weights: of the paper's network.
    """

    task: str
    experiment: str
    setting: dict[str, int]
    problem: Problem
    criterion: Callable[[Problem, Random], Criterion]
    goals: dict[str, Paper]
    plan: Plan | None
    trials: int
    cap: int
    hidden: int = 4
    learner: str = "kalman"
    weights: int | None = None
    about: str = ""

    @property
    def key(self) -> str:
        """Its name in files."""
        return "-".join([self.task, *(f"{n}{v}" for n, v in self.setting.items())])

    @property
    def label(self) -> str:
        """Its name in tables."""
        return " ".join([f"{self.experiment} {self.task}", *(f"{n}={v}" for n, v in self.setting.items())])


def _rows() -> Iterator[Row]:
    reber = EmbeddedReber()
    # Five networks of the paper on one task: the best of them is the row, the others are recipes of their own.
    yield Row(
        "reber",
        "1",
        {},
        reber,
        lambda p, r: Sets(p, r),  # type: ignore[arg-type]  # its own problem
        {"all": Paper(8_440)},
        Plan(3, 2, 0.2, 0.5, "gates", output_gates=(-1, -2, -3)),
        30,
        8_440,
        32,
        "adam",
        weights=276,
        about="embedded Reber grammar: predict every next symbol",
    )
    bare = Plan(1, 1, 0.2, 1.0, "none", bare=True)
    for name, number, random, after in (("long-lag", "2a", False, 5_040), ("long-lag-random", "2b", True, 5_680)):
        about = "keep the first symbol while 99 others pass" + (", in any order" if random else "")
        yield Row(
            name,
            number,
            {},
            LongLag(100, random),
            lambda p, r: Tested(p, (Goal("always"),), 10_000, every=100),
            {"always": Paper(after)},
            bare,
            18,
            after,
            8 if random else 4,
            weights=10_504,
            about=about,
        )
    figures = {
        (50, 50): 30_000, (100, 100): 31_000, (200, 200): 33_000, (500, 500): 38_000, (1000, 1000): 49_000,
        (1000, 500): 49_000, (1000, 200): 75_000, (1000, 100): 135_000, (1000, 50): 203_000,
    }  # fmt: skip
    for (q, p), after in figures.items():
        yield Row(
            "very-long-lag",
            "2c",
            {"q": q, "p": p},
            VeryLongLag(q, p),
            lambda p, r: Tested(p, (Goal("always"),), 10_000),
            {"always": Paper(after)},
            Plan(2, 1, 0.2, 0.01, "none"),
            10,
            after // 10,
            8,
            weights=6 * (p + 10) + 4,
            about="keep one symbol while q or more of p distractors pass",
        )
    three = Plan(3, 1, 0.1, 1.0, "hidden", (-1, -3, -5), (-2, -4, -6))
    for t, n, one, two, wrong in (
        (100, 3, 27_380, 39_850, 0.000195),
        (100, 1, 58_370, 64_330, 0.000117),
        (1000, 3, 446_850, 452_460, 0.000078),
    ):
        yield Row(
            "two-sequences",
            "3a",
            {"T": t, "N": n},
            TwoSequences(t, n),
            lambda p, r: Tested(p, (Goal("ST1"), Goal("ST2", 0, 0.01)), 256, 2560),
            {"ST1": Paper(one), "ST2": Paper(two, wrong=2560 * wrong)},
            three,
            10,
            two // 10,
            weights=102,
            about="tell two classes by the first N values, among noise",
        )
    for t, n, one, two, wrong in (
        (100, 3, 41_740, 43_250, 0.00828),
        (100, 1, 74_950, 78_430, 0.01500),
        (1000, 1, 481_060, 485_080, 0.01207),
    ):
        yield Row(
            "noisy-sequences",
            "3b",
            {"T": t, "N": n},
            TwoSequences(t, n, noisy=True),
            lambda p, r: Tested(p, (Goal("ST1", 5), Goal("ST2", 5, 0.04)), 256, 2560),
            {"ST1": Paper(one), "ST2": Paper(two, wrong=2560 * wrong)},
            three,
            10,
            two // 10,
            weights=102,
            about="the same with noise on the N values too",
        )
    slow = Plan(3, 1, 0.1, 0.1, "hidden", (-1, -3, -5), (-2, -4, -6))
    for n, after, wrong in ((3, 269_650, 0.00558), (1, 565_640, 0.00441)):
        yield Row(
            "noisy-targets",
            "3c",
            {"T": 100, "N": n},
            TwoSequences(100, n, noisy_targets=True),
            lambda p, r: Tested(p, (Goal("stop", 0, 0.015),), 256, 2560),
            {"stop": Paper(after, wrong=2560 * wrong)},
            slow,
            10,
            after // 10,
            weights=102,
            about="the same with noise on the targets, 0.2 and 0.8",
        )
    for t, after, few in ((100, 74_000, 1), (500, 209_000, 0), (1000, 853_000, 1)):
        yield Row(
            "adding",
            "4",
            {"T": t},
            Marked(t),
            lambda p, r: Recent(p, (Goal("stop", 0, 0.01),)),
            {"stop": Paper(after, wrong=few)},
            Plan(2, 2, 0.1, 0.5, "all", (-3, -6)),
            10,
            after // 10,
            weights=93,
            about="add the two marked values",
        )
    yield Row(
        "multiplying",
        "5",
        {"T": 100},
        Marked(100, multiply=True),
        lambda p, r: Recent(p, (Goal("n=140", 139), Goal("n=13", 12))),
        {"n=140": Paper(482_000, wrong=139), "n=13": Paper(1_273_000, wrong=14)},
        Plan(2, 2, 0.1, 0.1, "all"),
        10,
        127_300,
        weights=93,
        about="multiply the two marked values",
    )
    for places, number, after, few, plan, trials, weights in (
        (2, "6a", 31_390, 1, Plan(2, 2, 0.1, 0.5, "all", (-2, -4)), 20, 156),
        (3, "6b", 571_100, 2, Plan(3, 2, 0.1, 0.1, "all", (-2, -4, -6)), 10, 308),
    ):
        yield Row(
            "order" if places == 2 else "order-three",
            number,
            {},
            TemporalOrder(places),
            lambda p, r: Recent(p, (Goal("stop", 0, 0.1),)),
            {"stop": Paper(after, wrong=few)},
            plan,
            trials,
            after if places == 2 else after // 10,
            6 if places == 2 else 8,
            weights=weights,
            about=f"in which order did {'two' if places == 2 else 'three'} X or Y come?",
        )
    later: tuple[tuple[str, dict[str, int], Problem, int, str], ...] = (
        ("continual-reber", {}, ContinualReber(), 12, "embedded Reber strings one after the other, nothing is reset"),
        ("copy", {"T": 100}, Copy(100), 48, "say ten letters again after T steps"),
        ("counting", {}, Counting(), 12, "aⁿbⁿcⁿ, n up to 10"),
    )
    for name, setting, problem, hidden, about in later:
        yield Row(
            name,
            "later",
            setting,
            problem,
            lambda p, r: Tested(p, (Goal("always"),), 1000, every=500),
            {},
            None,
            10,
            200_000,
            hidden,
            "adam",
            about=about,
        )


def _pathological() -> Iterator[Row]:
    """Martens and Sutskever 2011: solved where at most one in a hundred of fresh sequences is wrong."""
    operations = (("add", "add"), ("multiply", "multiply"), ("xor", "say whether differ"))
    for t in (50, 100, 150, 200):
        made: list[tuple[str, Problem, str]] = [
            (f"long-{name}", Operation(t, name), f"{verb} the two marked {'bits' if name == 'xor' else 'values'}")
            for name, verb in operations
        ]
        made += [
            ("long-order", Ordered(t), "in which order did two X or Y come?"),
            ("long-order-three", Ordered(t, 3), "in which order did three X or Y come?"),
            ("permutation", Permutation(t), "keep the first symbol while others pass that are all to be predicted"),
            ("memorise-5", Memorisation(t), "say five bits again"),
            ("memorise-20", Memorisation(t, 10, 5), "say ten letters of five again"),
        ]
        for task, problem, about in made:
            every = 32 if task == "memorise-5" else 1000
            yield Row(
                task,
                "2011",
                {"T": t},
                problem,
                lambda p, r, every=every: Tested(p, (Goal("solved", 99),), 10_000, every=every),  # type: ignore[misc]
                {},
                None,
                5,
                1_000_000,
                12 if problem.each else 4,
                "adam" if problem.each else "kalman",
                about=about,
            )


ROWS: list[Row] = [*_rows(), *_pathological()]
