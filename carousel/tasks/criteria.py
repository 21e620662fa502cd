"""When a trial is over: the paper's own criteria."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from carousel.tasks.problem import Batch, Problem, Random
from carousel.tasks.reber import EmbeddedReber

Answer = Callable[[Batch], np.ndarray]
ROWS = 256  # sequences that are tested side by side
WORTH = 50  # sequences of training that say whether a test is worth its time
WRONG_AT_MOST = 0.1  # of them


@dataclass(frozen=True)
class Goal:
    """One thing to be reached: at most ``wrong`` wrong ones, and a mean absolute error below ``error``."""

    name: str
    wrong: int = 0
    error: float = np.inf


@dataclass
class Counts:
    """The result of a test: wrong sequences of so many, mean absolute and mean squared error of their outputs."""

    wrong: int = 0
    of: int = 0
    absolute: float = 0.0
    squared: float = 0.0

    def add(self, problem: Problem, outputs: np.ndarray, batch: Batch) -> None:
        """Count the answers to more sequences."""
        errors = problem.errors(outputs, batch).astype(np.float64)
        total = self.of + len(batch)
        self.absolute += (errors.mean() - self.absolute) * len(batch) / total
        self.squared += ((errors**2).mean() - self.squared) * len(batch) / total
        self.wrong, self.of = self.wrong + int(problem.wrong(outputs, batch).sum()), total

    def reach(self, goal: Goal) -> bool:
        """Return whether they are good enough."""
        return self.wrong <= goal.wrong and self.absolute < goal.error


def count(problem: Problem, answer: Answer, random: Random, sequences: int, most: float = np.inf) -> Counts:
    """Test on so many fresh sequences; give up once more than ``most`` are wrong."""
    counts = Counts()
    rows = ROWS if problem.lag * problem.outputs <= 1 << 12 else 64
    while counts.of < sequences and counts.wrong <= most:
        batch = problem.draw(random, min(rows, sequences - counts.of))
        counts.add(problem, answer(batch), batch)
    return counts


class Criterion:
    """``goals`` in the order in which they are to be reached; ``fresh``: sequences of the test after each."""

    def __init__(self, problem: Problem, goals: tuple[Goal, ...], fresh: int = 0):
        self.problem, self.goals, self.fresh = problem, goals, fresh

    def draw(self, random: Random, sequences: int) -> Batch:
        """Draw the next sequences of training."""
        return self.problem.draw(random, sequences)

    def seen(self, outputs: np.ndarray, batch: Batch) -> None:
        """Note sequences of training, and the answers from before the network learnt from them."""
        raise NotImplementedError

    def holds(self, goal: Goal, answer: Answer, random: Random) -> Counts | None:
        """Return the counts with which ``goal`` holds now, or None. ``random`` is the tests' own."""
        raise NotImplementedError


class Recent(Criterion):
    """4, 5, 6: of the 2 000 most recent sequences of training at most so many wrong, and their mean error below a bound.

    An answer counts as it was when the sequence came, before the network learnt from it.
    """

    def __init__(self, problem: Problem, goals: tuple[Goal, ...], fresh: int = 2560, window: int = 2000):
        super().__init__(problem, goals, fresh)
        self.wrong: deque[bool] = deque(maxlen=window)
        self.errors: deque[float] = deque(maxlen=window)
        self.sum_wrong, self.sum_errors = 0, 0.0

    def seen(self, outputs: np.ndarray, batch: Batch) -> None:
        for wrong, error in zip(self.problem.wrong(outputs, batch), self.problem.errors(outputs, batch).mean(1), strict=True):
            if len(self.wrong) == self.wrong.maxlen:
                self.sum_wrong -= self.wrong[0]
                self.sum_errors -= self.errors[0]
            self.wrong.append(bool(wrong))
            self.errors.append(float(error))
            self.sum_wrong, self.sum_errors = self.sum_wrong + bool(wrong), self.sum_errors + float(error)

    def holds(self, goal: Goal, answer: Answer, random: Random) -> Counts | None:
        if len(self.wrong) < (self.wrong.maxlen or 0):
            return None
        counts = Counts(self.sum_wrong, len(self.wrong), self.sum_errors / len(self.errors))
        return counts if counts.reach(goal) else None


class Tested(Criterion):
    """2, 3: a test on ``sequences`` fresh ones holds. It is tried every ``every`` sequences of training.

    A test whose answer is plain is spared: of the last 50 sequences of training more than a tenth were wrong.
    """

    def __init__(self, problem: Problem, goals: tuple[Goal, ...], sequences: int, fresh: int = 0, every: int = 50):
        super().__init__(problem, goals, fresh)
        self.sequences, self.every, self.since = sequences, every, 0
        self.last: deque[bool] = deque(maxlen=WORTH)

    def seen(self, outputs: np.ndarray, batch: Batch) -> None:
        self.last.extend(bool(w) for w in self.problem.wrong(outputs, batch))
        self.since = len(batch) if self.since >= self.every else self.since + len(batch)

    def holds(self, goal: Goal, answer: Answer, random: Random) -> Counts | None:
        if self.since < self.every or sum(self.last) > WRONG_AT_MOST * len(self.last):
            return None
        counts = self.test(answer, random, goal)
        return counts if counts.of >= self.sequences and counts.reach(goal) else None

    def test(self, answer: Answer, random: Random, goal: Goal) -> Counts:
        """Test now."""
        return count(self.problem, answer, random, self.sequences, most=goal.wrong)


class Sets(Tested):
    """1: all strings of the training set and of the test set."""

    problem: EmbeddedReber

    def __init__(self, problem: EmbeddedReber, random: Random, every: int = 50):
        self.train, self.others = problem.sets(random)
        super().__init__(problem, (Goal("all"),), len(self.train) + len(self.others), every=every)

    def draw(self, random: Random, sequences: int) -> Batch:
        order = random.integers(0, len(self.train), size=sequences)
        b = self.train
        assert b.allowed is not None
        whole = Batch(b.inputs[:, order], b.lengths[order], b.targets[:, order], allowed=b.allowed[:, order])
        return whole.rows(0, sequences)

    def test(self, answer: Answer, random: Random, goal: Goal) -> Counts:
        counts = Counts()
        for batch in (self.train, self.others):
            counts.add(self.problem, answer(batch), batch)
        return counts
