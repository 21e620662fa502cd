"""``carousel gradients``, ``valves`` and ``pairs``."""

import json

import numpy as np
import pytest

from carousel.cells import CELLS


def test_cells_at_first_weights(carousel, tmp_path):
    options = ("--steps", 12, "--hidden", 6, "--batch-size", 2)
    status, out, _ = carousel(
        "gradients", "--cells", "rnn,cec,lstm-v2", *options, "--jacobian", "--figure", "g.png", "--sensitivity", "s.svg"
    )
    assert status == 0
    assert "half-life" in out and "σ₁ at 1" in out
    assert (tmp_path / "g.png").stat().st_size > 5000 and (tmp_path / "s.svg").stat().st_size > 5000
    found = json.loads(carousel("gradients", "--cells", "rnn,cec", *options, "--scale", "small", "--json")[1])
    assert found[0]["bound_per_step"] == pytest.approx(0.5, rel=1e-5)
    assert found[0]["half_life_steps"] < 2 and found[1]["bound_per_step"] is None
    assert len(found[0]["size"]) == 12 and set(found[0]["size_by_state"]) == {"h"}


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_can_be_followed(carousel, name):
    status, out, _ = carousel("gradients", "--cells", name, "--steps", 5, "--hidden", 4, "--batch-size", 2, "--json")
    assert status == 0 and json.loads(out)[0]["label"] == name


def test_a_trained_run(carousel, trained):
    found = json.loads(carousel("gradients", trained, "--batch-size", 2, "--steps", 9, "--json")[1])[0]
    assert found["label"] == "lstm-v2, trained" and len(found["size"]) == 9
    status, _, err = carousel("gradients", trained, "--batch-size", 5000)
    assert (status, err.count("\n")) == (2, 1) and "lower --batch-size" in err


def test_gradients_are_watched_during_training(carousel, text, small, tmp_path, rows):
    options = (*small, "--epochs", 2, "--log-every", 5)
    assert carousel("train", text, *options, "--out", "plain")[0] == 0
    assert carousel("train", text, *options, "--watch-gradients", 7, "--out", "watched")[0] == 0
    found = rows(tmp_path / "watched")
    watched = [r for r in found if r["event"] == "gradients"]
    assert [r["step"] for r in watched] == list(range(0, found[-1]["step"], 7))
    assert all(r["half_life"] > 0 for r in watched)
    assert all(0 <= r["clipped"] <= 1 for r in found if r["event"] == "train")
    # Watching changes nothing.
    losses = [[r["loss"] for r in rows(tmp_path / run) if "loss" in r] for run in ("plain", "watched")]
    assert losses[0] == losses[1]


def test_valves_over_a_text(carousel, trained, tmp_path):
    status, out, _ = carousel("valves", trained, "the cat sat on the mat", "--figure", "v.png", "--npz", "v.npz")
    assert status == 0
    assert all(word in out for word in ("cat", "mat", "<eos>", "units shut"))
    arrays = np.load(tmp_path / "v.npz")
    assert arrays["f"].shape == (1, 7, 8) and list(arrays["words"][:3]) == ["<eos>", "the", "cat"]
    told = json.loads(carousel("valves", trained, "the cat", "--clamp", "f[3]=0@1:", "--clamp", "o=0@1:", "--json")[1])
    assert [step[3] for step in told["values"]["f"][0]][1:] == [0, 0]
    assert told["clamped"]["divergence_bits"][0] == 0 < told["clamped"]["divergence_bits"][1]


def test_pairs_of_texts(carousel, trained, tmp_path):
    status, out, _ = carousel("pairs", trained, "the cat sat on the mat", "--replace", "cat=dog", "--figure", "p.png")
    assert status == 0
    assert "units of h that carry the difference" in out and (tmp_path / "p.png").stat().st_size > 5000
    told = json.loads(carousel("pairs", trained, "the cat sat", "the dog sat", "--state", "f", "--json")[1])
    assert (told["first"], told["state"], told["b"]) == (2, "f", ["<eos>", "the", "dog", "sat"])


def test_units_that_carry_the_difference(carousel, trained, tmp_path):
    texts = ("the cat sat on the mat", "--replace", "cat=dog", "--patch", "--most", 3)
    status, out, _ = carousel("pairs", trained, *texts, "--figure", "p.pdf")
    assert status == 0 and "units of h" in out and "units as they were found at" in out
    assert (tmp_path / "p.pdf").read_bytes().startswith(b"%PDF")
    found = json.loads(carousel("pairs", trained, *texts, "--answers", "mat=on", "--at", 3, "--state", "m", "--json")[1])
    assert found["answers"] == ["mat", "on"] and found["b"] == ["dog", "sat"] and found["name"] == "m"
    assert 1 <= len(found["units"]) <= 3 and len(found["by_group"]) == len(found["units"]) + 2


def test_words_depend_on_the_words_before(carousel, trained, tmp_path):
    status, out, _ = carousel("gradients", trained, "--text", "the cat sat on the mat", "--figure", "c.png")
    assert status == 0 and "|∂L/∂h|" in out and (tmp_path / "c.png").exists()
    options = ("--word", 3, "--names", "f,input", "--clamp", "i=0@1:2", "--figure", "one.svg", "--json")
    found = json.loads(carousel("gradients", trained, "--text", "the cat sat on the mat", *options)[1])
    assert found["ends"] == [3] and set(found["size"]) == {"f", "input"}
    assert found["size"]["f"][0][0][2] > 0 and found["size"]["f"][0][0][3] is None


def test_generation_with_a_clamp(carousel, trained):
    options = ("generate", trained, "--prompt", "the cat", "-n", 12, "--seed", 1)
    plain, held, late = (carousel(*options, *more)[1] for more in ((), ("--clamp", "o=0@1:"), ("--clamp", "o=0@90:")))
    assert plain == late != held


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["gradients", "--cells", "lsmt"], "did you mean lstm"),
        (["gradients", "--scale", "huge"], "small, one, large or a number above 0"),
        (["gradients", "--figure", "g.gif"], ".png, .pdf or .svg"),
        (["gradients", "none"], "no such folder"),
        (["valves", "run", ""], "the text is empty"),
        (["valves", "run", "the cat", "--clamp", "f=high"], "--clamp takes f=0"),
        (["valves", "run", "the cat", "--clamp", "z=0"], "nothing called 'z' to clamp"),
        (["valves", "run", "the cat", "--clamp", "f[8]=0"], "no unit 8"),
        (["valves", "run", "the cat", "--names", "f,q"], "nothing called 'q'"),
        (["valves", "run", "the cat", "--layer", "1"], "no layer 1"),
        (["pairs", "run", "the cat"], "give a second text, or --replace"),
        (["pairs", "run", "the cat", "the cat"], "the two texts are the same"),
        (["pairs", "run", "the cat", "--replace", "dog=cat"], "'dog' is none"),
        (["pairs", "run", "the cat sat", "the dog sat", "--at", "1"], "are for --patch"),
        (["pairs", "run", "the cat sat", "the dog sat", "--patch", "--answers", "cat"], "--answers takes word=other"),
        (["gradients", "--text", "the cat"], "give its folder"),
        (["gradients", "run", "--word", "1"], "add --text"),
        (["gradients", "run", "--text", "the cat", "--word", "9"], "words are 1 to 2"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_what_is_refused(carousel, trained, arguments, part, tmp_path):
    before = sorted(p.name for p in tmp_path.iterdir())
    status, _, err = carousel(*arguments)
    assert (status, err.count("\n")) == (2, 1)
    assert part in err
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.fixture
def corpus(carousel, tmp_path, once):
    """A little of the corpus with agreement at a distance, and a run that has read it."""

    def make():
        assert carousel("agreement", "corpus", "agree", "--train", 300, "--valid", 10, "--test", 60)[0] == 0
        options = ("--hidden", 8, "--epochs", 1, "--feed", "sentences", "--threads", 1, "--out", "english")
        assert carousel("train", "agree/train.txt", "--valid", "agree/valid.txt", *options)[0] == 0

    once("corpus", make)
    return tmp_path / "agree"


def test_agreement_at_a_distance(carousel, corpus, tmp_path):
    status, out, _ = carousel("agreement", "score", "english", corpus / "test.jsonl", "--shut-valves", "--figure", "shut.png")
    assert status == 0 and "f shut for 2, after the subject" in out
    assert (tmp_path / "shut.png").stat().st_size > 5000
    told = json.loads(carousel("agreement", "score", "english", corpus / "test.jsonl", "--json")[1])["agreement"]
    targets = [t for line in (corpus / "test.jsonl").read_text().splitlines() for t in json.loads(line)["targets"]]
    assert told["all"]["of"] == len(targets) and told["verb"]["of"] == sum(t["kind"] == "verb" for t in targets)
    options = ("--clamp", "o=0", "--at", 0, "--for", 2, "--json")
    held = json.loads(carousel("agreement", "score", "english", corpus / "test.jsonl", *options)[1])["agreement"]
    assert held["all"]["of"] == told["all"]["of"] and held != told


def test_probes_of_the_memory(carousel, corpus, tmp_path):
    given = ("probe", "english", corpus / "test.jsonl")
    status, out, _ = carousel(*given, "--property", "gender,number", "--figure", "probe.svg")
    assert status == 0 and "gender" in out and "control" in out and (tmp_path / "probe.svg").stat().st_size > 5000
    told = json.loads(carousel(*given, "--state", "m", "--json")[1])
    assert [p["property"] for p in told] == ["gender", "number", "depth", "quoted"] and told[0]["name"] == "m"
    assert all(0 <= p[k] <= 1 for p in told for k in ("linear", "control", "untrained", "majority"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("agreement", "score", "english", "agree/test.txt"), "agree/test.txt, line 1"),
        (("agreement", "score", "english", "none.jsonl"), "none.jsonl"),
        (("agreement", "score", "english", "agree/test.jsonl", "--clamp", "q=0"), "q"),
        (("agreement", "score", "english", "agree/test.jsonl", "--figure", "s.png"), "--shut-valves"),
        (("agreement", "score", "english", "agree/test.jsonl", "--at", 1), "--clamp"),
        (("agreement", "score", "english", "agree/test.jsonl", "--clamp", "f=0@2:3", "--at", 1), "steps of its own"),
        (("agreement", "score", "english", "agree/test.jsonl", "--for", 2), "--at"),
        (("agreement", "corpus", "agree/test.txt"), "no folder"),
        (("probe", "english", "agree/test.jsonl", "--property", "colour"), "gender, number, depth, quoted, not of colour"),
        (("probe", "english", "agree/test.jsonl", "--property", ","), "not of nothing"),
        (("probe", "english", "agree/test.jsonl", "--seed", 2**70), "--seed"),
        (("probe", "english", "agree/test.jsonl", "--state", "q"), "nothing called 'q'"),
        (("probe", "english", "agree/test.jsonl", "--layer", 3), "no layer 3"),
        (("probe", "english", "agree/test.jsonl", "--figure", "p.doc"), "p.doc"),
    ],
)
def test_what_cannot_be_measured_is_one_line(carousel, corpus, arguments, says):
    status, out, err = carousel(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1) and says in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("generate", "run", "--clamp", "q=0"), "q"),
        (("generate", "run", "--clamp", "f[99]=0"), "99"),
        (("generate", "run", "--clamp", "f=1e999"), "--clamp"),
        (("generate", "run", "--temperature", "inf"), "temperature"),
        (("generate", "run", "--prompt", "\udcff"), "UTF-8"),
        (("valves", "run", "the \udcff"), "UTF-8"),
        (("valves", "run", "the cat", "--clamp", "f=0@9:4"), "--clamp"),
        (("valves", "run", "the cat", "--clamp", "f[,]=0"), "--clamp"),
        (("valves", "run", "the cat", "--names", ","), "--names"),
        (("valves", "run", "the cat", "--figure", "none/x.png"), "no folder none"),
        (("valves", "run", "the cat", "--npz", "run"), "it is a folder"),
        (("pairs", "run", "the cat", "the cat sat"), "only goes on"),
        (("gradients", "--cells", ","), "--cells"),
        (("gradients", "--cells", "lstm-v2", "--forget-bias", "nan"), "forget_bias"),
        (("gradients", "run", "--scale", "large"), "first weights"),
    ],
)
def test_what_cannot_be_looked_into_is_one_line(carousel, trained, arguments, says):
    status, out, err = carousel(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1) and says in err


def test_a_small_temperature_is_nearly_none(carousel, trained):
    texts = [carousel("generate", "run", "--temperature", t, "-n", 9)[1] for t in ("0", "1e-300")]
    assert texts[0] == texts[1]


def test_figures_take_dollars_for_dollars(carousel, trained, tmp_path):
    assert carousel("valves", "run", r"the $\foo$ cat", "--figure", "v.png")[0] == 0


def test_numbers_that_are_none_are_null(carousel):
    out = carousel("gradients", "--cells", "rnn", "--scale", "1e5", "--steps", 100, "--hidden", 4, "--json")[1]
    assert "NaN" not in out and "Infinity" not in out and json.loads(out)


def test_sentences_are_watched_up_to_where_they_end(carousel, text, tmp_path, rows):
    lines = "the cat sat\na dog and a cat\non the mat sat a dog and the cat sat on the dog\n" * 40
    text.write_text(lines)
    options = ("--hidden", 8, "--epochs", 1, "--feed", "sentences", "--batch-size", 24, "--watch-gradients", 1)
    assert carousel("train", text, *options, "--out", "s")[0] == 0
    watched = [r for r in rows(tmp_path / "s") if r["event"] == "gradients"]
    assert watched and all(r["half_life"] is None or r["half_life"] > 0 for r in watched)
    assert any(r["half_life"] for r in watched) and all(r["slope"] is not None for r in watched)


def test_singular_values_of_large_states_are_at_the_lags_of_the_table(carousel):
    options = ("--cells", "lstm-v2", "--hidden", 150, "--steps", 12, "--batch-size", 1, "--jacobian", "--json")
    found = json.loads(carousel("gradients", *options)[1])[0]["largest_singular_value"]
    assert list(found) == ["1", "10"]


def test_a_text_is_searched(carousel, trained, tmp_path):
    text = "the cat sat on the mat\n\nthe dog sat on the log\n"
    (tmp_path / "some.txt").write_text(text)
    lines = [{"words": x.split(), "labels": {"first": [True] + [False] * 5}} for x in text.splitlines() if x]
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    like = ("--like", "the cat sat on the mat", "--span", "6:7", "--threshold", 0.001, "--off", "after")
    status, out, _ = carousel("find", trained, "some.txt", *like, "--annotations", "some.jsonl")
    assert status == 0 and "the cat sat on the «mat»" in out and "first" in out and "of all" in out
    found = json.loads(carousel("find", trained, "some.jsonl", *like, "--json")[1])
    assert found["span"] == [6, 7] and found["best"][0]["units"]
    nearest = json.loads(carousel("find", trained, "some.txt", "--like", "the dog", "--nearest", "--json", "--count", 1)[1])
    assert len(nearest) == 1 and nearest[0]["value"] >= 0
    assert sorted(json.loads(carousel("find", trained, "--unit", 3, "--json")[1])) == ["highest", "lowest"]
    for wrong, says in (
        ((), "say what to find: --like or --unit"),
        (("--unit", 1, "--nearest"), "give it with --like"),
        (("--like", "the cat", "--span", "x"), "--span must be such as 2:6"),
        (("--like", "the cat", "--span", "2:9"), "no span of the text"),
        (("--like", "the cat", "--threshold", 0), "--threshold must be above 0"),
        (("--like", "the cat", "--threshold", 900), "try another threshold or span, or ask for one side with --off"),
        (("--unit", 8), "units are 0 to 7"),
        (("--unit", 1, "--part", "tests"), "no text 'tests' of its own"),
        (("--unit", 1, "--quantity", "x"), "nothing called 'x'"),
        (("--unit", 1, "--annotations", "some.jsonl"), "are annotated"),
    ):
        status, _, err = carousel("find", trained, *wrong)
        assert (status, err.count("\n")) == (2, 1) and says in err, err
