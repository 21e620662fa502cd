"""Beam search against every sentence there is, and against itself one by one."""

import itertools

import pytest
import torch
from torch.nn.functional import log_softmax, softmax

from carousel.errors import InputError
from carousel.translation.beam import search

END, WORDS, LONGEST = 0, 4, 4
SOURCE, LENGTHS = torch.tensor([[3, 1, 4], [1, 5, 2], [6, 2, 3], [5, 3, 1]]), torch.tensor([4, 2, 3])
attentions = pytest.mark.parametrize("attention", ["none", "general"])


def every(models, row, alpha):
    """All sentences that end within the longest length, each read by itself, best first: score, log p, token ids. A token's
    probability is the mean of the models' probabilities."""
    n = int(LENGTHS[row])
    found = []
    for length in range(LONGEST):
        for words in itertools.product(range(1, WORDS), repeat=length):
            y = torch.tensor([*words, END])
            x = torch.tensor([END, *words]).unsqueeze(1)
            outputs = [(m, m.decode(x, m.read(SOURCE[:n, [row]], LENGTHS[[row]]))[0]) for m in models]
            p = sum(softmax(m.logits(h[:, 0]), -1)[range(len(y)), y] for m, h in outputs) / len(models)
            total = float(p.log().sum())
            found.append((total / len(y) ** alpha, total, words))
    return sorted(found, reverse=True)


@attentions
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
@torch.no_grad()
def test_a_wide_beam_finds_the_best_of_all_sentences(make, attention, alpha):
    model = make(target_words=WORDS, attention=attention)
    found = search(model, SOURCE, LENGTHS, END, longest=[LONGEST] * 3, width=WORDS**LONGEST, best=7, alpha=alpha)
    for row, hypotheses in enumerate(found):
        expected = every([model], row, alpha)[:7]
        assert [h.ids for h in hypotheses] == [words for _, _, words in expected]
        assert [h.score for h in hypotheses] == pytest.approx([score for score, _, _ in expected], abs=1e-5)
        assert [h.log_probability for h in hypotheses] == pytest.approx([p for _, p, _ in expected], abs=1e-5)


@attentions
@pytest.mark.parametrize("width", [1, 2, 5])
def test_together_as_one_by_one(make, attention, width):
    for seed in range(5):
        model = make(target_words=9, attention=attention, seed=seed)
        options = {"width": width, "best": width, "attention": True}
        together = search(model, SOURCE, LENGTHS, END, longest=[9, 3, 6], **options)
        for row, (n, longest) in enumerate(zip(LENGTHS.tolist(), [9, 3, 6], strict=True)):
            (alone,) = search(model, SOURCE[:n, [row]], LENGTHS[[row]], END, longest=[longest], **options)
            assert [h.ids for h in together[row]] == [h.ids for h in alone]
            assert [h.score for h in together[row]] == pytest.approx([h.score for h in alone], abs=1e-5)
            for a, b in zip(together[row], alone, strict=True):
                if attention == "none":
                    assert a.attention is None
                else:
                    torch.testing.assert_close(a.attention[:, :n], b.attention)
                    assert len(a.attention) == len(a.ids) + a.finished


@attentions
@torch.no_grad()
def test_a_beam_of_one_is_greedy(make, attention):
    for seed in range(5):
        model = make(target_words=9, attention=attention, seed=seed)
        found = search(model, SOURCE, LENGTHS, END, longest=[8] * 3)
        for row, n in enumerate(LENGTHS.tolist()):
            read = model.read(SOURCE[:n, [row]], LENGTHS[[row]])
            words, states, last = [], None, END
            for _ in range(8):
                h, states, _ = model.decode(torch.tensor([[last]]), read, states)
                last = int(model.logits(h)[0, 0].argmax())
                words.append(last)
                if last == END:
                    break
            ended = words[-1] == END
            assert found[row][0].ids == tuple(words[:-1] if ended else words)
            assert found[row][0].finished == ended


@torch.no_grad()
def narrowing(model, row, width, longest):
    """A beam as one would write it for one sentence: whoever ends takes a place of the beam along."""
    n, ended, beam = int(LENGTHS[row]), [], [((), 0.0)]
    read = model.read(SOURCE[:n, [row]], LENGTHS[[row]])
    for _ in range(longest):
        ways = []
        for words, total in beam:
            h, _, _ = model.decode(torch.tensor([END, *words]).unsqueeze(1), read)
            logs = log_softmax(model.logits(h[-1, 0]), -1).tolist()
            ways += [((*words, w), total + p) for w, p in enumerate(logs)]
        ways = sorted(ways, key=lambda way: -way[1])[: width - len(ended)]
        ended += [(words[:-1], total / len(words)) for words, total in ways if words[-1] == END]
        beam = [way for way in ways if way[0][-1] != END]
        if not beam:
            break
    return sorted(ended or [(words, total / len(words)) for words, total in beam], key=lambda each: -each[1])


@attentions
@pytest.mark.parametrize("width", [2, 3, 4])
def test_a_hypothesis_that_ends_leaves_a_narrower_beam(make, attention, width):
    for seed in range(5):
        model = make(target_words=WORDS, attention=attention, seed=seed)
        found = search(model, SOURCE, LENGTHS, END, longest=[6] * 3, width=width, best=width)
        for row, hypotheses in enumerate(found):
            expected = narrowing(model, row, width, 6)
            assert [h.ids for h in hypotheses] == [words for words, _ in expected]
            assert [h.score for h in hypotheses] == pytest.approx([score for _, score in expected], abs=1e-5)


def test_what_is_forbidden_is_never_written(make):
    model = make(target_words=5)
    with torch.no_grad():
        model.output.bias[3] = 50.0
    (free, *_), (held, *_) = (search(model, SOURCE, LENGTHS, END, longest=[6] * 3, forbidden=f) for f in (None, 3))
    assert 3 in free[0].ids
    assert 3 not in held[0].ids


@pytest.mark.parametrize(("width", "best"), [(0, 1), (2, 3), (2, 0)])
def test_a_beam_too_narrow_is_refused(make, width, best):
    with pytest.raises(InputError, match="beam"):
        search(make(), SOURCE, LENGTHS, END, longest=[3] * 3, width=width, best=best)


@torch.no_grad()
def test_an_ensemble_finds_the_best_of_all_sentences_by_the_mean_of_probabilities(make):
    models = [
        make(target_words=WORDS, attention="general", seed=1),
        make(target_words=WORDS, seed=2),
        make(target_words=WORDS, hidden=5),
    ]
    found = search(models[0], SOURCE, LENGTHS, END, longest=[LONGEST] * 3, width=WORDS**LONGEST, best=7, others=models[1:])
    for row, hypotheses in enumerate(found):
        expected = every(models, row, 1.0)[:7]
        assert [h.ids for h in hypotheses] == [words for _, _, words in expected]
        assert [h.log_probability for h in hypotheses] == pytest.approx([p for _, p, _ in expected], abs=1e-5)


def test_an_ensemble_of_a_model_with_itself_is_the_model(make):
    model, other = make(target_words=9, attention="general"), make(target_words=9, seed=2)
    options = {"longest": [9, 3, 6], "width": 4, "best": 4, "attention": True}
    alone, twice, mixed = (search(model, SOURCE, LENGTHS, END, others=others, **options) for others in ((), (model,), (other,)))
    for one, two in zip(itertools.chain(*alone), itertools.chain(*twice), strict=True):
        assert (one.ids, one.score) == (two.ids, pytest.approx(two.score, abs=1e-5))
        torch.testing.assert_close(one.attention, two.attention)
    assert [h.ids for h in itertools.chain(*mixed)] != [h.ids for h in itertools.chain(*alone)]
