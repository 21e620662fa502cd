"""Tensors of a call, and where they are."""

import torch

from carousel.kernels.alike import moved


def test_a_tensor_is_copied_to_a_card_without_waiting(monkeypatch):
    done = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda x: (done.append("locked"), x)[1])
    monkeypatch.setattr(torch.Tensor, "to", lambda x, *where, **how: (done.append((*where, how)), x)[1])
    x = torch.arange(3)
    assert moved(x, "cuda:1") is x and done == ["locked", (torch.device("cuda:1"), {"non_blocking": True})]
    done.clear()
    assert moved(x, "cpu") is x and done == [(torch.device("cpu"), {})]
