"""Problems for a cell, solved by the reference and by the compiled kernels."""

from copy import copy

import pytest
import torch

from carousel import kernels
from carousel.equations.trace import symbol
from carousel.kernels import Call, Noise

OWN = 4  # units of a further input that has a size of its own


class Problem:
    """Random arguments of one run of a cell; ``solve`` gives outputs, states, recorded values and all gradients.

    ``clamp``: names of quantities to hold at random values, in random units at random steps.
    """

    def __init__(
        self,
        cell,
        *,
        sizes=(5, 17, 3),
        batch_sizes=(4, 4, 3, 1),
        dtype=torch.float64,
        reverse=False,
        resets=False,
        scale=0.4,
        record=(),
        clamp=(),
    ):
        generator = torch.Generator().manual_seed(1)
        e, h, p = sizes
        further = [OWN] * len(cell.sized)
        sizes = (*sizes, *further)

        def draw(*shape):
            return (scale * torch.randn(*shape, generator=generator, dtype=dtype)).requires_grad_()

        rows, total = batch_sizes[0], sum(batch_sizes)
        vectors = [s for s in cell.trace.states if s.size is not None]
        shapes = [(s.name, (rows, cell.length(s.size, *sizes))) for s in vectors]
        clock = {s.name: torch.full((rows, 1), 2.0) for s in cell.trace.states if s.size is None}
        self.cell, self.batch_sizes, self.reverse = cell, list(batch_sizes), reverse
        self.data = draw(total, e)
        self.parameters = {
            s.name: draw(*s.shape) for s in cell.parameter_specs(e, h, p if cell.has_projection else 0, *further)
        }
        self.inputs = {x.name: draw(total, cell.length(x.size, *sizes)) for x in cell.trace.inputs}
        self.noise = Noise(torch.tensor(2**40 + 7), dict.fromkeys(cell.rates, 0.3)) if cell.trace.draws else None
        given = [p for p in cell.trace.parameters if p.kind == "rate"]
        self.rates = {s.name: torch.full((cell.length(s.rows, *sizes),), 0.3, dtype=dtype) for s in given}
        self.before = {n: draw(*s) for n, s in shapes}
        self.resets = torch.rand(total, generator=generator) < 0.4 if resets else None
        self.initial = {n: draw(*s) for n, s in shapes} if resets else {}
        self.clock = clock
        self.leaves = {"e": self.data, **self.parameters, **{f"input {n}": x for n, x in self.inputs.items()}}
        self.leaves |= {f"{n} before": x for n, x in self.before.items()} | {f"{n} initial": x for n, x in self.initial.items()}
        self.weights = [torch.randn(total, self.before[cell.states[0]].shape[1], generator=generator, dtype=dtype)]
        self.weights += [torch.randn(*s, generator=generator, dtype=dtype) for _, s in shapes]
        units = {n: cell.length(cell.trace.sizes.get(symbol(n)), *sizes) for n in (*record, *clamp)}
        self.record = tuple(record)
        self.weights += [torch.randn(total, units[n], generator=generator, dtype=dtype) for n in record]
        self.held = {n: draw(len(batch_sizes), units[n]) for n in clamp}
        self.where = {n: torch.rand(x.shape, generator=generator) < 0.4 for n, x in self.held.items()}
        self.leaves |= {f"{n} held": x for n, x in self.held.items()}

    def at(self, leaves):
        """The same problem with other leaves, by name."""
        made = copy(self)
        made.leaves, made.data = leaves, leaves["e"]
        made.parameters = {n: leaves[n] for n in self.parameters}
        made.inputs = {n: leaves[f"input {n}"] for n in self.inputs}
        made.before = {n: leaves[f"{n} before"] for n in self.before}
        made.initial = {n: leaves[f"{n} initial"] for n in self.initial}
        made.held = {n: leaves[f"{n} held"] for n in self.held}
        return made

    @property
    def call(self):
        """What is asked of a back end."""
        initial = {**self.initial, **{n: torch.zeros_like(x) for n, x in self.clock.items()}} if self.initial else None
        return Call(
            self.cell,
            self.data,
            self.batch_sizes,
            {**self.before, **self.clock},
            self.parameters | self.rates,
            self.reverse,
            self.resets,
            initial,
            self.record,
            {n: (x, self.where[n]) for n, x in self.held.items()},
            inputs=self.inputs,
            noise=self.noise,
        )

    def run(self, back_end):
        with kernels.use(back_end):
            return kernels.run(self.call)

    def results(self, back_end):
        """The outputs, the states after the last steps, and what is recorded."""
        output, after, recorded = self.run(back_end)
        return (output, *(after[n] for n in self.before), *(recorded[n] for n in self.record))

    def solve(self, back_end):
        def named(result, added=""):
            found = {"output": result.output, **{f"{n} after": x for n, x in result.states.items()}}
            found |= {f"{n} recorded": x for n, x in result.recorded.items()}
            return {f"{k}{added}": x.detach() for k, x in found.items()}

        loss = sum((x * w).sum() for x, w in zip(self.results(back_end), self.weights, strict=True))
        gradients = torch.autograd.grad(loss, list(self.leaves.values()), allow_unused=True)
        found = named(self.run(back_end))
        with torch.no_grad():  # without derivatives the kernels keep two steps only
            found |= named(self.run(back_end), ", without derivatives")
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


@pytest.fixture
def with_threads(problem):
    """So many threads change a cell's results by rounding alone, and are deterministic."""
    before = torch.get_num_threads()

    def check(cell, threads, atol=1e-10):
        torch.set_num_threads(threads)
        for rows in (9, 1):
            p = problem(cell, sizes=(30, 170, 40), batch_sizes=(rows,) * 20, scale=0.05)
            first, second, expected = p.solve("cpu"), p.solve("cpu"), p.solve("reference")
            for name, wanted in expected.items():
                torch.testing.assert_close(first[name], wanted, rtol=1e-8, atol=atol)
                assert torch.equal(first[name], second[name]), name

    yield check
    torch.set_num_threads(before)
