"""J counts what it should, and tied weights are one."""

import warnings

import pytest
import torch

from carousel.cells import CELLS
from carousel.errors import InputError
from carousel.language.feeding import IGNORED
from carousel.language.model import LanguageModel, ModelConfig
from carousel.language.softmax import _Rounded
from carousel.language.task import _unrecordable
from carousel.layers import from_torch_state
from carousel.training.descent import Descent

WORDS = 11


def words(*shape):
    return torch.randint(WORDS, shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("cell", CELLS)
def test_every_parameter_of_every_model_learns(cell):
    model = LanguageModel(WORDS, ModelConfig(cell, 6, 6))
    loss, _ = model(words(5, 3), None, words(5, 3))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None for p in model.parameters())


def test_loss_is_minus_the_sum_of_log_probabilities_of_what_counts():
    model = LanguageModel(WORDS, ModelConfig("lstm-v2", 6, 6, dropout=0.0)).double()
    x, y = words(5, 3), words(5, 3) * 0 + torch.arange(3)
    y[3:, 1] = IGNORED
    p = model(x)[0].softmax(-1)
    expected = -sum(p[t, b, y[t, b]].log() for t in range(5) for b in range(3) if y[t, b] != IGNORED)
    torch.testing.assert_close(model(x, None, y)[0], expected)


def test_padding_never_counts():
    model = LanguageModel(WORDS, ModelConfig("gru", 6, 6, dropout=0.0)).double()
    x, y = words(4, 2), words(4, 2)
    more_x = torch.cat([x, words(3, 2)])
    more_y = torch.cat([y, torch.full((3, 2), IGNORED)])
    torch.testing.assert_close(model(more_x, None, more_y)[0], model(x, None, y)[0])


def test_dropout_beside_a_single_layer_is_meant_and_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LanguageModel(WORDS, ModelConfig("lstm", 6, 6, layers=1, dropout=0.5))
    with pytest.raises(InputError, match="`dropout` is a probability"):
        LanguageModel(WORDS, ModelConfig("lstm", 6, 6, layers=1, dropout=1.5))


def test_tied_weights_are_the_embedding():
    model = LanguageModel(WORDS, ModelConfig("lstm", 6, 6, tied=True))
    free = LanguageModel(WORDS, ModelConfig("lstm", 6, 6))
    assert free.count() - model.count() == WORDS * 6
    assert "output.weight" not in model.state_dict()


def test_tied_weights_need_one_size():
    with pytest.raises(InputError, match="set `embedding` 3"):
        LanguageModel(WORDS, ModelConfig("lstm-v4", 6, 6, tied=True))


@pytest.mark.parametrize(
    "config", [{"cell": "lsmt"}, {"dropout": 1.5}, {"dropout_input": -1.0}, {"forget_bias": 1.0, "cell": "gru"}]
)
def test_what_cannot_be_is_refused(config):
    with pytest.raises(InputError):
        LanguageModel(WORDS, ModelConfig(**config))


def test_dropout_is_only_in_training():
    model = LanguageModel(WORDS, ModelConfig("rnn", 6, 6, layers=2, dropout=0.5)).eval()
    x = words(5, 3)
    assert torch.equal(model(x)[0], model(x)[0])
    model.train()
    assert not torch.equal(model(x)[0], model(x)[0])


def test_layers_of_several_sizes_are_a_stack_of_pytorchs():
    torch.manual_seed(1)
    model = LanguageModel(WORDS, ModelConfig("lstm", hidden=[7, 5, 4], tied=True, dropout=0.0)).double()
    assert (model.config.layers, model.config.input_size) == (3, 4)
    theirs = [torch.nn.LSTM(e, h).double() for e, h in ((4, 7), (7, 5), (5, 4))]
    state = {n.replace("_l0", f"_l{k}"): p for k, module in enumerate(theirs) for n, p in module.state_dict().items()}
    model.recurrent.load_state_dict(from_torch_state(state, model.recurrent))
    x, y, hx, states = words(5, 3), words(5, 3), None, [None] * 3
    for _ in range(2):  # the second goes on from the states of the first
        loss, hx = model(x, hx, y)
        h = model.embedding(x)
        for k, module in enumerate(theirs):
            h, states[k] = module(h, states[k])
        logits = h @ model.embedding.weight.T + model.output.bias
        torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum"))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"hidden": [6, 5], "layers": 3}, "`hidden` has 2 sizes, and `layers` is 3"),
        ({"hidden": [6, 0]}, "`hidden` must be at least 1, not 0"),
        ({"hidden": []}, "`hidden` must have a value"),
        ({"hidden": [6, 5], "embedding": 6, "tied": True}, "set `embedding` 5"),
        ({"hidden": [6, 5], "skip": "residual"}, "residual connections add outputs of one size"),
        ({"skip": "dense"}, "`skip` must be none or residual, not 'dense'"),
    ],
)
def test_sizes_and_connections_that_cannot_be_are_refused(config, said):
    with pytest.raises(InputError, match=said):
        LanguageModel(WORDS, ModelConfig("lstm", **config))


def test_a_step_asks_the_device_for_no_number():
    """On the device "meta" there are none: whoever reads one there, as a card would be waited for, fails."""
    config = ModelConfig("lstm-v3", 6, 6, dropout=0.3, dropout_words=0.1, ar=1.0, tar=1.0, smoothing=0.1)
    model = LanguageModel(WORDS, config).to("meta").train()
    descent = Descent(model.parameters(), torch.optim.AdamW(model.parameters()), clip=1.0)
    x = words(5, 3).to("meta")
    descent.step(model(x, None, x)[0], 15)
    h, weight, bias = (torch.zeros(shape, device="meta", requires_grad=True) for shape in ((300, 6), (WORDS, 6), (WORDS,)))
    _Rounded.apply(h, weight, bias, words(300).to("meta"), torch.bfloat16).backward()
    assert h.grad.shape == (300, 6)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (ModelConfig("lstm-variational", rates="h=0.2"), "with `rates`"),
        (ModelConfig("lstm", learned_initial=True), "with `learned_initial`"),
        (ModelConfig("lstm", softmax="sampled"), "with `softmax` sampled"),
        (ModelConfig("lstm", softmax="adaptive"), "with `softmax` adaptive"),
        (ModelConfig("lstm", dropout=0.3, softmax="mixture"), None),
    ],
)
def test_a_step_that_asks_the_processor_is_not_recorded(model, why):
    said = _unrecordable(model)
    assert said is why is None or said.startswith(why)
