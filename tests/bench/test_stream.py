"""The bench of single steps: all ways compute what the layer does, and what was left out is told."""

import json

import pytest
import torch
from compiled_c import needs_compiler

from carousel.bench import c_stream, stream


@needs_compiler
def test_all_ways_take_the_same_steps(monkeypatch, tmp_path):
    monkeypatch.setattr(c_stream, "zig", lambda: None)  # it builds libraries of its own first
    rows, left = stream.measure(8, 0.01)
    ways = {r["way"]: r for r in rows}
    for precision in ("float32", "bfloat16", "int8"):
        assert ways[f"Streaming, {precision}"]["weights"] == ways[f"C file, {precision}"]["weights"]
    assert ways["C file, float32"]["weights"] == 4 * 2 * 4 * (2 * 8 * 8 + 8)
    assert ways["C file, int8"]["weights"] == 2 * 4 * (2 * (8 * 8 + 4 * 8) + 4 * 8)
    assert all(r["microseconds"] > 0 for r in rows) and {"nn.LSTM", "PyTorch's dynamic int8"} <= set(ways)
    assert set(left) - {"ONNX Runtime", "LiteRT"} == {"WebAssembly"}
    stream.draw(rows).savefig(tmp_path / "stream.png")
    json.dumps(rows)


def test_a_way_that_computes_something_else_is_found():
    torch.manual_seed(0)
    layer, x = stream.Recurrent("lstm-v2", 4, 4, 2).eval(), torch.randn(1, 4)
    way = stream.Way("wrong", lambda: None, lambda: torch.zeros(4), 0)
    with pytest.raises(AssertionError, match="wrong is 1 away from the layer"):
        stream._check(way, layer, x)
