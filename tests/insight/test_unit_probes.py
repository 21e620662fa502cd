"""A property that one unit keeps is read from it alone, and from no other; controls tell words from what they stand for."""

import random

import pytest
import torch

from carousel.corpora import english
from carousel.corpora.annotated import Sentence
from carousel.errors import InputError
from carousel.insight.probes import probe_values
from carousel.insight.unit_probes import MOST_LABELS, probe_unit

GIVEN = [s for s in english.sentences(400, seed=5) if s.labels["gender"][-1]]
NOUNS = sorted({s.words[s.subject] for s in GIVEN})


def noise(seed):
    """Values of eight units that know nothing."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(len(s.words), 8, generator=generator) for s in GIVEN]


def planted():
    values = noise(1)
    for s, v in zip(GIVEN, values, strict=True):
        v[:, 3] += torch.tensor([0 if g is None else 8.0 if g == "f" else -8.0 for g in s.labels["gender"]])
    return values


def test_a_gender_that_a_unit_keeps_is_read_from_it():
    found = {p.of: p for p in probe_unit(planted(), GIVEN, 3)}
    gender = found["gender"]
    assert next(iter(found)) == "gender" and gender.score == 1
    assert gender.majority < 0.6 and gender.control < 0.8
    assert set(gender.means) == {"f", "m"}  # and none of words without a label
    assert gender.means["f"] == pytest.approx(8, abs=0.2) and gender.means["m"] == pytest.approx(-8, abs=0.2)
    others = [p for p in found.values() if p.of != "gender"]
    assert others and all(p.score <= p.majority + 0.05 for p in others)
    assert all(p.score < 0.6 for p in probe_unit(planted(), GIVEN, 4) if p.of == "gender")


def test_the_score_is_that_of_the_probe_of_all_units():
    whole = probe_values(planted(), noise(2), GIVEN, "gender")
    for unit in (3, 5):
        (alone,) = (p for p in probe_unit(planted(), GIVEN, unit) if p.of == "gender")
        assert alone.score == next(u.score for u in whole.units if u.unit == unit)
        assert alone.majority == whole.majority and alone.words == whole.counts[1]


def test_a_unit_that_only_knows_nouns_is_unmasked_by_the_control():
    """It is high at some nouns and low at others: of another deal of genders it says as much."""
    values = [torch.zeros(len(s.words), 1) for s in GIVEN]
    for s, v in zip(GIVEN, values, strict=True):
        v[s.subject :] = float(NOUNS.index(s.words[s.subject]) % 2)
    (gender,) = (p for p in probe_unit(values, GIVEN, 0) if p.of == "gender")
    assert abs(gender.score - gender.control) < 0.2


def test_the_property_that_gains_most_is_first_and_the_commonest_labels_have_means():
    """A rare label lets a probe be right that reads nothing."""
    dealt = random.Random(1)
    values = [torch.tensor([[dealt.choice((-1.0, 1.0))]]) for _ in range(400)]
    labels = [
        {
            "rare": ("no" if k % 20 else "yes",),
            "coin": (v.item() * dealt.choice((1, 1, 1, 1, -1)),),
            "many": (f"{k % 100:02}"[0],),
        }
        for k, v in enumerate(values)
    ]
    found = probe_unit(values, [Sentence(("a",), each) for each in labels], 0)
    assert found[0].of == "coin"
    coin, rare, many = sorted(found, key=lambda p: ("coin", "rare", "many").index(p.of))
    assert rare.score > coin.score > coin.majority + 0.2 and len(many.means) == MOST_LABELS
    assert list(rare.means) == ["no", "yes"]


def test_properties_that_are_the_same_everywhere_are_left_out():
    plain = [Sentence(("a", "b"), {"same": ("x", "x"), "other": ("x", "y")}) for _ in range(20)]
    assert [p.of for p in probe_unit([torch.randn(2, 2) for _ in plain], plain, 0)] == ["other"]


@pytest.mark.parametrize(("unit", "says"), [(8, "units are 0 to 7"), (-1, "units are 0 to 7")])
def test_a_unit_that_is_not_there_is_refused(unit, says):
    with pytest.raises(InputError, match=says):
        probe_unit(noise(1), GIVEN, unit)


def test_values_that_are_not_finite_are_refused():
    values = noise(1)
    values[0][0, 3] = float("nan")
    with pytest.raises(InputError, match="not finite"):
        probe_unit(values, GIVEN, 3)
