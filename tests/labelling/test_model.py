"""Labellers give each step, or each sequence, its label, whatever stands beside it in a batch."""

from itertools import pairwise, product

import pytest
import torch

from carousel.errors import InputError
from carousel.labelling.model import IGNORED, POOLINGS, Labeller, LabellerConfig

SMALL = {"embedding": 6, "hidden": 5, "dropout": 0.0}


def made(inputs=2, **options):
    torch.manual_seed(1)
    return Labeller(3, inputs, LabellerConfig(**(SMALL | options))).eval()


OPTIONS = [
    {"bidirectional": True, "layers": 2},
    {"crf": True},
    {"cell": "lstm-v4"},
    *({"whole": True, "bidirectional": True, "pooling": p} for p in POOLINGS),
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_what_pads_a_batch_changes_nothing(options):
    model, (long, short) = made(**options), (torch.randn(6, 2), torch.randn(3, 2))
    x = torch.full((6, 2, 2), 7.0)
    x[:, 0], x[:3, 1] = long, short
    together, chances = model.found(x, torch.tensor([6, 3]))
    for k, row in enumerate((long, short)):
        alone, own = model.found(row.unsqueeze(1), torch.tensor([len(row)]))
        which = k if model.config.whole else (slice(len(row)), k)
        torch.testing.assert_close(together[which], alone[0] if model.config.whole else alone[:, 0])
        torch.testing.assert_close(chances[which], own[0] if model.config.whole else own[:, 0])
        torch.testing.assert_close(chances[which].sum(-1), torch.ones(chances[which].shape[:-1]))


def test_the_loss_is_of_the_steps_that_count():
    model, x = made(bidirectional=True), torch.randn(4, 2, 2)
    y = torch.tensor([[0, 1], [2, 2], [1, IGNORED], [0, IGNORED]])
    loss, state = model(x, torch.tensor([4, 2]), y)
    _, chances = model.found(x, torch.tensor([4, 2]))
    expected = -sum(chances[t, b, y[t, b]].log() for t in range(4) for b in range(2) if y[t, b] != IGNORED)
    assert state is None
    torch.testing.assert_close(loss, expected)


def test_the_last_outputs_are_each_directions_own():
    model = made(bidirectional=True, whole=True, pooling="last")
    h = torch.arange(2.0 * 3 * 10).reshape(3, 2, 10)
    (found,) = model._pooled(h, torch.tensor([3, 2]))
    assert torch.equal(found[0], torch.cat([h[2, 0, :5], h[0, 0, 5:]]))
    assert torch.equal(found[1], torch.cat([h[1, 1, :5], h[0, 1, 5:]]))


def test_numbers_are_scaled_as_those_of_training():
    model, x = made(inputs=3), torch.randn(50, 3) * torch.tensor([1.0, 100.0, 0.0]) + 5
    model.learn_scale(x)
    scaled = model._embedded(x.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled[:, :2].std(0, correction=0), torch.ones(2))
    assert scaled[:, 2].eq(0).all()


def test_words_are_read_as_unknown_only_in_training():
    model, x = made(inputs=[4, 3], dropout_words=0.9), torch.ones(50, 2, 2, dtype=torch.int64)
    known = model.embeddings[0](x[..., 0]) + model.embeddings[1](x[..., 1])
    assert torch.equal(model._embedded(x), known)
    changed = (model.train()._embedded(x) != known).any(-1).float().mean().item()
    assert 0.8 < changed < 0.98


def test_with_a_chain_all_labels_are_found_together():
    """Loss, best labels and chances against every sequence of labels, one by one."""
    model, x, n = made(crf=True), torch.randn(4, 1, 2), torch.tensor([4])
    chain = model.chain
    for p in chain.parameters():
        torch.nn.init.normal_(p, 0.0, 2.0)
    scores = model.scores(x, n)[:, 0]
    every = [*product(range(3), repeat=4)]
    values = torch.stack(
        [
            sum(scores[t, k] for t, k in enumerate(y))
            + sum(chain.after[a, b] for a, b in pairwise(y))
            + chain.first[y[0]]
            + chain.last[y[-1]]
            for y in every
        ]
    )
    best, chances = model.found(x, n)
    assert tuple(best[:, 0].tolist()) == every[values.argmax()] != tuple(scores.argmax(1).tolist())
    shares = values.softmax(0)
    second = torch.stack([shares[[y[1] == k for y in every]].sum() for k in range(3)])
    torch.testing.assert_close(chances[1, 0], second)
    loss, _ = model(x, n, torch.tensor([[2], [0], [1], [1]]))
    torch.testing.assert_close(loss, -shares[every.index((2, 0, 1, 1))].log())


def test_a_chain_is_for_steps():
    with pytest.raises(InputError, match="`crf` joins the labels of steps"):
        made(crf=True, whole=True)
