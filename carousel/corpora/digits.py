"""Strings of handwritten digits: images of scikit-learn's set side by side, with varying gaps and slants.

The 1 797 images are the test set of Alpaydin and Kaynak's "Optical Recognition of Handwritten Digits" (UCI, 1998). They stand
in the order of their writers, who are others in each part here: the first ten for training, the next for validation, the last
three for the test. No image is in two parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

# Where each writer's images begin. UCI counts 13 writers; by the order of the labels one of them wrote twice (the course of
# scikit-learn, "Sample grouping", has the same bounds).
WRITERS = (0, 130, 256, 386, 516, 646, 776, 915, 1029, 1157, 1287, 1415, 1545, 1667, 1797)
PARTS = {"train": (0, 10), "valid": (10, 11), "test": (11, 14)}  # writers from, up to
CONTENTS = ("any", "forms")
HEIGHT, SLANT, SHORTEST, LONGEST = 12, 0.35, 5, 8
WIDTH, BENT = 18, 0.4  # of the place in which a digit is drawn; of digits to train on, so that ten writers are many
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


def strings(part: str, count: int, seed: int, content: str = "any") -> Strings:
    """Return images of strings, written by a part's writers.

    Args:
        part: "train", whose digits are bent, "valid" or "test".
        count: of strings.
        seed: of the draws.
        content: as ``text``'s.
    """
    choose = np.random.default_rng([seed, list(PARTS).index(part)])
    images, labels = images_of(part)
    by_label = [np.flatnonzero(labels == d) for d in range(10)]
    texts = [text(choose, content) for _ in range(count)]
    bent = BENT if part == "train" else 0.0
    drawn = [_string([images[choose.choice(by_label[int(c)])] for c in line], choose, bent) for line in texts]
    widths = np.array([d.shape[1] for d in drawn])
    padded = np.zeros((count, HEIGHT, int(widths.max(initial=0))), np.uint8)
    for row, image in zip(padded, drawn, strict=True):
        row[:, : image.shape[1]] = image
    return Strings(padded, widths, texts)


def _string(digits: list[np.ndarray], choose: np.random.Generator, bent: float) -> np.ndarray:
    """Set digits side by side: one slant of the whole hand, a little more or less for each digit, gaps from -1 to 4 columns."""
    slant = choose.uniform(-SLANT, SLANT)
    pieces = [_slanted(d, slant + choose.normal(0, 0.06), choose, bent) for d in digits]
    gaps = choose.integers(-1, 5, size=len(pieces))
    places = np.cumsum([1 + gaps[0] % 4, *(p.shape[1] + g for p, g in zip(pieces[:-1], gaps[1:], strict=True))])
    image = np.zeros((HEIGHT, int(places[-1]) + pieces[-1].shape[1] + int(choose.integers(1, 4))))
    for at, piece in zip(places, pieces, strict=True):
        under = image[:, at : at + piece.shape[1]]
        np.maximum(under, piece, out=under)
    return np.round(image * (255 / FULL)).astype(np.uint8)


def _slanted(digit: np.ndarray, slant: float, choose: np.random.Generator, bent: float) -> np.ndarray:
    """Return a digit, slanted, a little larger or smaller, up or down, without the empty columns beside it.

    ``bent``: how far, in pixels, its parts are moved besides (Simard, Steinkraus and Platt 2003); strokes are then thicker or
    thinner, too.
    """
    from scipy.ndimage import map_coordinates

    tall, wide = choose.uniform(0.95, 1.3), choose.uniform(0.9, 1.25)
    matrix = np.array([[1 / tall, 0.0], [slant, 1 / wide]])
    middle = np.array([(HEIGHT - 1) / 2 + choose.uniform(-1, 1), (WIDTH - 1) / 2])
    places = np.tensordot(matrix, np.indices((HEIGHT, WIDTH)) - middle[:, None, None], 1) + 3.5
    if bent:
        field, at = choose.normal(0, bent, (2, 4, 4)), np.clip(places / 7, 0, 1) * 3
        places = places + np.stack([map_coordinates(f, at, order=1) for f in field])
        digit = FULL * (digit / FULL) ** choose.uniform(0.6, 1.6)
    drawn = map_coordinates(digit, places, order=1)
    inked = np.flatnonzero(drawn.max(0) >= EMPTY)
    return drawn[:, inked[0] : inked[-1] + 1]
