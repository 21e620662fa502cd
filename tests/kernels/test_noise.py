"""What noise is drawn from: bits that are as good as random, the same for every back end, and drawn in the loop."""

import math

import pytest
import torch

from carousel import kernels
from carousel.cells import get
from carousel.equations import cell, dropout, tanh, zoneout
from carousel.kernels import Call, Noise
from carousel.kernels.cpu import compiler
from carousel.kernels.cpu.program import program_of
from carousel.kernels.inputs import loop_of
from carousel.kernels.noise import draw, vectors
from carousel.layers import Recurrent


def uniforms(seed, rows, units, number=0):
    """Draws of all places and units as they are in a loop, between 0 and 1."""
    use = next(iter(get("gru-zoneout").trace.draws))
    use = type(use)(number, use.rate, use.size)
    of = vectors(use, Noise(torch.tensor(seed), {"h": 0.5}), units, torch.zeros(0))
    keys = [next(x for s, x in of.items() if str(s).endswith(what)) for what in ("_key", "_more", "_first")]
    return draw(*keys, torch.arange(rows).unsqueeze(1)).double() / 2**24


SEEDS = [0, 1, 2**31, 2**62 + 12345]


@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_are_uniform(seed):
    u = uniforms(seed, 2000, 500).flatten()
    n = len(u)
    assert abs(float(u.mean()) - 1 / 2) < 5 * math.sqrt(1 / 12 / n)
    assert abs(float(u.var()) - 1 / 12) < 5 * math.sqrt(1 / 180 / n)
    counts = torch.histc(u, 256, 0, 1)
    chi = float(((counts - n / 256) ** 2 / (n / 256)).sum())
    assert abs(chi - 255) < 5 * math.sqrt(2 * 255)
    bits = (u * 2**24).long()
    for k in range(24):
        assert abs(float((bits >> k & 1).double().mean()) - 1 / 2) < 5 / 2 / math.sqrt(n), k


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("row", "unit"), [(1, 0), (0, 1), (1, 1), (2, 0), (0, 2), (20, 0), (0, 16), (64, 0), (1, -1)])
def test_neighbours_know_nothing_of_each_other(seed, row, unit):
    u = uniforms(seed, 1500, 400)
    shifted = u[row:, unit:] if unit >= 0 else u[row:, :unit]
    own = u[: len(u) - row, : u.shape[1] - unit] if unit >= 0 else u[: len(u) - row, -unit:]
    correlation = float(torch.corrcoef(torch.stack([own.flatten(), shifted.flatten()]))[0, 1])
    assert abs(correlation) < 5 / math.sqrt(own.numel())
    both = ((own < 0.1) & (shifted < 0.1)).double()  # masks, too
    assert abs(float(both.mean()) - 0.01) < 5 * math.sqrt(0.01 * 0.99 / own.numel())


def test_uses_and_seeds_know_nothing_of_each_other():
    first = uniforms(7, 1000, 300)
    for other in (uniforms(7, 1000, 300, number=1), uniforms(8, 1000, 300), uniforms(7 + 2**32, 1000, 300)):
        correlation = float(torch.corrcoef(torch.stack([first.flatten(), other.flatten()]))[0, 1])
        assert abs(correlation) < 5 / math.sqrt(first.numel())


def test_each_row_and_each_unit_is_struck_as_often_as_the_rate_says():
    struck = (uniforms(3, 4000, 256) < 0.05).double()
    for along in (0, 1):
        share = struck.mean(along)
        assert float((share - 0.05).abs().max()) < 6 * math.sqrt(0.05 * 0.95 / struck.shape[along])


@cell
def masks(e, m, W, p):
    """What a dropout leaves of ones, at every step."""
    m = dropout(tanh(0 * m) + 1, p.m)
    return m


@cell
def same_masks(e, m, W, p):
    """The same, once for all steps."""
    m = dropout(tanh(0 * m) + 1, p.m, once=True)
    return m


def left(c, rows, units, back_end, dtype=torch.float64, first=0, rate=0.25, **options):
    sizes = rows if isinstance(rows, list) else [rows]
    data = torch.zeros(sum(sizes), units, dtype=dtype)
    noise = Noise(torch.tensor(99), {"m": rate}, first)
    before = {"m": torch.zeros(sizes[0], units, dtype=dtype)}
    given = {"p.m": torch.full((units,), rate, dtype=dtype)}
    with kernels.use(back_end):
        return kernels.run(Call(c, data, sizes, before, given, noise=noise, **options)).output


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("c", [masks, same_masks])
@pytest.mark.parametrize("reverse", [False, True])
def test_kernels_and_reference_draw_the_same_bits(c, dtype, reverse):
    sizes = [37, 37, 20, 9, 1]
    ours = left(c, sizes, 77, "cpu", dtype, reverse=reverse)
    assert torch.equal(ours, left(c, sizes, 77, "reference", dtype, reverse=reverse))
    assert torch.equal(ours.double() != 0, left(c, sizes, 77, "reference", reverse=not reverse) != 0)
    assert 0.7 < float((ours != 0).double().mean()) < 0.8
    torch.testing.assert_close(ours[ours != 0], torch.full((), 4 / 3, dtype=dtype).expand(int((ours != 0).sum())))
    steps = ours.split(sizes)
    assert torch.equal(steps[0][:20], steps[2]) == (c is same_masks)


@pytest.mark.parametrize("back_end", ["cpu", "reference"])
def test_every_bit_of_a_number_is_the_hashs(back_end):
    """A rate just as large as the number leaves the unit, one 2^-24 larger strikes it."""
    for place, number in enumerate((uniforms(99, 40, 1) * 2**24).long().flatten().tolist()):
        for rate, stays in ((number, True), (number + 1, False)):
            found = left(masks, 1, 1, back_end, first=place, rate=rate / 2**24)
            assert bool(found != 0) is stays, (place, number)


def test_places_after_many_rows():
    many = 2**24 - 3
    ours = [
        left(masks, [5], 33, b, dtype, first=many) for b in ("cpu", "reference") for dtype in (torch.float32, torch.float64)
    ]
    assert all(torch.equal(x.double() != 0, ours[0].double() != 0) for x in ours)
    assert not torch.equal(ours[0] != 0, left(masks, [5], 33, "cpu", torch.float32, first=many - 1) != 0)
    with pytest.raises(ValueError, match="rows of all segments"):
        Noise(torch.tensor(1), {"m": 0.5}).later(2**24)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_draw_the_same(threads):
    before = torch.get_num_threads()
    layer = Recurrent("lstm-zoneout", 64, 200, rates={"h": 0.3, "m": 0.2}, dtype=torch.float64)
    x = torch.randn(12, 9, 64, dtype=torch.float64)
    found = []
    try:
        for n in (1, threads):
            torch.set_num_threads(n)
            torch.manual_seed(1)
            found.append(layer(x)[0])
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-12)


def test_rates_at_the_ends():
    assert bool((left(masks, [9], 40, "cpu", rate=0.0) == 1).all())
    assert int((left(masks, [9], 40, "cpu", rate=1 - 2**-24) != 0).sum()) <= 2


def test_no_mask_of_all_steps_is_held():
    program = program_of(loop_of(get("lstm-zoneout")))
    assert not program.hoisted  # nothing with a row for every step comes into the loop
    plain, noisy = (len(program_of(loop_of(get(n))).saved) for n in ("lstm-v2", "lstm-zoneout"))
    assert noisy <= plain + 1


def test_a_cell_that_draws_is_refused_without_noise():
    c = get("gru-zoneout")
    layer = Recurrent(c, 3, 4)
    call = Call(c, torch.zeros(2, 3), [2], {"h": torch.zeros(2, 4)}, layer.parameters_of())
    with pytest.raises(ValueError, match="draws noise, and the call has none"):
        kernels.run(call)


def test_the_error_of_a_struck_unit_goes_to_the_old_value():
    @cell
    def kept(e, h, p):
        h = zoneout(e, h, p.h)
        return h

    rate = torch.full((50,), 0.5, dtype=torch.float64)
    for back_end in ("cpu", "reference"):
        e = torch.randn(1, 50, dtype=torch.float64, requires_grad=True)
        h = torch.randn(1, 50, dtype=torch.float64, requires_grad=True)
        with kernels.use(back_end):
            output = kernels.run(Call(kept, e, [1], {"h": h}, {"p.h": rate}, noise=Noise(torch.tensor(5), {"h": 0.5}))).output
        to_e, to_h = torch.autograd.grad(output.sum(), [e, h])
        struck = output == h
        assert 10 < int(struck.sum()) < 40
        assert torch.equal(to_h, struck.double()) and torch.equal(to_e, 1 - struck.double())


@pytest.mark.parametrize("simd", list(compiler.SIMD))
def test_every_width_of_vectors_draws_the_same(simd, monkeypatch):
    if list(compiler.SIMD).index(simd) < list(compiler.SIMD).index(compiler.simd()):
        pytest.skip("this processor has no such vectors")
    monkeypatch.setenv("CAROUSEL_SIMD", simd)
    for dtype in (torch.float32, torch.float64):
        assert torch.equal(left(masks, [9, 4], 37, "cpu", dtype), left(masks, [9, 4], 37, "reference", dtype))
