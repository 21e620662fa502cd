"""Layers with heads: first values, groups of parameters, what a layer is asked and saved with."""

import math
import pickle

import pytest
import torch

from carousel import cells
from carousel.insight import theory
from carousel.layers import Recurrent, from_torch, to_torch


def test_a_layer_chooses_the_number_of_heads():
    layer = Recurrent("slstm", 6, 16, heads=4, num_layers=2, bidirectional=True)
    assert layer.cell is cells.get("slstm-4-heads") and layer.W["im_l1_reverse"].shape == (4, 4, 4)
    assert repr(layer).startswith("Recurrent(slstm-4-heads, 6, 16")
    assert layer(torch.randn(5, 3, 6))[0].shape == (5, 3, 32)
    assert pickle.loads(pickle.dumps(layer)).cell is layer.cell
    other = Recurrent(layer.cell, 6, 16, num_layers=2, bidirectional=True)
    other.load_state_dict(layer.state_dict())
    with pytest.raises(RuntimeError, match=r"size mismatch for W.im_l0"):
        Recurrent("slstm", 6, 16, num_layers=2, bidirectional=True).load_state_dict(layer.state_dict())


def test_wrong_heads_are_refused():
    with pytest.raises(ValueError, match=r"cell gru-3-heads has 3 heads, and W.rh has 16 units to share among them"):
        Recurrent("gru", 6, 16, heads=3)
    with pytest.raises(ValueError, match=r"heads must be at least 1, not 0"):
        Recurrent("gru", 6, 16, heads=0)
    with pytest.raises(TypeError, match=r"heads must be a whole number"):
        Recurrent("gru", 6, 16, heads=2.0)
    layer = Recurrent("gru", 6, 16, heads=2)
    with torch.no_grad(), pytest.raises(ValueError, match=r"parameter W.rh"):
        layer.W["rh_l0"].data = torch.zeros(16, 8)
        layer(torch.zeros(1, 1, 6))


def test_a_projections_usual_size_is_one_that_heads_share():
    assert Recurrent("lstm-v4", 3, 12, heads=4).proj_size == 4
    assert Recurrent("lstm-v4", 3, 4, heads=4).proj_size == 4
    assert Recurrent("lstm-v4", 3, 9).proj_size == 4


def test_first_values():
    torch.manual_seed(0)
    layer = Recurrent("gru", 6, 64, heads=4)
    largest = max(float(p.detach().abs().max()) for p in layer.parameters())
    assert 0.99 / math.sqrt(64) < largest <= 1 / math.sqrt(64)
    for made in (
        Recurrent("gru", 6, 64, heads=4, recurrent_init="orthogonal"),
        Recurrent("gru", 6, 64, heads=4, init={"W.?h": "orthogonal"}),
    ):
        for block in made.W["zh_l0"]:
            torch.testing.assert_close(block @ block.T, torch.eye(16), atol=1e-5, rtol=0)
        assert not torch.equal(made.W["zh_l0"][0], made.W["zh_l0"][1])
    spread = Recurrent("gru", 6, 64, heads=4, init={"W.zh": "xavier_uniform"}).W["zh_l0"]
    assert 0.9 * math.sqrt(6 / 32) < float(spread.detach().abs().max()) <= math.sqrt(6 / 32)  # of a block's columns and rows
    shapes = []
    Recurrent("gru", 6, 64, heads=4, init={"W.zh": lambda w: shapes.append(w.shape)})
    assert shapes == [(4, 16, 16)]


def test_groups_of_parameters():
    groups = Recurrent("lstm-v3", 6, 16, heads=4).parameter_groups()
    assert {p.shape for p in groups["recurrent"]} == {(4, 4, 4)} and len(groups["recurrent"]) == 4
    assert {p.shape for p in groups["input"]} == {(16, 6)}


def test_largest_singular_value_is_that_of_the_whole_matrix():
    layer = Recurrent("rnn", 3, 12, heads=3)
    whole = torch.block_diag(*layer.W["hh_l0"].detach().double())
    wanted = float(torch.linalg.matrix_norm(whole, 2))
    assert theory.largest_singular_value(layer, "W.hh") == pytest.approx(wanted)
    theory.rescale(layer, 1.5)
    assert theory.bound(layer) == pytest.approx(1.5)


def test_there_is_no_such_module_in_pytorch():
    layer = Recurrent("gru", 3, 8, heads=2)
    with pytest.raises(ValueError, match=r"PyTorch has no module for cell gru-2-heads"):
        to_torch(layer)
    assert from_torch(torch.nn.GRU(3, 8)).cell.heads == 1
