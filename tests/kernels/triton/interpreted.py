"""What ``test_interpreter.py`` runs: kernels for the GPU against the reference in float64, small odd sizes."""

import numpy as np
import pytest
import torch
from exact_functions import EXACT, cell_of, check
from in_triton import INPUT, TOLERANCE, UNITS, agree

from carousel import cells, kernels
from carousel.cells import CELLS
from carousel.cells.papers import PAPERS
from carousel.equations import cell, logistic, tanh
from carousel.kernels import BACKENDS, Call, registry
from carousel.kernels.inputs import loop_of
from carousel.kernels.triton import calls, planner
from carousel.kernels.triton.backend import usable
from carousel.layers import Recurrent

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of lanes beyond the last row or unit


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_packed_and_reset(name, way):
    assert usable(CELLS[name], torch.zeros(1))  # the reference would agree with itself
    agree(CELLS[name], torch.float32, [3, 2, 1], resets=True)


@pytest.mark.parametrize("name", [name for name, c in PAPERS.items() if not c.before])  # steps follow one step
def test_every_cell_of_papers(name):
    assert usable(PAPERS[name], torch.zeros(1))
    agree(PAPERS[name], torch.float32, [3, 2, 1], resets=True)


@pytest.mark.parametrize("name", ["gru-d", "contextual-lstm", "t-lstm", "time-lstm", "phased-lstm", "cfc", "augru", "ltc"])
def test_further_inputs(name, way):
    assert usable(PAPERS[name], torch.zeros(1))
    agree(PAPERS[name], torch.float32, [3, 2, 1], resets=True, reverse=True)


def test_numbers_of_rows_that_meet_vectors_of_two_sizes(way):
    @cell(inputs={"d": 1, "c": None})
    def both(e, m, h, d, c, W, w, b):
        f = logistic(W.fe @ e + W.fm @ m + w.fd * d + b.f)
        h = f * h + tanh(W.hc @ c + b.h) * d
        m = tanh(W.mm @ (h * d)) * d
        return m, h

    assert usable(both, torch.zeros(1)) and both.has_projection
    agree(both, torch.float32, [3, 2, 1], resets=True)
    agree(both, torch.bfloat16, [2, 2])


def test_forward_mode_of_a_number(way):
    torch.manual_seed(0)
    layer, x, gaps = Recurrent("cfc", INPUT, UNITS), torch.randn(3, 2, INPUT), torch.rand(3, 2)

    def run(back_end):
        def function(x, d):
            with kernels.use(back_end):
                return layer(x, d=d)[0]

        return torch.func.jvp(function, (x, gaps), (torch.ones_like(x), torch.ones_like(gaps)))

    torch.testing.assert_close(run("triton"), run("reference"), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [n for n, c in PAPERS.items() if c.rates])
@pytest.mark.parametrize("reverse", [False, True])
def test_noise_is_drawn_in_the_kernels(name, reverse, way):
    c = PAPERS[name]
    assert loop_of(c).draws and usable(c, torch.zeros(1))
    agree(c, torch.float32, [3, 2, 1], resets=True, reverse=reverse)
    agree(c.quiet, torch.float32, [3, 2, 1])


def test_noise_of_a_layer_in_these_kernels_and_others(monkeypatch):
    layer = Recurrent("lstm-variational", INPUT, UNITS, rates={"e": 0.2, "m": 0.4})
    x, found = torch.randn(4, 3, INPUT), []
    for back_end in ("triton", "reference", "cpu"):
        with kernels.use(back_end):
            torch.manual_seed(1)
            found.append(layer(x)[0])
            assert back_end != "triton" or layer.explain(x).startswith("triton")
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[2], found[1], rtol=1e-4, atol=1e-5)


def test_noise_in_half_precision_is_the_same(way):
    agree(PAPERS["lstm-variational"], torch.bfloat16, [3, 2, 1], resets=True)
    agree(PAPERS["gru-zoneout"], torch.float16, [3, 3], reverse=True)


@pytest.mark.parametrize(("name", "dtype"), [("gru", torch.bfloat16), ("lstm-v4", torch.float32), ("slstm", torch.float32)])
def test_heads(name, dtype, way):
    c = cells.get(name).with_heads(2)
    assert usable(c, torch.zeros(1))
    agree(c, dtype, [3, 2, 1], resets=True)


@pytest.mark.parametrize(
    ("name", "units", "way", "said"),
    [
        ("slstm", 32, "", "held (16 rows × 16 units, 2 programs a row, one a head)"),  # no program waits for another
        ("gru", 48, "rows", "rows (16 rows × 32 units)"),  # 24 to a head: tiles have several, and whole matrices are multiplied
        ("lstm-v3", 64, "rows", "rows (16 rows × 32 units, by head)"),
    ],
)
def test_a_tile_multiplies_its_own_head_alone(name, units, way, said, monkeypatch):
    monkeypatch.setenv("CAROUSEL_TRITON_WAY", way)
    with kernels.use("triton"):
        explained = Recurrent(name, INPUT, units, heads=2).explain(torch.zeros(3, 3, INPUT))
    assert explained == f"triton: forward {said}, backward {said}"
    agree(cells.get(name).with_heads(2), torch.float32, [3, 2, 1], resets=True, units=units)


@pytest.mark.parametrize("name", ["lstm-v3", "lstm-v4", "gru-original", "clockwork"])
@pytest.mark.parametrize("kind", ["stepwise", "rows", "grid", "held"])
def test_backwards_in_time_every_way(name, kind, monkeypatch):
    monkeypatch.setenv("CAROUSEL_TRITON_WAY", kind)
    agree(CELLS[name], torch.float32, [3, 2, 2], reverse=True, resets=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["lstm-v4", "gru", "clockwork"])
def test_half_precision_with_states_in_single(name, dtype, way):
    agree(CELLS[name], dtype, [17, 17])  # more rows than a tile has


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["lstm", "gru-layer-norm", "min-gru", "qrnn"])
@pytest.mark.parametrize("way", ["", "stepwise", "scan"])
def test_autocast_rounds_what_is_multiplied_alone(name, dtype, way, monkeypatch):
    monkeypatch.setenv("CAROUSEL_TRITON_WAY", way)
    torch.manual_seed(0)
    layer, x, found = Recurrent(name, INPUT, UNITS, bidirectional=True), torch.randn(6, 3, INPUT, requires_grad=True), []
    for back_end in ("triton", "reference"):
        with kernels.use(back_end), torch.autocast("cpu", dtype, enabled=back_end == "triton"):
            output, _ = layer(x)
        gradients = torch.autograd.grad(output.float().square().sum(), [x, *layer.parameters()])
        assert back_end == "reference" or (output.dtype is dtype and all(g.dtype is torch.float32 for g in gradients))
        found.append([output.float(), *gradients])
    with kernels.use("triton"), torch.autocast("cpu", dtype):
        assert ("scan" in layer.explain(x)) == (way == "scan" and name == "min-gru")  # qrnn's products are rounded in its loop
    errors = [((a - b).norm() / (b.norm() + 1e-6)).item() for a, b in zip(*found, strict=True)]
    assert 0 < max(errors) < TOLERANCE[dtype]


@pytest.mark.parametrize("name", ["lstm", "min-gru"])
def test_segments_of_a_long_sequence(name):
    torch.manual_seed(0)
    layer = Recurrent(name, INPUT, UNITS, segment_length=4, learned_initial=True)
    x, resets, found = torch.randn(11, 3, INPUT, requires_grad=True), torch.rand(11, 3) < 0.3, []
    for back_end in ("triton", "reference"):
        with kernels.use(back_end):
            output, _ = layer(x, resets=resets)
            found.append([output, *torch.autograd.grad(output.square().sum(), [x, *layer.parameters()])])
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_a_users_cell_without_a_recurrent_product():
    @cell
    def minimal(e, h, W, b):
        z = logistic(W.ze @ e + b.z)
        h = (1 - z) * h + z * tanh(W.he @ e + b.h)
        return h

    agree(minimal, torch.float32, [3, 3, 1], resets=True)
    agree(minimal, torch.bfloat16, [2, 2])


@pytest.mark.parametrize("name", EXACT)
def test_value_and_slope_of_a_function_over_the_whole_range(name):
    def apply(x):
        h = x.reshape(1, -1).requires_grad_()
        with kernels.use("triton"):
            output = kernels.run(kernels.Call(cell_of(name), torch.zeros(1, 1), [1], {"h": h}, {})).output
        slopes = torch.autograd.grad(output.sum(), h)[0] if output.requires_grad else torch.zeros_like(h)
        return output.detach()[0], slopes[0]

    check(name, apply, torch.float32, of_one=1)


def test_exponential_gates_with_a_maximum(slstm, way):
    agree(slstm, torch.float32, [2, 2, 1])


def test_a_constant_a_quotient_and_a_minus():
    @cell(constants={"T": lambda units: np.arange(1, units + 1).astype(float)})
    def leaky(e, h, t, W, b, c):
        h = h - (h - tanh(W.he @ e + W.hh @ h + b.h)) / (c.T + t)
        return h

    agree(leaky, torch.float32, [3, 2])


def test_layers_of_both_directions_choose_these_kernels_by_name(monkeypatch):
    torch.manual_seed(0)
    layer = Recurrent("lstm-v3", 4, 6, num_layers=2, bidirectional=True, learned_initial=True)
    x, resets = torch.randn(5, 3, 4), torch.rand(5, 3) < 0.3
    called, inner = [], calls.forward
    monkeypatch.setattr(calls, "forward", lambda *a: (called.append(1), inner(*a))[1])
    with kernels.use("triton"):
        found, hx = layer(x, resets=resets)
        explained = layer.explain(x)
    assert len(called) == 4
    expected, wanted = layer(x, resets=resets)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(hx, wanted, rtol=1e-5, atol=1e-6)
    assert explained.startswith("triton: forward ")


def test_a_derivative_of_the_derivative():
    torch.manual_seed(0)
    c = CELLS["gru"]
    x = torch.randn(4, INPUT, requires_grad=True)
    parameters = {s.name: torch.randn(*s.shape, requires_grad=True) for s in c.parameter_specs(INPUT, UNITS)}

    def second(back_end):
        output, _, _ = BACKENDS[back_end].run(Call(c, x, [2, 2], {"h": torch.zeros(2, UNITS)}, parameters))
        (first,) = torch.autograd.grad(output.pow(2).sum(), x, create_graph=True)
        return torch.autograd.grad(first.pow(2).sum(), [x, parameters["W.rh"]])

    for a, b in zip(second("triton"), second("reference"), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_forward_mode_and_batches_of_vmap(monkeypatch):
    ran, inner = [], calls.forward
    monkeypatch.setattr(calls, "forward", lambda run, *a: (ran.append(run.key), inner(run, *a))[1])
    c = CELLS["rnn"]
    parameters = {s.name: torch.randn(*s.shape) for s in c.parameter_specs(INPUT, UNITS)}
    x = torch.randn(2, 4, INPUT)

    def run(back_end):
        return lambda y: BACKENDS[back_end].run(Call(c, y, [2, 2], {"h": torch.zeros(2, UNITS)}, parameters))[0]

    torch.testing.assert_close(torch.func.vmap(run("triton"))(x), torch.func.vmap(run("reference"))(x))
    for a, b in zip(*(torch.func.jvp(run(k), (x[0],), (x[1],)) for k in ("triton", "reference")), strict=True):
        torch.testing.assert_close(a, b)
    key = registry.register(c)
    assert ran.count(key) == 3 and ran.count(key + registry.TANGENT) == 1  # vmap's two, and forward mode's


@pytest.mark.parametrize(
    ("what", "key", "shape"),
    [("parameters", "w.oh", (3,)), ("parameters", "W.im", (19, 18)), ("before", "h", (2, 18)), ("before", "m", (3, 19))],
)
def test_what_would_be_read_past_its_end_is_refused(what, key, shape):
    c = CELLS["lstm-v3"]
    given = {
        "parameters": {s.name: torch.randn(*s.shape) for s in c.parameter_specs(INPUT, UNITS)},
        "before": {"m": torch.zeros(2, UNITS), "h": torch.zeros(2, UNITS)},
    }

    def run():
        with kernels.use("triton"):
            return kernels.run(Call(c, torch.randn(4, INPUT), [2, 2], given["before"], given["parameters"]))

    run()
    given[what][key] = torch.randn(shape)
    with pytest.raises((ValueError, RuntimeError), match=r"shape|size"):
        run()
    given[what][key] = given[what][key].double()
    with pytest.raises(ValueError, match=r"float64, but"):
        run()


def test_a_way_that_there_is_not_is_refused(monkeypatch):
    monkeypatch.setenv("CAROUSEL_TRITON_WAY", "sideways")
    with pytest.raises(ValueError, match="CAROUSEL_TRITON_WAY may be stepwise or rows or grid or held or scan, not 'sideways'"):
        planner.forced()


def test_double_precision_is_left_to_the_reference():
    assert not usable(CELLS["lstm"], torch.zeros(1, dtype=torch.float64))


@pytest.mark.parametrize("name", ["lstm-v3", "lstm-v4", "gru", "mut1"])
def test_what_is_recorded_and_held(name, way):
    c = cells.get(name)
    names = [n for n in c.names if n != "t"]
    held = [n for n in names if n in ("f", "z", "h")]
    assert held
    agree(c, torch.float32, [3, 2, 1], resets=True, record=names, clamp=held)
    agree(c, torch.bfloat16, [3, 3], reverse=True, record=names[-2:])


@pytest.mark.parametrize("clamp", [{"f": 0.5}, {"f": torch.tanh}], ids=["a value", "a function"])
def test_a_layer_holds_and_records(clamp, monkeypatch):
    ran, inner = [], calls.forward
    monkeypatch.setattr(calls, "forward", lambda *a: (ran.append(1), inner(*a))[1])
    layer, x = Recurrent("lstm-v3", 4, 6), torch.randn(3, 2, 4)
    with kernels.use("triton"):
        found, _, seen = layer(x, clamp=clamp, record=["i", "f"])
    assert len(ran) == (clamp["f"] == 0.5)  # a function is asked by the reference
    expected, _, wanted = layer(x, clamp=clamp, record=["i", "f"])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(seen, wanted, rtol=1e-5, atol=1e-6)
    assert (found - layer(x)[0]).abs().max() > 1e-3
