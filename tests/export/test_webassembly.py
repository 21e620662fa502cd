"""Layers as WebAssembly, in Node. ``python tests/helpers/wasm_zoo.py`` does the same with every cell of the library."""

import json
import sys

import numpy as np
import pytest
import torch
from in_node import STEPS, Together, needs_node, needs_zig, said

from carousel import Clamp, cells, export
from carousel.errors import InputError
from carousel.layers import Recurrent

NAMES = (
    "lstm-v3",
    "lstm-v4",
    "gru-3-heads",
    "clockwork",
    "lstm-layer-norm",
    "phased-lstm",
    "slstm",
    "lmu",
    "gru-d",
    "sru",
    "narx",
)


@needs_node
@needs_zig
def test_cells_and_their_precisions(tmp_path):
    torch.manual_seed(3)
    together = Together(tmp_path, export.wasm)
    for name in NAMES:
        each = cells.get(name)
        layer = Recurrent(each, 7 if each.trace.input_like else 5, 7 * each.heads, input_sizes=dict.fromkeys(each.sized, 3))
        together.add(layer.eval(), 100, bound=1e-4)
    for precision in ("bfloat16", "int8"):
        layer = Recurrent("lstm-v3", 5, 7, 2)
        rounded = Recurrent("lstm-v3", 5, 7, 2)
        rounded.load_state_dict(layer.state_dict())
        with torch.no_grad():
            for p in rounded.W.values():
                scale = p.abs().amax(-1, keepdim=True) / 127
                p.copy_({"bfloat16": p.bfloat16(), "int8": (p / scale).round() * scale}[precision])
        together.add(layer, 100, like=rounded, precision=precision)
    for options in ({"hidden_size": (8, 12, 4)}, {"hidden_size": 6, "num_layers": 3, "skip": "residual"}):
        together.add(Recurrent("lstm-v3", 5, **options), 30)
    together.check()


@needs_node
@needs_zig
def test_all_that_is_named_is_seen_and_held_and_states_are_apart(tmp_path):
    torch.manual_seed(1)
    layer = Recurrent("lstm-v4", 5, 7, 2, proj_size=3, learned_initial=True)
    for start in layer.initial.values():
        torch.nn.init.normal_(start)
    for end, content in export.wasm(layer).items():
        (tmp_path / f"model{end}").write_bytes(content)
    x, names = torch.randn(6, 5), [n for n in layer.cell.names if n in layer.units()]
    asked = [(n, name) for n in range(2) for name in names]
    held = [(1, "h", 1, 0.5), (0, "m", 0, -0.25)]
    given = [{"module": "./model.js", "x": x.tolist(), "further": [], "names": asked, "held": held}] * 2
    clamps = [Clamp(name, value, (unit,), 1, None, layer_) for layer_, name, unit, value in held]
    with torch.no_grad():
        output, _, seen = layer(x, record=names, clamp=clamps)
    for each in said(STEPS, tmp_path, given):
        np.testing.assert_allclose(each["outputs"], output, atol=1e-6)
        for name, values in seen.items():
            for layer_ in range(2):
                np.testing.assert_allclose(each["seen"][f"{name} {layer_}"], values[layer_], atol=1e-6)
    many = """
    const { load } = await import("./model.js");
    const layers = await load(readFileSync("model.wasm"));
    const states = Array.from({ length: 3000 }, () => layers.start()); // more than the memory at first
    const x = new Float32Array(5).fill(0.5);
    const first = Array.from(layers.step(states[0], x));
    layers.step(states[0], x);
    say([first, Array.from(layers.step(states[2999], x)), Array.from(layers.step(states[1], x))]);
    """
    first, last, second = said(many, tmp_path)
    assert first == last == second


def test_a_missing_compiler_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ziglang", None)
    with pytest.raises(InputError, match=r"carousel-rnn\[compiler\]") as error:
        export.wasm(Recurrent("lstm", 2, 3))
    assert "\n" not in str(error.value) and json.dumps(str(error.value))
