"""``kernels.use("portable")``: exported layers are operators of PyTorch alone, for any batch and length; others run them."""

import inspect
import subprocess
import sys

import pytest
import torch
from torch import nn

from carousel import kernels
from carousel.layers import Recurrent

TIME, BATCH = torch.export.Dim("time", min=2, max=60), torch.export.Dim("batch", min=2, max=20)


def exported(model, *inputs, batch=True):
    """The program for sequences of any length, and of any batch where that is asked for."""
    free = {0: TIME, 1: BATCH} if batch else {0: TIME}
    names = [*inspect.signature(model.forward).parameters][: len(inputs)]
    with torch.no_grad(), kernels.use("portable"):
        return torch.export.export(model, inputs, dynamic_shapes=dict.fromkeys(names, free))


def near(a, b):
    torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("lstm-v3", {"num_layers": 2}),
        ("clockwork", {"bidirectional": True, "learned_initial": True}),
        ("lstm-layer-norm", {"batch_first": True}),
        ("gru-2-heads", {}),
    ],
)
def test_the_program_is_of_pytorch_alone_and_does_the_same(cell, options):
    torch.manual_seed(0)
    layer = Recurrent(cell, 4, 6, **options).eval()
    program = exported(layer, torch.randn(7, 3, 4))
    called = {str(n.target) for n in program.graph.nodes if n.op == "call_function"}
    assert "scan" in called and not any("carousel" in name for name in called)
    x = torch.randn(11, 5, 4)
    with torch.no_grad():
        (y, hx), (wanted, after) = program.module()(x), layer(x)
    near(y, wanted)
    for a, b in zip(hx if isinstance(hx, tuple) else [hx], after if isinstance(after, tuple) else [after], strict=True):
        near(a, b)


class Gaps(nn.Module):
    """A layer with a further input, whose sequences begin anew."""

    def __init__(self):
        super().__init__()
        self.layer = Recurrent("t-lstm", 4, 6, bidirectional=True)

    def forward(self, x, gaps, resets):
        return self.layer(x, d=gaps, resets=resets)[0]


def test_further_inputs_and_resets():
    def given(steps, rows):
        return torch.randn(steps, rows, 4), torch.rand(steps, rows), torch.rand(steps, rows) < 0.3

    model = Gaps().eval()
    program, inputs = exported(model, *given(7, 3)), given(11, 5)
    near(program.module()(*inputs), model(*inputs).detach())


def test_without_an_export_it_is_the_reference():
    layer = Recurrent("lstm-v3", 3, 4)
    x = torch.randn(5, 2, 3)
    with kernels.use("portable"):
        y = layer(x)[0]
        assert layer.explain(x).startswith("portable")
    y.sum().backward()
    with kernels.use("reference"):
        near(y, layer(x)[0])


def test_what_is_recorded_is_written_step_by_step():
    class Recording(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = Recurrent("lstm-v3", 3, 4)

        def forward(self, x):
            return self.layer(x, record=["f"])[2]["f"]

    model, x = Recording().eval(), torch.randn(5, 2, 3)
    with torch.no_grad(), kernels.use("portable"):
        program = torch.export.export(model, (x,))
        assert not any("carousel" in str(n.target) or str(n.target) == "scan" for n in program.graph.nodes)
        near(program.module()(x), model(x))


class Model(nn.Module):
    """A layer within a model."""

    def __init__(self, cell="lstm-v3"):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.out = Recurrent(cell, 4, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.out(self.layer(x)[0])


@pytest.mark.filterwarnings("ignore")
def test_pytorchs_exporter_to_onnx_takes_any_length(tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    model, free = Model("lstm-v1").eval(), {"x": {0: TIME, 1: BATCH}}
    with torch.no_grad(), kernels.use("portable"):
        torch.onnx.export(model, (torch.randn(7, 3, 4),), tmp_path / "m.onnx", dynamo=True, dynamic_shapes=free, verbose=False)
    session, x = runtime.InferenceSession(tmp_path / "m.onnx"), torch.randn(30, 5, 4)
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    near(torch.from_numpy(y), model(x).detach())


ALONE = """
import sys, torch
model = torch._inductor.aoti_load_package(sys.argv[1])
torch.save(model(torch.load(sys.argv[2])), sys.argv[3])
assert "carousel" not in sys.modules
"""


@pytest.mark.filterwarnings("ignore")
def test_a_process_without_carousel_runs_what_aotinductor_has_compiled(tmp_path):
    model = Model().eval()
    program = exported(model, torch.randn(7, 3, 4))
    options = {
        "cpp.cxx": (None, "g++"),
        "cpp.vec_isa_ok": True,  # or small programs find out
        "aot_inductor.precompile_headers": False,
        "aot_inductor.compile_wrapper_opt_level": "O0",
    }
    with torch._inductor.config.patch(options):
        package = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "model.pt2"))
    x = torch.randn(30, 5, 4)
    torch.save(x, tmp_path / "x.pt")
    command = [sys.executable, "-c", ALONE, package, tmp_path / "x.pt", tmp_path / "y.pt"]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    near(torch.load(tmp_path / "y.pt"), model(x).detach())


@pytest.mark.filterwarnings("ignore")
def test_executorch_runs_it_for_any_length(tmp_path):
    exir = pytest.importorskip("executorch.exir", reason="ExecuTorch is missing: pip install executorch")
    from executorch.runtime import Runtime

    model = Model().eval()
    program = exported(model, torch.randn(7, 3, 4), batch=False)
    path = tmp_path / "model.pte"
    path.write_bytes(exir.to_edge(program).to_executorch().buffer)
    method = Runtime.get().load_program(path).load_method("forward")
    for steps in (2, 30, 60):
        x = torch.randn(steps, 3, 4)
        near(method.execute([x])[0], model(x).detach())
