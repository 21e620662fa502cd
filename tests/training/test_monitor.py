"""Channels of training: they tell what is there, and change nothing."""

import json

import pytest
import torch
from small_runs import ends_the_same, tensors, train
from torch.nn.utils.rnn import pack_sequence

from carousel.errors import InputError
from carousel.layers import Grid, Recurrent
from carousel.training import board
from carousel.training.monitor import Monitor
from carousel.training.task import Trainable


def channels(folder):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["event"] == "monitor"]


def test_a_monitored_run_learns_the_same(make_run):
    plain, config = make_run("plain", epochs=1)
    train(plain, config)
    watched, config = make_run("watched", epochs=1, monitor=5)
    train(watched, config)
    one, other = tensors(plain), tensors(watched)
    assert all(torch.equal(one[k], other[k]) for k in one)
    assert [row["step"] for row in channels(watched)] == [*range(1, channels(watched)[-1]["step"] + 1, 5)]


def test_a_monitored_run_goes_on_bit_for_bit(make_run, tmp_path):
    assert ends_the_same(make_run, 6, epochs=1, monitor=5)
    assert channels(tmp_path / "whole") == channels(tmp_path / "parts")


def test_the_numbers_are_those_of_the_tensors(make_run):
    folder, config = make_run(epochs=1, monitor=1, clip=0.01, optimizer="sgd", momentum=0.0)
    train(folder, config)
    last = channels(folder)[-1]
    weights = last["weights"]["recurrent.W.im_l0"]
    kept = tensors(folder)["checkpoint:model.recurrent.W.im_l0"]
    assert weights["norm"] == pytest.approx(kept.norm().item(), rel=1e-4)
    assert weights["max"] == pytest.approx(kept.max().item(), rel=1e-4)
    assert weights["min"] == pytest.approx(kept.min().item(), rel=1e-4)
    total = sum(g["norm"] ** 2 for g in last["gradients"].values()) ** 0.5
    assert total == pytest.approx(last["norm"], rel=1e-3) and last["norm"] > 0.01  # as it was before it was clipped
    gate, state = last["values"]["recurrent.f"], last["values"]["recurrent.h"]
    assert 0 < gate["min"] < gate["mean"] < gate["max"] < 1 and "shut" in gate and "shut" not in state


class Watched(Trainable):
    """A model that is one layer."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, *given):
        return self.layer(*given)


@pytest.mark.parametrize("batch_first", [False, True])
def test_beyond_the_end_of_packed_sequences_nothing_is_measured(batch_first):
    torch.manual_seed(1)
    model = Watched(Recurrent("lstm-v2", 3, 4, bidirectional=True, batch_first=batch_first))
    given = [8 * torch.randn(n, 3) for n in (2, 6, 3)]  # so that gates are shut, between and open
    monitor = Monitor(model)
    monitor.look((pack_sequence(given, enforce_sorted=False),))
    seen = torch.cat([model.layer(x, record=["i"])[2]["i"].flatten() for x in given])
    assert monitor.seen["layer.i"]["mean"] == pytest.approx(seen.mean().item(), rel=1e-4)
    assert monitor.seen["layer.i"]["min"] == pytest.approx(seen.min().item(), rel=1e-4)
    shares = [(seen < 0.1).float().mean().item(), (seen > 0.9).float().mean().item()]
    assert [monitor.seen["layer.i"][k] for k in ("shut", "open")] == pytest.approx(shares, rel=1e-4) and min(shares) > 0
    assert isinstance(model(given[0]), tuple) and len(model(given[0])) == 2  # it is as before


@pytest.mark.parametrize("layer", [Grid("mdlstm", 2, 3), Recurrent("clockwork", 2, 4)], ids=repr)
def test_every_kind_of_layer_has_channels(layer):
    model = Watched(layer)
    monitor = Monitor(model)
    monitor.look((torch.randn(*([4, 5] if isinstance(layer, Grid) else [4]), 2, 2),))
    assert monitor.seen and all(name.startswith("layer.") for name in monitor.seen)


def test_every_number_of_a_line_has_a_name():
    row = {"event": "monitor", "step": 3, "epoch": 1, "norm": 2.0, "weights": {"W": {"norm": 1.5}}, "best": True, "none": None}
    assert dict(board.numbers(row)) == {"norm": 2.0, "weights/W/norm": 1.5}


def test_tensorboard_is_written_or_one_line_says_how(make_run):
    folder, config = make_run(epochs=1, tensorboard=True)
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match="`tensorboard` needs the package"):
            train(folder, config)
        return
    train(folder, config)
    assert [*(folder / board.FOLDER).iterdir()]
