"""``carousel walkthrough`` writes a figure and a table, and refuses what it cannot follow."""

import json

import pytest


@pytest.fixture
def run(carousel, once):
    """A translator of the generated corpus, hardly trained."""

    def make():
        assert carousel("translate", "corpus", "pairs", "--train", 60, "--valid", 10, "--test", 130)[0] == 0
        files = ("pairs/train.en", "pairs/train.cs", "--valid", "pairs/valid.en", "pairs/valid.cs")
        options = ("--hidden", 8, "--vocab-size", 500, "--batch-size", 20, "--epochs", 1, "--threads", 1, "--out", "run")
        assert carousel("translate", "train", *files, *options)[0] == 0

    once("walkthrough", make)
    return "run"


TEXT = "I am a boy who likes to learn"


def test_it_writes_a_figure_and_a_table(carousel, run, tmp_path):
    status, out, _ = carousel(
        "walkthrough", run, TEXT, "--replace", "boy=girl", "--labels", "pairs/test.jsonl", "--sentences", 25
    )
    assert status == 0
    for part in ("valves and memory h", "came in", "gender", "control", "i = 0 at", "nothing held", "wrote walkthrough.png"):
        assert part in out
    assert (tmp_path / "walkthrough.png").read_bytes().startswith(b"\x89PNG")
    status, out, _ = carousel("walkthrough", run, TEXT, "--replace", "boy=girl", "--json", "--figure", "w.svg")
    found = json.loads(out)
    assert status == 0
    assert len(found["sentences"]) == 2
    assert found["probes"] == []
    assert (tmp_path / "w.svg").exists()


def test_what_cannot_be_followed_is_refused(carousel, run):
    status, _, err = carousel("walkthrough", run, TEXT, "--replace", "dog=cat")
    assert (status, err.count("\n")) == (2, 1)
    assert "'dog' is none" in err
    files = ("pairs/train.en", "pairs/train.cs")
    options = ("--attention", "general", "--bidirectional", "--hidden", 8, "--epochs", 1, "--threads", 1, "--out", "other")
    assert carousel("translate", "train", *files, *options)[0] == 0
    status, _, err = carousel("walkthrough", "other", TEXT, "--replace", "boy=girl")
    assert (status, err.count("\n")) == (2, 1)
    assert "--attention none" in err


def test_text_with_brackets_and_colons_is_shown_as_it_is(carousel, run):
    _, out, _ = carousel("walkthrough", run, TEXT, "--replace", "boy=[/b]")
    assert "i = 0 at [/b]" in out
    _, out, _ = carousel("walkthrough", run, TEXT, "--replace", "boy=:smile:")
    assert "i = 0 at :smile:" in out


@pytest.mark.parametrize(
    ("replace", "part"), [("boy", "word=other, not 'boy'"), ("boy=", "word=other, not 'boy='"), ("=girl", "'' is none")]
)
def test_a_replacement_that_is_none_is_refused(carousel, replace, part):
    status, _, err = carousel("walkthrough", "run", TEXT, "--replace", replace)
    assert (status, err.count("\n")) == (2, 1)
    assert part in err


def test_with_sentences_enough_the_forms_are_foretold(carousel, run):
    given = ("walkthrough", run, TEXT, "--replace", "boy=girl", "--labels", "pairs/test.jsonl", "--json")
    status, out, _ = carousel(*given, "--sentences", 25)
    assert status == 0
    found = json.loads(out)
    assert list(found["foretold"]) == list(found["agreement"])
    assert all({"foretold", "right", "as_foretold", "of"} == set(row) for row in found["foretold"].values())
    status, out, _ = carousel(*given, "--sentences", 40)  # 90 others: too few
    assert json.loads(out)["foretold"] == {}
