"""Regularizers are those of their papers: AWD-LSTM written out in PyTorch, with the same masks, learns the same."""

import pytest
import torch
from torch.nn.functional import cross_entropy, dropout

from carousel.errors import InputError
from carousel.language.model import LanguageModel, ModelConfig
from carousel.language.softmax import KINDS
from carousel.layers import Recurrent

X = torch.randint(0, 11, (6, 3), generator=torch.Generator().manual_seed(1))
Y = torch.randint(0, 11, (6, 3), generator=torch.Generator().manual_seed(2))


def made(**config):
    torch.manual_seed(1)
    model = LanguageModel(11, ModelConfig("lstm-v2", 5, 5, layers=2, **config)).double()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(2)
    return model


def gradients(loss, model):
    return dict(zip(dict(model.named_parameters()), torch.autograd.grad(loss, [*model.parameters()]), strict=True))


def locked(x, p):
    """AWD-LSTM's LockedDropout: one mask for all steps of a row."""
    mask = torch.nn.functional.dropout(torch.ones(1, x.shape[1], x.shape[2], dtype=x.dtype), p)
    return mask.expand_as(x) * x


def lstm(x, W, b):
    """One layer, written out: W and b by the letters of the slides."""
    m = h = torch.zeros(x.shape[1], 5, dtype=x.dtype)
    out = []
    for e in x:
        i, f, g, o = (e @ W[f"W.{k}e"].T + m @ W[f"W.{k}m"].T + b[f"b.{k}"] for k in "ifho")
        h = f.sigmoid() * h + i.sigmoid() * g.tanh()
        m = o.sigmoid() * h.tanh()
        out.append(m)
    return torch.stack(out)


def awd(model, x, y):
    """The loss of Merity et al.'s program, its masks drawn in the order in which ours are."""
    words = dropout(torch.ones(11, 1, dtype=torch.float64), 0.1)  # embedded_dropout
    h = locked((words * model.embedding.weight)[x], 0.3)
    for layer in range(2):
        found = model.recurrent.parameters_of(layer)
        weights = {n: dropout(v, 0.5) if n in model.recurrent.cell.recurrent else v for n, v in found.items()}
        raw = h = lstm(h, weights, weights)
        if layer == 0:
            h = locked(h, 0.25)
    h = locked(h, 0.4)
    logits = h @ model.embedding.weight.T + model.output.bias
    loss = cross_entropy(logits.flatten(0, 1), y.flatten())
    return loss, loss + 2 * h.pow(2).mean() + 1 * (raw[1:] - raw[:-1]).pow(2).mean()


def test_it_is_awd_lstm():
    drops = {"dropout": 0.25, "dropout_input": 0.3, "dropout_output": 0.4, "dropout_words": 0.1, "weight_dropout": 0.5}
    model = made(variational_dropout=True, tied=True, ar=2.0, tar=1.0, **drops)
    assert {n[:3] for n in model.recurrent.cell.recurrent} == {"W.i", "W.f", "W.h", "W.o"}
    torch.manual_seed(5)
    loss, _ = model(X, None, Y)
    torch.manual_seed(5)
    told, learned = awd(model, X, Y)
    assert loss.item() / 18 == pytest.approx(told.item(), rel=1e-12)  # what training tells is J alone
    ours, theirs = gradients(loss / 18, model), gradients(learned, model)
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-9, atol=1e-12)


def test_padding_is_not_regularized():
    """The gradient of padded rows is the mean of the rows' own, by their targets; over a gap nothing changes."""
    model = made(ar=2.0, tar=1.5, dropout=0.0)
    y = Y.clone()
    y[4:, 0], y[2:, 1], y[2, 2] = -100, -100, -100
    padded = gradients(model(X, None, y)[0], model)["recurrent.W.im_l1"]

    def penalty(outputs, y):
        return 2.0 * outputs.pow(2).mean(1).sum()

    h, _ = model.recurrent(model.embedding(X))
    kept = [h[:4, 0], h[:2, 1], h[:2, 2], h[3:, 2]]
    changes = torch.cat([(k[1:] - k[:-1]).flatten() for k in kept])
    loss = cross_entropy(model(X)[0].flatten(0, 1), y.flatten(), ignore_index=-100, reduction="sum")
    loss = loss + sum(penalty(k, None) for k in kept) + 1.5 * changes.pow(2).mean() * 11
    torch.testing.assert_close(padded, gradients(loss, model)["recurrent.W.im_l1"])


@pytest.mark.parametrize("softmax", KINDS)
def test_in_evaluation_nothing_is_dropped_or_added(softmax):
    tokens = 16 if softmax == "adaptive" else 11
    torch.manual_seed(1)
    config = {"softmax": softmax, "dropout_words": 0.5, "weight_dropout": 0.5, "ar": 1.0, "tar": 1.0, "dropout": 0.0}
    model = LanguageModel(tokens, ModelConfig("gru", 5, 5, **config)).eval()
    plain = LanguageModel(tokens, ModelConfig("gru", 5, 5, softmax=softmax, dropout=0.0)).eval()
    plain.load_state_dict(model.state_dict())
    assert torch.equal(model(X, None, Y)[0], plain(X, None, Y)[0])
    gradients = [torch.autograd.grad(m(X, None, Y)[0], m.embedding.weight)[0] for m in (model, plain)]
    assert torch.equal(*gradients)


@pytest.mark.parametrize("tied", [False, True])
def test_label_smoothing_is_pytorchs(tied):
    model = made(smoothing=0.2, dropout=0.0, tied=tied)
    y = Y.clone()
    y[1, 1] = -100
    loss, _ = model(X, None, y)
    flat = model(X)[0].flatten(0, 1)
    smoothed = cross_entropy(flat, y.flatten(), ignore_index=-100, reduction="sum", label_smoothing=0.2)
    assert loss.item() == pytest.approx(cross_entropy(flat, y.flatten(), ignore_index=-100, reduction="sum").item())
    ours, theirs = gradients(loss, model), gradients(smoothed, model)
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-9, atol=1e-12)


def test_label_smoothing_needs_linear_logits():
    with pytest.raises(InputError, match="`smoothing` needs logits that are linear"):
        LanguageModel(40, ModelConfig("gru", 5, 5, softmax="adaptive", smoothing=0.1))


@pytest.mark.parametrize("cell", ["lstm-v3", "gru", "lstm-v4", "lstm-v2-4-heads", "lipschitz-rnn"])
def test_weights_from_states_are_dropped_in_training_alone(cell):
    layer, x = Recurrent(cell, 8, 8, weight_dropout=0.5, dtype=torch.float64), torch.randn(5, 2, 8, dtype=torch.float64)
    plain = Recurrent(cell, 8, 8, dtype=torch.float64)
    plain.load_state_dict(layer.state_dict())
    assert "weight_dropout=0.5" in repr(layer)
    torch.testing.assert_close(layer.eval()(x)[0], plain(x)[0])
    layer.train()
    torch.manual_seed(3)
    output = layer(x)[0]
    torch.manual_seed(3)
    with torch.no_grad():
        for name in layer.cell.recurrent:
            weight = plain.parameter(name)
            weight.copy_(dropout(weight, 0.5))
    torch.testing.assert_close(output, plain(x)[0])
    with pytest.raises(ValueError, match="weight_dropout is a probability"):
        Recurrent(cell, 8, 8, weight_dropout=1.0)
