"""Parameters start as their names say, and are sorted for optimizers."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from carousel.layers import Recurrent, chrono

SIZES = (3, 8)


def test_names_and_patterns_give_first_values():
    layer = Recurrent("lstm-v3", *SIZES, num_layers=2, bidirectional=True, init={"W.*m": "orthogonal", "w.*": 0.5, "w.oh": -1})
    for k in ("l0", "l1_reverse"):
        for gate in "ifo":
            torch.testing.assert_close(layer.W[f"{gate}m_{k}"] @ layer.W[f"{gate}m_{k}"].T, torch.eye(8), atol=1e-5, rtol=0)
        assert (layer.w[f"ih_{k}"] == 0.5).all() and (layer.w[f"oh_{k}"] == -1).all()  # the last that fits
        assert (layer.W[f"ie_{k}"].abs() <= 8**-0.5).all() and layer.W[f"ie_{k}"].std() > 0


def test_functions_fill_or_return():
    layer = Recurrent("rnn", *SIZES, init={"b.*": nn.init.ones_, "W.he": lambda w: torch.full_like(w, 2), "W.hh": "eye_"})
    assert (layer.b["h_l0"] == 1).all() and (layer.W["he_l0"] == 2).all() and torch.equal(layer.W["hh_l0"], torch.eye(8))
    with torch.no_grad():
        layer.W["he_l0"].zero_()
    layer.reset_parameters()
    assert (layer.W["he_l0"] == 2).all()


def test_it_comes_before_the_short_forms_and_draws_nothing_else_anew():
    options = {"recurrent_init": "orthogonal", "forget_bias": 1.0}
    torch.manual_seed(1)
    layer = Recurrent("lstm", *SIZES, **options, init={"b.f": 3.0})
    assert (layer.b["f_l0"] == 3).all()
    torch.manual_seed(1)
    plain = Recurrent("lstm", *SIZES, **options)
    assert torch.equal(layer.W["i_l0"], plain.W["i_l0"])


def test_chrono_spreads_the_times_that_gates_keep():
    torch.manual_seed(1)
    layer = Recurrent("lstm-v2", 3, 4000, init={"b.f": chrono(1, 100), "b.i": "-b.f"}, dtype=torch.float64)
    times = layer.b["f_l0"].exp()  # uniform in [1, 99]
    assert 1 <= times.min() < 1.5 and 98 < times.max() <= 99 and times.mean().item() == pytest.approx(50, abs=2)
    assert torch.equal(layer.b["i_l0"], -layer.b["f_l0"])


@pytest.mark.parametrize(
    ("init", "error", "message"),
    [
        ({"b.q": 1.0}, ValueError, r"init: cell lstm-v3 has no parameter 'b\.q'; it has W\.ie, W\.im, .*b\.h"),
        ({"c.*": 1.0}, ValueError, r"no parameter 'c\.\*'"),
        ({"b.f": "orthogonl"}, ValueError, r"there is no 'orthogonl'; torch\.nn\.init has .*orthogonal"),
        ({"b.f": "constant"}, ValueError, r"there is no 'constant'"),
        ({"b.f": "orthogonal"}, ValueError, r"init: b\.f of shape \(8,\): .*2 or more dimensions"),
        ({"b.f": float("nan")}, ValueError, r"init: the value of b\.f must be a finite number"),
        ({"b.f": [1.0]}, TypeError, r"init: the value of b\.f must be a number"),
        ({"b.f": lambda w: torch.zeros(3)}, ValueError, r"init: b\.f has shape \(8,\), but its function gives \(3,\)"),
        ({"b.f": "-b.q"}, ValueError, r"init: '-b\.q' is the negative of no other parameter"),
        ({"b.*": "-b.f"}, ValueError, r"init: '-b\.f' is the negative of no other parameter"),
        ({"b.i": "-W.ie"}, ValueError, r"init: b\.i has shape \(8,\), but its function gives \(8, 3\)"),
        ({"b.i": "-b.f", "b.f": "-b.o"}, ValueError, r"init: b\.i and b\.f are both the negative"),
        ({1: 1.0}, TypeError, "init: 1 is no name"),
        ([("b.f", 1.0)], TypeError, "init is a dictionary"),
    ],
)
def test_what_is_no_first_value_is_refused(init, error, message):
    with pytest.raises(error, match=message):
        Recurrent("lstm-v3", *SIZES, init=init)


def test_a_bias_that_is_left_out_has_no_first_value():
    with pytest.raises(ValueError, match=r"no parameter 'b\.f'; it has W\.ie"):
        Recurrent("lstm-v3", *SIZES, bias=False, init={"b.f": 1.0})


@pytest.mark.parametrize(("low", "high"), [(0, 10), (5, 5.5), (1, float("inf"))])
def test_chrono_refuses_what_is_no_range(low, high):
    with pytest.raises(ValueError, match="chrono"):
        chrono(low, high)


def test_groups_hold_every_parameter_once():
    layer = Recurrent("lstm-v3", *SIZES, num_layers=2, learned_initial=True)
    groups = layer.parameter_groups()
    assert {k: len(v) for k, v in groups.items()} == {"recurrent": 8, "input": 8, "peephole": 6, "bias": 8, "initial": 4}
    found = [id(p) for group in groups.values() for p in group]
    assert sorted(found) == sorted(map(id, layer.parameters()))
    assert groups["recurrent"][0] is layer.W["im_l0"] and groups["input"][0] is layer.W["ie_l0"]


def test_groups_hold_what_a_weight_is_computed_from():
    layer = Recurrent("lstm", *SIZES, bias=False)
    parametrizations.weight_norm(layer.W, "i_l0")
    prune.random_unstructured(layer.W, "f_l0", 0.5)
    groups = layer.parameter_groups()
    assert len(groups["recurrent"]) == 5 and not groups["bias"] and not groups["input"]
    assert layer.W.f_l0_orig in {*groups["recurrent"]}
