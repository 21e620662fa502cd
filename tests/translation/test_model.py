"""Padding never counts, memory is all that memory-only passes on, and attention is what its papers say."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from carousel.errors import InputError
from carousel.language.feeding import IGNORED
from carousel.translation.model import Translator, TranslatorConfig

KINDS = [
    {"attention": "none"},
    {"attention": "none", "bidirectional": True, "layers": 2, "tied": True},
    {"attention": "general", "bidirectional": True, "decoder_layers": 2},
    {"attention": "dot", "tied": True},
    {"attention": "additive", "layers": 2},
]
named = pytest.mark.parametrize("options", KINDS, ids=lambda o: "-".join(str(v) for v in o.values()))
LENGTHS = torch.tensor([5, 2, 4])
ENDS = [3, 6, 1]  # of the targets


def batch(source_words=9, target_words=8):
    torch.manual_seed(3)
    source = torch.randint(0, source_words, (5, 3))
    x, y = (torch.randint(0, target_words, (6, 3)) for _ in range(2))
    for row, n in enumerate(ENDS):
        y[n:, row] = IGNORED
    return source, LENGTHS, x, y


@named
def test_a_batch_costs_what_its_rows_cost_alone(make, options):
    model = make(**options).double()
    source, lengths, x, y = batch()
    together, _ = model(source, lengths, x, y)
    alone = [
        model(source[:n, [k]], lengths[[k]], x[:t, [k]], y[:t, [k]])[0]
        for k, (n, t) in enumerate(zip(lengths.tolist(), ENDS, strict=True))
    ]
    torch.testing.assert_close(together, torch.stack(alone).sum())


@named
def test_what_stands_beyond_a_row_s_end_is_never_read(make, options):
    model = make(**options)
    source, lengths, x, y = batch()
    other = source.clone()
    for row, n in enumerate(lengths.tolist()):
        other[n:, row] = (other[n:, row] + 1) % 9
    assert torch.equal(model(source, lengths, x, y)[0], model(other, lengths, x, y)[0])


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm-v3", "lstm-v4", "clockwork", "mlp"])
@pytest.mark.parametrize("attention", ["none", "general"])
def test_any_cell_translates_and_learns(make, cell, attention):
    model = make(cell=cell, attention=attention, embedding=7, bidirectional=attention != "none").train()
    loss, carried = model(*batch())
    loss.backward()
    assert carried is None
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_the_decoder_starts_from_the_encoder_s_states_at_each_row_s_own_end(make):
    model = make()
    source, lengths, *_ = batch()
    states = model.read(source, lengths).states
    for row, n in enumerate(lengths.tolist()):
        _, own = model.encoder(model.source_embedding(source[:n, [row]]))
        for a, b in zip(states[0], own, strict=True):
            torch.testing.assert_close(a[:, [row]], b)


def test_memory_only_passes_nothing_but_states(make):
    read = make().read(*batch()[:2])
    assert (read.outputs, read.keys, read.padding) == (None, None, None)


@named
def test_a_sentence_written_word_by_word_is_the_sentence_written_at_once(make, options):
    model = make(**options)
    source, lengths, x, _ = batch()
    read = model.read(source, lengths)
    whole, _, weights = model.decode(x, read)
    states, steps = None, []
    for word in x:
        h, states, looked = model.decode(word.unsqueeze(0), read, states)
        steps.append((h[0], looked))
    torch.testing.assert_close(torch.stack([h for h, _ in steps]), whole)
    if weights is not None:
        torch.testing.assert_close(torch.stack([w[:, 0] for _, w in steps], 1), weights)


@pytest.mark.parametrize("kind", ["dot", "general", "additive"])
def test_attention_is_the_papers(make, kind):
    """Luong et al. 2015, equation 8, and Bahdanau et al. 2015, appendix A.1.2, one step and one place at a time."""
    attention = make(attention=kind).attention
    queries, values = torch.randn(2, 3, 7), torch.randn(2, 4, 7)
    padding = torch.tensor([[False] * 4, [False, False, True, True]])
    contexts, weights = attention(queries, attention.keys(values), values, padding)
    for b, n in enumerate((4, 2)):
        for t in range(3):
            q = queries[b, t]
            if kind == "dot":
                scores = [q @ v for v in values[b, :n]]
            elif kind == "general":
                scores = [q @ attention.key.weight @ v for v in values[b, :n]]
            else:
                scores = [
                    attention.score.weight[0] @ torch.tanh(attention.query(q) + attention.key.weight @ v) for v in values[b, :n]
                ]
            expected = torch.stack(scores).softmax(0)
            torch.testing.assert_close(weights[b, t, :n], expected)
            assert torch.equal(weights[b, t, n:], torch.zeros(4 - n))
            torch.testing.assert_close(contexts[b, t], expected @ values[b, :n])


@pytest.mark.parametrize("tied", [False, True])
def test_label_smoothing_is_pytorch_s(make, tied):
    model = make(smoothing=0.1, tied=tied).train()
    source, lengths, x, y = batch()
    found, _ = model(source, lengths, x, y)
    h, _, _ = model.decode(x, model.read(source, lengths))
    logits = model.logits(h).flatten(0, 1)
    expected = cross_entropy(logits, y.flatten(), ignore_index=IGNORED, reduction="sum", label_smoothing=0.1)
    torch.testing.assert_close(found, expected)
    model.eval()
    plain = cross_entropy(logits, y.flatten(), ignore_index=IGNORED, reduction="sum")
    torch.testing.assert_close(model(source, lengths, x, y)[0], plain)


def test_words_are_left_out_in_training_only(make):
    model = make(dropout_words=0.5).train()
    e = torch.ones(40, 30, 4)
    left = model._drop_words(e).mean(-1)
    assert set(left.unique().tolist()) == {0.0, 1.0}  # a word as a whole
    assert 0.4 < left.mean() < 0.6
    assert torch.equal(model.eval()._drop_words(e), e)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"cell": "lsmt"}, "did you mean"),
        ({"attention": "luong"}, "none or dot or general or additive"),
        ({"attention": "dot", "bidirectional": True}, "take general"),
        ({"smoothing": 1.0}, "smoothing"),
        ({"dropout": 2.0}, "probability"),
        ({"decoder_layers": 0}, "decoder_layers"),
    ],
)
def test_what_cannot_be_is_refused(options, part):
    with pytest.raises(InputError, match=part):
        Translator(5, 5, TranslatorConfig(**({"embedding": 6, "hidden": 6} | options)))
