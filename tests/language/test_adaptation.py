"""Dynamic evaluation and the cache give what plain NumPy and PyTorch give in the letters of the papers, in double precision."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from carousel.errors import InputError
from carousel.language.adaptation import Adaptation, adaptation, adapted, mean_model
from carousel.language.dynamic import root_mean_squares
from carousel.language.model import LanguageModel, ModelConfig
from carousel.language.score import score
from carousel.layers import to_torch_state
from carousel.text.encoded import EncodedText
from carousel.text.vocabulary import Vocabulary

LEARNED = ["the cat sat on a mat", "a cat and a dog sat", "on the mat sat the dog"] * 40
TEXT = ["a dog sat on the dog", "", "the zebra and the dog sat on a mat and a dog", "the dog"]
HOW = {"dynamic_lr": 0.003, "dynamic_decay": 0.02, "dynamic_epsilon": 1e-3, "dynamic_segment": 4, "cache": 7}
HOW["cache_theta"] = 1.5


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.train("word", LEARNED)


@pytest.fixture(scope="module")
def texts(vocabulary, tmp_path_factory):
    """The text that was learned from, and the one that is scored."""
    folder = tmp_path_factory.mktemp("texts")
    return [EncodedText.encode(lines, vocabulary, folder, name) for name, lines in (("learned", LEARNED), ("text", TEXT))]


def made(vocabulary, seed=1, **config):
    torch.manual_seed(seed)
    tokens = 40 if "adaptive" in config.values() else vocabulary.size  # it needs more; some of its weights are empty
    model = LanguageModel(tokens, ModelConfig("lstm-v2", 6, 6, **config)).double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)
    return model


class Plain(nn.Module):
    """The same model in torch.nn, with the same weights."""

    def __init__(self, model):
        super().__init__()
        size, width = model.embedding.weight.shape
        self.embedding, self.lstm, self.output = nn.Embedding(size, width), nn.LSTM(width, 6), nn.Linear(6, size)
        self.double()
        self.lstm.load_state_dict(to_torch_state(model.recurrent))
        self.embedding.weight.data.copy_(model.embedding.weight)
        self.output.weight.data.copy_(model.output.weight)
        self.output.bias.data.copy_(model.output.bias)

    def forward(self, x, hx):
        h, hx = self.lstm(self.embedding(x), hx)
        return self.output(h).log_softmax(-1), h, tuple(s.detach() for s in hx)


def learns(plain):
    """The parameters that learn: torch.nn.LSTM has two biases, of which ours is the sum."""
    plain.lstm.bias_hh_l0.requires_grad_(False)
    return [p for p in plain.parameters() if p.requires_grad]


def dynamic_by_the_paper(plain, learned, ids, end, rows, n, lr, lamb, epsilon):
    """Return log p of each token and h, as Krause et al. 2018 have it (equations 5, 8, 9)."""
    parameters = learns(plain)
    length = -(-len(learned) // rows)
    padded = np.full(rows * length, -1)
    padded[: len(learned)] = learned
    y = torch.tensor(padded.reshape(rows, length).T)
    x = torch.tensor(np.concatenate([[end], padded[:-1]]).reshape(rows, length).T).clamp(min=0)
    squares, hx, batches = [torch.zeros_like(p) for p in parameters], None, 0
    for k in range(0, length, n):
        logs, _, hx = plain(x[k : k + n], hx)
        counts = y[k : k + n] >= 0
        loss = -logs.gather(2, y[k : k + n].clamp(min=0).unsqueeze(2)).squeeze(2)[counts].mean()
        for s, g in zip(squares, torch.autograd.grad(loss, parameters), strict=True):
            s += g**2
        batches += 1
    root = [(s / batches) ** 0.5 for s in squares]
    # The four gates of torch.nn.LSTM share a matrix of 24 rows; ours have one each, and the mean is of tensors' means.
    each = [part.mean() for p, r in zip(parameters, root, strict=True) for part in (r.chunk(4) if p.shape[0] == 24 else (r,))]
    average = sum(each) / len(each)
    trained = [p.detach().clone() for p in parameters]
    hx, before, found, hs = None, end, [], []
    for k in range(0, len(ids), n):
        piece = ids[k : k + n]
        logs, h, hx = plain(torch.tensor([before, *piece[:-1]]).unsqueeze(1), hx)
        right = logs[torch.arange(len(piece)), 0, torch.tensor(piece)]
        gradient = torch.autograd.grad(-right.mean(), parameters)
        with torch.no_grad():
            for p, g, r, start in zip(parameters, gradient, root, trained, strict=True):
                p += -lr * g / (r + epsilon) + lamb * (start - p) * torch.clamp(r / average, max=1 / lamb)
        found += right.tolist()
        hs += h[:, 0].tolist()
        before = piece[-1]
    return np.array(found), np.array(hs)


def cached_by_the_paper(logs, h, ids, size, theta, weight):
    """Return log p of each token, as Grave et al. 2017 have it (equations 2, 3, 5)."""
    mixed = []
    for t, token in enumerate(ids):
        kept = range(max(0, t - size), t)
        if not kept:
            mixed.append(logs[t])
            continue
        weights = {i: math.exp(theta * float(h[t] @ h[i])) for i in kept}
        p_cache = sum(v for i, v in weights.items() if ids[i] == token) / sum(weights.values())
        mixed.append(math.log((1 - weight) * math.exp(logs[t]) + weight * p_cache))
    return np.array(mixed)


def static_by_hand(model, ids, end):
    with torch.no_grad():
        h, _ = model.read(torch.tensor([end, *ids[:-1]]).unsqueeze(1))
        logs = model.output(h[:, 0], model.shared).log_softmax(-1)
    return logs[torch.arange(len(ids)), torch.tensor(ids)].numpy(), h[:, 0].numpy()


@pytest.mark.parametrize("decay", [0.02, 0.6])  # of the second some parameters return all the way
def test_dynamic_evaluation_and_cache_are_the_papers(vocabulary, texts, decay):
    learned, text = texts
    model, end, ids = made(vocabulary), vocabulary.end, [*map(int, texts[1].ids)]
    before = copy.deepcopy(model.state_dict())
    static = score(model, text, end)
    how = Adaptation(dynamic=True, cache_weight=0.2, **{**HOW, "dynamic_decay": decay})
    found, _ = adapted([model], text, end, how, learned=[learned])
    logs, h = dynamic_by_the_paper(Plain(model), learned.ids.astype(int), ids, end, 100, 4, 0.003, decay, 1e-3)
    expected = {"dynamic": logs, "dynamic, cache": cached_by_the_paper(logs, h, ids, 7, 1.5, 0.2)}
    expected["cache"] = cached_by_the_paper(*static_by_hand(model, ids, end), ids, 7, 1.5, 0.2)
    assert {*found} == {*expected}
    for name, each in expected.items():
        assert found[name].bits == pytest.approx(-each.sum() / math.log(2), rel=1e-9), name
        assert found[name].tokens == text.facts.tokens and found[name].characters == text.facts.characters
        assert abs(found[name].bits - static.bits) > 0.1
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_the_cache_does_not_depend_on_where_pieces_end(vocabulary, texts, monkeypatch):
    model, how = made(vocabulary), Adaptation(cache=5)
    whole = adapted([model], texts[1], vocabulary.end, how)[0]["cache"].bits
    monkeypatch.setattr("carousel.language.adaptation.LENGTH", 3)
    assert adapted([model], texts[1], vocabulary.end, how)[0]["cache"].bits == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("sentences", [False, True], ids=["stream", "sentences"])
def test_a_model_that_learns_nothing_scores_as_it_is(vocabulary, texts, sentences):
    learned, text = texts
    model = made(vocabulary)
    model.fresh_at = vocabulary.end if sentences else None
    static = score(model, text, vocabulary.end, sentences=sentences)
    how = Adaptation(dynamic=True, dynamic_lr=1e-30, dynamic_segment=3, cache=3, cache_weight=1e-12)
    found, together = adapted([model], text, vocabulary.end, how, sentences=sentences, learned=[learned])
    assert {*found} == {"dynamic", "cache", "dynamic, cache"}
    for each in (*found.values(), *together.values()):
        assert each.bits == pytest.approx(static.bits, rel=1e-8)
        assert (each.tokens, each.characters) == (static.tokens, static.characters)
        assert each.tokens == text.facts.tokens - sentences  # one line is empty


@pytest.mark.parametrize(
    "config", [{"tied": True}, {"learned_initial": True}, {"softmax": "sampled"}, {"softmax": "adaptive"}], ids=str
)
def test_any_model_can_learn_while_it_is_scored(vocabulary, texts, config):
    learned, text = texts
    model = made(vocabulary, **config).float()
    how = Adaptation(dynamic=True, **HOW)
    found, _ = adapted([model], text, vocabulary.end, how, learned=[learned])
    assert math.isfinite(found["dynamic"].bits) and found["dynamic"].bits != score(model, text, vocabulary.end).bits


def test_a_part_of_the_training_text_measures_the_gradient(vocabulary, texts):
    model, told = made(vocabulary), []
    few = root_mean_squares(model, texts[0], vocabulary.end, 2, 1, lambda done, total: told.append((done, total)))
    every = root_mean_squares(model, texts[0], vocabulary.end, 2)
    assert told == [(1, 1)] and not torch.equal(few[0], every[0])


def test_an_ensemble_is_the_mean_of_probabilities(vocabulary, texts):
    text, end, ids = texts[1], vocabulary.end, [*map(int, texts[1].ids)]
    models = [made(vocabulary, seed) for seed in (1, 2, 3)]
    *_, together = adapted(models, text, end, Adaptation())
    p = np.mean([np.exp(static_by_hand(model, ids, end)[0]) for model in models], 0)
    assert together["static"].bits == pytest.approx(-np.log2(p).sum(), rel=1e-9)
    *each, together = adapted(models, text, end, Adaptation(dynamic=True, **HOW), learned=[texts[0]] * 3)
    for name in ("dynamic", "cache", "dynamic, cache"):
        assert together[name].bits < np.mean([one[name].bits for one in each])


def test_the_mean_of_weights(vocabulary):
    models = [made(vocabulary, seed) for seed in (1, 2)]
    mean = mean_model(models)
    assert torch.equal(mean.output.weight, (models[0].output.weight + models[1].output.weight) / 2)
    assert not torch.equal(mean.output.weight, models[0].output.weight)
    with pytest.raises(InputError, match="one shape"):
        mean_model([models[0], made(vocabulary, layers=2)])


def test_what_cannot_be_is_refused(vocabulary, texts):
    for name, of in {"dynamic_lr": "dynamic", "dynamic_batches": "dynamic", "cache_theta": "cache"}.items():
        with pytest.raises(InputError, match=f"`{name}` counts for nothing without `{of}`"):
            adaptation({name: 1})
    with pytest.raises(InputError, match="`cache_weight` must be below 1"):
        adaptation({"cache": 3, "cache_weight": 1.0})
    with pytest.raises(TypeError, match="cash"):
        adaptation({"cash": 3})
    with pytest.raises(InputError, match="left the finite numbers; try a smaller `dynamic_lr`"):
        how = Adaptation(dynamic=True, dynamic_lr=1e5, dynamic_epsilon=1e-35)
        adapted([made(vocabulary).float()], texts[1], vocabulary.end, how, learned=[texts[0]])
