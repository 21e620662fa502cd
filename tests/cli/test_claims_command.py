"""``carousel claims``."""

import json

import pytest


def test_a_claim_is_tried_and_judged(carousel, tmp_path):
    asked = ("claims", "peepholes", "--seeds", 2, "--steps", 3, "--out", "tried")
    status, out, _ = carousel(*asked, "--figure", "c.png")
    assert status == 0 and "v3 measures delays better" in out and "root mean square error" in out
    assert (tmp_path / "c.png").stat().st_size > 5000
    told = json.loads(carousel(*asked, "--json")[1])
    assert told["seeds"] == [1, 2] and len(told["ways"]["v3"]["error"]) == 2
    assert {v["verdict"] for v in told["verdicts"]} <= {"holds", "does not hold", "undecided"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("claims", "attention"), "projection, forget, peepholes"),
        (("claims", "forget", "text.txt"), "reads no text"),
        (("claims", "projection", "none.txt"), "none.txt"),
        (("claims", "forget", "--figure", "f.doc"), "f.doc"),
        (("claims", "forget", "--seeds", 0), "--seeds"),
    ],
)
def test_what_cannot_be_tried_is_one_line(carousel, text, tmp_path, arguments, says):
    status, out, err = carousel(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1) and says in err
    assert not (tmp_path / "runs").exists()
