"""First weights: a memory that neither drifts away nor saturates over the lag."""

import numpy as np
import pytest
import torch

from carousel.tasks import recipes, runs
from carousel.tasks.network import Network


@pytest.mark.parametrize("key", ["very-long-lag-q1000-p50", "very-long-lag-q1000-p1000", "two-sequences-T1000-N3"])
@torch.no_grad()
def test_noise_adds_up_to_about_one_over_the_lag(key):
    row = runs.row(key)
    recipe = recipes.today(row, "lstm-v1")

    def memory(prepared):
        torch.manual_seed(1)
        network = Network(row.problem, "lstm-v1", 8, recipe.embedding, prepared=prepared)
        x = torch.from_numpy(np.ascontiguousarray(row.problem.draw(np.random.default_rng(0), 32).inputs))
        x = x if network.embedding is None else torch.nn.functional.embedding(x, network.embedding)
        _, _, seen = network.layer(x[: row.problem.lag], record=["h"])
        return seen["h"][0, -1].abs().mean().item()

    assert 0.02 < memory(True) < 3
    assert memory(False) > 5 * memory(True)  # PyTorch's first weights carry it away


def test_gates_begin_as_the_lag_asks():
    problem = runs.row("adding-T1000").problem  # a lag of 500
    torch.manual_seed(0)
    layer = Network(problem, "lstm-v2", 4, 0).layer
    assert torch.allclose(layer.b["f_l0"], torch.tensor(np.log(500) + 1).float())
    assert torch.allclose(layer.b["i_l0"], torch.tensor(-np.log(500) / 2).float())
    assert not layer.W["ie_l0"].any() and not layer.W["fe_l0"].any() and layer.W["he_l0"].any()
    assert all(layer.W[f"{into}m_l0"].abs().max() <= 0.1 * 10 / 500 for into in "ifho")


def test_without_gates_feedback_is_orthogonal():
    torch.manual_seed(0)
    network = Network(runs.row("adding-T100").problem, "rnn", 6, 0)
    (w,) = (w for name, w in network.layer.W.items() if name[1] != "e")
    assert torch.allclose(w @ w.T, torch.eye(6), atol=1e-5)


def test_embeddings_are_centred_and_many_outputs_begin_silent():
    torch.manual_seed(0)
    network = Network(runs.row("long-lag").problem, "lstm-v1", 4, 8)
    assert network.embedding.mean(0).abs().max() < 1e-6
    assert not network.output.weight.any()
    assert Network(runs.row("order").problem, "lstm-v1", 6, 4).output.weight.any()
