"""A patched run is a plain loop in which values are replaced; the units that are found bring what the loop says they do."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from carousel.errors import InputError
from carousel.insight.patching import patching
from carousel.insight.readings import of_sentences, of_texts
from carousel.insight.translating import watch_translation
from carousel.insight.watch import watch
from carousel.layers import Clamp

A, B = "the old men saw the boy who lost his hat .", "the old men saw the girl who lost her hat ."
FIRST, AT = 6, 8  # boy or girl; lost, after which his or her comes


def step(layer, k, e, m, h):
    """LSTM v3, one layer and step, written out."""
    p = {n[:-3]: x for n, x in layer.named_parameters() if n.endswith(f"_l{k}")}

    def total(g, memory):
        peep = p[f"w.{g}h"] * memory if f"w.{g}h" in p else 0
        return p[f"W.{g}e"] @ e + p[f"W.{g}m"] @ m + peep + p[f"b.{g}"]

    i, f = torch.sigmoid(total("i", h)), torch.sigmoid(total("f", h))
    return i, f, f * h + i * torch.tanh(p["W.he"] @ e + p["W.hm"] @ m + p["b.h"]), total


def by_hand(model, ids, replaced=None):
    """Read token ids by a plain loop; return log-odds of his and her after the last, and all memories (layers, T, units).

    ``replaced``: (layer, step, units, values) of the memory."""
    layer, units = model.recurrent, 7
    states = [[torch.zeros(units), torch.zeros(units)] for _ in range(2)]
    memories = [[], []]
    for t, token in enumerate(ids):
        e = model.embedding.weight[token]
        for k in range(2):
            m, h = states[k]
            _, _, h, total = step(layer, k, e, m, h)
            if replaced is not None and replaced[:2] == (k, t):
                h = h.clone()
                h[list(replaced[2])] = replaced[3]
            m = torch.sigmoid(total("o", h)) * torch.tanh(h)
            states[k], e = [m, h], m
            memories[k].append(h)
    logs = torch.log_softmax(model.output(e.unsqueeze(0), model.embedding.weight)[0], -1)
    return logs, torch.stack([torch.stack(each) for each in memories])


@pytest.fixture
def both(model, vocabulary):
    return [[vocabulary.end, *vocabulary.encode(text)[:-1]] for text in (A, B)]


@torch.no_grad()
def test_a_patch_is_the_plain_loop_with_the_value_replaced(model, vocabulary, both):
    his, her = (vocabulary.encode(w)[0] for w in ("his", "her"))
    given = of_texts(model, vocabulary, A, B)
    found = patching(given, "h", 1, word=1, most=4, size=2)
    assert found.answers == ("his", "her") and found.words[0] == ("boy", "girl") and found.words[-1] == ("lost", "lost")

    (one, memories), (two, _) = (by_hand(model, ids[: AT + 1]) for ids in both)
    odds = [float(logs[his] - logs[her]) / math.log(2) for logs in (one, two)]
    assert found.odds == pytest.approx(odds, rel=1e-3)

    def share(word, units, layer=1):
        there = memories[layer, FIRST + word, list(units)]
        logs, _ = by_hand(model, both[1][: AT + 1], (layer, FIRST + word, units, there))
        return (float(logs[his] - logs[her]) / math.log(2) - odds[1]) / (odds[0] - odds[1])

    for k, group in enumerate(found.groups):
        expected = [share(word, group) for word in range(len(found.words))]
        np.testing.assert_allclose(found.by_group[k], expected, rtol=2e-3, atol=2e-3)
    for k, (name, layer) in enumerate(found.quantities):
        if name == "h":
            expected = [share(word, range(7), layer) for word in range(len(found.words))]
            np.testing.assert_allclose(found.by_quantity[k], expected, rtol=2e-3, atol=2e-3)
    # Each unit is the best one beside those before it.
    for k in range(len(found.units)):
        each = {u: share(1, (*found.units[:k], u)) for u in range(7) if u not in found.units[:k]}
        assert found.curve[k] == pytest.approx(max(each.values()), abs=2e-3)
        assert each[found.units[k]] == pytest.approx(max(each.values()), abs=2e-3)
    assert found.groups[-1] == tuple(range(7)) and sorted(found.groups[-2] + found.units) == list(range(7))
    json.dumps(found.as_dict())


def test_all_that_a_run_carries_makes_it_the_other(model, vocabulary):
    """Both states of both layers at the first word that differs: from there on B is A."""
    a = watch(model, vocabulary, A, chances=True)
    clamps = [
        Clamp(n, torch.tensor(a.values[n][k, FIRST : FIRST + 1]), begin=FIRST, layer=k) for n in ("h", "m") for k in (0, 1)
    ]
    patched = watch(model, vocabulary, B, clamps=clamps, chances=True)
    np.testing.assert_allclose(patched.chances[FIRST : AT + 1], a.chances[FIRST : AT + 1], rtol=1e-4)


def test_answers_are_the_ones_asked_for_or_the_words_that_part_most(model, vocabulary):
    asked = of_texts(model, vocabulary, A, B, answers=("hat", "who"), at=FIRST + 1)
    assert asked.answers == ("hat", "who") and [w for w, _ in asked.words] == ["boy", "who"]
    once = of_texts(model, vocabulary, "the boy", "the girl")
    p, q = (watch(model, vocabulary, t, chances=True).chances[2] for t in ("the boy", "the girl"))
    assert once.answers == tuple(map(vocabulary.token, ((p * np.log(p / q)).argmax(), (q * np.log(q / p)).argmax())))
    assert once.whole[0] > 0 > once.whole[1] or once.whole[0] > once.whole[1]
    for how, said in (
        ({"answers": ("zebra", "her")}, "'zebra' is no token"),
        ({"at": 2}, "word 2 of the second text stands for none"),
    ):
        with pytest.raises(InputError, match=said):
            of_texts(model, vocabulary, A, B, **how)
    for how, said in (({"name": "q"}, "nothing called 'q'"), ({"word": 3}, "words 0 to 2 to patch at")):
        with pytest.raises(InputError, match=said):
            patching(of_texts(model, vocabulary, A, B), **{"name": "h", "layer": 0, **how})


def test_clamps_are_in_force_while_a_run_is_patched(model, vocabulary):
    held = [Clamp("f", 0.0, begin=FIRST + 1, end=FIRST + 2)]
    found = patching(of_texts(model, vocabulary, A, B, clamps=held), "h", 0, most=1)
    plain = patching(of_texts(model, vocabulary, A, B), "h", 0, most=1)
    assert found.odds != pytest.approx(plain.odds, rel=1e-3)


def test_what_cannot_be_clamped_is_left_out(model, vocabulary):
    given = of_texts(model, vocabulary, A, B)

    def odds(clamps, rows):
        if any(c.name == "f" for c in clamps):
            raise ValueError("f is computed for all steps before the loop, so it cannot be clamped")
        return given.odds(clamps, rows)

    stubborn = replace(given, odds=odds)
    assert {n for n, _ in patching(stubborn, "h", 0, most=1).quantities} == {"i", "o", "h", "m"}
    with pytest.raises(InputError, match="before the loop"):
        patching(stubborn, "f", 0)


def test_a_translator_is_patched_towards_the_other_translation(telling):
    one, other = "I am a boy", "I am a seamstress"
    given = of_sentences(*telling, one, other)
    found = patching(given, "h", 0, most=9)
    assert found.words[0][0].strip() == "boy"
    assert found.answers == tuple(watch_translation(*telling, t).translation for t in (one, other))
    assert found.by_group[-1, found.word] == pytest.approx(
        found.by_quantity[list(found.quantities).index(("h", 0)), found.word]
    )
    with pytest.raises(InputError, match="translated alike"):
        of_sentences(*telling, one, one)
