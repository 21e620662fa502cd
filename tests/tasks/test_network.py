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

    def memory(without):
        torch.manual_seed(1)
        network = Network(row.problem, "lstm-v1", 8, recipe.embedding, without=without)
        x = torch.from_numpy(np.ascontiguousarray(row.problem.draw(np.random.default_rng(0), 32).inputs))
        if network.embedding is not None:
            x = torch.nn.functional.embedding(x, network.embedding.normal_())
        _, _, seen = network.layer(x[: row.problem.lag], record=["h"])
        return seen["h"][0, -1].abs().mean().item()

    assert 0.02 < memory("") < 3
    assert memory("start") > 5 * memory("")  # PyTorch's first weights carry it away


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


def test_no_symbol_weighs_more_than_another_and_one_step_can_be_heard():
    """A number of an embedding moves an output by about as much whatever the lag."""
    moves = []
    for key in ("very-long-lag-q50-p50", "very-long-lag-q1000-p50"):
        torch.manual_seed(0)
        network = Network(runs.row(key).problem, "lstm-v1", 64, 1)
        assert not network.embedding.any()
        with torch.no_grad():
            network.embedding[-1] = 0.1
            silent, heard = (network(torch.full((20, 1), s), torch.tensor([20])) for s in (0, 53))
        moves.append((heard - silent).abs().max().item() / 20)
    assert 0.5 < moves[0] / moves[1] < 2


def test_each_detail_can_be_left_out():
    """Only what it names is another."""
    row = runs.row("very-long-lag-q1000-p50")

    def made(without=""):
        torch.manual_seed(0)
        network = Network(row.problem, "lstm-v1", 4, 1, without=without)
        found = {n: p.detach().clone() for n, p in network.named_parameters()}
        return found | {"uncertainty": torch.from_numpy(network.uncertainty())}

    whole = made()
    for detail, parts in (("embeddings", {"embedding"}), ("outputs", {"output.weight"}), ("sureness", {"uncertainty"})):
        assert {n for n, p in made(detail).items() if not torch.equal(p, whole[n])} == parts
    assert made("outputs")["output.weight"].abs().max() <= 1 and (made("sureness")["uncertainty"] == 1).all()
    assert made("embeddings")["embedding"].mean().abs() < 1e-6 < made("embeddings")["embedding"].std()
    assert made("start")["layer.b.i_l0"].abs().max() <= 1


def test_what_is_there_at_every_step_is_surer_the_longer_the_lag():
    network = Network(runs.row("adding-T1000").problem, "lstm-v1", 4, 0)  # a lag of 500
    surer = {
        name
        for (name, p), u in zip(
            network.layer.named_parameters(),
            torch.from_numpy(network.uncertainty()).split([p.numel() for p in network.inner()]),
            strict=True,
        )
        if torch.allclose(u, torch.tensor(10 / 500).double())
    }
    assert surer == {"W.hm_l0", "b.h_l0"}
    assert (Network(runs.row("adding-T1000").problem, "rnn", 4, 0).uncertainty() == 1).all()
