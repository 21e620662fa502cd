"""The linear chain against all sequences of labels, one by one."""

from itertools import pairwise, product

import pytest
import torch

from carousel.labelling.chain import LinearChain

LABELS, STEPS = 3, 4


@pytest.fixture
def chain():
    torch.manual_seed(1)
    chain = LinearChain(LABELS).double()
    for p in chain.parameters():
        torch.nn.init.normal_(p)
    return chain


def value(chain, scores, y):
    """The score of labels y of one row, as the definition says."""
    steps = sum(chain.after[a, b] for a, b in pairwise(y))
    return sum(scores[t, label] for t, label in enumerate(y)) + steps + chain.first[y[0]] + chain.last[y[-1]]


@pytest.fixture
def given():
    """Scores of four rows of all lengths, with nonsense beyond their ends."""
    torch.manual_seed(2)
    return torch.randn(STEPS, 4, LABELS, dtype=torch.float64), torch.tensor([4, 2, 1, 3])


def every(chain, scores, n):
    return {y: value(chain, scores[:n], y) for y in product(range(LABELS), repeat=int(n))}


def test_the_sum_over_all_sequences_of_labels(chain, given):
    scores, lengths = given
    expected = [torch.stack(list(every(chain, scores[:, b], n).values())).logsumexp(0) for b, n in enumerate(lengths)]
    torch.testing.assert_close(chain.log_total(scores, lengths), torch.stack(expected))


def test_the_loss_of_each_sequence_and_its_gradient(chain, given):
    scores, lengths = given
    y = torch.randint(0, LABELS, (STEPS, 4))
    for b, n in enumerate(lengths):
        y[n:, b] = -100  # what pads is never looked at
    loss = chain(scores, lengths, y)
    expected = []
    for b, n in enumerate(lengths):
        values = every(chain, scores[:, b], n)
        expected.append(torch.stack(list(values.values())).logsumexp(0) - values[tuple(y[:n, b].tolist())])
    torch.testing.assert_close(loss, torch.stack(expected))
    ours = torch.autograd.grad(loss.sum(), [*chain.parameters()])
    theirs = torch.autograd.grad(torch.stack(expected).sum(), [*chain.parameters()])
    torch.testing.assert_close(ours, theirs)


def test_the_best_sequence_of_labels(chain, given):
    scores, lengths = given
    best = chain.best(scores, lengths)
    for b, n in enumerate(lengths):
        values = every(chain, scores[:, b], n)
        assert tuple(best[:n, b].tolist()) == max(values, key=values.get)
        assert not best[n:, b].any()


def test_the_probability_of_each_label_at_each_step(chain, given):
    scores, lengths = given
    chances = chain.chances(scores, lengths)
    for b, n in enumerate(lengths):
        values = every(chain, scores[:, b], n)
        shares = torch.stack(list(values.values())).softmax(0)
        for t, label in product(range(n), range(LABELS)):
            expected = sum(p for y, p in zip(values, shares, strict=True) if y[t] == label)
            assert chances[t, b, label].item() == pytest.approx(expected.item())
        assert not chances[n:, b].any()
