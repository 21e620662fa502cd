"""The walkthrough tells what the translator did, and holding a valve does what it says."""

import warnings

import numpy as np
import pytest
import torch

from carousel.corpora import czech
from carousel.corpora.annotated import Sentence, read_sentences
from carousel.errors import InputError
from carousel.insight.memories import memories
from carousel.insight.translating import watch_translation
from carousel.insight.walkthrough import TICKS, counts, walk
from carousel.insight.walkthrough_figure import walkthrough as draw
from carousel.layers import Clamp
from carousel.text.vocabulary import Vocabulary
from carousel.translation.model import Translator, TranslatorConfig

A, B = "I am a boy who likes to learn", "I am a girl who likes to learn"


def test_what_came_in_is_the_input_valve_times_what_was_offered(translator):
    model, source, target = translator
    found = walk(model, source, target, A, B)
    numbers = torch.tensor(source.encode(A)).unsqueeze(1)
    _, _, seen = model.encoder(model.source_embedding(numbers), record=["i", "h", "m"])
    e, before = model.source_embedding(numbers)[:, 0], torch.cat([torch.zeros(1, 9), seen["m"][0, :-1, 0]])
    offered = torch.tanh(e @ model.encoder.W["he_l0"].T + before @ model.encoder.W["hm_l0"].T + model.encoder.b["h_l0"])
    came = (seen["i"][0, :, 0] * offered).square().mean(1).sqrt()
    np.testing.assert_allclose(found.written[0][: len(numbers)], came.detach().numpy(), atol=1e-5)


def test_sentences_differ_from_the_word_on_and_units_tell_until_when(translator):
    found = walk(*translator, A, B)
    assert found.pair.places[found.pair.first] == (3, 3)
    assert not found.pair.size("h")[0, : found.pair.first].any()
    assert found.pair.size("h")[0, found.pair.first] > 0
    units = found.carriers(5)
    difference = np.abs(found.pair.differences["h"][0])
    assert [u["greatest"] for u in units] == pytest.approx(sorted(difference.max(0))[::-1][:5])
    assert all(u["side"] in ("read", "written") and u["steps"] >= 1 for u in units)
    assert found.as_dict()["sentences"][1]["translation"] == watch_translation(*translator, B).translation


def test_valves_are_held_where_it_says(translator):
    found = walk(*translator, A, B)
    said = {h.what: h.translation for h in found.held}
    held = watch_translation(*translator, B, clamps=[Clamp("i", 0.0, begin=3, end=4)])
    assert said["i = 0 at girl"] == held.translation
    held = watch_translation(*translator, B, clamps=[Clamp("f", 0.0, begin=5, end=6)])
    assert said["f = 0 at likes"] == held.translation
    assert len(said) == 1 + 5 + 1


def test_a_word_of_several_pieces_is_held_as_a_whole(translator):
    model, source, target = translator
    text = "I am a seamstress who likes to learn"
    pieces = source.pieces(text)
    begin = 3
    end = next(k for k in range(begin + 1, len(pieces)) if pieces[k][0] == " who")
    assert end > begin + 1
    found = walk(model, source, target, A, text)
    held = watch_translation(model, source, target, text, clamps=[Clamp("i", 0.0, begin=begin, end=end)])
    assert {h.what: h.translation for h in found.held}["i = 0 at seamstress"] == held.translation


def test_memories_are_those_after_each_word_s_last_piece(translator, pairs_folder):
    model, source, _ = translator
    given = read_sentences(pairs_folder / "test.jsonl")[:5]
    for values, sentence in zip(memories(model, source, given, "h", 0), given, strict=True):
        assert len(values) == len(sentence.words)
        numbers = torch.tensor(source.encode(sentence.text)).unsqueeze(1)
        _, _, seen = model.encoder(model.source_embedding(numbers), record=["h"])
        np.testing.assert_allclose(values[-1], seen["h"][0, -2, 0].detach().numpy(), atol=1e-5)


def test_probes_are_scored_beside_controls_and_read_every_step(translator, pairs_folder):
    told = []
    given = read_sentences(pairs_folder / "test.jsonl")
    found = walk(*translator, A, B, given, tick=lambda: told.append(1))
    assert {r.of for r in found.readings} == set(czech.PROPERTIES)
    assert len(told) == TICKS * len(found.readings)
    for r in found.readings:
        assert all(0 <= share <= 1 for share in (r.linear, r.control, r.untrained, r.majority))
        assert [len(each) for each in r.labels] == [len(found.a.words), len(found.b.words)]
    titles = [axes.get_title(loc="left") for axes in draw(found).axes]
    assert any(title.startswith("labels that linear probes read") for title in titles)
    assert not any(a.get_title(loc="left").startswith("labels that linear probes") for a in draw(walk(*translator, A, B)).axes)


def test_the_same_sentence_twice_is_refused(translator):
    with pytest.raises(InputError, match="the same"):
        walk(*translator, A, A)


def test_words_that_are_all_unknown_are_the_same_to_it():
    words = Vocabulary.train("word", ["i am a boy"])
    model = Translator(words.size, words.size, TranslatorConfig(embedding=4, hidden=4))
    with pytest.raises(InputError, match="does not know the words"):
        walk(model, words, words, "i am a queen", "i am a king")


@pytest.mark.parametrize("labels", [{"x": ("a", "a")}, {"x": (None, None)}, {}])
def test_labels_that_no_probe_can_learn_from_are_refused(translator, labels):
    given = [Sentence(("I", "am"), {"x": ("a", "b")}), *[Sentence(("I", "am"), labels)] * 9]
    with pytest.raises(InputError, match="too few of the 10 annotated sentences tell of 'x'"):
        walk(*translator, A, B, given)


def test_a_control_may_deal_all_words_one_label(translator):
    given = [Sentence(("I", "am"), {"x": (label, label)}) for label in "aababaabaa"]  # "I" sets both, and is dealt one
    (reading,) = walk(*translator, A, B, given).readings
    assert reading.control == 1


def test_a_cell_without_valves_has_a_figure_and_nothing_to_hold():
    torch.manual_seed(1)
    words = Vocabulary.train("word", [A, B])
    model = Translator(words.size, words.size, TranslatorConfig(cell="rnn", embedding=4, hidden=4))
    found = walk(model, words, words, A, B)
    assert found.held == ()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw(found).axes[0].get_title(loc="left") == "this cell has no valves"


def test_units_that_were_found_are_held_at_the_other_sentence_s_values(telling):
    text, other = "I am a boy", "I am a seamstress"
    found = walk(*telling, text, other)
    assert found.found is not None and found.found.words[0][1].strip() == "boy"
    there, word = watch_translation(*telling, other).values["h"][0], found.found.word
    i, j = found.pair.places[found.pair.first + word]
    for held, count in zip(found.patched, counts(len(found.found.units)), strict=True):
        clamps = [Clamp("h", float(there[j, u]), (u,), i, i + 1) for u in found.found.units[:count]]
        assert held.translation == watch_translation(*telling, text, clamps=clamps).translation


def test_translations_are_shown_for_few_units_and_then_for_four_more():
    assert [counts(n) for n in (1, 3, 8, 18)] == [[1], [1, 2, 3], [1, 2, 4, 8], [1, 2, 4, 8, 12, 16, 18]]
