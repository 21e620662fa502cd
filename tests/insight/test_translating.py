"""A translator that is watched does what it does unwatched, and valves are held on both sides."""

import pytest
import torch

from carousel.errors import InputError
from carousel.insight.translating import watch_translation
from carousel.layers import Clamp
from carousel.text.vocabulary import Vocabulary
from carousel.translation.model import Translator, TranslatorConfig

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


def test_what_cannot_be_followed_is_said(vocabularies):
    for options in (
        {"bidirectional": True},
        {"layers": 2},
        {"attention": "dot"},
        {"attention": "general", "decoder_layers": 2},
    ):
        with pytest.raises(InputError, match="as many layers"):
            watch_translation(translator(vocabularies, **options), *vocabularies, TEXT)
    model = translator(vocabularies)
    for text in ("", "  ", "a\nboy"):
        with pytest.raises(InputError, match="one sentence"):
            watch_translation(model, *vocabularies, text)
    with pytest.raises(InputError, match="q"):
        watch_translation(model, *vocabularies, TEXT, clamps={"q": 0.0})
