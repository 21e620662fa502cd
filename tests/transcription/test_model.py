"""A transcriber: its loss, that nothing beside an input is read, and its scale."""

import numpy as np
import pytest
import torch

from carousel.errors import InputError
from carousel.transcription.examples import Inputs
from carousel.transcription.model import Transcriber, TranscriberConfig
from carousel.transcription.prepare import learn_scale
from carousel.transcription.task import laid_out


def made(**options):
    torch.manual_seed(1)
    return Transcriber(3, 2, TranscriberConfig(**({"hidden": 5, "dropout": 0.0, "reads": "series"} | options))).eval()


@pytest.mark.parametrize(
    "options", [{"subsample": "1,2"}, {"reads": "grid", "subsample": "2x2,2x1", "corners": 2}, {"between": 4}]
)
def test_the_loss_of_a_batch_is_the_sum_of_its_rows(options):
    model = made(**options)
    grid = options.get("reads") == "grid"
    data = np.random.default_rng(1).normal(size=(3, 8, 20, 2) if grid else (3, 20, 2)).astype(np.float32)
    sizes = np.array([[8, 20], [4, 12], [6, 13]]) if grid else np.array([20, 12, 13])
    targets, lengths = torch.tensor([[1, 2, 1], [3, 0, 0], [2, 2, 0]]), torch.tensor([3, 1, 2])
    inputs = Inputs(data, sizes)
    together, _ = model(*laid_out(inputs), targets, lengths)
    alone = [model(*laid_out(inputs.rows([k])), targets[k : k + 1], lengths[k : k + 1])[0] for k in range(3)]
    torch.testing.assert_close(together, sum(alone))
    together.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    changed = data.copy()
    changed[1, 5:, 13:] = 9 if grid else changed[1, 5:, 13:]
    changed[1][(slice(None), slice(12, None)) if grid else slice(12, None)] = 9
    torch.testing.assert_close(model(*laid_out(Inputs(changed, sizes)), targets, lengths)[0], together)


def test_a_grids_columns_are_summed():
    model = made(reads="grid", subsample="2x2", layers=1, corners=1)
    x = torch.randn(4, 6, 1, 2)
    h, _ = model.hierarchy(x, torch.tensor([[4, 6]]))
    logs, steps = model.logs(x, torch.tensor([[4, 6]]))
    torch.testing.assert_close(logs, model.output(h[0] + h[1]).log_softmax(-1))
    assert steps.tolist() == [3] and logs.shape == (3, 1, 4)


def test_the_scale_is_that_of_what_counts():
    choose = np.random.default_rng(1)
    data = choose.normal([3, -5], [2, 0.1], size=(50, 30, 2)).astype(np.float32)
    sizes = choose.integers(10, 30, size=50)
    data[np.arange(30) >= sizes[:, None]] = 1e6
    model = made()
    learn_scale(model, Inputs(data, sizes))
    torch.testing.assert_close(model.mean, torch.tensor([3.0, -5.0]), atol=0.2, rtol=0)
    torch.testing.assert_close(model.deviation, torch.tensor([2.0, 0.1]), atol=0.2, rtol=0.1)
    model = made(reads="columns")
    learn_scale(model, Inputs(np.stack([np.zeros((4, 9)), np.full((4, 9), 2)], -1).astype(np.uint8), np.full(4, 9)))
    assert model.mean.tolist() == [1, 1] and model.deviation.tolist() == [1, 1]


def test_noise_on_inputs_is_for_training_alone():
    model = made(input_noise=0.5)
    x, sizes = torch.randn(9, 1, 2), torch.tensor([9])
    assert torch.equal(model.logs(x, sizes)[0], model.logs(x, sizes)[0])
    model.train()
    assert not torch.equal(model.logs(x, sizes)[0], model.logs(x, sizes)[0])


def test_the_usual_cell_is_that_of_what_a_step_is():
    assert TranscriberConfig().cell == "lstm-v2" and TranscriberConfig(reads="grid").cell == "mdlstm"
    assert TranscriberConfig(cell="gru").cell == "gru"


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"subsample": "1,2,3"}, "at most 2, one a layer"),
        ({"subsample": "2x2"}, "steps such as 1,2"),
        ({"subsample": "0"}, "steps such as 1,2"),
        ({"reads": "grid", "subsample": "2"}, "blocks such as 2x2"),
        ({"reads": "grid", "weight_noise": 0.1}, "`weight_noise` is for sequences"),
        ({"reads": "grid", "cell": "gru"}, "a layer of it is a Recurrent"),
        ({"cell": "mdlstm"}, "take it in a Grid"),
        ({"reads": "pages"}, "`reads` must be series or columns or grid"),
        ({"cell": "lsmt"}, "did you mean lstm"),
    ],
)
def test_refusals(options, part):
    with pytest.raises(InputError, match=part):
        made(**options)
