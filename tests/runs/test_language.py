"""A language model from its folder: each method says what the command says."""

import json
from pathlib import Path

import numpy as np
import pytest

import carousel
from carousel import Clamp
from carousel.corpora.annotated import read_sentences
from carousel.errors import InputError
from carousel.insight.gradient_decay import GradientDecay
from carousel.language.score import Surprisal

TEXT = "the boy lost his hat ."


@pytest.fixture
def command(carousel_command, folder):
    """``command("score", …)`` gives what a command of the run says with ``--json``."""

    def said(name, *arguments, before=()):
        status, out, err = carousel_command(*name.split(), *before, folder, *arguments, "--json")
        assert status == 0, err
        return json.loads(out)

    return said


def test_load_gives_it_with_what_it_is(run, folder):
    again = carousel.load(str(folder))
    assert isinstance(again, carousel.LanguageRun)
    assert repr(again) == (
        f"<LanguageRun {folder}: Recurrent(lstm-v3, 12, 12), {run.vocabulary.size} tokens, {run.model.count():,} parameters>"
    )
    assert again.layer.cell.name == again.config.model.cell == "lstm-v3"


def test_scores(run, corpus, command):
    path = corpus / "test.txt"
    found = run.score(path)
    said = command("score", path)
    assert found.perplexity == pytest.approx(said["perplexity"]) and isinstance(found.perplexity, float)
    lines = path.read_text().splitlines()
    for text in (path.read_text(), lines, iter(lines), path.open(), path.read_text().replace("\n", "\r\n")):
        assert run.score(text) == found
    with run.encoded(path) as encoded:
        assert run.score(encoded) == found


def test_surprisals(run, corpus, carousel_command, folder):
    (line,) = run.surprisals(TEXT)
    assert [s.text for s in line] == [*TEXT.split(), "<eos>"] and all(isinstance(s, Surprisal) and s.known for s in line)
    watched = run.watch(TEXT)
    assert [s.bits for s in line[:-1]] == pytest.approx(list(watched.surprisal[1:]), rel=1e-4)
    (unknown, *_) = next(run.surprisals("zebra lost"))
    assert not unknown.known and run.unknown("the zebra lost") == ["zebra"]


def test_generates(run, command):
    said = command("generate", "--prompt", "the boy", "-n", 8, "--seed", 3, "--clamp", "f=0")["text"]
    how = {"count": 8, "seed": 3, "clamp": {"f": 0.0}}
    assert run.generate("the boy", **how) == said == "".join(run.pieces("the boy", **how))
    assert run.generate("the boy", 8, seed=3) == run.generate("the boy", 8, seed=3)


def test_watches(run, command):
    found = run.watch(TEXT, clamp=[Clamp("f", 0.0, begin=2, end=4)], predictions=2)
    assert found.words[1:] == tuple(TEXT.split()) and found.valves == ("i", "f", "o")
    assert (found.values["f"][0, 2:4] == 0).all() and (found.values["f"][0, 4:] > 0).all()
    assert run.watch(TEXT, predictions=3).as_dict()["surprisal"] == command("valves", TEXT)["surprisal"]


def test_compares(run, command):
    other = TEXT.replace("boy", "girl")
    found = run.compare(TEXT, other)
    assert found.as_dict("h") == command("pairs", TEXT, other)
    held = run.compare(TEXT, clamp_b={"f": 0.0})
    assert (held.b.values["f"] == 0).all() and held.a.words == held.b.words


def test_gradients(run, corpus, command):
    found = run.gradients(rows=4, steps=20)
    assert isinstance(found, GradientDecay) and found.at(1) == 1.0
    (said,) = command("gradients", "--steps", 20, "--batch-size", 4)
    assert found.as_dict() == said
    (said,) = command("gradients", corpus / "test.txt", "--steps", 20, "--batch-size", 4)
    assert run.gradients(corpus / "test.txt", rows=4, steps=20).as_dict() == said
    flow = run.gradient_flow(TEXT)
    assert flow["predicted"] == "." and flow["size"].keys() == {"m", "h"}


def test_probes(run, corpus, command):
    path = corpus / "test.jsonl"
    found = run.probe(path, "number")
    assert 0 <= found.linear <= 1 and found.name == "h" and found.layer == 0
    assert [found.as_dict()] == command("probe", path, "--property", "number")


def test_agreement_and_shut_valves(run, corpus, command):
    path = corpus / "test.jsonl"
    sentences = read_sentences(path)
    assert run.agreement(sentences).as_dict() == command("agreement score", path)["agreement"]
    held = run.agreement(path, clamp={"f": 0.0}, at=1, words=2)
    assert held.as_dict() == command("agreement score", path, "--clamp", "f=0", "--at", 1, "--for", 2)["agreement"]
    shut = run.shut_valves(sentences[:5])
    assert {(s.valve, s.place, s.count) for s in shut} >= {("i", "before", 1), ("o", "after", 3)}


def test_figures(run, corpus, tmp_path):
    watched = run.watch(TEXT)
    found = run.gradients(rows=4, steps=20)
    cases = [
        watched,
        run.compare(TEXT, "the girl lost her hat ."),
        found,
        [found, found],
        run.probe(corpus / "test.jsonl", "number"),
    ]
    for k, case in enumerate(cases):
        run.figure(case).savefig(tmp_path / f"{k}.png")
        assert (tmp_path / f"{k}.png").stat().st_size > 5000
    assert len(run.figure(watched, ["f"]).axes) == 2  # the panel and its colours
    with pytest.raises(InputError, match=r"this cell has nothing called 'z'; it has .*h"):
        run.figure(watched, ["z"])
    with pytest.raises(TypeError, match="there is no figure of Score"):
        run.figure(run.score(TEXT))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.score(""), "the text is empty"),
        (lambda r: r.score([]), "the text is empty"),
        (lambda r: r.score(Path("nowhere.txt")), r"cannot read nowhere\.txt: No such file"),
        (lambda r: r.score(str(r.folder / "config.json")), r"is the name of a file; Path\(.*\) reads the file"),
        (lambda r: r.watch(""), "the text is empty"),
        (lambda r: r.watch("a", clamp={"z": 0.0}), "nothing called 'z' to clamp"),
        (lambda r: r.compare("the boy"), "the two texts are the same"),
        (lambda r: r.generate(temperature=-1), "temperature must be at least 0"),
        (lambda r: r.gradients("a b"), "too few"),
        (lambda r: r.agreement([]), "none of the sentences"),
    ],
    ids=range(10),
)
def test_what_cannot_be_is_one_line(run, call, message):
    with pytest.raises(ValueError, match=message) as refused:
        call(run)
    assert "\n" not in str(refused.value)


def test_values_are_arrays_by_layer_word_and_unit(run):
    found = run.watch(TEXT)
    assert all(isinstance(v, np.ndarray) and v.shape == (1, 7, 12) for v in found.values.values())
