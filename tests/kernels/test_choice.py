"""Which back end runs: ``use``, else CAROUSEL_KERNELS, else the default."""

import pytest
import torch

from carousel import kernels
from carousel.kernels import triton
from carousel.kernels.reference import Reference
from carousel.layers import Recurrent


@pytest.fixture
def spy(monkeypatch):
    """A back end called "spy" that counts its calls and lets the reference work."""
    calls = []

    class Spy(Reference):
        name = "spy"

        def run(self, call):
            calls.append(call.cell.name)
            return super().run(call)

    monkeypatch.setitem(kernels.BACKENDS, "spy", Spy())
    return calls


def test_use_chooses_within_the_block(spy):
    layer, x = Recurrent("rnn", 2, 3, num_layers=2), torch.randn(4, 1, 2)
    before = kernels.backend()
    with kernels.use("spy"):
        assert kernels.backend() == "spy"
        layer(x)
    assert kernels.backend() == before
    layer(x)
    assert spy == ["rnn", "rnn"]  # one call a layer, none after the block


def test_the_first_that_supports_a_call_runs_it(monkeypatch):
    """A back end is chosen by what it supports; one that finds out too late that it cannot is passed over, saying so once."""
    ran = []

    class Picky(Reference):
        name = "picky"

        def supports(self, call):
            return call.data.dtype is torch.float64 and not call.record

        def run(self, call):
            if len(call.rows) == 1:
                raise kernels.Unavailable("picky wants two steps")
            ran.append(call.cell.name)
            return super().run(call)

    monkeypatch.setattr(kernels.choice, "BACKENDS", {"picky": Picky(), **kernels.BACKENDS})
    layer, x = Recurrent("rnn", 2, 3), torch.randn(4, 1, 2)
    layer(x)  # of another type
    layer.double()(x.double(), record=["h"])
    assert ran == []
    output, _ = layer(x.double())
    assert ran == ["rnn"]
    with pytest.warns(UserWarning, match="picky wants two steps; going on"):
        first, _ = layer(x[:1].double())
    torch.testing.assert_close(first, output[:1])
    with kernels.use("picky"), pytest.raises(kernels.Unavailable):
        layer(x[:1].double())


def test_blocks_nest(spy):
    with kernels.use("spy"):
        with kernels.use("reference"):
            assert kernels.backend() == "reference"
        assert kernels.backend() == "spy"


def test_an_error_in_the_block_restores_the_choice(spy):
    before = kernels.backend()
    with pytest.raises(ZeroDivisionError), kernels.use("spy"):
        _ = 1 / 0
    assert kernels.backend() == before


def test_environment_chooses(spy, monkeypatch):
    monkeypatch.setenv("CAROUSEL_KERNELS", "spy")
    assert kernels.backend() == "spy"
    Recurrent("rnn", 2, 3)(torch.randn(4, 1, 2))
    assert spy == ["rnn"]


def test_use_wins_over_the_environment(spy, monkeypatch):
    monkeypatch.setenv("CAROUSEL_KERNELS", "spy")
    with kernels.use("reference"):
        assert kernels.backend() == "reference"


def test_unknown_names_are_refused_with_those_there_are(monkeypatch):
    before = kernels.backend()
    with pytest.raises(ValueError, match=r"no kernels are called 'abacus'.*reference"), kernels.use("abacus"):
        pytest.fail("the block must not run")
    assert kernels.backend() == before
    monkeypatch.setenv("CAROUSEL_KERNELS", "abacus")
    with pytest.raises(ValueError, match=r"CAROUSEL_KERNELS may be .*reference"):
        Recurrent("rnn", 2, 3)(torch.randn(4, 1, 2))


def test_without_triton_a_choice_by_name_is_refused(monkeypatch):
    monkeypatch.setattr(triton.backend, "available", lambda: False)
    layer, x = Recurrent("rnn", 2, 3), torch.randn(4, 1, 2)
    with kernels.use("triton"), pytest.raises(kernels.Unavailable, match="Triton is not installed"):
        layer(x)


def test_a_layer_explains_which_kernels_it_would_run_on():
    layer, x = Recurrent("lstm", 2, 3), torch.randn(4, 1, 2)
    with kernels.use("reference"):
        assert layer.explain(x).startswith("reference: ")
    with kernels.use("cpu"):
        assert layer.explain(x) == "cpu: a compiled loop"


@pytest.mark.parametrize("back_end", ["cpu", "reference"])
def test_an_input_that_is_no_tensor_and_a_step_number_of_another_shape_are_refused(back_end):
    layer = Recurrent("clockwork", 2, 3)
    state, number = torch.zeros(4, 3), torch.zeros(4, 1)

    def run(data, before, **options):
        with kernels.use(back_end):
            return kernels.run(kernels.Call(layer.cell, data, [4], before, layer.parameters_of(), **options))

    assert run(torch.zeros(4, 2), {"h": state, "t": number}).output.shape == (4, 3)
    with pytest.raises(TypeError, match=r"an input is a tensor, .* not NoneType"):
        run(None, {"h": state, "t": number})
    with pytest.raises(ValueError, match=r"t of cell clockwork has shape \(4,\), expected"):
        run(torch.zeros(4, 2), {"h": state, "t": number[:, 0]})
    again = {"resets": torch.zeros(4, dtype=torch.bool), "initial": {"h": state, "t": number[:, 0]}}
    with pytest.raises(ValueError, match=r"initial state t of cell clockwork has shape \(4,\), expected \(rows, 1\)"):
        run(torch.zeros(4, 2), {"h": state, "t": number}, **again)
