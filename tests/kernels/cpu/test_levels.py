"""Steps that follow several: compiled loops against the reference, and against chains, on cells that a program wrote."""

import random
import re
from contextlib import suppress

import pytest
import torch
from random_cells import stored
from together import compile_together

from carousel import EquationError, kernels
from carousel.equations.stored import StoredCell, as_data
from carousel.equations.variants import computed
from carousel.kernels import levels
from carousel.kernels.cpu.backend import usable
from carousel.kernels.cpu.source import DIRECTIONS
from carousel.kernels.inputs import loop_of
from carousel.kernels.registry import TANGENT, key_of, loop_called
from carousel.kernels.variants import variant
from carousel.layers.clamp import sizes

COUNT = 12


def branched(case, edges):
    """The case's cell with predecessors: each h[t-1] is of one of them, always the same."""
    data, chance = as_data(case.cell, [case.every_size]), random.Random(case.text)
    data = {**data, "states": [s for s in data["states"] if s != "t"], "before": edges, "name": f"branched-{len(edges)}"}
    data["equations"] = [re.sub(r"\[t-1\]", lambda _: f"[{chance.choice(edges)}]", e) for e in data["equations"]]
    return StoredCell(data)


def in_sets(case):
    """The case's cell with a set of predecessors: h[t-1] is of each of them, or the sum; what a state is set to is summed."""
    for attempt in range(20):
        chance, of_each, equations = random.Random(f"{attempt} {case.text}"), set(), []
        data = as_data(case.cell, [case.every_size])
        states = [s for s in data["states"] if s != "t"]
        for name, value in (e.split("[t] = ", 1) for e in data["equations"]):
            ways = r"\1[child]", r"\1[child]", r"together(\1[child])"
            value = re.sub(r"(\w+)\[t-1\]", lambda found: found.expand(chance.choice(ways)), value)  # noqa: B023
            rest = re.sub(r"together\(\w+\[child\]\)", "", value)
            each = "[child]" in rest or any(re.search(rf"\b{n}\[t\]", rest) for n in of_each)
            if each and (name in states or chance.random() < 0.3):
                value, each = f"together({value})", False
            of_each |= {name} if each else set()
            equations.append(f"{name}[t] = {value}")
        data = {**data, "states": states, "before": "child", "name": "in-sets", "equations": equations}
        with suppress(EquationError):  # a sum over a set takes vectors
            if loop_of(found := StoredCell(data)).over_set:
                return found
    return None


def fitting():
    """Stored cases that neither count steps, nor look further back, nor draw noise."""
    every = [c for c in stored() if not re.search(r"\bt\b|ago\(|\bp\.|p\[", c.text)]
    rare = [c for c in every if re.search(r"heads=|norm\(|mean\(|total\(|softmax\(", c.text)]
    chosen = [*rare, *every[:: max(1, len(every) // (COUNT - len(rare)))]]
    return [c for c in dict.fromkeys(chosen) if usable(c.cell, torch.zeros(1, dtype=torch.float64))]


CASES = fitting()
CELLS = [branched(c, ["up", "left"]) for c in CASES]
SETS = [in_sets(c) for c in CASES]
CHAINS = [branched(c, ["last"]) for c in CASES]


@pytest.fixture(autouse=True)
def many_threads(monkeypatch):
    """Small loops have as many threads as large ones."""
    monkeypatch.setattr("carousel.kernels.cpu.layout.threads_for", lambda weights, rows, most: most)


@pytest.fixture(scope="module", autouse=True)
def compiled():
    keys = [key_of(c) for c in (*CELLS, *SETS, *CHAINS)] + [looked(c)[0] for c in (*CELLS, *SETS)]
    loops = {loop_called(key): DIRECTIONS for key in keys}
    loops |= {loop_called(key + TANGENT): ("forward",) for key in keys[: len(CELLS + SETS)]}
    compile_together(loops, torch.float64)


def looked(cell):
    """The key of a variant of the cell's loop, and what it records and clamps."""
    chance = random.Random(cell.text)
    record = [n for n in cell.names if chance.random() < 0.5]
    clamp = [n for n in cell.names if computed(loop_of(cell), n) and chance.random() < 0.3]
    return variant(kernels.Call(cell, torch.zeros(0), [], {}, {}, record=record, clamp=dict.fromkeys(clamp))).key, record, clamp


def structure(cell, chance):
    """Levels of random sizes, and which each step precedes; of a set several precede the same."""
    batch_sizes, of_set = [chance.randint(1, 9) for _ in range(chance.randint(1, 7))], isinstance(cell.before, str)
    begin = levels.begins(batch_sizes)
    follows = torch.full((1 if of_set else len(cell.before), begin[-1]), -1)
    for line in follows:
        free = list(range(begin[1], begin[-1]))
        for row in chance.sample(range(begin[-1]), begin[-1]):
            later = [r for r in free if r >= next(b for b in begin if b > row)]
            if later and chance.random() < 0.8:
                line[row] = chance.choice(later)
                free = free if of_set else [r for r in free if r != line[row]]
    return batch_sizes, follows


def tensors(case, cell, rows, batch=1):
    """Random leaves by name: the input, parameters, further inputs, states before."""
    torch.manual_seed(3)
    own = case.every_size
    specs = {p.name: p.shape for p in cell.parameter_specs(*own)}
    found = {n: 0.4 * torch.randn(*shape, dtype=torch.float64) for n, shape in specs.items()}
    found["input"] = torch.randn(rows, own[0], dtype=torch.float64)
    found |= {f"input {x.name}": torch.randn(rows, cell.length(x.size, *own), dtype=torch.float64) for x in cell.trace.inputs}
    states = {s.name: s.size for s in cell.trace.states}
    return found | {
        f"state {n}": torch.randn(batch, cell.length(size, *own), dtype=torch.float64) for n, size in states.items()
    }


def call(cell, given, batch_sizes, follows=None, record=(), clamp=None):
    return kernels.Call(
        cell,
        given["input"],
        batch_sizes,
        {n: given[f"state {n}"] for n in cell.states},
        {n: given[n] for n in cell.learned},
        record=record,
        clamp=clamp,
        inputs={n: given[f"input {n}"] for n in cell.inputs},
        follows=follows,
    )


def results(found):
    return [found.output, *found.states.values(), *found.recorded.values()]


def solved(back_end, leaves, make):
    """All results of a call, and the gradients of a weighed sum of them."""
    leaves = {n: x.clone().requires_grad_() for n, x in leaves.items()}
    with kernels.use(back_end):
        values = results(kernels.run(make(leaves)))
    return [x.detach() for x in values] + gradients(values, leaves)


def gradients(values, leaves):
    loss = sum((x * torch.linspace(-1, 1, x.numel(), dtype=x.dtype).view_as(x)).sum() for x in values)
    loss = loss + 0 * sum(x.sum() for x in leaves.values())  # a clamp may leave constants alone
    return list(torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True))


def agree(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape and b.isfinite().all()
        assert (a - b).abs().max() <= 1e-9 * (b.abs().max() + 1e-3)


@pytest.mark.parametrize("cells", [CELLS, SETS], ids=["named", "set"])
@pytest.mark.parametrize("number", range(len(CASES)))
def test_kernels_give_what_the_reference_gives(number, cells):
    case, cell, chance = CASES[number], cells[number], random.Random(number)
    _, record, clamp = looked(cell)
    for threads in (1, 3):
        torch.set_num_threads(threads)
        batch_sizes, follows = structure(cell, chance)
        given = tensors(case, cell, sum(batch_sizes))
        units = sizes(cell, *case.every_size)
        shapes = {n: (len(batch_sizes), units[n]) for n in clamp}
        clamps = {n: (torch.full(s, 0.3, dtype=torch.float64), torch.rand(s) < 0.4) for n, s in shapes.items()}
        for recorded, held in (((), None), (record, clamps)):

            def make(leaves, recorded=recorded, held=held, batch_sizes=batch_sizes, follows=follows):
                return call(cell, leaves, batch_sizes, follows, recorded, held)

            agree(solved("cpu", given, make), solved("reference", given, make))
            with torch.no_grad(), kernels.use("cpu"):
                plain = results(kernels.run(make(given)))
            agree(plain, solved("reference", given, make)[: len(plain)])


@pytest.mark.parametrize("cells", [CELLS, SETS], ids=["named", "set"])
@pytest.mark.parametrize("number", range(0, len(CASES), 3))
def test_tangents_are_the_references(number, cells):
    case, cell = CASES[number], cells[number]
    batch_sizes, follows = structure(cell, random.Random(number))
    given = tensors(case, cell, sum(batch_sizes))
    names, values = list(given), tuple(given.values())
    changes = tuple(torch.randn_like(x) for x in values)

    def through(back_end):
        def function(*leaves):
            with kernels.use(back_end):
                return results(kernels.run(call(cell, dict(zip(names, leaves, strict=True)), batch_sizes, follows)))

        return torch.func.jvp(function, values, changes)

    (found, tangents), (wanted, expected) = through("cpu"), through("reference")
    agree([*found, *tangents], [*wanted, *expected])


@pytest.mark.parametrize("number", range(len(CASES)))
@pytest.mark.parametrize("back_end", ["cpu", "reference"])
def test_steps_that_follow_one_are_a_chain(number, back_end):
    """Sequences of several lengths as levels of one predecessor, against the chain's own loop."""
    case, cell = CASES[number], CHAINS[number]
    lengths = [6, 4, 4, 1]
    batch_sizes = [sum(n > t for n in lengths) for t in range(lengths[0])]
    begin = levels.begins(batch_sizes)
    follows = torch.full((1, begin[-1]), -1)
    for t, n in enumerate(batch_sizes[1:]):
        follows[0, begin[t] : begin[t] + n] = torch.arange(begin[t + 1], begin[t + 1] + n)
    given = tensors(case, cell, begin[-1])
    chain = {n: x.expand(len(lengths), -1) if n.startswith("state ") else x for n, x in given.items()}

    def last(leaves):
        return call(cell, leaves, batch_sizes, follows, record=case.cell.names)

    found, given_chain = solved(back_end, given, last), {n: x.clone().requires_grad_() for n, x in chain.items()}
    with kernels.use("reference"):
        run = kernels.run(call(case.cell, given_chain, batch_sizes, record=case.cell.names))
    values = 1 + len(case.cell.names)
    agree(found[:values], [run.output, *run.recorded.values()])
    back = gradients([run.output, *run.recorded.values()], given_chain)
    wanted = [g.sum(0, keepdim=True) if n.startswith("state ") else g for n, g in zip(given_chain, back, strict=True)]
    agree(found[values:], wanted)


def test_a_wrong_structure_is_refused_before_any_address_is_taken():
    case, cell = CASES[0], CELLS[0]
    given = tensors(case, cell, 6)
    good = torch.tensor([[2, 3, 4, -1, -1, -1], [3, -1, 5, -1, -1, -1]])
    for back_end in ("cpu", "reference"):

        def run(follows, batch_sizes=(2, 2, 2), cell=cell, back_end=back_end):
            with kernels.use(back_end):
                return kernels.run(call(cell, given, batch_sizes, follows))

        run(good)
        for k, row, value, said in (
            (0, 0, 1, "later levels"),
            (0, 2, 3, "later levels"),
            (1, 0, 6, "later levels"),
            (1, 0, -2, "later levels"),
            (0, 1, 2, "same predecessor"),
        ):
            wrong = good.clone()
            wrong[k, row] = value
            with pytest.raises(ValueError, match=said):
                run(wrong)
        with pytest.raises(ValueError, match="follows several, up, left: say which"):
            run(None)
        for wrong in (good.int(), good[:1], good[:, :5]):
            with pytest.raises(ValueError, match="int64"):
                run(wrong)
        with pytest.raises(ValueError, match="are a chain"):
            run(good, cell=case.cell)


@pytest.mark.parametrize("cells", [CELLS, SETS], ids=["named", "set"])
@pytest.mark.parametrize("number", range(0, len(CASES), 2))
def test_threads_share_levels_of_many_rows(number, cells):
    """Rows of a level are dealt out to threads, or their units: other tiles may round otherwise, the same ones do not."""
    case, cell, chance = CASES[number], cells[number], random.Random(1)
    batch_sizes, follows = structure(cell, chance)
    while sum(batch_sizes) < 30:
        batch_sizes, follows = structure(cell, chance)
    given = tensors(case, cell, sum(batch_sizes))
    found = []
    for threads in (1, 2, 4, 4, 4):
        torch.set_num_threads(threads)
        with torch.no_grad(), kernels.use("cpu"):
            found.append(kernels.run(call(cell, given, batch_sizes, follows)).output)
    assert all((found[0] - other).abs().max() < 1e-13 for other in found[1:])
    assert torch.equal(found[2], found[3]) and torch.equal(found[2], found[4])
