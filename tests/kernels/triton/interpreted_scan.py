"""What ``test_interpreter.py`` runs of recurrences that are linear in their state: the parallel scan against the reference."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from in_triton import agree
from triton.runtime.interpreter import ScanOps

from carousel import Clamp, cells, kernels
from carousel.bench.gpu import H100
from carousel.equations import cell, identity, logistic, tanh, where, zoneout
from carousel.kernels import BACKENDS, Call
from carousel.kernels.registry import loop_called, wide_key
from carousel.kernels.triton import planner
from carousel.kernels.triton.kernel import Launch
from carousel.kernels.triton.program import program_of
from carousel.layers import Recurrent

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of lanes beyond the last row or unit
QUICK = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
LINEAR = ("min-gru", "min-lstm", "t-rnn", "gilr", "qrnn")
LONG = [3] * 11 + [2] * 9 + [1] * 3  # several tiles of steps, and ends within a tile


def in_a_tree(self, given):
    """Scan as a card does, in pairs; the interpreter's own takes one after the other, for which nothing need be associative."""
    found, far = list(given), 1
    steps = found[0].handle.data.shape[self.axis]
    while far < steps:
        left = [self.to_tensor(np.roll(x.handle.data, far, self.axis), x.dtype) for x in found]
        beyond = (np.arange(steps) >= far).reshape(-1, 1)
        pairs = zip(self.combine_fn.fn(*left, *found), found, strict=True)
        found = [self.to_tensor(np.where(beyond, a.handle.data, b.handle.data), b.dtype) for a, b in pairs]
        far *= 2
    return found


@pytest.fixture(autouse=True)
def ran(monkeypatch):
    """Ask for the scan; note the ways that ran."""
    monkeypatch.setenv("CAROUSEL_TRITON_WAY", "scan")
    monkeypatch.setattr(ScanOps, "generic_scan", in_a_tree)
    noted, whole = [], Launch.whole
    monkeypatch.setattr(
        Launch, "whole", lambda self, way, *more: (noted.append(f"{way} {self.plan.way}"), whole(self, way, *more))
    )
    return noted


@cell(constants={"T": lambda units: 1 + np.arange(units) / units})
def learned(e, m, h, t, W, w, b, c):
    """Learned vectors in the loop, a constant, the step number, a second state that is a function of the first."""
    f = logistic(W.fe @ e + b.f)
    h = f * w.f * h + (W.he @ e + w.h * tanh(b.h)) * c.T / (1 + t)
    m = tanh(w.m * h)
    return m, h


@cell(input_size="h")
def delayed(e, m, h, W, w, b):
    """States that are the input of steps before: one of a step, and one that is that of a step before, which is not scanned."""
    f = logistic(W.fe @ e + b.f)
    h = f * h + w.h * e
    m = tanh(h) * f + w.m * e.ago(1)
    return m, h


@cell
def two(e, m, h, W, b):
    """Two linear states beside each other, which meet in none."""
    f = logistic(W.fe @ e + b.f)
    h = f * h + (1 - f) * tanh(W.he @ e)
    m = (1 - f) * m + identity(W.me @ e)
    return m, h


@cell(inputs={"d": 1})
def numbered(e, h, d, W, b):
    """A number of a row from outside the loop."""
    h = h * logistic(b.h) * d + identity(W.he @ e)
    return h


@cell
def drawn(e, h, W, b, p):
    """Units that keep their old values by chance."""
    z = logistic(W.ze @ e + b.z)
    h = zoneout((1 - z) * h + z * tanh(W.he @ e + b.h), h, p.h)
    return h


@cell
def bent(e, h, W, b):
    """A state whose next value is no linear function of it, though its gradient is."""
    h = tanh(0.5 * h + identity(W.he @ e)) + 0.1 * h
    return h


@cell
def coupled(e, m, h, W, b):
    """A state that needs another one."""
    h = logistic(b.h) * h + identity(W.he @ e)
    m = logistic(b.m) * m + h
    return m, h


def both(ran):
    return ran == ["forward scan", "backward scan"]


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("options", [{"resets": True}, {"reverse": True}], ids=str)
def test_cells_of_papers_packed(name, options, ran):
    agree(cells.get(name), torch.float32, LONG, **options)
    assert both(ran)


@pytest.mark.parametrize("c", [learned, delayed, two, numbered, drawn], ids=lambda c: c.name)
@pytest.mark.parametrize("options", [{"resets": True}, {"reverse": True}], ids=str)
def test_cells_of_users(c, options, ran):
    agree(c, torch.float32, LONG, **options)
    assert both(ran)


@pytest.mark.parametrize(
    ("c", "ways"),
    [
        (bent, "forward pointwise, backward scan"),
        (cells.get("sru"), "forward pointwise, backward scan"),
        (cells.get("brc"), "forward pointwise, backward scan"),
        (cells.get("ind-rnn"), "forward pointwise, backward scan"),
        (cells.get("lstm-1997-truncated"), "forward held, backward scan"),
        (coupled, "forward pointwise, backward pointwise"),
        (cells.get("gru"), "forward held, backward held"),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_what_is_not_linear_goes_another_way(c, ways, ran):
    agree(c, torch.float32, LONG, resets=True)
    assert ", ".join(ran) == ways


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_with_states_in_single(dtype, ran):
    agree(cells.get("min-lstm"), dtype, LONG, resets=True)
    agree(drawn, dtype, [2] * 9, reverse=True)
    assert len(ran) == 4 and both(ran[:2])


@pytest.mark.parametrize(("c", "held"), [(two, ["h", "f"]), (cells.get("min-gru"), ["h"]), (drawn, ["z", "h"])], ids=str)
def test_what_is_recorded_and_held(c, held, ran):
    agree(c, torch.float32, LONG, resets=True, record=[n for n in c.names if n != "t"], clamp=held)
    agree(c, torch.float32, LONG, reverse=True, clamp=held)
    assert both(ran[:2]) and both(ran[2:])


@given(data=st.data())
@settings(QUICK, max_examples=15)
def test_any_shape(data, ran):
    lengths = sorted(data.draw(st.lists(st.integers(1, 21), min_size=1, max_size=4)))
    batch_sizes = [sum(n > t for n in lengths) for t in range(lengths[-1])]
    options = {"reverse": data.draw(st.booleans()), "resets": data.draw(st.booleans()), "units": data.draw(st.integers(1, 40))}
    ran.clear()
    agree(data.draw(st.sampled_from([learned, two])), torch.float32, batch_sizes, **options)
    assert both(ran)


NODES = st.recursive(
    st.sampled_from(["h", "m", "g", "i"]),
    lambda node: st.tuples(st.sampled_from(["+", "*", "*", "tanh", "where"]), node, node),
    max_leaves=5,
)


def value(node, known):
    """The expression of a tree."""
    if isinstance(node, str):
        return known[node]
    a, b = value(node[1], known), value(node[2], known)
    choices = {
        "+": lambda: a + b,
        "*": lambda: a * b,
        "tanh": lambda: tanh(a) - b,
        "where": lambda: where(known["i"] > 0.1, a, b),
    }
    return choices[node[0]]()


def after(c, parameters, e, m, h):
    _, states, _ = BACKENDS["reference"].run(Call(c, e, [len(e)], {"m": m, "h": h}, parameters))
    return states


@given(trees=st.tuples(NODES, NODES))
@settings(QUICK, max_examples=12)
def test_cells_that_nobody_wrote_are_scanned_where_they_are_affine_alone(trees, ran):
    @cell(name="drawn-tree")
    def c(e, m, h, W, b):
        g = logistic(W.ge @ e + b.g)
        i = tanh(W.ie @ e + b.i)
        known = {"e": e, "m": m, "h": h, "g": g, "i": i}
        m, h = (value(tree, known) + 0.1 * g * i for tree in trees)
        return m, h

    ran.clear()
    agree(c, torch.float32, [2] * 10, resets=True)
    found = program_of(loop_called(wide_key(c)), False).scanned["forward"]
    assert (ran[0] == "forward scan") == (found is not None)
    draw = partial(torch.randn, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    parameters = {s.name: draw(*s.shape) for s in c.parameter_specs(3, 4)}
    e, m, n, h, k = (draw(6, units) for units in (3, 4, 4, 4, 4))
    run = partial(after, c, parameters, e)
    carried = {str(f.symbol).removesuffix("_tm1") for f in found or ()}
    if "h" in carried:
        torch.testing.assert_close(run(m, (h + k) / 2)["h"], (run(m, h)["h"] + run(m, k)["h"]) / 2)
    if "m" in carried:
        torch.testing.assert_close(run((m + n) / 2, h)["m"], (run(m, h)["m"] + run(n, h)["m"]) / 2)
    if carried == {"m", "h"}:
        torch.testing.assert_close(run(m, h)["m"], run(m, k)["m"])
        torch.testing.assert_close(run(m, h)["h"], run(n, h)["h"])


@pytest.mark.parametrize("name", LINEAR)
def test_a_long_sequence_in_single_precision(name, monkeypatch, ran):
    monkeypatch.delenv("CAROUSEL_TRITON_WAY")  # so many steps choose the way by themselves
    agree(cells.get(name), torch.float32, [2] * 700, units=3)
    assert both(ran)


@pytest.mark.parametrize("where_it_ends", ["a reset", "a clamp"])
@pytest.mark.parametrize("begin", [4, 7])  # within a tile, and with its last step
def test_what_is_infinite_ends_where_the_reference_ends_it(where_it_ends, begin, ran):
    generator = torch.Generator().manual_seed(0)
    layer, x = Recurrent("min-gru", 3, 4), torch.randn(20, 2, 3, generator=generator)
    x[2, 0], x[11, 1] = float("inf"), float("nan")
    resets = torch.zeros(20, 2, dtype=torch.bool)
    resets[begin] = True
    options = {"resets": resets} if where_it_ends == "a reset" else {"clamp": [Clamp("h", 0.5, begin=begin, end=begin + 1)]}
    found = []
    for back_end in ("triton", "reference"):
        with kernels.use(back_end), torch.no_grad():
            found.append(layer(x, **options)[0])
    assert ran == ["forward scan"]
    assert not found[1].isfinite().all() and found[1][9, 0].isfinite().all()
    torch.testing.assert_close(*found, equal_nan=True)


def test_layers_of_both_directions_and_the_way_named(ran):
    torch.manual_seed(0)
    layer = Recurrent("min-gru", 4, 6, num_layers=2, bidirectional=True, learned_initial=True)
    x = torch.nn.utils.rnn.pack_sequence([torch.randn(n, 4) for n in (20, 13, 2)])
    with kernels.use("triton"):
        found, hx = layer(x)
        assert layer.explain(x) == "triton: forward scan (8 steps × 16 units), backward scan (8 steps × 16 units)"
    assert ran == ["forward scan"] * 4
    with kernels.use("reference"):
        expected, wanted = layer(x)
    torch.testing.assert_close(found.data, expected.data, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(hx, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "units", "steps", "way"),
    [(1, 256, 128, "scan"), (1, 256, 127, "pointwise"), (128, 256, 1024, "scan"), (132, 256, 1024, "pointwise")],
)
def test_the_planner_scans_where_multiprocessors_would_be_idle(rows, units, steps, way, monkeypatch):
    monkeypatch.setattr(planner, "INTERPRETED", False)
    program = program_of(loop_called(wide_key(cells.get("min-gru"))), False)
    sizes = program.units(lambda size: units)
    for direction in ("forward", "backward"):
        assert planner.plan_for(program, direction, sizes, rows, torch.float32, H100, steps=steps).way == way
