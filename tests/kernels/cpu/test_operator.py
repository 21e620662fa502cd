"""``carousel::loop`` as PyTorch's tools see it: compile, export, vmap, forks, double derivatives."""

import io
import os
import warnings

import pytest
import torch

from carousel import kernels
from carousel.cells import CELLS
from carousel.kernels import registry
from carousel.kernels.cpu.program import program_of
from carousel.kernels.inputs import loop_of
from carousel.layers import Recurrent


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return Recurrent("lstm-v3", 5, 6, num_layers=2)


def test_compiled_without_graph_breaks_it_is_the_same(layer):
    x = torch.randn(7, 3, 5)
    expected, hx = layer(x)
    expected_grad = torch.autograd.grad(expected.square().sum(), list(layer.parameters()))
    quick = torch.compile(layer, fullgraph=True, backend="aot_eager")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Dynamo detected a call")
        found, found_hx = quick(x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found_hx, hx)
    found_grad = torch.autograd.grad(found.square().sum(), list(layer.parameters()))
    for a, b in zip(found_grad, expected_grad, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", ["clockwork", "lstm-v4", "gru", "mlp"])
def test_compiled_with_resets_any_cell_is_the_same(name):
    torch.manual_seed(0)
    layer = Recurrent(name, 5, 6, bidirectional=name == "gru")
    x, resets = torch.randn(7, 3, 5), torch.arange(21).reshape(7, 3) % 5 == 0

    def loss():
        return layer(x, resets=resets)[0].square().sum()

    expected = torch.autograd.grad(loss(), list(layer.parameters()))
    found = torch.autograd.grad(torch.compile(loss, fullgraph=True, backend="aot_eager")(), list(layer.parameters()))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", ["clockwork", "lstm-v4", "gru", "mlp"])
def test_an_exported_program_needs_no_cell_and_takes_sequences_of_any_length(name, monkeypatch):
    """It holds the cell as data, with its constants and masks."""
    torch.manual_seed(0)
    layer, x = Recurrent(name, 6, 6, bidirectional=name == "gru").eval(), torch.randn(11, 5, 6)
    wanted = layer(x)
    free = {"input": {0: torch.export.Dim("time", min=2), 1: torch.export.Dim("batch", min=2)}}
    program, file = torch.export.export(layer, (torch.randn(7, 3, 6),), dynamic_shapes=free), io.BytesIO()
    torch.export.save(program, file)
    monkeypatch.setattr(registry, "_cells", {})
    monkeypatch.setattr(registry, "_loops", {})
    file.seek(0)
    torch.testing.assert_close(torch.export.load(file).module()(x), wanted)


class WithResets(torch.nn.Module):
    def __init__(self, **options):
        super().__init__()
        torch.manual_seed(0)
        self.layer = Recurrent("lstm-v3", 4, 5, **options)

    def forward(self, x, resets):
        return self.layer(x, resets=resets)[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", [{"bidirectional": True}, {"segment_length": 3}], ids=str)
@pytest.mark.parametrize("way", ["export", "trace"])
def test_resets_and_segments_leave_no_length_in_a_program(way, options):
    model, x, resets = WithResets(**options), torch.randn(13, 3, 4), torch.rand(13, 3) < 0.3
    given = x[:8, :2].contiguous(), resets[:8, :2].contiguous()
    if way == "trace":
        program = torch.jit.trace(model, given)
    else:
        free = {0: torch.export.Dim("time", min=2), 1: torch.export.Dim("batch", min=2)}
        program = torch.export.export(model, given, dynamic_shapes={"x": free, "resets": free}).module()
    torch.testing.assert_close(program(x, resets), model(x, resets))


def test_what_is_written_out_step_by_step_is_not_exported_for_any_length(layer):
    free = {"input": {0: torch.export.Dim("time", min=2)}}
    with kernels.use("reference"), pytest.raises(ValueError, match="export needs a fixed number of them"):
        torch.export.export(layer, (torch.randn(7, 3, 5),), dynamic_shapes=free)


def test_vmap_over_the_input(layer):
    x = torch.randn(4, 7, 3, 5)
    with torch.no_grad():
        found = torch.func.vmap(lambda one: layer(one)[0])(x)
        torch.testing.assert_close(found, torch.stack([layer(one)[0] for one in x]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_goes_on():
    big = Recurrent("lstm-v2", 64, 64)
    x = torch.randn(20, 16, 64)
    with torch.no_grad():
        expected = big(x)[0]  # OpenMP's team exists now
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with torch.no_grad():
            same = torch.allclose(big(x)[0], expected, atol=1e-6)
        os.write(writing, b"1" if same else b"0")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 1) == b"1"


def test_what_a_run_saves_is_counted():
    saved = program_of(loop_of(CELLS["lstm-v2"])).saved
    # The message and the memory before, three gates, and two values of tanh; the memory after follows from them.
    assert len(saved) == 7
