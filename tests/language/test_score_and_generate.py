"""Scores are those of reading word by word; text is drawn from the model's own probabilities."""

import copy
import math

import pytest
import torch

from carousel.errors import InputError
from carousel.language.generate import choose, generate
from carousel.language.model import LanguageModel, ModelConfig
from carousel.language.score import score, surprisals
from carousel.layers import Clamp
from carousel.text.encoded import EncodedText
from carousel.text.vocabulary import Vocabulary

LINES = ["the cat sat", "", "a zebra sat on the mat"]


@pytest.fixture(params=["word", "char", "bpe"])
def vocabulary(request):
    return Vocabulary.train(request.param, ["the cat sat on a mat"], 280)


@pytest.fixture
def model(vocabulary):
    torch.manual_seed(1)
    return LanguageModel(vocabulary.size, ModelConfig("lstm-v3", 6, 7)).eval()


def bits_word_by_word(model, vocabulary, lines):
    hx, before, bits = None, vocabulary.end, []
    with torch.no_grad():
        for n in [n for line in lines for n in vocabulary.encode(line)]:
            logits, hx = model(torch.tensor([[before]]), hx)
            bits.append(-math.log2(logits[0, 0].softmax(-1)[n]))
            before = n
    return bits


def test_score_is_the_sum_word_by_word(model, vocabulary, tmp_path):
    corpus = EncodedText.encode(LINES, vocabulary, tmp_path, "text")
    found = score(model, corpus, vocabulary.end)
    expected = sum(bits_word_by_word(model, vocabulary, LINES))
    assert found.bits == pytest.approx(expected, rel=1e-4)
    assert found.characters == len("\n".join(LINES)) + 1
    assert found.bits_per_character == pytest.approx(expected / found.characters, rel=1e-4)
    assert math.log2(found.perplexity) == pytest.approx(expected / found.tokens, rel=1e-4)


def test_sentences_are_each_scored_from_the_start(model, vocabulary, tmp_path):
    corpus = EncodedText.encode(LINES, vocabulary, tmp_path, "text")
    found = score(model, corpus, vocabulary.end, sentences=True)
    expected = sum(sum(bits_word_by_word(model, vocabulary, [line])) for line in LINES if line)
    assert found.bits == pytest.approx(expected, rel=1e-4)


def test_a_model_of_sentences_begins_each_line_with_new_states(model, vocabulary, tmp_path):
    model.fresh_at = vocabulary.end
    each = [bits_word_by_word(carrying_on(model), vocabulary, [line]) for line in LINES]
    found = [[b for _, b, _ in line] for line in surprisals(model, vocabulary, iter(LINES))]
    assert [b for line in found for b in line] == pytest.approx([b for line in each for b in line], rel=1e-4)


@pytest.mark.parametrize("clamp", [None, [Clamp("f", 0.5, None, 3, 9)]], ids=["free", "clamped"])
def test_it_also_writes_so(model, vocabulary, clamp):
    """After each end of line come the probabilities that came after the first."""
    model.fresh_at = vocabulary.end
    with torch.no_grad():
        words = [vocabulary.end, 3, 4, vocabulary.end, 5, vocabulary.end, 3, 4]
        whole = model(torch.tensor(words).unsqueeze(1), clamp=clamp)[0][:, 0]
        stream = model.stream(model.recurrent.initial_state(1), clamp)
        steps = torch.stack([stream(n).clone() for n in words])
    assert torch.allclose(steps, whole, atol=1e-5)
    if clamp is None:
        assert torch.allclose(steps[0], steps[3], atol=1e-6)
        assert torch.allclose(steps[:3], steps[5:], atol=1e-6)
    text = "".join(generate(model, vocabulary, "the cat\n", count=20, temperature=0))
    alone = "".join(generate(model, vocabulary, count=20, temperature=0))
    assert text == alone


def carrying_on(model):
    """The same model, which carries its states on."""
    made = copy.copy(model)
    made.fresh_at = None
    return made


def test_surprisals_are_each_words_bits(model, vocabulary):
    found = [b for line in surprisals(model, vocabulary, iter(LINES)) for _, b, _ in line]
    assert found == pytest.approx(bits_word_by_word(model, vocabulary, LINES), rel=1e-4)


def test_unknown_words_are_counted_and_shown(tmp_path):
    vocabulary = Vocabulary.train("word", ["the cat sat on a mat"])
    model = LanguageModel(vocabulary.size, ModelConfig("rnn", 4, 4))
    assert score(model, EncodedText.encode(LINES, vocabulary, tmp_path, "text"), vocabulary.end).unknown == 1
    shown = [w for line in surprisals(model, vocabulary, iter(LINES)) for w, _, known in line if not known]
    assert shown == ["zebra"]


def test_the_likeliest_path(model, vocabulary):
    words, hx, expected = [vocabulary.end, *vocabulary.encode("the")[:-1]], None, []
    with torch.no_grad():
        for _ in range(12):
            logits = model(torch.tensor(words).unsqueeze(1))[0][-1, 0]
            if vocabulary.unknown is not None:
                logits[vocabulary.unknown] = -math.inf
            words.append(int(logits.argmax()))
            expected.append(words[-1])
    for options in ({"temperature": 0.0}, {"top_k": 1, "seed": 3}):
        text = "".join(generate(model, vocabulary, "the", count=12, **options))
        assert text.split() == vocabulary.decode(expected).split() or vocabulary.kind != "word"
        assert text.replace(" ", "").replace("\ufffd", "") in vocabulary.decode(expected).replace(" ", "").replace("\ufffd", "")
    assert hx is None


def test_same_seed_same_text(model, vocabulary):
    one, two, other = ("".join(generate(model, vocabulary, count=30, seed=s)) for s in (1, 1, 2))
    assert one == two != other


def test_top_p_keeps_the_fewest_likeliest_that_suffice():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    generator = torch.Generator().manual_seed(1)
    drawn = {choose(logits, generator, top_p=0.7) for _ in range(200)}
    assert drawn == {0, 1}
    assert {choose(logits, generator, top_k=3) for _ in range(300)} == {0, 1, 2}


def test_temperature_sharpens():
    logits = torch.tensor([0.6, 0.4]).log()
    generator = torch.Generator().manual_seed(1)
    share = sum(choose(logits, generator, temperature=0.25) == 0 for _ in range(500)) / 500
    assert share == pytest.approx(0.6**4 / (0.6**4 + 0.4**4), abs=0.06)


@pytest.mark.parametrize("options", [{"temperature": -1.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_impossible_choices_are_refused(model, vocabulary, options):
    with pytest.raises(InputError):
        next(generate(model, vocabulary, **options))
