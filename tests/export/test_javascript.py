"""Layers and language models as JavaScript, in Node: what they compute is what the library computes."""

import json
from importlib import resources

import numpy as np
import pytest
import torch
from exact_functions import EXACT
from in_node import STEPS, Together, needs_node, said
from random_cells import stored

from carousel import Clamp, cells, export
from carousel.cells import CELLS
from carousel.cells.papers import PAPERS
from carousel.equations import cell
from carousel.equations.functions import FUNCTIONS
from carousel.errors import InputError
from carousel.export.javascript.file import part
from carousel.export.javascript.weights import packed
from carousel.export.rounding import in_bytes, in_halves
from carousel.layers import Recurrent

pytestmark = needs_node


@pytest.fixture
def together(tmp_path):
    torch.manual_seed(3)
    return Together(tmp_path, lambda layer, precision: {".js": export.js(layer, precision).encode()})


def made(cell, **options):
    return Recurrent(cell, 5, 7 * cell.heads if cell.has_hidden else 5, **options)


def test_every_cell(together):
    for each in CELLS.values():
        layer = made(each)
        with torch.no_grad():
            for p in layer.parameters() if each.name == "cec" else ():  # its memory has no gate, and grows
                p *= 0.1
        together.add(layer, 100)
    together.check()


def test_cells_of_papers(together):
    for each in PAPERS.values():
        size = 7 if each.trace.input_like else 5
        together.add(Recurrent(each, size, 7, input_sizes=dict.fromkeys(each.sized, 3)).eval(), 50, bound=1e-4)
    together.check()


def test_options_of_a_layer_and_heads(together):
    for options in ({"num_layers": 3}, {"learned_initial": True}, {"bias": False}, {"proj_size": 3}):
        layer = made(CELLS["lstm-v4"], **options)
        for start in layer.initial.values():
            torch.nn.init.normal_(start)
        together.add(layer, 30)
    for options in ({"hidden_size": (8, 12, 4)}, {"hidden_size": 6, "num_layers": 3, "skip": "residual"}):
        together.add(Recurrent("lstm-v4", 5, **options), 30)
    for name in ("gru-3-heads", "lstm-v4-2-heads"):
        together.add(made(cells.get(name), num_layers=2), 30)
    together.check()


def test_functions(together):
    for name in EXACT:
        function = next(f for f in FUNCTIONS.values() if f.name == name)

        def one(e, h, name=name, function=function):
            x = abs(e) if EXACT[name].least == 0 else 4 * e
            h = function(x, -1, 2) if name == "clip" else function(x)
            return h

        together.add(Recurrent(cell(_two(one)), 5, 5), 100, bound=1e-6)
    together.check()


def _two(function):
    """The function with the arguments of a cell alone."""

    def one(e, h):
        h = function(e, h)
        return h

    return one


def test_remainders_are_zero_or_have_the_divisors_sign(tmp_path):
    helpers = (resources.files("carousel.export.javascript") / "helpers.js").read_text("utf-8")
    pairs = [(a, b) for a in (-3.0, -2.5, 0.0, 2.0, 3.0) for b in (-2.0, -1.5, 1.5, 2.0)]
    found = said(f"{helpers}say(given.map(([a, b]) => modulo(a, b)));", tmp_path, pairs)
    assert found == [a % b for a, b in pairs]


def test_cells_that_a_program_wrote(together):
    for k, case in enumerate([*stored()[:170:5], *stored()[170:]]):
        torch.manual_seed(k)
        proj, own = case.sizes[2] if case.cell.has_projection else 0, dict.fromkeys(case.cell.sized, 4)
        layer = Recurrent(case.cell, *case.sizes[:2], proj_size=proj, input_sizes=own)
        together.add(layer, 3, bound=1e-4)  # more steps might cross a threshold by the last places of single precision
    together.check()


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_weights_of_fewer_bits_are_the_rounded_ones(precision, together):
    for name in ("lstm-v3", "gru-3-heads"):
        torch.manual_seed(1)
        layer = made(cells.get(name), num_layers=2)
        torch.manual_seed(1)
        rounded = made(cells.get(name), num_layers=2)
        with torch.no_grad():
            for p in rounded.W.values():
                scale = p.abs().amax(-1, keepdim=True) / 127
                p.copy_({"bfloat16": p.bfloat16(), "int8": (p / scale).round() * scale}[precision])
        together.add(layer, 30, like=rounded, precision=precision)
    together.check()
    sizes = [len(packed({"w": np.random.default_rng(1).normal(size=(64, 64))}, {}, p)[0]) for p in ("float32", precision)]
    assert sizes[1] < {"bfloat16": 0.5, "int8": 0.3}[precision] * sizes[0]


def test_all_that_is_named_is_seen_and_held(tmp_path):
    given, wanted = [], []
    for k, name in enumerate(("lstm-v3", "lstm", "gru", "lstm-v4", "sru", "lstm-layer-norm", "gru-2-heads")):
        torch.manual_seed(k)
        layer = made(cells.get(name), num_layers=2)
        x, names = torch.randn(6, layer.input_size), [n for n in layer.cell.names if n in layer.units()]
        (tmp_path / f"layers{k}.js").write_text(export.js(layer))
        held = [(1, layer.cell.states[-1], 1, 0.5), (0, layer.cell.states[0], 0, -0.25)]
        asked = [(n, name) for n in range(2) for name in names]
        given.append({"module": f"./layers{k}.js", "x": x.tolist(), "further": [], "names": asked, "held": held})
        clamps = [Clamp(name, value, (unit,), 1, None, layer_) for layer_, name, unit, value in held]
        with torch.no_grad():
            output, _, seen = layer(x, record=names, clamp=clamps)
        wanted.append((output, seen))
    for each, (output, seen) in zip(said(STEPS, tmp_path, given), wanted, strict=True):
        np.testing.assert_allclose(each["outputs"], output, atol=1e-6)
        for name, values in seen.items():
            for layer_ in range(2):
                np.testing.assert_allclose(each["seen"][f"{name} {layer_}"], values[layer_], atol=1e-6)


def test_layers_that_have_no_step_or_no_numbers_are_refused():
    with pytest.raises(InputError, match="both ends"):
        export.js(Recurrent("lstm", 2, 3, bidirectional=True))
    layer = Recurrent("lstm", 2, 3)
    with pytest.raises(InputError, match="`precision` must be float32 or bfloat16 or int8, not 'int4'"):
        export.js(layer, "int4")
    torch.nn.init.constant_(layer.W["f_l0"], torch.nan)
    with pytest.raises(InputError, match="l0_W_f holds numbers that are not finite"):
        export.js(layer)


def test_weights_arrive_as_they_were(tmp_path):
    """Of every length, so that the last letters hold every number of bits; of every exponent and sign, in every precision."""
    drawn = np.random.default_rng(1)
    given, wanted = [], []
    for n in range(1, 30):
        for precision in ("float32", "bfloat16", "int8"):
            matrix, vector = (drawn.normal(size=(n, 3)) * 10.0 ** drawn.integers(-42, 38, (n, 3)) for _ in range(2))
            text, listed = packed({"w": matrix}, {"b": vector.ravel()}, precision)
            given.append([text, json.loads(listed)])
            assert not set(text) & set('"<\\\n')
            rounded = {
                "float32": lambda x: x.astype(np.float32),
                "bfloat16": lambda x: (in_halves(x).astype(np.uint32) << 16).view(np.float32),
                "int8": lambda x: in_bytes(x.astype(np.float32))[0] * in_bytes(x.astype(np.float32))[1][:, None],
            }[precision](matrix)
            wanted.append([rounded.ravel(), vector.ravel().astype(np.float32)])
    script = f"{part('weights')}\nconst found = [];\nfor (const each of given) found.push(await unpacked(...each));\n"
    found = said(script + "say(found.map(({ w, b }) => [Array.from(w), Array.from(b)]));", tmp_path, given)
    for values, expected in zip(found, wanted, strict=True):
        for x, y in zip(values, expected, strict=True):
            assert np.array_equal(np.array(x, np.float32), y)
