"""Strings of handwritten digits: what they say, whose they are, and that chance is a seed's."""

import numpy as np
import pytest

from carousel.corpora import digits


def test_each_writer_begins_anew_and_no_image_is_in_two_parts():
    _, labels = digits._digits()
    for begin in digits.WRITERS[:-1]:
        assert labels[begin : begin + 10].tolist() == [*range(10)]
    lengths = {part: len(digits.images_of(part)[0]) for part in digits.PARTS}
    assert lengths == {"train": 1287, "valid": 128, "test": 382}  # bounds of writers, by scikit-learn's course
    parts = {part: {image.tobytes() for image in digits.images_of(part)[0]} for part in digits.PARTS}
    assert sum(map(len, parts.values())) == digits.WRITERS[-1] == len(set.union(*parts.values()))


def test_strings_are_what_they_say_of_five_to_eight_digits():
    made = digits.strings("test", 200, 1)
    assert {len(text) for text in made.texts} == {5, 6, 7, 8}
    assert all(text.isdecimal() for text in made.texts)
    assert made.images.shape == (200, digits.HEIGHT, made.widths.max()) and made.images.dtype == np.uint8
    for image, width in zip(made.images, made.widths, strict=True):
        assert image[:, width - 4 : width].any() and not image[:, width:].any()
    assert made.images.max() > 240


def test_the_same_seed_gives_the_same_and_parts_differ():
    a, b, c = (digits.strings(part, 20, seed) for part, seed in (("train", 1), ("train", 1), ("valid", 1)))
    assert a.texts == b.texts != c.texts and np.array_equal(a.images, b.images)


def test_forms_are_dates_and_amounts():
    choose = np.random.default_rng(1)
    texts = [digits.text(choose, "forms") for _ in range(500)]
    dates = [t for t in texts if len(t) == 8 and 1950 <= int(t[4:]) < 2030]
    assert len(dates) > 80 and all(1 <= int(t[:2]) <= 31 and 1 <= int(t[2:4]) <= 12 for t in dates)
    assert {t[-2:] for t in texts if len(t) in (5, 7)} == {"00", "50", "90", "95", "99"}
    assert {len(t) for t in texts} == {5, 6, 7, 8}


@pytest.mark.parametrize("part", digits.PARTS)
def test_slants_and_gaps_vary(part):
    made = digits.strings(part, 100, 3)
    eights = [w for w, t in zip(made.widths, made.texts, strict=True) if len(t) == 8]
    assert np.std(eights) > 3
