"""``carousel bench kernels`` for a GPU, where there is none: what cannot be measured is said, what can be compiled is."""

import json

import pytest
import torch

from carousel.kernels import triton

here = pytest.mark.skipif(not triton.available(), reason="Triton is not installed: pip install -e .[dev]")


def one_line(result, part):
    status, _, err = result
    assert status == 2
    assert err.count("\n") == 1
    assert part in err


def test_another_device_is_refused(carousel):
    one_line(carousel("bench", "kernels", "--device", "tpu"), "--device must be cpu or cuda, not 'tpu'")


@here
@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--cells", "lsmt"], "did you mean lstm"),
        (["--types", "float64"], "--types may be bfloat16, float32, not 'float64'"),
        (["--ways", "sideways"], "--ways may be stepwise, rows, grid, held, scan, not 'sideways'"),
        (["--sizes", "20,200"], "--sizes takes rows,units,steps"),
    ],
)
def test_what_is_not_known_is_refused(carousel, options, part):
    one_line(carousel("bench", "kernels", "--compile-only", *options), part)


@here
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured(carousel):
    one_line(carousel("bench", "kernels", "--device", "cuda"), "PyTorch sees no GPU here; --compile-only compiles")


def test_without_triton_it_is_named(carousel, monkeypatch):
    monkeypatch.setattr(triton, "available", lambda: False)
    one_line(carousel("bench", "kernels", "--device", "cuda"), "pip install carousel-rnn[gpu]")


@here
@pytest.mark.filterwarnings("ignore")
def test_kernels_are_compiled_without_a_gpu(carousel):
    size = ["--sizes", "20,64,35", "--types", "bfloat16", "--cells", "rnn"]
    status, out, _ = carousel("bench", "kernels", "--compile-only", *size, "--json")
    assert status == 0
    rows = json.loads(out)["rows"]
    assert [r["kernel"] for r in rows] == ["forward_held1", "backward_held1"]
    for r in rows:
        assert r["stack"] == 0
        assert 0 < r["registers"] <= 255
