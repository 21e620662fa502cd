"""A right gradient passes, a wrong one is found, whatever its size; corners do not matter."""

import pytest
import torch
from torch import Tensor, nn

from carousel.errors import InputError
from carousel.training.gradient_check import TOLERANCE, check_gradients
from carousel.training.task import Trainable


class Wrong(torch.autograd.Function):
    """The square, with a derivative that is a little off."""

    @staticmethod
    def forward(ctx, x: Tensor, off: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.off = off
        return x * x

    @staticmethod
    def backward(ctx, gradient: Tensor):
        (x,) = ctx.saved_tensors
        return 2 * x * (1 + ctx.off) * gradient, None


class Model(Trainable):
    def __init__(self, off=0.0, size=1.0):
        super().__init__()
        torch.manual_seed(1)
        self.off, self.size = off, size
        self.a, self.b, self.unused = (
            nn.Parameter(torch.randn(3, 4)),
            nn.Parameter(torch.randn(4)),
            nn.Parameter(torch.zeros(2)),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        h = torch.relu(self.a @ x) + nn.functional.dropout(x[:3], 0.5, self.training)
        return self.size * (h.sum() + Wrong.apply(self.b, self.off).sum()), None


class Batch:
    targets = own_targets = 1

    def arguments(self, state, device):
        return (torch.tensor([0.3, -0.2, 0.8, 1.0]),)


@pytest.mark.parametrize("size", [1.0, 1e6])
def test_a_right_gradient_passes(size):
    model = Model(size=size)
    before = {name: p.clone() for name, p in model.named_parameters()}
    found = check_gradients(model, Batch())
    assert [row.name for row in sorted(found, key=lambda r: r.name)] == ["a", "b", "unused"]
    assert all(row.error < TOLERANCE for row in found) and found == sorted(found, key=lambda r: -r.error)
    assert found[0].as_dict()["shape"] and all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert model.a.dtype is torch.float32 and model.training


@pytest.mark.parametrize("off", [0.5, 1e-4])
def test_a_wrong_one_is_found(off):
    worst, *others = check_gradients(Model(off), Batch())
    assert worst.name == "b" and worst.error == pytest.approx(off / (1 + off), rel=1e-2)
    assert worst.gradient == pytest.approx(worst.difference * (1 + off)) and all(row.error < TOLERANCE for row in others)


def test_a_single_wrong_entry_is_found_where_its_gradient_is_large():
    model = Model()
    model.b.register_hook(lambda g: g + torch.tensor([0.0, 5.0, 0.0, 0.0], dtype=g.dtype))
    assert check_gradients(model, Batch())[0].error < TOLERANCE  # a copy has no hooks
    worst = check_gradients(Model(0.1), Batch(), directions=0, entries=1)[0]
    assert worst.at == f"[{int(Model().b.abs().argmax())}]" and worst.error > 0.05


class Broken(Model):
    """A model whose loss is a number and whose gradients by ``b`` are none, or infinite."""

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        loss, _ = super().forward(x)
        return loss + self.size * (self.b - self.b.detach()).abs().sqrt().sum(), None


@pytest.mark.parametrize("size", [1.0, 0.0])
def test_a_gradient_that_is_no_number_is_the_worst(size):
    found = check_gradients(Broken(size=size), Batch())
    assert found[0].name == "b" and found[0].error == float("inf") and all(row.error < TOLERANCE for row in found[1:])


def test_parameters_by_name():
    assert {row.name for row in check_gradients(Model(), Batch(), patterns=("b", "un*"))} == {"b", "unused"}
    with pytest.raises(InputError, match=r"no parameter is called W\*; there are a, b, unused"):
        check_gradients(Model(), Batch(), patterns=("W*",))


def test_a_loss_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="the loss on this batch is not finite"):
        check_gradients(Model(size=float("inf")), Batch())
