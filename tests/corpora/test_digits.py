"""Strings of handwritten digits: what they say, whose they are, and that chance is a seed's."""

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from carousel.corpora import digits


def test_each_writer_begins_anew_and_no_image_is_in_two_parts():
    _, labels = digits._digits()
    for number, begin in enumerate(digits.WRITERS[:-1]):
        first = int(number == 7)  # whose first 0 is missing: his 1 with a foot, as all of his, is the 906th image
        assert labels[begin : begin + 10 - first].tolist() == [*range(first, 10)]
    lengths = {part: len(digits.images_of(part)[0]) for part in digits.PARTS}
    assert lengths == {"train": 1287, "valid": 128, "test": 382}  # bounds by scikit-learn's course
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


def test_how_many_are_drawn_at_once_is_nothing_that_shows(monkeypatch):
    whole = digits.strings("test", 30, 2)
    monkeypatch.setattr(digits, "AT_ONCE", 7)
    assert np.array_equal(digits.strings("test", 30, 2).images, whole.images)


@pytest.mark.parametrize("resolution", [1, 2, 3])
def test_a_digit_in_its_form_is_that_of_an_affine_map(resolution):
    choose = np.random.default_rng(1)
    images = digits.images_of("train")[0][:40]
    hand = digits._Hand.drawn(choose, 40)
    height, width = resolution * digits.HEIGHT, resolution * digits.WIDTH
    for image, (slant, tall, wide, down), piece in zip(
        images, hand.forms, digits._pieces(images, hand.forms, None, resolution), strict=True
    ):
        matrix = np.array([[1 / tall, 0], [slant, 1 / wide]]) / resolution
        middle = np.array([(height - 1) / 2 + resolution * down, (width - 1) / 2])
        drawn = affine_transform(image, matrix, 3.5 - matrix @ middle, (height, width), order=1)
        inked = np.flatnonzero(drawn.max(0) >= digits.EMPTY)
        np.testing.assert_allclose(piece, drawn[:, inked[0] : inked[-1] + 1], atol=1e-9)


def test_a_string_of_twice_the_resolution_says_the_same_in_twice_the_pixels():
    plain, fine = (digits.strings("train", 30, 1, resolution=r) for r in (1, 2))
    assert fine.texts == plain.texts and fine.images.shape[1] == 2 * digits.HEIGHT
    assert fine.widths / plain.widths == pytest.approx(np.full(30, 2), abs=0.2)
    first = [(made.images.max(1) > 0).argmax(1) for made in (plain, fine)]
    assert (first[1] == 2 * first[0]).all()  # the gap before the first digit
    ink = [made.images.sum((1, 2)) for made in (plain, fine)]
    assert ink[1] / ink[0] == pytest.approx(np.full(30, 4), rel=0.1)


def test_digits_to_train_on_are_distorted_anew_each_time():
    image = np.repeat(digits.images_of("train")[0][:1], 50, 0)
    plain = np.tile([0.0, 1.0, 1.0, 0.0], (50, 1))
    pieces = digits._pieces(image, plain, np.random.default_rng(1))
    assert len({piece.tobytes() for piece in pieces}) == 50
    ink = [piece.sum() for piece in pieces]
    assert 0.8 < np.mean(ink) / image[0].sum() < 1.2 and np.std(ink) > 0.05 * np.mean(ink)


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
