"""Optimizers are PyTorch's; Muon takes the recurrent layers' matrices, and AdamW the rest."""

import pytest
import torch

from carousel.errors import InputError
from carousel.language.model import LanguageModel, ModelConfig
from carousel.layers import Grid, Tree
from carousel.training.config import TrainConfig
from carousel.training.optimizers import Muon, configured

HOW = {"lr": 0.02, "weight_decay": 0.1}


def made(cell="lstm-v3"):
    torch.manual_seed(1)
    return LanguageModel(9, ModelConfig(cell, 4, 5, dropout=0.0))


def learn(model, optimizers, steps):
    x = torch.randint(0, 9, (6, 2), generator=torch.Generator().manual_seed(1))
    for _ in range(steps):
        model.zero_grad()
        model(x, None, x)[0].backward()
        for optimizer in optimizers:
            optimizer.step()


def test_it_is_pytorchs_muon_and_adamw():
    ours, theirs = made(), made()
    learn(ours, [configured(TrainConfig(optimizer="muon", **HOW), ours)], 5)
    named = dict(theirs.named_parameters())
    matrices = [p for n, p in named.items() if n.startswith("recurrent.W.")]
    others = [p for n, p in named.items() if not n.startswith("recurrent.W.")]
    muon = torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw", **HOW)
    parts = [muon, torch.optim.AdamW(others, fused=True, **HOW)]
    learn(theirs, parts, 5)
    assert len(matrices) == 8
    for name, p in ours.named_parameters():
        assert torch.equal(p, named[name]), name


def test_it_goes_on_from_its_state():
    whole, parts = made(), made()
    learn(whole, [Muon(whole, 0.02, 0.1)], 6)
    first = Muon(parts, 0.02, 0.1)
    learn(parts, [first], 3)
    second = Muon(parts, 1.0, 0.0)
    second.load_state_dict(first.state_dict())
    learn(parts, [second], 3)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))


def test_heads_are_adamws():
    model = LanguageModel(9, ModelConfig("gru-2-heads", 4, 4, dropout=0.0))
    muon, adamw = Muon(model, 0.02, 0.1).parts
    assert all(p.dim() == 2 for p in muon.param_groups[0]["params"])
    assert any(p.dim() == 3 for p in adamw.param_groups[0]["params"])


@pytest.mark.parametrize("layer", [Tree("tree-lstm", 4, 5), Grid("mdlstm", 4, 5, directions=2)], ids=["tree", "grid"])
def test_layers_of_trees_and_grids_are_recurrent(layer):
    muon, adamw = Muon(torch.nn.Sequential(layer, torch.nn.Linear(5, 3)), 0.02, 0.1).parts
    matrices = {id(p) for name, p in layer.named_parameters() if name.startswith("W.")}
    assert {id(p) for p in muon.param_groups[0]["params"]} == matrices
    assert len(adamw.param_groups[0]["params"]) == len([*layer.parameters()]) - len(matrices) + 2


def test_without_it_in_pytorch_it_is_refused(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(InputError, match=r"comes with PyTorch 2\.9"):
        configured(TrainConfig(optimizer="muon"), made())


@pytest.mark.parametrize(
    ("training", "theirs"),
    [
        ({"optimizer": "sgd", "momentum": 0.9}, lambda p: torch.optim.SGD(p, 0.02, momentum=0.9, weight_decay=0.1)),
        ({"optimizer": "rmsprop", "momentum": 0.5}, lambda p: torch.optim.RMSprop(p, 0.02, momentum=0.5, weight_decay=0.1)),
        ({"optimizer": "adam"}, lambda p: torch.optim.Adam(p, 0.02, weight_decay=0.1)),
        ({"optimizer": "rprop"}, lambda p: torch.optim.Rprop(p, 0.02)),
    ],
    ids=["sgd", "rmsprop", "adam", "rprop"],
)
def test_the_plain_optimizers_are_pytorchs(training, theirs):
    ours, other = made(), made()
    learn(ours, [configured(TrainConfig(**HOW, **training), ours)], 4)
    learn(other, [theirs(other.parameters())], 4)
    for p, q in zip(ours.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-7)
    assert not torch.equal(next(ours.parameters()), next(made().parameters()))
