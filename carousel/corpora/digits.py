"""Strings of handwritten digits: images of scikit-learn's set side by side, with varying gaps and slants.

The 1 797 images are the test set of Alpaydin and Kaynak's "Optical Recognition of Handwritten Digits" (UCI, 1998). They stand
in the order of their writers, who are others in each part here: the first ten for training, the next for validation, the last
three for the test. No image is in two parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

# Where each writer's images begin, by the order of the labels, which is each one's own form's; the eighth's lacks its first 0.
# UCI counts 13 writers; one wrote twice, if so. (The course of scikit-learn, "Sample grouping", has the bounds but for 906.)
WRITERS = (0, 130, 256, 386, 516, 646, 776, 906, 1029, 1157, 1287, 1415, 1545, 1667, 1797)
PARTS = {"train": (0, 10), "valid": (10, 11), "test": (11, 14)}  # writers from, up to
CONTENTS = ("any", "forms")
HEIGHT, SLANT, SHORTEST, LONGEST = 12, 0.35, 5, 8
WIDTH, MIDDLE = 18, 3.5  # of the place in which a digit is drawn; of an image of the set; in pixels of the set, as all lengths
BENT, TURN = 0.4, 0.15  # of digits to train on, so that ten writers are many: how far, in pixels, parts move; by what angle
AT_ONCE = 1000  # strings drawn at once
EMPTY, FULL = 1, 16  # of ink: fainter columns are no part of a digit; the set's darkest pixel


@dataclass(frozen=True)
class Strings:
    """Images of strings: ``images`` (N, height, width), 0 to 255, zero beyond each one's own ``widths`` (N,); ``texts``."""

    images: np.ndarray
    widths: np.ndarray
    texts: list[str]


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits  # it loads slowly

    found = load_digits()
    return found.images, found.target


def images_of(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images (N, 8, 8), 0 to 16, and labels (N,) of a part's writers: "train", "valid" or "test"."""
    first, last = (WRITERS[k] for k in PARTS[part])
    images, labels = _digits()
    return images[first:last], labels[first:last]


def text(choose: np.random.Generator, content: str = "any") -> str:
    """Return what a string says, five to eight digits.

    Args:
        choose: what draws.
        content: "any" digits; or those of "forms": dates (311299, 31121999) and amounts in cents that end as prices do (12995).
    """
    if content == "any":
        return "".join(str(d) for d in choose.integers(10, size=choose.integers(SHORTEST, LONGEST + 1)))
    if choose.random() < 0.5:
        year, month = int(choose.integers(1950, 2030)), int(choose.integers(1, 13))
        days = 31 - (month in (4, 6, 9, 11)) if month != 2 else 28 + (year % 4 == 0)
        day = int(choose.integers(1, days + 1))
        return f"{day:02}{month:02}" + (f"{year}" if choose.random() < 0.5 else f"{year % 100:02}")
    whole = int(10 ** choose.uniform(2, 5))  # small amounts are as frequent as large ones
    return f"{max(whole, 100)}{choose.choice(['00', '50', '90', '95', '99'])}"


def strings(part: str, count: int, seed: int, content: str = "any", resolution: int = 1) -> Strings:
    """Return images of strings, written by a part's writers.

    Args:
        part: "train", whose digits are distorted, each anew, "valid" or "test".
        count: of strings.
        seed: of the draws.
        content: as ``text``'s.
        resolution: pixels of a string for one of the set, in height and in width.
    """
    choose = np.random.default_rng([seed, list(PARTS).index(part)])
    images, labels = images_of(part)
    by_label = [np.flatnonzero(labels == d) for d in range(10)]
    texts = [text(choose, content) for _ in range(count)]
    drawn: list[np.ndarray] = []
    for first in range(0, count, AT_ONCE):
        chosen, hands = [], []
        for line in texts[first : first + AT_ONCE]:
            chosen += [choose.choice(by_label[int(c)]) for c in line]
            hands.append(_Hand.drawn(choose, len(line)))
        forms, distort = np.concatenate([h.forms for h in hands]), choose if part == "train" else None
        pieces = _pieces(images[chosen], forms, distort, resolution)
        ends = np.cumsum([len(h.forms) for h in hands])
        drawn += [hand.set(pieces[end - len(hand.forms) : end], resolution) for hand, end in zip(hands, ends, strict=True)]
    widths = np.array([d.shape[1] for d in drawn])
    padded = np.zeros((count, resolution * HEIGHT, int(widths.max(initial=0))), np.uint8)
    for row, image in zip(padded, drawn, strict=True):
        row[:, : image.shape[1]] = image
    return Strings(padded, widths, texts)


@dataclass(frozen=True)
class _Hand:
    """How a string is written.

    Attributes:
        forms: of each digit the slant, height, width and place down, (N, 4); the slant is the whole hand's, more or less.
        gaps: columns before each digit, from -1 to 4; before the first there are others, at least one.
        end: empty columns at the end.
    """

    forms: np.ndarray
    gaps: np.ndarray
    end: int

    @classmethod
    def drawn(cls, choose: np.random.Generator, count: int) -> _Hand:
        slant = choose.uniform(-SLANT, SLANT)
        forms = [
            (slant + choose.normal(0, 0.06), choose.uniform(0.95, 1.3), choose.uniform(0.9, 1.25), choose.uniform(-1, 1))
            for _ in range(count)
        ]
        return cls(np.array(forms), choose.integers(-1, 5, size=count), int(choose.integers(1, 4)))

    def set(self, pieces: list[np.ndarray], resolution: int) -> np.ndarray:
        """Return digits side by side, 0 to 255."""
        steps = (p.shape[1] + resolution * g for p, g in zip(pieces[:-1], self.gaps[1:], strict=True))
        places = np.cumsum([resolution * (1 + self.gaps[0] % 4), *steps])
        image = np.zeros((len(pieces[0]), int(places[-1]) + pieces[-1].shape[1] + resolution * self.end))
        for at, piece in zip(places, pieces, strict=True):
            under = image[:, at : at + piece.shape[1]]
            np.maximum(under, piece, out=under)
        return np.round(image * (255 / FULL)).astype(np.uint8)


def _pieces(digits: np.ndarray, forms: np.ndarray, choose: np.random.Generator | None, resolution: int = 1) -> list[np.ndarray]:
    """Return digits (N, 8, 8) in their forms, each without the empty columns beside it; distorted if ``choose`` draws."""
    from scipy.ndimage import map_coordinates

    slant, tall, wide, down = forms.T[:, :, None, None]
    height, width = resolution * HEIGHT, resolution * WIDTH
    row, column = np.indices((height, width))
    y, x = (row - (height - 1) / 2) / resolution - down, (column - (width - 1) / 2) / resolution
    places = np.stack([y / tall, slant * y + x / wide]) + MIDDLE
    if choose is not None:
        digits, places = _distorted(digits, places, choose)
    which = np.broadcast_to(np.arange(len(digits))[:, None, None], places.shape[1:])
    drawn = map_coordinates(digits, [which, *places], order=1)
    inked = drawn.max(1) >= EMPTY
    begins, ends = inked.argmax(1), width - inked[:, ::-1].argmax(1)
    return [image[:, begin:end] for image, begin, end in zip(drawn, begins, ends, strict=True)]


def _distorted(digits: np.ndarray, places: np.ndarray, choose: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return digits (N, 8, 8) with thicker or thinner strokes, and places (2, N, height, width) turned and moved.

    Random fields move them, which bends parts of a digit (Simard, Steinkraus and Platt 2003).
    """
    from scipy.ndimage import map_coordinates

    angle = choose.normal(0, TURN, (len(digits), 1, 1))
    (y, x), c, s = places - MIDDLE, np.cos(angle), np.sin(angle)
    places = np.stack([c * y - s * x, s * y + c * x]) + MIDDLE
    fields = choose.normal(0, BENT, (2, len(digits), 4, 4))
    which = np.broadcast_to(np.arange(len(digits))[:, None, None], places.shape[1:])
    knots = np.clip(places / (2 * MIDDLE), 0, 1) * 3
    moved = places + np.stack([map_coordinates(field, [which, *knots], order=1) for field in fields])
    return FULL * (digits / FULL) ** choose.uniform(0.6, 1.6, (len(digits), 1, 1)), moved
