"""What the measurements count, and that they measure the same work."""

import json

import pytest
import torch

from carousel import kernels
from carousel.bench import grids, jax_scan, onnx_runtime, recording
from carousel.bench.kernels import Case, draw, measure
from carousel.bench.timing import side_by_side
from carousel.insight import figures
from carousel.layers import Recurrent


def test_turns_are_taken():
    calls = []
    side_by_side({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, seconds=0.0, rounds=3)
    assert "".join(calls) == "aabb" + "ab" * 3  # a warm-up and a trial each, then turns


def test_a_case_gives_forward_and_training_with_all_ways(tmp_path):
    rows = list(measure(Case("lstm", 2, 8, 5), compiled=False, seconds=0.01))
    assert [r["what"] for r in rows] == ["forward", "training"]
    for r, times in zip(rows, (1, 3), strict=True):
        assert set(r["seconds"]) == {"carousel", "torch.nn.LSTM", "eager loop"}
        assert (
            r["flops"] >= times * 2 * 5 * 2 * 2 * 4 * 8 * 8
        )  # rows · steps · (multiply, add) · (input, state) · gates · 8 · 8
        assert r["floor_seconds"] < r["seconds"]["carousel"]
    figures.save(draw(rows), tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    json.dumps(rows)


@pytest.mark.parametrize(
    "case", [grids.grid(4, 3, 5), grids.trees(9, 3, 5), grids.sets(9, 3, 5)], ids=["grid", "trees", "sets"]
)
def test_what_is_written_by_hand_gives_what_a_layer_gives(case):
    found = grids.by_hand(case)(case.data)[: len(case.levels.order)]
    output = case.run(case.data)
    assert torch.allclose(output.reshape(found.shape)[case.levels.order], found, atol=1e-5)


def test_recording_and_clamping_stand_beside_the_plain_run_and_the_eager_loop(monkeypatch):
    ran = set()
    for name in ("cpu", "reference"):

        def noted(call, name=name, run=kernels.BACKENDS[name].run):
            ran.add((name, tuple(call.record), tuple(call.clamp or ()), torch.is_grad_enabled()))
            return run(call)

        monkeypatch.setattr(kernels.BACKENDS[name], "run", noted)
    rows = list(recording.measure(Case("lstm-v3", 2, 8, 5), seconds=0.01))
    assert [(r["what"], r["recorded"], r["clamped"]) for r in rows] == [("forward", "h", "i"), ("training", "h", "i")]
    for r in rows:
        assert set(r["seconds"]) == {"plain", "record", "clamp", "eager plain", "eager record", "eager clamp"}
    asked = ((), ()), (("h",), ()), ((), ("i",))
    assert ran == {(name, *both, grad) for name in ("cpu", "reference") for both in asked for grad in (True, False)}


def test_packed_rows_go_from_twenty_steps_to_all():
    case = Case("gru", 6, 4, 70, packed=True)
    assert (max(case.lengths()), min(case.lengths())) == (70, 20)
    assert case.data().batch_sizes.sum() == case.rows()


@pytest.mark.skipif(not onnx_runtime.available(), reason="ONNX Runtime is not installed")
def test_onnx_runtime_computes_the_same():
    layer, x = Recurrent("lstm-v4", 3, 4, 2), torch.randn(5, 1, 3)
    with torch.no_grad():
        wanted = layer(x)[0]
        torch.testing.assert_close(torch.from_numpy(onnx_runtime.work(layer, x, 1)()[0]), wanted)
        step, output = onnx_runtime.stream(layer, x[0])
        for _ in range(3):
            step()
        torch.testing.assert_close(output(), layer(x[:1].expand(3, 1, 3))[0][-1, 0])


def test_jax_computes_the_same():
    if not jax_scan.available():
        pytest.skip("JAX is not installed")
    for name in ("lstm-v3", "lstm-v4", "gru-original"):
        layer, x = Recurrent(name, 5, 5), torch.randn(4, 3, 5, requires_grad=True)
        output, _ = layer(x)
        torch.testing.assert_close(torch.tensor(jax_scan.work(layer, x.detach(), training=False)().tolist()), output.detach())
        output.sum().backward()
        _, to_input = jax_scan.work(layer, x.detach(), training=True)()
        torch.testing.assert_close(torch.tensor(to_input.tolist()), x.grad)
