"""A function is one record: a new one is added here, used everywhere, and taken away again; PyTorch has it too."""

import re

import pytest
import torch
from torch.nn import functional

from carousel import kernels
from carousel.drawing.svg import draw
from carousel.equations import EquationError, cell, exp, log, logistic, maximum, minimum, tanh
from carousel.equations.functions import FUNCTIONS, function
from carousel.insight import theory
from carousel.kernels.inputs import loop_of
from carousel.kernels.reference import Reference
from carousel.kernels.triton.program import TritonProgram
from carousel.kernels.triton.source import source
from carousel.layers import Recurrent


def log_sigmoid_():
    @function(derivative=lambda x, y: 1 - logistic(x), slope=1.0, drawn="log σ", torch="torch.nn.functional.logsigmoid")
    def log_sigmoid(x):
        """−log(1 + exp(−x)), per unit."""
        return -log(1 + exp(-x))

    return log_sigmoid


def hard_gate_():
    @function(gate=True, slope=1 / 2, cpp="minimum(maximum({0} / T(2) + T(0.5), all(T(0))), all(T(1)))")
    def hard_gate(x):
        """x / 2 + ½ between 0 and 1, per unit."""
        return minimum(maximum(x / 2 + 0.5, 0), 1)

    return hard_gate


@pytest.fixture(scope="module")
def table():
    """New functions by name, with PyTorch's own; the table is as before after these tests."""
    before = dict(FUNCTIONS)
    yield {
        "log_sigmoid": (log_sigmoid_(), functional.logsigmoid),
        "hard_gate": (hard_gate_(), lambda x: functional.hardtanh(x) / 2 + 0.5),
    }
    for symbol in FUNCTIONS.keys() - before:
        del FUNCTIONS[symbol]
    assert before == FUNCTIONS


@pytest.fixture(scope="module", params=["log_sigmoid", "hard_gate"])
def new(request, table):
    """A function, PyTorch's own, and a cell of it."""
    ours, theirs = table[request.param]

    @cell
    def one(e, h, W, b):
        h = ours(W.he @ e + W.hh @ h + b.h)
        return h

    return ours, theirs, one


@pytest.fixture
def by_hand(new, monkeypatch):
    """The name of a back end that writes the cell's steps in PyTorch."""
    _, theirs, _ = new

    class ByHand(Reference):
        name = "by hand"

        def run(self, call):
            h, outputs, p = call.before["h"], [], call.parameters
            for e in call.data.split(call.rows):
                h = theirs(e @ p["W.he"].t() + h @ p["W.hh"].t() + p["b.h"])
                outputs.append(h)
            return kernels.Result(torch.cat(outputs), {"h": h}, {})

    monkeypatch.setitem(kernels.BACKENDS, ByHand.name, ByHand())
    return ByHand.name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-5)])
@pytest.mark.parametrize("back_end", ["reference", "cpu"])
def test_values_and_gradients_are_pytorchs(new, by_hand, back_end, dtype, tolerance, problem):
    _, _, one = new
    p = problem(one, batch_sizes=(3, 3, 3), dtype=dtype, scale=1.0)
    for name, wanted in p.solve(by_hand).items():
        torch.testing.assert_close(
            p.solve(back_end)[name], wanted, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_tangents_are_pytorchs(new, by_hand, problem):
    _, _, one = new
    p = problem(one, batch_sizes=(3, 3), scale=1.0)
    leaves = {n: x.detach() for n, x in p.leaves.items()}
    direction = {n: torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(5)) for n, x in leaves.items()}

    def through(back_end):
        def output(given):
            before, parameters = {"h": given["h before"]}, {n: given[n] for n in p.parameters}
            with kernels.use(back_end):
                return kernels.run(kernels.Call(one, given["e"], [3, 3], before, parameters)).output

        return torch.func.jvp(output, (leaves,), (direction,))

    for ours, wanted in zip(through("cpu"), through(by_hand), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-11, atol=1e-11)


def test_it_is_printed_and_drawn(new):
    ours, _, one = new
    assert one.text == f"hₜ = {ours.name}(W.he eₜ + W.hh hₜ₋₁ + b.h)"
    name = ours.name.replace("_", r"\_")
    assert rf"\operatorname{{{name}}}\left(W^{{he}} \mathbf{{e}}_{{t}} + " in one.latex
    assert f">{ours.drawn}</text>" in draw(one)
    assert ours.__doc__.endswith("per unit.")


def test_triton_writes_its_definition_where_it_has_no_words_for_it(new):
    ours, _, one = new
    written = {"log_sigmoid": r"h_t = .*tl\.log\(", "hard_gate": r"h_t = minimum\(1\.0, maximum\(0\.0, "}
    assert re.search(written[ours.name], source(TritonProgram(loop_of(one), mixed=False)))


def test_the_lectures_bound_knows_its_slope(new):
    ours, _, one = new
    layer = Recurrent(one, 3, 4)
    assert theory.bound(layer) == pytest.approx(ours.slope * theory.largest_singular_value(layer, "W.hh"))


def test_one_between_zero_and_one_is_a_gate(table):
    squash, _ = table["hard_gate"]

    @cell
    def gated(e, h, W, b):
        h = squash(W.fe @ e + b.f) * h + tanh(W.he @ e)
        return h

    assert gated.gates == ("f",) and 'class="valve" data-name="f"' in draw(gated)


def test_an_unknown_name_is_answered_with_the_table(table):
    with pytest.raises(EquationError, match=r"detach, absolute, .*log_sigmoid, hard_gate, identity, concat"):

        @cell
        def wrong(e, h, W):
            h = undefined(W.he @ e)  # noqa: F821
            return h


def test_a_name_is_given_once(table):
    with pytest.raises(ValueError, match="a function called log_sigmoid already"):
        log_sigmoid_()
