"""Cells that nobody wrote: kernels, reference and finite differences agree on them, and all else that a cell can do works.

A hundred cells are always the same; a campaign draws others, and with ``-s`` tells at once of one that fails:
``PYTHONHASHSEED=0 python -m pytest -s tests/kernels/cpu/test_random_cells.py --cells 5000 --seed 7``. Kernels of fifty
cells are compiled at once, without optimization; ``--optimized`` compiles them as for users. ``--shrink`` looks for the
smallest cell that fails, which takes minutes.
"""

import copy
import json
import os
import pickle
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from xml.etree import ElementTree

import printed
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis.errors import UnsatisfiedAssumption
from random_cells import Case, cases, stored
from together import compile_together

from carousel import kernels
from carousel.drawing.graph import graph
from carousel.drawing.svg import standalone
from carousel.equations.derivative import NoDerivative
from carousel.equations.stored import StoredCell, as_data
from carousel.equations.variants import computed
from carousel.kernels import reference
from carousel.kernels.cpu.backend import usable
from carousel.kernels.cpu.kernel import kernel
from carousel.kernels.cpu.program import program_of
from carousel.kernels.cpu.source import DIRECTIONS
from carousel.kernels.inputs import loop_of
from carousel.kernels.registry import TANGENT, key_of, loop_called
from carousel.kernels.variants import variant
from carousel.layers import Recurrent, Streaming

AT_ONCE = 50


def pytest_generate_tests(metafunc):
    if "batch" in metafunc.fixturenames:
        count, first = metafunc.config.getoption("cells"), metafunc.config.getoption("seed")
        count = count if first else 0
        sizes = [min(AT_ONCE, count - at) for at in range(0, count, AT_ONCE)]
        batches = [(first + k, n) for k, n in enumerate(sizes)]
        metafunc.parametrize("batch", batches, ids=[f"seed{seed}" for seed, _ in batches])


@pytest.fixture(autouse=True)
def forgotten(request, monkeypatch, tmp_path):
    """Kernels of a campaign are not kept."""
    if request.config.getoption("seed"):
        monkeypatch.setenv("CAROUSEL_CACHE", str(tmp_path))


def test_random_cells(batch, problem, request):
    number, count = batch
    same = settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False)
    chosen: list[Case] = []
    seed(number)(settings(same, phases=[Phase.generate])(given(cases())(lambda case: chosen.append(case))))()
    _compile_all(chosen, request.config.getoption("optimized"))
    if request.config.getoption("shrink"):
        phases = settings(same, phases=[Phase.generate, Phase.shrink])
        seed(number)(phases(given(cases())(lambda case: note(repr(case)) or everything(case, problem))))()
    _all_of(chosen, problem, most_skipped=max(2, count // 10))


def _all_of(chosen, problem, most_skipped):
    """Check every case, whatever the one before did; tell of all that failed."""
    failures, skipped = [], 0
    for case in chosen:
        try:
            skipped += everything(case, problem) is False
        except UnsatisfiedAssumption:  # it computes constants alone
            continue
        except Exception as error:
            error.add_note(repr(case))
            failures.append(error)
            print(f"{type(error).__name__}: {error}\n{case!r}", file=sys.stderr, flush=True)  # a campaign takes an hour
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(chosen)} cells", failures)
    assert skipped <= most_skipped, f"{skipped} of {len(chosen)} cells have no finite differences"


# From the hundredth on, those that have shown a fault, go over units, draw noise, or have heads.
@pytest.mark.parametrize("first", range(0, len(stored()), 25))
def test_cells_that_were_drawn_once(first, problem, request):
    if request.config.getoption("seed"):
        pytest.skip("a campaign draws its own")
    chosen = stored()[first : first + 25]
    _compile_all(chosen, request.config.getoption("optimized"))
    assert chosen
    _all_of(chosen, problem, most_skipped=2)


def everything(case, problem):
    """All that is asked of a case; False where finite differences could not be taken."""
    values_and_gradients(posed(case, problem))
    smooth = finite_differences(case, problem)
    tangents(case, posed(case, problem))
    looked = posed(case, problem, *looking(case))
    values_and_gradients(looked)
    tangents(case, looked)
    blocks(case, problem)
    printing(case, problem)
    layers(case)
    pickling(case)
    return smooth


def _compile_all(chosen, optimized):
    """Compile their kernels at once, as one file unless they are to be as for users."""
    loops = dict(loop for case in chosen for loop in _loops(case))
    if optimized:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda loop: kernel(loop, torch.float64).compile(*loops[loop]), loops))
    else:
        compile_together(loops, torch.float64)


def _loops(case):
    """The loops of a case that kernels run, whole and looked into, both ways, and their tangents, which run forwards."""
    if not usable(case.cell, torch.zeros(1, dtype=torch.float64)):
        return
    for key in (key_of(case.cell), looked_key(case.cell, *looking(case))):
        for name, directions in ((key, DIRECTIONS), (key + TANGENT, ("forward",))):
            with suppress(NoDerivative):
                loop = loop_called(name)
                program_of(loop)
                yield loop, directions


def looking(case):
    """Some of a cell's quantities to record, and some of those that its loop computes to clamp, always the same."""
    chance, cell = random.Random(case.text), case.cell
    recorded = [n for n in cell.names if chance.random() < 0.5]
    clamped = [n for n in cell.names if computed(loop_of(cell), n) and chance.random() < 0.3]
    return recorded, clamped


def looked_key(cell, recorded, clamped):
    return variant(kernels.Call(cell, torch.zeros(0), [], {}, {}, record=recorded, clamp=dict.fromkeys(clamped))).key


def posed(case, problem, record=(), clamp=()):
    """The case as a problem of ``conftest.py``, all in float64."""
    return problem(
        case.cell,
        sizes=case.sizes,
        batch_sizes=case.batch_sizes,
        reverse=case.reverse,
        resets=case.resets,
        scale=0.4,
        record=record,
        clamp=clamp,
    )


def values_and_gradients(p):
    """Kernels give what the reference gives, to 1e-9 of the largest number of each tensor."""
    if not any(x.requires_grad for x in (p.run("reference")[0], *p.run("reference")[1].values())):
        raise UnsatisfiedAssumption  # of constants alone
    expected, found = p.solve("reference"), p.solve("cpu")
    for name, wanted in expected.items():
        assert found[name].shape == wanted.shape, name
        assert wanted.isfinite().all(), f"{name}: the cell is no good for comparing"
        difference = (found[name] - wanted).abs().max() / (wanted.abs().max() + 1e-3)
        assert difference <= 1e-9, f"{name}: {difference:.1e}"


def loss(p, back_end, at):
    """The problem's number, outputs and final states weighed, with other leaves."""
    original = [x.data for x in p.leaves.values()]
    try:
        for leaf, x in zip(p.leaves.values(), at, strict=True):
            leaf.data = x
        with torch.no_grad():
            terms = [(x * w).sum() for x, w in zip(p.results(back_end), p.weights, strict=True)]
        return float(sum(terms)), float(sum(x.abs() for x in terms))
    finally:
        for leaf, x in zip(p.leaves.values(), original, strict=True):
            leaf.data = x


def finite_differences(case, problem):
    """The gradient along random directions is the difference quotient; False where every direction crosses a kink.

    ``detach`` makes a gradient another than the function's, so its cells are not asked (None).
    """
    if "detach" in case.text:
        return None
    p = posed(case, problem)
    gradients = [p.solve("cpu")[f"gradient of {name}"] for name in p.leaves]
    leaves = [x.detach().clone() for x in p.leaves.values()]
    for attempt in range(4):
        generator = torch.Generator().manual_seed(attempt)
        direction = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in leaves]
        parts = torch.cat([(g * d).flatten() for g, d in zip(gradients, direction, strict=True)])
        wide = 1e-4 * 10.0**-attempt

        def along(h, direction=direction):
            return loss(p, "cpu", [x + h * d for x, d in zip(leaves, direction, strict=True)])

        here, size = along(0.0)
        scale = float(parts.norm()) + 1e-3 * size + 1e-6
        quotient, bend = zip(*(_differences(along, here, h) for h in (wide, wide / 2)), strict=True)
        noise = 1e-13 * size / wide
        smooth = 1e-4 * scale + noise
        if abs(quotient[0] - quotient[1]) > smooth or abs(bend[1] - bend[0] / 2) > smooth:
            continue  # a kink, of relu, where or maximum, is near
        better = (4 * quotient[1] - quotient[0]) / 3
        assert abs(better - float(parts.sum())) <= 1e-5 * scale + noise, (better, float(parts.sum()), scale)
        return True
    return False


def _differences(along, here, h):
    """The central difference quotient, and by how much the one-sided ones differ: halved with h where there is no kink."""
    right, left = along(h)[0], along(-h)[0]
    return (right - left) / (2 * h), (right - 2 * here + left) / h


def tangents(case, p):
    """Forward mode: the kernels' tangents are the reference's, and along a direction the difference quotient."""
    names, leaves = list(p.leaves), [x.detach().clone() for x in p.leaves.values()]
    generator = torch.Generator().manual_seed(5)
    direction = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in leaves]

    def through(back_end):
        def function(*values):
            return p.at(dict(zip(names, values, strict=True))).results(back_end)

        return torch.func.jvp(function, tuple(leaves), tuple(direction))

    (values, expected), (ours, found) = through("reference"), through("cpu")
    for wanted, given_ in zip((*values, *expected), (*ours, *found), strict=True):
        difference = (given_ - wanted).abs().max() / (wanted.abs().max() + 1e-3)
        assert difference <= 1e-9, f"{difference:.1e}"
    if "detach" not in case.text:
        along = sum((x * w).sum() for x, w in zip(found, p.weights, strict=True))
        gradients = p.solve("reference")
        backwards = sum((gradients[f"gradient of {n}"] * d).sum() for n, d in zip(names, direction, strict=True))
        scale = sum((gradients[f"gradient of {n}"] * d).abs().sum() for n, d in zip(names, direction, strict=True))
        assert abs(along - backwards) <= 1e-9 * (scale + 1e-3)  # which finite differences have confirmed


def blocks(case, problem):
    """A cell with heads is the cell without, with block-diagonal weights; functions over the units of heads are none of it."""
    if case.cell.heads == 1 or "heads=True" in case.text:
        return
    p = posed(case, problem)
    dense = copy.copy(p)
    dense.cell = case.cell.with_heads(1)
    dense.parameters = {n: torch.block_diag(*x) if x.dim() == 3 else x for n, x in p.parameters.items()}
    expected = dense.solve("reference")
    for name, found in p.solve("cpu").items():
        difference = (found - expected[name]).abs().max() / (expected[name].abs().max() + 1e-3)
        assert difference <= 1e-9, f"{name}: {difference:.1e}"


def printing(case, problem):
    """The text says what is computed; LaTeX and the drawing are whole; parameters are counted."""
    cell, p = case.cell, posed(case, problem)
    assert cell.latex.count("{") == cell.latex.count("}")
    assert cell.latex.count(r"\left") == cell.latex.count(r"\right")
    assert graph(cell).nodes
    if len(graph(cell).nodes) <= 24:  # the layout of a large one takes a second or two
        drawn = ElementTree.fromstring(standalone(cell))
        assert {g.get("data-name") for g in drawn.iter() if g.get("data-name")} >= {s.name for s in cell.trace.declared}

    again = StoredCell(json.loads(json.dumps(as_data(cell, [case.every_size]))))  # a run folder's
    assert [(d.number, d.once) for d in again.trace.draws] == [(d.number, d.once) for d in cell.trace.draws]
    states = {n: x.detach() for n, x in {**p.before, **p.clock}.items()}
    first = case.batch_sizes[0]
    cell = cell.quiet  # whose text says what is computed, too
    rated = [q for q in cell.trace.parameters if q.kind == "rate"]
    given = {q.name: torch.full((cell.length(q.rows, *case.every_size),), 0.3, dtype=torch.float64) for q in rated}
    parameters = {n: x.detach() for n, x in p.parameters.items()} | given
    inputs = {n: x[:first].detach() for n, x in p.inputs.items()}
    call = kernels.Call(cell, p.data[:first].detach(), [first], states, parameters, record=cell.names, inputs=inputs)
    _, _, recorded = reference.run(call)
    masked = {n: x * torch.as_tensor(cell.masks[n](*x.shape)) if n in cell.masks else x for n, x in parameters.items()}
    for constant in cell.trace.parameters:
        if constant.kind == "constant":
            size = cell.length(constant.rows, *case.every_size)
            masked[constant.name] = torch.as_tensor(cell.constants[constant.letters](size))
        elif constant.kind == "matrix":
            rows, columns = (cell.length(x, *case.every_size) for x in (constant.rows, *constant.columns))
            masked[constant.name] = torch.as_tensor(cell.matrices[constant.letters](rows, columns))
        elif constant.kind == "transposed":
            masked[constant.name] = masked[constant.name.removesuffix(".T")].mT
    masked = {n: torch.block_diag(*x) if x.dim() == 3 else x for n, x in masked.items()}
    found = printed.step(cell.text, {"e": p.data[:first].detach(), **states, **masked}, inputs, cell.heads)
    assert set(found) == {n for n in cell.names if n != "t"}
    for name, value in found.items():
        value = value.double().expand_as(recorded[name])
        torch.testing.assert_close(value, recorded[name], rtol=1e-9, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}")

    layer = made(case)
    masks = sum(x.numel() - int(cell.masks[n](*x.shape).sum()) for n, x in parameters.items() if n in cell.masks)
    assert cell.count(*case.every_size) == sum(x.numel() for x in layer.parameters()) - masks
    assert cell.work(*case.every_size).total >= 0


def made(case, **options):
    """A layer of the case's cell and sizes."""
    projected = case.sizes[2] if case.cell.has_projection else 0
    sizes = dict(zip(case.cell.sized, case.every_size[3:], strict=True))
    return Recurrent(case.cell, *case.sizes[:2], proj_size=projected, input_sizes=sizes, **options)


def layers(case):
    """A layer of the cell, whole sequences and step by step, does what the reference does."""
    cell = case.cell
    torch.manual_seed(1)
    layer = made(case, dtype=torch.float64, rates=dict.fromkeys(cell.rates, 0.3)).eval()
    x = torch.randn(case.lengths[0], len(case.lengths), case.sizes[0], dtype=torch.float64)
    inputs = {n.name: torch.randn(*x.shape[:2], cell.length(n.size, *case.every_size)).double() for n in cell.trace.inputs}
    with torch.no_grad():
        if cell.trace.draws:
            drawn = []
            for back_end in ("reference", "cpu"):
                torch.manual_seed(2)
                with kernels.use(back_end):
                    drawn.append(layer.train()(x, **inputs)[0])
            torch.testing.assert_close(*drawn, rtol=1e-9, atol=1e-9)
            layer.eval()
        with kernels.use("reference"):
            wanted, states = layer(x, **inputs)
        found, _ = layer(x, **inputs)
        stream = Streaming(layer, batch=x.shape[1])
        steps = [stream(row, **{n: v[k] for n, v in inputs.items()}).clone() for k, row in enumerate(x)]
    for output in (found, torch.stack(steps)):
        torch.testing.assert_close(output, wanted, rtol=1e-9, atol=1e-9)
    last = stream.hx
    for a, b in zip(*((s,) if isinstance(s, torch.Tensor) else s for s in (last, states)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    trained(layer, x, inputs)


def trained(layer, x, inputs):
    """A training gives the reference's gradients, and again when the call is remembered."""

    def gradients():
        leaves = [x.detach().requires_grad_(), *layer.parameters()]
        loss = layer(leaves[0], **inputs)[0].square().sum()
        if not loss.requires_grad:  # the reference sees where all is constant
            return [torch.zeros_like(leaf) for leaf in leaves]
        return torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)

    with kernels.use("reference"):
        expected = gradients()
    for _ in range(2):
        for wanted, found in zip(expected, gradients(), strict=True):
            difference = (found - wanted).abs().max() / (wanted.abs().max() + 1e-3)
            assert difference <= 1e-9, f"{difference:.1e}"


def pickling(case):
    """A cell is pickled by where its module has it; one that no module has is refused."""
    cell = case.cell
    assert pickle.loads(pickle.dumps(cell)) is cell
    layer = copy.deepcopy(made(case))
    assert layer.cell is cell
    module = sys.modules.pop(cell.__module__)
    try:
        with pytest.raises((pickle.PicklingError, ImportError)):
            pickle.dumps(cell)
    finally:
        sys.modules[cell.__module__] = module
