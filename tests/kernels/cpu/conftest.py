"""Problems for a cell, solved by the reference and by the compiled kernels."""

import pytest
import torch

from carousel import kernels
from carousel.kernels import Call


class Problem:
    """Random arguments of one run of a cell; ``solve`` gives outputs, states and all gradients."""

    def __init__(
        self, cell, *, sizes=(5, 17, 3), batch_sizes=(4, 4, 3, 1), dtype=torch.float64, reverse=False, resets=False, scale=0.4
    ):
        generator = torch.Generator().manual_seed(1)
        e, h, p = sizes

        def draw(*shape):
            return (scale * torch.randn(*shape, generator=generator, dtype=dtype)).requires_grad_()

        rows, total = batch_sizes[0], sum(batch_sizes)
        vectors = [s for s in cell.trace.states if s.size is not None]
        shapes = [(s.name, (rows, cell.length(s.size, e, h, p))) for s in vectors]
        clock = {s.name: torch.full((rows, 1), 2.0) for s in cell.trace.states if s.size is None}
        self.cell, self.batch_sizes, self.reverse = cell, list(batch_sizes), reverse
        self.data = draw(total, e)
        self.parameters = {s.name: draw(*s.shape) for s in cell.parameter_specs(e, h, p if cell.has_projection else 0)}
        self.before = {n: draw(*s) for n, s in shapes}
        self.resets = torch.rand(total, generator=generator) < 0.4 if resets else None
        self.initial = {n: draw(*s) for n, s in shapes} if resets else {}
        self.clock = clock
        self.leaves = {"e": self.data, **self.parameters}
        self.leaves |= {f"{n} before": x for n, x in self.before.items()} | {f"{n} initial": x for n, x in self.initial.items()}
        self.weights = [torch.randn(total, self.before[cell.states[0]].shape[1], generator=generator, dtype=dtype)]
        self.weights += [torch.randn(*s, generator=generator, dtype=dtype) for _, s in shapes]

    def run(self, back_end):
        initial = {**self.initial, **{n: torch.zeros_like(x) for n, x in self.clock.items()}} if self.initial else None
        before = {**self.before, **self.clock}
        call = Call(self.cell, self.data, self.batch_sizes, before, self.parameters, self.reverse, self.resets, initial)
        with kernels.use(back_end):
            return kernels.run(call)

    def solve(self, back_end):
        output, after, _ = self.run(back_end)
        loss = sum((x * w).sum() for x, w in zip([output, *(after[n] for n in self.before)], self.weights, strict=True))
        gradients = torch.autograd.grad(loss, list(self.leaves.values()), allow_unused=True)
        found = {"output": output.detach(), **{f"{n} after": x.detach() for n, x in after.items()}}
        with torch.no_grad():  # without derivatives the kernels keep two steps only
            output, after, _ = self.run(back_end)
        found |= {"output without derivatives": output, **{f"{n} after, without derivatives": x for n, x in after.items()}}
        for name, gradient in zip(self.leaves, gradients, strict=True):
            found[f"gradient of {name}"] = torch.zeros_like(self.leaves[name]) if gradient is None else gradient
        return found


@pytest.fixture(scope="session")
def agree():
    """``agree(cell, tolerance, …)``: kernels and reference give the same, relative to the largest number of each tensor."""

    def check(cell, tolerance=1e-9, **options):
        problem = Problem(cell, **options)
        expected, found = problem.solve("reference"), problem.solve("cpu")
        for name, wanted in expected.items():
            assert found[name].shape == wanted.shape, name
            difference = (found[name] - wanted).abs().max() / (wanted.abs().max() + 1e-3)
            assert difference <= tolerance, f"{name}: {difference:.1e}"

    return check


@pytest.fixture(scope="session")
def problem():
    """A random run of a cell."""
    return Problem
