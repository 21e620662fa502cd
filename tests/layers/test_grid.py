"""``Grid`` against plain loops over pixels: values and gradients, every corner, images of different sizes, blocks."""

import itertools

import pytest
import torch
from levelled import close, gradients
from torch.nn.utils import prune

from carousel import Grid, Recurrent, Streaming, cell, export, kernels, logistic, tanh
from carousel.cells.papers import BRANCHED
from carousel.errors import InputError
from carousel.hierarchy import GridHierarchy
from carousel.layers.grid import mark


def mdlstm(p, e, up, left):
    (mu, hu), (ml, hl) = up, left
    i = torch.sigmoid(p["W.ie"] @ e + p["W.iu"] @ mu + p["W.il"] @ ml + p["w.iu"] * hu + p["w.il"] * hl + p["b.i"])
    u = torch.sigmoid(p["W.ue"] @ e + p["W.uu"] @ mu + p["W.ul"] @ ml + p["w.uu"] * hu + p["b.u"])
    f = torch.sigmoid(p["W.fe"] @ e + p["W.fu"] @ mu + p["W.fl"] @ ml + p["w.fl"] * hl + p["b.f"])
    h = i * torch.tanh(p["W.he"] @ e + p["W.hu"] @ mu + p["W.hl"] @ ml + p["b.h"]) + u * hu + f * hl
    o = torch.sigmoid(p["W.oe"] @ e + p["W.ou"] @ mu + p["W.ol"] @ ml + p["w.oh"] * h + p["b.o"])
    return o * torch.tanh(h), h


def stable(p, e, up, left):
    (mu, hu), (ml, hl) = up, left

    def gate(x):
        return p[f"W.{x}e"] @ e + p[f"W.{x}u"] @ mu + p[f"W.{x}l"] @ ml + p[f"b.{x}"]

    i, f, r, o = (torch.sigmoid(gate(x)) for x in "ifro")
    h = i * torch.tanh(gate("h")) + f * (r * hu + (1 - r) * hl)
    return o * torch.tanh(h), h


def mdlstm_3(p, e, *before):
    def sums(x, *peeps):
        dense = sum(p[f"W.{x}{k}"] @ m for k, (m, _) in zip("kul", before, strict=True))
        return p[f"W.{x}e"] @ e + dense + sum(p[f"w.{x}{k}"] * before["kul".index(k)][1] for k in peeps) + p[f"b.{x}"]

    i, k, u, f = (torch.sigmoid(sums(x, *peeps)) for x, peeps in (("i", "kul"), ("k", "k"), ("u", "u"), ("f", "l")))
    h = i * torch.tanh(sums("h")) + sum(gate * h for gate, (_, h) in zip((k, u, f), before, strict=True))
    return torch.sigmoid(sums("o") + p["w.oh"] * h) * torch.tanh(h), h


def grid_lstm(p, e, up, left):
    """The equations (1) of the paper, in each dimension."""
    (_, down, v, _, _), (_, _, _, right, r) = up, left
    found = []
    for k, memory in enumerate((v, r, p["W.he"] @ e)):
        i, f, o, g = (p[f"W.{x}{k}e"] @ e + p[f"W.{x}{k}u"] @ down + p[f"W.{x}{k}l"] @ right + p[f"b.{x}{k}"] for x in "ifog")
        memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
        found.append((torch.tanh(torch.sigmoid(o) * memory), memory))
    (down, v), (right, r), (m, _) = found
    return m, down, v, right, r


CORNERS = ("top left", "top right", "bottom left", "bottom right")
STEPS = {"mdlstm": mdlstm, "stable-mdlstm": stable, "grid-lstm": grid_lstm, "mdlstm-3": mdlstm_3}


def by_hand(layer, step, image):
    """One image, (height, width, numbers), or one volume, pixel by pixel; each state, the scans one after the other."""
    lengths, found = image.shape[:-1], []
    for corner in layer.corners:
        end = mark(corner)
        p = {n.removesuffix(end): x for n, x in layer.named_parameters() if n.endswith(end)}
        ways = [1 if side in ("front", "top", "left") else -1 for side in corner.split()]
        nothing = (torch.zeros(layer.hidden_size, dtype=image.dtype),) * len(layer.cell.states)
        states = {}
        for place in itertools.product(*(range(n)[::way] for n, way in zip(lengths, ways, strict=True))):
            before = [(*place[:k], place[k] - way, *place[k + 1 :]) for k, way in enumerate(ways)]
            states[place] = step(p, image[place], *(states.get(b, nothing) for b in before))
        every = [states[place] for place in itertools.product(*map(range, lengths))]
        found.append([torch.stack([s[k] for s in every]).view(*lengths, -1) for k in range(len(layer.cell.states))])
    return [torch.cat(xs, -1) for xs in zip(*found, strict=True)]


@pytest.mark.parametrize("back_end", ["cpu", "reference"])
@pytest.mark.parametrize("name", STEPS)
def test_a_grid_is_a_loop_over_pixels(name, back_end):
    torch.manual_seed(0)
    layer = Grid(name, 3, 5, directions=8 if name == "mdlstm-3" else 4, dtype=torch.float64)
    sizes = {2: [[4, 3], [1, 5], [3, 1], [2, 2]], 3: [[3, 1, 2], [1, 2, 1], [2, 2, 3]]}[len(layer.axes)]
    x = torch.randn(*torch.tensor(sizes).amax(0), len(sizes), 3, dtype=torch.float64, requires_grad=True)
    with kernels.use(back_end):
        output, recorded = layer(x, sizes, record=layer.cell.states)
    for k, lengths in enumerate(sizes):
        inside = (*(slice(n) for n in lengths), k)
        wanted = by_hand(layer, STEPS[name], x[inside])
        for found, state in zip(recorded.values(), wanted, strict=True):
            close(found[inside], state)
        mine, m = output[inside], wanted[0]
        close(mine, m)
        assert output.select(-2, k).count_nonzero() == mine.count_nonzero()  # nothing beside the image
        for a, b in zip(gradients(mine, layer, x), gradients(m, layer, x), strict=True):
            close(a, b)


@pytest.mark.parametrize("corner", CORNERS)
def test_each_corner_alone(corner):
    torch.manual_seed(1)
    layer = Grid("stable-mdlstm", 2, 3, directions=[corner], dtype=torch.float64)
    x = torch.randn(3, 4, 2, dtype=torch.float64)
    close(layer(x), by_hand(layer, stable, x)[0])
    end = mark(corner)
    assert set(layer.state_dict()) == {n + end for n in layer.cell.learned}
    assert end == {"top left": "_tl", "top right": "_tr", "bottom left": "_bl", "bottom right": "_br"}[corner]


def test_batch_first_and_one_image_are_the_same_numbers():
    torch.manual_seed(2)
    layer = Grid("mdlstm", 2, 3, directions=2, dtype=torch.float64)
    x = torch.randn(3, 4, 5, 2, dtype=torch.float64)
    output = layer(x)
    close(layer(x[:, :, 1]), output[:, :, 1])
    layer.batch_first = True
    close(layer(x.permute(2, 0, 1, 3)), output.permute(2, 0, 1, 3))


def test_blocks_of_pixels_are_steps():
    torch.manual_seed(3)
    layer = Grid("mdlstm", 2, 3, block=(2, 3), directions=["bottom right"], dtype=torch.float64)
    x, sizes = torch.randn(5, 7, 2, 2, dtype=torch.float64), [[5, 7], [3, 4]]
    output = layer(x, sizes)
    assert output.shape == (3, 3, 2, 3)
    for k, (height, width) in enumerate(sizes):
        whole = torch.zeros(6, 9, 2, dtype=torch.float64)
        whole[:height, :width] = x[:height, :width, k]
        rows, columns = -(-height // 2), -(-width // 3)
        steps = torch.stack(
            [torch.stack([whole[2 * i : 2 * i + 2, 3 * j : 3 * j + 3].flatten() for j in range(columns)]) for i in range(rows)]
        )
        close(output[:rows, :columns, k], by_hand(layer, mdlstm, steps)[0])


def test_blocks_of_a_volume_are_steps():
    torch.manual_seed(3)
    layer = Grid("mdlstm-3", 2, 3, block=(2, 1, 3), directions=["back top right"], dtype=torch.float64)
    x, sizes = torch.randn(3, 2, 5, 2, 2, dtype=torch.float64), [[3, 2, 5], [2, 1, 4]]
    output = layer(x, sizes)
    assert output.shape == (2, 2, 2, 2, 3)
    for k, (depth, height, width) in enumerate(sizes):
        whole = torch.zeros(4, height, 6, 2, dtype=torch.float64)
        whole[:depth, :, :width] = x[:depth, :height, :width, k]
        steps = whole[: 2 * -(-depth // 2), :, : 3 * -(-width // 3)]
        places = [range(-(-depth // 2)), range(height), range(-(-width // 3))]
        each = [steps[2 * i : 2 * i + 2, j, 3 * n : 3 * n + 3].flatten() for i, j, n in itertools.product(*places)]
        image = torch.stack(each).view(*map(len, places), -1)
        close(output[(*(slice(len(p)) for p in places), k)], by_hand(layer, mdlstm_3, image)[0])


def test_a_volume_of_one_image_is_the_image():
    """Where nothing is in front, three dimensions are two."""
    torch.manual_seed(9)
    flat, deep = Grid("mdlstm", 2, 3, dtype=torch.float64), Grid("mdlstm-3", 2, 3, dtype=torch.float64)
    own = {n.replace("_ftl", "_tl"): x for n, x in deep.state_dict().items()}
    flat.load_state_dict({n: own[n] for n in flat.state_dict()})
    x = torch.randn(4, 5, 2, 2, dtype=torch.float64)
    close(deep(x.unsqueeze(0))[0], flat(x))
    deep.batch_first = True
    close(deep(x.movedim(2, 0).unsqueeze(1))[:, 0].movedim(0, 2), flat(x))
    close(deep(x[:, :, 0].unsqueeze(0))[0], flat(x[:, :, 0]))


def test_a_grid_of_one_row_is_a_sequence():
    @cell(before=("up", "left"))
    def row(e, m, h, W, b):
        f = logistic(W.fe @ e + W.fm @ m.left + b.f)
        h = f * h.left + (1 - f) * tanh(W.he @ e + W.hm @ m.left + b.h)
        m = tanh(h) + 0 * m.up
        return m, h

    @cell
    def sequence(e, m, h, W, b):
        f = logistic(W.fe @ e + W.fm @ m + b.f)
        h = f * h + (1 - f) * tanh(W.he @ e + W.hm @ m + b.h)
        m = tanh(h)
        return m, h

    torch.manual_seed(4)
    grid, layer = Grid(row, 3, 4, dtype=torch.float64), Recurrent(sequence, 3, 4, dtype=torch.float64)
    layer.load_state_dict({n.replace("_tl", "_l0"): x for n, x in grid.state_dict().items()})
    x = torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    (a, _), b = layer(x), grid(x.unsqueeze(0))[0]
    close(a, b)
    for one, other in zip(gradients(a, layer, x), gradients(b, grid, x), strict=True):
        close(one, other)


@pytest.mark.parametrize("back_end", ["cpu", "reference"])
def test_derivatives_by_finite_differences(back_end):
    torch.manual_seed(5)
    layer = Grid("mdlstm", 1, 2, dtype=torch.float64)
    x = torch.randn(2, 3, 2, 1, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)

    def run(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x, [[2, 3], [2, 1]]))

    with kernels.use(back_end):
        assert torch.autograd.gradcheck(run, (x, *values), check_forward_ad=True, fast_mode=True)
        assert torch.autograd.gradgradcheck(run, (x, *values), fast_mode=True)


def test_a_clamp_holds_at_every_step():
    torch.manual_seed(6)
    layer = Grid("mdlstm", 2, 3, dtype=torch.float64)
    x = torch.randn(3, 3, 2, 2, dtype=torch.float64)
    for back_end in ("cpu", "reference"):
        with kernels.use(back_end):
            _, found = layer(x, record=["u", "f", "h"], clamp={"u": 0.0, "f": {1: 1.0}})
            assert not found["u"].any() and found["f"][..., 1].eq(1).all() and not found["f"][..., 0].eq(1).any()
    with pytest.raises(ValueError, match="holds at all of them"):
        from carousel import Clamp

        layer(x, clamp=[Clamp("u", 0.0, begin=1)])


def test_torch_compile_runs_around_a_grid():
    layer = torch.nn.Sequential(Grid("stable-mdlstm", 2, 3), torch.nn.Linear(3, 2))
    x = torch.randn(3, 3, 2, 2)
    close(torch.compile(layer, backend="eager")(x), layer(x), 1e-6)
    with pytest.raises(Exception, match="is not exported"):
        torch.jit.trace(layer, x, check_trace=False)


@pytest.mark.parametrize("printed", [export.c, export.js, export.wasm, export.onnx], ids=["c", "js", "wasm", "onnx"])
def test_no_export_takes_a_grid(printed):
    with pytest.raises(InputError, match=r"^a step of cell mdlstm follows several, and an exported step follows one$"):
        printed(Grid("mdlstm", 2, 3))


def test_no_stream_takes_a_grid():
    with pytest.raises(TypeError, match="a stream is of a Recurrent"):
        Streaming(Grid("mdlstm", 2, 3))


def test_every_grid_cell_is_in_this_file():
    assert {n for n, c in BRANCHED.items() if "up" in c.before} == STEPS.keys()


def test_what_no_grid_can_be():
    with pytest.raises(ValueError, match=r"^a step of cell lstm follows one step: a layer of it is a Recurrent$"):
        Grid("lstm", 2, 3)
    with pytest.raises(
        ValueError, match=r"^a step of cell mdlstm follows several \(up, left\), so a layer of it is a Grid or a"
    ):
        Recurrent("mdlstm", 2, 3)
    with pytest.raises(
        ValueError,
        match=r"^a step of a grid follows up and left or front and up and left, and one of cell tree-lstm left and right$",
    ):
        Grid("tree-lstm", 2, 3)
    for directions in (0, 5, [], ["top left", "top left"], ["left"], "left"):
        with pytest.raises(ValueError):
            Grid("mdlstm", 2, 3, directions=directions)
    for block in (3, (1, 2, 3)):
        with pytest.raises(TypeError, match="block is a height and a width"):
            Grid("mdlstm", 2, 3, block=block)
    with pytest.raises(TypeError, match="block is a depth, a height and a width"):
        Grid("mdlstm-3", 2, 3, block=(2, 2))
    with pytest.raises(ValueError, match="scanned from 1 to 8 corners, not 9"):
        Grid("mdlstm-3", 2, 3, directions=9)
    with pytest.raises(ValueError, match=r"expected \(depth, height, width, B, 2\) or \(depth, height, width, 2\)"):
        Grid("mdlstm-3", 2, 3)(torch.randn(4, 4, 2))
    with pytest.raises(ValueError, match=r"^a hierarchy reads images, and a step of cell mdlstm-3 follows front, up, left$"):
        GridHierarchy("mdlstm-3", 2, 3)
    layer, x = Grid("mdlstm", 2, 3, block=(2, 2)), torch.randn(4, 4, 2, 2)
    with pytest.raises(ValueError, match=r"^image 1 is 1 × 4 pixels, smaller than a block of 2 × 2$"):
        layer(x, [[4, 4], [1, 4]])
    with pytest.raises(ValueError, match=r"^image 0 is 5 × 4 pixels, but the input has 4 × 4$"):
        layer(x, [[5, 4], [2, 2]])
    with pytest.raises(ValueError, match="each of 2 images"):
        layer(x, [[4, 4]])
    with pytest.raises(ValueError, match="expected"):
        layer(torch.randn(4, 4, 2, 3))
    with pytest.raises(ValueError, match="at least one"):
        layer(torch.randn(0, 4, 2, 2))
    with pytest.raises(ValueError, match="no quantity 'z'"):
        layer(x, record=["z"])
    with pytest.raises(TypeError, match="must be a tensor"):
        layer(x.numpy())


def test_parameters_are_grouped_as_those_of_other_layers():
    groups = Grid("mdlstm", 2, 3, directions=2).parameter_groups()
    assert [p.shape for p in groups["input"]] == [(3, 2)] * 10 and [p.shape for p in groups["recurrent"]] == [(3, 3)] * 20
    assert len(groups["peephole"]) == 10 and len(groups["bias"]) == 10 and not groups["initial"]


def test_a_pruned_weight_is_computed_anew_at_each_call():
    layer, x = Grid("mdlstm", 2, 3), torch.randn(3, 4, 2)
    prune.l1_unstructured(layer.W, "ie_tl", amount=0.5)
    before = layer(x)
    with torch.no_grad():
        layer.W.ie_tl_orig.mul_(2)
    assert not torch.equal(layer(x), before)
