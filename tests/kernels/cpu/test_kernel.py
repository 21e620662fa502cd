"""Each direction is compiled when it is first asked for, and what cannot be compiled is done without or said."""

import shlex
from pathlib import Path

import pytest
import torch

from carousel import kernels
from carousel.cells import CELLS
from carousel.kernels.cpu import compiler, plan
from carousel.kernels.cpu.kernel import Kernel, _kernel
from carousel.kernels.inputs import loop_of
from carousel.layers import Recurrent, Streaming


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(plan, "_plans", {})
    _kernel.cache_clear()
    yield
    _kernel.cache_clear()


@pytest.fixture
def built(tmp_path, monkeypatch):
    """The calls of the compiler that compiled something, beginning with an empty cache and with no kernels known."""
    script, log = tmp_path / "listening-c++", tmp_path / "calls"
    script.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {shlex.join(compiler.compiler())} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("CAROUSEL_CACHE", str(tmp_path / "cache"))
    return lambda: [line.split() for line in log.read_text().splitlines() if " -c " in line]


def names(calls):
    """What has been compiled, without the hashes."""
    return sorted(Path(word).name.rpartition("-")[0] for call in calls for word in call if word.endswith(".cpp"))


@pytest.fixture
def one_way(tmp_path, monkeypatch):
    """A compiler that refuses runs backwards as long as the file that this gives is there."""
    script, refuses = tmp_path / "one-way-c++", tmp_path / "refuses"
    ours = shlex.join(compiler.compiler())
    refuse = f"[ -e {refuses} ] && echo error: full >&2 && exit 1"
    script.write_text(f'#!/bin/sh\ncase "$*" in *-backward-*.cpp*) {refuse};; esac\nexec {ours} "$@"\n')
    script.chmod(0o755)
    refuses.touch()
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("CAROUSEL_CACHE", str(tmp_path / "cache"))
    return refuses


def gradients(layer, x):
    return torch.autograd.grad(layer(x)[0].square().sum(), list(layer.parameters()))


def test_calls_without_derivatives_compile_no_run_backwards(built):
    layer, x = Recurrent("rnn", 3, 4), torch.randn(5, 2, 3)
    with torch.no_grad():
        layer(x)
        Streaming(layer, batch=2)(x[0])
    assert names(built()) == ["products", "rnn-forward"]


def test_what_is_learnt_after_all_compiles_the_run_backwards_alone(built):
    layer, x = Recurrent("rnn", 3, 4), torch.randn(5, 2, 3)
    with torch.no_grad():
        layer(x)
    found = gradients(layer, x)
    assert names(built()) == ["products", "rnn-backward", "rnn-forward"]
    with kernels.use("reference"):
        torch.testing.assert_close(found, gradients(layer, x))


def test_a_call_that_may_be_derived_compiles_both_in_one_file(built):
    Recurrent("rnn", 3, 4)(torch.randn(5, 2, 3))
    assert names(built()) == ["products", "rnn-forward-backward"]  # before anybody asks for the gradient


def test_where_the_run_backwards_cannot_be_compiled_the_reference_learns_and_says_so_once(one_way):
    layer, x = Recurrent("rnn", 3, 4), torch.randn(5, 2, 3)
    with pytest.warns(UserWarning, match=r"refuses the kernel: error: full; going on without compiled kernels") as said:
        found = [gradients(layer, x) for _ in range(2)]
    assert len(said) == 1
    with kernels.use("reference"):
        torch.testing.assert_close(found, [gradients(layer, x)] * 2)
    with torch.no_grad(), kernels.use("cpu"):
        layer(x)  # needs none


def test_a_run_backwards_that_cannot_be_compiled_is_an_error_until_it_can(one_way):
    made = Kernel(loop_of(CELLS["rnn"]), torch.float32)
    for _ in range(2):
        with pytest.raises(compiler.CompileError, match="refuses the kernel: error: full"):
            made.compile("forward", "backward")
    assert made.forward  # compiles alone
    with pytest.raises(compiler.CompileError, match="refuses the kernel: error: full"):
        _ = made.backward
    one_way.unlink()
    assert made.backward


def test_both_directions_are_for_the_processor_that_there_was_at_first(built, monkeypatch):
    monkeypatch.setenv("CAROUSEL_SIMD", "generic")
    made = Kernel(loop_of(CELLS["rnn"]), torch.float32)
    made.compile("forward")
    monkeypatch.delenv("CAROUSEL_SIMD")
    made.compile("backward")
    assert names(built()) == ["products", "rnn-backward", "rnn-forward"]
    assert all("-DWIDTH=16" in call for call in built())
