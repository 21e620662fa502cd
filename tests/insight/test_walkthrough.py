"""The walkthrough tells what the translator did, and holding a valve does what it says."""

import numpy as np
import pytest
import torch

from carousel.errors import InputError
from carousel.insight.labelled import read_sentences
from carousel.insight.translating import watch_translation
from carousel.insight.walkthrough import TICKS, held_agreement, memories, walk
from carousel.insight.walkthrough_figure import walkthrough as draw
from carousel.language.vocabulary import Vocabulary
from carousel.layers import Clamp
from carousel.translation import czech
from carousel.translation.czech_pairs import read_pairs
from carousel.translation.model import Translator, TranslatorConfig
from carousel.translation.score import agreement
from carousel.translation.translate import Interpreter

A, B = "I am a boy who likes to learn", "I am a girl who likes to learn"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A folder with forty labelled pairs for testing, the lecture's first."""
    folder = tmp_path_factory.mktemp("pairs")
    czech.write(folder, 300, 2, 40)
    return folder


@pytest.fixture(scope="module")
def translator(corpus):
    """A translator at first weights, large ones, and its vocabularies."""
    torch.set_num_threads(1)
    lines = [line for side in ("en", "cs") for line in (corpus / f"train.{side}").read_text().splitlines()]
    vocabulary = Vocabulary.train("bpe", lines + [A, B] * 50, 700)  # a few words in one piece, most in several
    torch.manual_seed(2)
    model = Translator(vocabulary.size, vocabulary.size, TranslatorConfig(embedding=8, hidden=9)).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(4)
    return model, vocabulary, vocabulary


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


def test_memories_are_those_after_each_word_s_last_piece(translator, corpus):
    model, source, _ = translator
    given = read_sentences(corpus / "test.jsonl")[:5]
    for values, sentence in zip(memories(model, source, given, "h", 0), given, strict=True):
        assert len(values) == len(sentence.words)
        numbers = torch.tensor(source.encode(sentence.text)).unsqueeze(1)
        _, _, seen = model.encoder(model.source_embedding(numbers), record=["h"])
        np.testing.assert_allclose(values[-1], seen["h"][0, -2, 0].detach().numpy(), atol=1e-5)


def test_probes_are_scored_beside_controls_and_read_every_step(translator, corpus):
    told = []
    given = read_sentences(corpus / "test.jsonl")
    found = walk(*translator, A, B, given, tick=lambda: told.append(1))
    assert {r.of for r in found.readings} == set(czech.PROPERTIES)
    assert len(told) == TICKS * len(found.readings)
    for r in found.readings:
        assert all(0 <= share <= 1 for share in (r.linear, r.control, r.untrained, r.majority))
        assert [len(each) for each in r.labels] == [len(found.a.words), len(found.b.words)]
    assert draw(found).axes[-2].get_title(loc="left") is not None


def test_agreement_with_nothing_held_is_the_translator_s(translator, corpus):
    model, source, target = translator
    pairs = read_pairs(corpus / "test.jsonl")[:12]
    interpreter = Interpreter(model, source, target, beam=1)
    outputs = [interpreter.together([p.text])[0][0].text for p in pairs]
    assert held_agreement(interpreter, pairs, None) == agreement(pairs, outputs)
    alone = []
    for p in pairs:  # the step at which the noun's pieces are read, found again
        before, upto = (len(source.encode(" ".join(p.words[:k]))) - 1 for k in (p.subject, p.subject + 1))
        clamp = [Clamp("i", 0.0, begin=before, end=upto)]
        alone.append(interpreter.together([p.text], clamp=clamp)[0][0].text)
    assert held_agreement(interpreter, pairs, "i") == agreement(pairs, alone)


def test_the_same_sentence_twice_is_refused(translator):
    with pytest.raises(InputError, match="the same"):
        walk(*translator, A, A)


def test_units_are_moved_while_the_replaced_word_is_read(translator):
    found = walk(*translator, A, B)
    (moved,) = found.moved  # of nine units eight can be moved
    a, b = (watch_translation(*translator, text).values["h"][0, 3] for text in (A, B))
    most = np.argsort(-np.abs(a - b), kind="stable")[:8]
    clamps = [Clamp("h", float(b[u]), (int(u),), 3, 4) for u in most]
    assert moved.what == "8 units"
    assert moved.translation == watch_translation(*translator, A, clamps=clamps).translation
