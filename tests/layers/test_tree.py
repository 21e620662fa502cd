"""``Tree`` against recursion over nodes: values and gradients, trees of random shapes, batches."""

import copy
import pickle
import random

import pytest
import torch
from levelled import close, gradients
from torch.nn.utils import prune

from carousel import Forest, Recurrent, Tree, cell, kernels, logistic, mean, tanh, together, total
from carousel.cells.papers import BRANCHED, nary_tree_lstm


def drawn(nodes, most, seed=0):
    """The children of each node of a random tree; with gaps where children have places."""
    chance, children = random.Random(seed), [[] for _ in range(nodes)]
    for node in range(1, nodes):
        parent = chance.choice([p for p in range(node) if len(children[p]) < most])
        children[parent].append(node)
    numbers = chance.sample(range(nodes), nodes)  # a root need not be the first
    found = [[] for _ in range(nodes)]
    for parent, row in enumerate(children):
        row = [numbers[c] for c in row]
        if len(row) == 1 and most > 1 and chance.random() < 0.5:
            row = [-1, *row]
        found[numbers[parent]] = row
    return found


def tree_lstm(p, e, children):
    (ml, hl), (mr, hr) = children
    i = torch.sigmoid(p["W.ie"] @ e + p["W.il"] @ ml + p["W.ir"] @ mr + p["b.i"])
    left = torch.sigmoid(p["W.fe"] @ e + p["W.ll"] @ ml + p["W.lr"] @ mr + p["b.f"])
    right = torch.sigmoid(p["W.fe"] @ e + p["W.rl"] @ ml + p["W.rr"] @ mr + p["b.f"])
    o = torch.sigmoid(p["W.oe"] @ e + p["W.ol"] @ ml + p["W.or"] @ mr + p["b.o"])
    h = i * torch.tanh(p["W.he"] @ e + p["W.hl"] @ ml + p["W.hr"] @ mr + p["b.h"]) + left * hl + right * hr
    return o * torch.tanh(h), h


def of_three(p, e, children):
    def from_children(gate):
        return sum(p[f"W.{gate}c{k}"] @ m for k, (m, _) in enumerate(children, 1))

    i = torch.sigmoid(p["W.ie"] @ e + from_children("i") + p["b.i"])
    o = torch.sigmoid(p["W.oe"] @ e + from_children("o") + p["b.o"])
    kept = sum(torch.sigmoid(p["W.fe"] @ e + from_children(f"f{k}") + p["b.f"]) * h for k, (_, h) in enumerate(children, 1))
    h = i * torch.tanh(p["W.he"] @ e + from_children("h") + p["b.h"]) + kept
    return o * torch.tanh(h), h


def child_sum(p, e, children):
    s = sum((m for m, _ in children), torch.zeros_like(p["b.i"]))
    i, o = (torch.sigmoid(p[f"W.{x}e"] @ e + p[f"W.{x}s"] @ s + p[f"b.{x}"]) for x in "io")
    kept = [torch.sigmoid(p["W.fe"] @ e + p["W.fm"] @ m + p["b.f"]) * h for m, h in children]
    h = i * torch.tanh(p["W.he"] @ e + p["W.hs"] @ s + p["b.h"]) + sum(kept)
    return o * torch.tanh(h), h


def recursive(p, e, children):
    (left,), (right,) = children
    return (torch.tanh(p["W.hl"] @ left + p["W.hr"] @ right + p["b.h"]),)


STEPS = {
    "tree-lstm": (tree_lstm, 2),
    "tree-lstm-3": (of_three, 3),
    "child-sum-lstm": (child_sum, 4),
    "recursive": (recursive, 2),
}


def by_hand(layer, step, places, x, children):
    """Every node's states, by recursion from the nodes that are nobody's children."""
    p, done = dict(layer.named_parameters()), {}
    nothing = tuple(torch.zeros(layer.hidden_size, dtype=x.dtype) for _ in layer.cell.states)

    def visit(node):
        there = [c for c in children[node] if c != -1]
        for child in there:
            visit(child)
        if isinstance(layer.cell.before, str):
            given = [done[c] for c in there]
        else:
            given = [nothing if c == -1 else done[c] for c in [*children[node], *[-1] * places][:places]]
        leaf = "leaf" in layer.cell.inputs and not there
        done[node] = (x[node],) if leaf else step(p, x[node], given)

    for root in set(range(len(children))) - {c for row in children for c in row}:
        visit(root)
    return [torch.stack([done[n][k] for n in range(len(children))]) for k in range(len(layer.cell.states))]


def leaves(children):
    return torch.tensor([float(not any(c != -1 for c in row)) for row in children], dtype=torch.float64)


def made(name, size=4):
    known = nary_tree_lstm(3) if name == "tree-lstm-3" else BRANCHED[name]
    return Tree(known, size if known.trace.input_like else 3, size, dtype=torch.float64)


@pytest.mark.parametrize("back_end", ["cpu", "reference"])
@pytest.mark.parametrize("name", STEPS)
def test_a_tree_is_a_recursion_over_nodes(name, back_end):
    step, most = STEPS[name]
    torch.manual_seed(0)
    layer = made(name)
    for seed, nodes in enumerate((1, 2, 5, 12, 20)):
        children = drawn(nodes, most, seed)
        x = torch.randn(nodes, layer.input_size, dtype=torch.float64, requires_grad=True)
        more = {"leaf": leaves(children)} if layer.cell.inputs else {}
        with kernels.use(back_end):
            output, recorded = layer(x, children, record=list(layer.cell.states), **more)
        for value, wanted in zip(recorded.values(), by_hand(layer, step, most, x, children), strict=True):
            close(value, wanted)
            for a, b in zip(gradients(value, layer, x), gradients(wanted, layer, x), strict=True):
                close(a, b)
        close(output, recorded[layer.cell.states[0]])


@pytest.mark.parametrize("name", STEPS)
def test_a_batch_is_its_trees(name):
    torch.manual_seed(1)
    layer, most = made(name), STEPS[name][1]
    trees = [drawn(n, most, n) for n in (7, 1, 12, 3)]
    forest = Forest.joined(map(Forest, trees))
    x = torch.randn(len(forest), layer.input_size, dtype=torch.float64)
    each = x.split([len(t) for t in trees])
    several = [{"leaf": leaves(t)} if layer.cell.inputs else {} for t in trees]
    more = {n: torch.cat([s[n] for s in several]) for n in several[0]}
    output = layer(x, forest, **more)
    alone = [layer(part, tree, **one) for part, tree, one in zip(each, trees, several, strict=True)]
    close(output, torch.cat(alone))
    roots = torch.stack([a[Forest(t).roots[0]] for a, t in zip(alone, trees, strict=True)])
    close(output[forest.roots], roots)
    assert repr(forest) == f"Forest of 23 nodes in 4 trees, {len(forest._levels)} levels"


def test_a_batch_may_begin_with_its_smallest_tree():
    forest = Forest.joined([Forest([[]]), Forest([[1, 2], [], []])])
    assert forest.parent.tolist() == [-1, -1, 1, 1] and forest.place.tolist() == [0, 0, 0, 1]


def test_pruned_weights_are_computed_at_each_call():
    layer, x, children = made("tree-lstm"), torch.randn(3, 3, dtype=torch.float64), [[1, 2], [], []]
    prune.l1_unstructured(layer.W, "ie", amount=0.5)
    before = layer(x, children)
    with torch.no_grad():
        layer.W.ie_orig.mul_(2)
    assert (layer(x, children) - before).abs().max() > 1e-4


def test_what_each_child_has_is_recorded_at_the_child():
    torch.manual_seed(2)
    layer, children = made("child-sum-lstm"), [[1, 2], [3], [], []]
    x = torch.randn(4, 3, dtype=torch.float64)
    m, f = (v for v in layer(x, children, record=["m", "f"])[1].values())
    p = dict(layer.named_parameters())
    for child, parent in ((1, 0), (2, 0), (3, 1)):
        close(f[child], torch.sigmoid(p["W.fe"] @ x[parent] + p["W.fm"] @ m[child] + p["b.f"]))
    assert not f[0].any()
    _, held = layer(x, children, record=["f"], clamp={"f": 0.5})
    assert held["f"][1:].eq(0.5).all()


def test_a_tree_that_is_a_chain_is_a_sequence():
    @cell(before=("last",))
    def in_tree(e, m, h, W, w, b):
        f = logistic(W.fe @ e + W.fm @ m.last + w.fh * h.last + b.f)
        h = f * h.last + (1 - f) * tanh(W.he @ e + W.hm @ m.last + b.h)
        m = tanh(h)
        return m, h

    @cell(before="last")
    def in_set(e, m, h, W, w, b):
        f = logistic(W.fe @ e + W.fm @ together(m.last) + w.fh * together(h.last) + b.f)
        h = f * together(h.last) + (1 - f) * tanh(W.he @ e + W.hm @ together(m.last) + b.h)
        m = tanh(h)
        return m, h

    @cell
    def in_sequence(e, m, h, W, w, b):
        f = logistic(W.fe @ e + W.fm @ m + w.fh * h + b.f)
        h = f * h + (1 - f) * tanh(W.he @ e + W.hm @ m + b.h)
        m = tanh(h)
        return m, h

    torch.manual_seed(3)
    layer = Recurrent(in_sequence, 3, 4, dtype=torch.float64)
    x = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    expected, _ = layer(x)
    for known in (in_tree, in_set):
        tree = Tree(known, 3, 4, dtype=torch.float64)
        tree.load_state_dict({n.removesuffix("_l0"): v for n, v in layer.state_dict().items()})
        found = tree(x, [[], *([k] for k in range(8))])
        close(found, expected)
        for a, b in zip(gradients(found, tree, x), gradients(expected, layer, x), strict=True):
            close(a, b)


@pytest.mark.parametrize("name", ["tree-lstm", "child-sum-lstm"])
def test_derivatives_by_finite_differences(name):
    torch.manual_seed(4)
    layer, children = made(name, 2), drawn(6, STEPS[name][1], 4)
    x = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)

    def run(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x, children))

    assert torch.autograd.gradcheck(run, (x, *values), check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (x, *values), fast_mode=True)


def test_what_is_of_the_step_and_what_is_of_each_child_meet_in_every_way():
    """Vectors, weights and numbers of a row that are of both, in single precision, with recording, and with threads."""

    @cell(before="child", inputs={"d": 1})
    def meeting(e, m, h, d, W, w, b):
        s = together(m.child)
        g = tanh(W.gs @ s + b.g)
        f = logistic(W.fe @ e + W.fm @ m.child + W.fs @ s + w.fh * h.child + w.fs * s + b.f)
        z = together(f * h.child + g)
        q = total(f * h.child) + mean(s) - d
        y = together(q * m.child + mean(s) * g)
        i = logistic(W.ie @ e + W.iz @ (z * g) + w.fh * z + b.i)
        h = i * tanh(y) + z
        m = tanh(h)
        return m, h

    def step(p, e, children):
        s = sum((m for m, _ in children), torch.zeros_like(p["b.i"]))
        g, z, y = torch.tanh(p["W.gs"] @ s + p["b.g"]), torch.zeros_like(s), torch.zeros_like(s)
        for m, h in children:
            f = p["W.fe"] @ e + p["W.fm"] @ m + p["W.fs"] @ s + p["w.fh"] * h + p["w.fs"] * s + p["b.f"]
            kept = torch.sigmoid(f) * h
            z, y = z + kept + g, y + (kept.sum() + s.mean() - 0.3) * m + s.mean() * g
        i = torch.sigmoid(p["W.ie"] @ e + p["W.iz"] @ (z * g) + p["w.fh"] * z + p["b.i"])
        h = i * torch.tanh(y) + z
        return torch.tanh(h), h

    torch.manual_seed(6)
    for dtype, tolerance, threads in ((torch.float64, 1e-9, 1), (torch.float64, 1e-9, 3), (torch.float32, 2e-3, 1)):
        torch.set_num_threads(threads)
        layer, children = Tree(meeting, 3, 5, dtype=dtype), drawn(14, 4, 7)
        x = torch.randn(14, 3, dtype=dtype, requires_grad=True)
        with kernels.use("cpu"):
            output, recorded = layer(x, children, record=["h", "f"], d=torch.full((14,), 0.3, dtype=dtype))
        for value, wanted in zip((output, recorded["h"]), by_hand(layer, step, 4, x, children), strict=True):
            close(value, wanted, tolerance)
            for a, b in zip(gradients(value, layer, x), gradients(wanted, layer, x), strict=True):
                close(a, b, tolerance * float(1 + b.abs().max()))


def test_what_is_the_same_for_all_children_is_summed_as_often_as_there_are_children():
    @cell(before="child")
    def counting(e, h, W):
        h = tanh(W.he @ e + together(h.child - h.child + W.hx @ e))
        return h

    layer, x = Tree(counting, 3, 4, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    wanted = torch.tanh(x @ layer.W.he.T + torch.tensor([[2.0], [1.0], [0.0], [0.0]]) * (x @ layer.W.hx.T))
    for back_end in ("cpu", "reference"):
        with kernels.use(back_end):
            found = layer(x, [[1, 2], [3], [], []])
        close(found, wanted)
        for a, b in zip(gradients(found, layer, x), gradients(wanted, layer, x), strict=True):
            close(a, b)


def test_options_are_those_of_recurrent():
    layer = Tree("tree-lstm", 3, 4, forget_bias=1.0, recurrent_init="orthogonal", init={"b.i": -2.0})
    assert layer.parameter("b.f").eq(1).all() and layer.parameter("b.i").eq(-2).all()
    weight = layer.parameter("W.il")
    close(weight @ weight.T, torch.eye(4), 1e-5)
    assert not any(n.startswith("b.") for n in Tree("tree-lstm", 3, 4, bias=False).state_dict())
    headed = Tree("tree-lstm", 3, 4, heads=2)
    assert headed.parameter("W.il").shape == (2, 2, 2) and headed(torch.randn(3, 3), [[1, 2], [], []]).shape == (3, 4)
    x, children = torch.randn(5, 3), drawn(5, 2)
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(again(x, children), layer(x, children))
    assert repr(layer) == "Tree(tree-lstm, 3, 4)"
    with pytest.raises(KeyError):
        layer.parameter("W.zz")


def test_every_tree_cell_is_in_this_file():
    assert {n for n, c in BRANCHED.items() if "up" not in c.before} == STEPS.keys() - {"tree-lstm-3"}


def test_children_as_a_table_of_numbers():
    layer, x = made("tree-lstm"), torch.randn(4, 3, dtype=torch.float64)
    rows = [[1, 2], [None, 3], [], []]
    table = torch.tensor([[1, 2], [-1, 3], [-1, -1], [-1, -1]])
    assert torch.equal(layer(x, rows), layer(x, table)) and torch.equal(layer(x, rows), layer(x, Forest(table.numpy())))


def test_what_no_tree_can_be():
    for children, said in (
        ([[1], [0]], "^node [01] is its own ancestor: a tree has no circles$"),
        ([[], [2], [3], [1]], "^node [123] is its own ancestor"),
        ([[0]], "^node 0 is its own ancestor"),
        ([[2], [2], []], "^node 2 is the child of node 0 and of node 1: in a tree a node has one parent$"),
        ([[1, 1], []], "^node 1 is the child of node 0 and of node 0"),
        ([[1], [3], []], "^node 1 has the child 3, but the nodes are 0 to 2$"),
        ([[-2]], "^node 0 has the child -2"),
    ):
        with pytest.raises(ValueError, match=said):
            Forest(children)
    for children in (3, [1, 2], [["a"]], [[1.0], []], [[True], []], torch.zeros(2, 2), torch.zeros(2, dtype=torch.long)):
        with pytest.raises(TypeError):
            Forest(children)
    layer = made("tree-lstm")
    with pytest.raises(ValueError, match=r"^a node has 3 children, but a step of cell tree-lstm follows 2: left, right$"):
        layer(torch.randn(4, 3, dtype=torch.float64), [[1, 2, 3], [], [], []])
    with pytest.raises(ValueError, match=r"^the input has 3 nodes, and the trees have 2$"):
        layer(torch.randn(3, 3, dtype=torch.float64), [[1], []])
    with pytest.raises(ValueError, match=r"expected \(nodes, 3\)"):
        layer(torch.randn(2, 4, dtype=torch.float64), [[1], []])
    with pytest.raises(ValueError, match="at least one"):
        layer(torch.randn(0, 3, dtype=torch.float64), [])
    with pytest.raises(ValueError, match="at least one"):
        Forest.joined([])
    with pytest.raises(ValueError, match=r"^a step of cell gru follows one step: a layer of it is a Recurrent$"):
        Tree("gru", 3, 4)
    with pytest.raises(TypeError, match="needs the input leaf"):
        made("recursive")(torch.randn(1, 4, dtype=torch.float64), [[]])
    with pytest.raises(ValueError, match="at least one child"):
        nary_tree_lstm(0)
