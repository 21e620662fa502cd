"""A translator that is watched does what it does unwatched, and valves are held on both sides."""

import numpy as np
import pytest
import torch

from carousel.errors import InputError
from carousel.insight import figures
from carousel.insight.translating import followed, watch_translation
from carousel.layers import Clamp
from carousel.text.vocabulary import Vocabulary
from carousel.translation.model import Translator, TranslatorConfig
from carousel.translation.translate import Interpreter

TEXT = "i am a boy who likes to learn"


@pytest.fixture(scope="module")
def vocabularies():
    return Vocabulary.train("word", [TEXT]), Vocabulary.train("word", ["jsem kluk , který se rád učí"])


def translator(vocabularies, **options):
    torch.manual_seed(3)
    source, target = vocabularies
    made = Translator(source.size, target.size, TranslatorConfig(**{"embedding": 6, "hidden": 7} | options)).eval()
    for p in made.parameters():
        torch.nn.init.normal_(p)
    return made


@pytest.mark.parametrize("cell", ["lstm-v2", "rnn", "gru", "lstm-v4", "clockwork"])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_two_networks_are_those_of_the_layers(vocabularies, cell, layers):
    source, target = vocabularies
    model = translator(vocabularies, cell=cell, layers=layers, decoder_layers=layers)
    found = watch_translation(model, source, target, TEXT)
    numbers = torch.tensor(source.encode(TEXT)).unsqueeze(1)
    assert found.source == len(numbers) and found.words[: found.source] == (*TEXT.split(), "<eos>")
    state = model.encoder.cell.states[-2 if cell == "clockwork" else -1]
    _, hx, seen = model.encoder(model.source_embedding(numbers), record=[state])
    after = torch.from_numpy(found.values[state])
    assert torch.allclose(seen[state][:, :, 0], after[:, : found.source], atol=1e-6)
    # The decoder, a word at a time, from the encoder's states.
    word, written = target.end, []
    for step in range(len(found.words) - found.source):
        assert found.ids[found.source + step] == word
        h, hx, seen = model.decoder(model.embedding(torch.tensor([[word]])), hx, record=[state])
        assert torch.allclose(seen[state][:, 0, 0], after[:, found.source + step], atol=1e-5)
        logs = model.logits(h if model.readout is None else model.readout(h)).log_softmax(-1)[0, 0]
        assert found.predictions[found.source + step][0] == (
            target.token(int(logs.argmax())),
            pytest.approx(logs.max().exp().item(), abs=1e-5),
        )
        word = max((w for w in range(target.size) if w != target.unknown), key=lambda w: float(logs[w]))
        written.append(word)
    assert found.translation == target.decode([w for w in written if w != target.end]).strip()


@pytest.mark.parametrize(("begin", "end"), [(2, 5), (7, 12), (11, None), (0, None)])
def test_valves_are_held_through_both(vocabularies, begin, end):
    source, target = vocabularies
    model = translator(vocabularies)
    found = watch_translation(model, source, target, TEXT, clamps=[Clamp("f", 0.25, (1, 3), begin, end)])
    held = (found.values["f"][0][:, [1, 3]] == 0.25).all(-1)
    assert held.tolist() == [k >= begin and (end is None or k < end) for k in range(len(found.words))]


def test_a_valve_shut_in_the_source_changes_what_is_written(vocabularies):
    model = translator(vocabularies)
    plain = watch_translation(model, *vocabularies, TEXT)
    shut = watch_translation(model, *vocabularies, TEXT, clamps=[Clamp("f", 0.0, begin=3, end=9)])
    assert plain.predictions[plain.source] != shut.predictions[shut.source]


def test_an_unknown_word_is_never_written(vocabularies):
    model = translator(vocabularies)
    with torch.no_grad():
        model.output.bias[vocabularies[1].unknown] = 50.0
    found = watch_translation(model, *vocabularies, TEXT)
    assert found.translation and "<unk>" not in found.translation
    assert found.predictions[found.source][0][0] == "<unk>"  # what it would have liked to write is told all the same


OTHERS = (
    {"bidirectional": True, "layers": 2},
    {"layers": 2},
    {"attention": "dot", "decoder_layers": 3},
    {"cell": "clockwork", "attention": "general", "bidirectional": True, "decoder_layers": 2},
)


@pytest.mark.parametrize("options", OTHERS, ids=lambda options: " ".join(map(str, options)))
def test_networks_that_are_not_alike_are_watched_row_by_row(vocabularies, options):
    source, target = vocabularies
    model = translator(vocabularies, **options)
    found, told = watch_translation(model, source, target, TEXT), Interpreter(model, source, target, beam=1, attention=True)
    (translation,) = told.together([TEXT])[0]
    count = len(translation.pieces)
    assert found.written[:count] == translation.pieces
    if translation.attention is None:
        assert found.attention is None
    else:
        np.testing.assert_allclose(found.attention[:count], translation.attention, atol=1e-5)
    encoder, steps = model.encoder, found.source
    with torch.no_grad():
        _, _, seen = encoder(model.source_embedding(torch.tensor(source.encode(TEXT)).unsqueeze(1)), record=["h"])
    values, rows = found.values["h"], len(seen["h"])
    assert len(values) == model.depth * encoder.directions
    np.testing.assert_allclose(values[:rows, :steps], seen["h"][:, :, 0], atol=1e-6)
    there = ~np.ma.getmaskarray(values)[:, :, 0]
    assert there[:, :steps].any(1).tolist() == [k < rows for k in range(len(values))]
    written = [k % encoder.directions == 0 and k < model.config.decoder_layers * encoder.directions for k in range(len(values))]
    assert there[:, steps:].all(1).tolist() == there[:, steps:].any(1).tolist() == written
    assert figures.of(found).axes and [len(words) for words in found.as_dict()["values"]["h"]] == [len(found.words)] * len(
        values
    )


def test_a_layer_is_held_in_both_networks_or_in_the_one_that_has_it(vocabularies):
    model = translator(vocabularies, bidirectional=True, attention="general", decoder_layers=3)
    for layer, rows in ((0, [0, 1]), (1, [2]), (2, [4])):
        found = watch_translation(model, *vocabularies, TEXT, clamps=[Clamp("h", 0.5, (2,), 3, 10, layer)])
        held = np.ma.filled(found.values["h"][:, :, 2] == 0.5, False)
        first = found.source if layer else 3
        assert [k for k in range(6) if held[k].any()] == rows
        assert held[rows[0], :12].tolist() == [first <= k < 10 for k in range(12)]
    with pytest.raises(InputError, match="no layer 3"):
        watch_translation(model, *vocabularies, TEXT, clamps=[Clamp("h", 0.5, layer=3)])


def test_what_cannot_be_followed_is_said(vocabularies):
    for options in OTHERS:
        with pytest.raises(InputError, match="as many layers"):
            followed(translator(vocabularies, **options))
    model = translator(vocabularies)
    for text in ("", "  ", "a\nboy"):
        with pytest.raises(InputError, match="one sentence"):
            watch_translation(model, *vocabularies, text)
    with pytest.raises(InputError, match="q"):
        watch_translation(model, *vocabularies, TEXT, clamps={"q": 0.0})
