"""Watching a model read: what is recorded is what the layers compute; pairs and clamps say what changes."""

import json
import math

import numpy as np
import pytest
import torch

from carousel.errors import InputError
from carousel.insight import figures
from carousel.insight.pairs import compare
from carousel.insight.watch import habits, watch
from carousel.language.generate import generate
from carousel.language.score import surprisals
from carousel.layers import Clamp

TEXT = "the boy lost his hat ."


def test_everything_that_the_equations_name_is_there_for_every_word(model, vocabulary):
    found = watch(model, vocabulary, TEXT)
    assert found.words == ("<eos>", *TEXT.split())
    assert found.valves == ("i", "f", "o") and found.states == ("m", "h")
    assert {n: v.shape for n, v in found.values.items()} == dict.fromkeys(("i", "f", "h", "o", "m"), (2, 7, 7))
    x = torch.tensor(found.ids).unsqueeze(1)
    with torch.no_grad():
        _, hx, recorded = model.recurrent(model.embedding(x), record=["f"])
    np.testing.assert_allclose(found.values["f"], recorded["f"][:, :, 0])
    np.testing.assert_allclose(found.values["h"][:, -1], hx[1][:, 0], rtol=1e-5)


def test_surprisal_is_the_scores_and_predictions_are_the_models(model, vocabulary):
    found = watch(model, vocabulary, TEXT, predictions=3, chances=True)
    assert found.surprisal[0] is None
    assert found.surprisal[1:] == pytest.approx(
        [b for _, b, _ in next(surprisals(model, vocabulary, iter([TEXT])))][:-1], rel=1e-4
    )
    for k in range(6):
        p = found.chances[k, found.ids[k + 1]]
        assert found.surprisal[k + 1] == pytest.approx(-math.log2(p), rel=1e-4)
    assert all(len(each) == 3 and each[0][1] >= each[1][1] for each in found.predictions)
    assert found.predictions[2][0][0] == vocabulary.token(int(found.chances[2].argmax()))


def test_several_lines_and_unknown_words(model, vocabulary):
    found = watch(model, vocabulary, "the zebra\nthe boy")
    assert found.words == ("<eos>", "the", "zebra", "<eos>", "the", "boy")
    assert found.known == (True, True, False, True, True, True)
    json.dumps(found.as_dict())
    for text in ("", "  \n "):
        with pytest.raises(InputError, match="the text is empty"):
            watch(model, vocabulary, text)


def test_a_model_of_sentences_reads_each_line_as_if_it_were_the_first(model, vocabulary):
    model.fresh_at = vocabulary.end
    two, one = watch(model, vocabulary, f"the zebra\n{TEXT}", chances=True), watch(model, vocabulary, TEXT, chances=True)
    for name, values in one.values.items():
        np.testing.assert_allclose(two.values[name][:, 3:], values, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(two.chances[3:], one.chances, rtol=1e-5)
    pair = compare(model, vocabulary, f"the boy\n{TEXT}", f"the girl\n{TEXT}")
    assert np.abs(pair.differences["h"][:, 2]).max() > 0.01
    assert np.abs(pair.differences["h"][:, 3:]).max() < 1e-6


def test_a_clamp_holds_and_another_is_refused_in_one_line(model, vocabulary):
    found = watch(model, vocabulary, TEXT, clamps=[Clamp("f", 0.0, (2,), 3, layer=1)])
    assert (found.values["f"][1, 3:, 2] == 0).all() and (found.values["f"][0] != 0).all()
    with pytest.raises(InputError, match="nothing called 'z'"):
        watch(model, vocabulary, TEXT, clamps={"z": 0.0})


def test_clamps_go_on_while_text_is_generated(model, vocabulary):
    clamps = [Clamp("o", 0.0, None, 3)]
    options = {"count": 40, "seed": 1}
    plain = list(generate(model, vocabulary, "the boy", **options))
    held = list(generate(model, vocabulary, "the boy", clamp=clamps, **options))
    late = list(generate(model, vocabulary, "the boy", clamp=[Clamp("o", 0.0, None, 5)], **options))
    never = list(generate(model, vocabulary, "the boy", clamp=[Clamp("o", 0.0, None, 99)], **options))
    assert never == plain != held
    assert late[:3] == plain[:3] and late != plain  # steps 0 to 2 read the prompt; the word of step 5 is drawn third
    # With the output gates shut nothing comes through, so that each word is the one that the bias likes best.
    calm = list(generate(model, vocabulary, "the boy", clamp=clamps, temperature=0, count=9))
    with torch.no_grad():
        scores = model.output(torch.zeros(1, 7), model.embedding.weight)[0]
    scores[vocabulary.unknown] = -torch.inf
    assert {w.strip() for w in calm[1:]} == {vocabulary.token(int(scores.argmax()))}


def test_a_pair_parts_where_the_word_differs(model, vocabulary):
    found = compare(model, vocabulary, TEXT, "the girl lost his hat .")
    assert found.first == 2 and found.places == tuple((k, k) for k in range(7))
    assert (found.differences["h"][:, :2] == 0).all() and (found.size("h")[:, 2:] > 0).all()
    assert found.divergence[1] == pytest.approx(0, abs=1e-6) and found.divergence[3] > 0
    a, b = watch(model, vocabulary, TEXT), watch(model, vocabulary, "the girl lost his hat .")
    assert found.surprise[3] == pytest.approx(b.surprisal[4] - a.surprisal[4])
    assert found.surprise[1] is None  # the next words are the ones that differ
    best = found.carriers("h", 1)[0]
    after = np.abs(a.values["h"] - b.values["h"])[:, 2:]
    assert best.greatest == pytest.approx(after.max()) and after[best.layer, best.at - 2, best.unit] == pytest.approx(
        after.max()
    )
    json.dumps(found.as_dict("h"))


def test_words_that_one_text_has_more_are_left_out(model, vocabulary):
    found = compare(model, vocabulary, "the boy lost his hat .", "the old boy lost his hat .")
    assert [(found.a.words[i], found.b.words[j]) for i, j in found.places] == [(w, w) for w in ("<eos>", *TEXT.split())]
    assert found.surprise[1] is None  # in the second another word comes first


def test_the_same_text_with_and_without_a_clamp(model, vocabulary):
    found = compare(model, vocabulary, TEXT, TEXT, clamps_b=[Clamp("i", 0.0, None, 2, 3)])
    assert (found.differences["h"][:, :2] == 0).all() and (found.size("h")[:, 2:] > 0).all()


def test_texts_that_are_the_same_to_the_model_are_refused(model, vocabulary):
    with pytest.raises(InputError, match="the two texts are the same; change a word"):
        compare(model, vocabulary, TEXT, TEXT)
    with pytest.raises(InputError, match="does not know the words"):
        compare(model, vocabulary, "the zebra", "the giraffe")


def test_habits_of_units():
    steps = np.linspace(0, 1, 5)
    values = np.stack([np.full(5, 0.02), np.full(5, 0.97), steps, np.full(5, 0.5), steps**2], axis=1)
    found = habits(values)
    assert (found.shut, found.open, found.moving) == ((0,), (1,), (2, 4))
    assert set(found.order[:2]) == {2, 4}


def test_figures_are_drawn_whole_or_not_at_all(model, vocabulary, tmp_path):
    watched = watch(model, vocabulary, TEXT)
    figures.save(figures.valves(watched, ["f", "h"], 1), tmp_path / "v.png")
    figures.save(figures.pair(compare(model, vocabulary, TEXT, "the girl lost her hat ."), "h", 0), tmp_path / "p.svg")
    assert (tmp_path / "v.png").read_bytes().startswith(b"\x89PNG") and b"<svg" in (tmp_path / "p.svg").read_bytes()
    with pytest.raises(InputError, match=r"\.png, \.pdf or \.svg"):
        figures.save(figures.valves(watched, ["f"], 0), tmp_path / "v.txt")
    assert not (tmp_path / "v.txt").exists()
