"""What works with torch.nn.LSTM and with ``Recurrent``: the table of ``docs/pytorch.md``, each row tried with both."""

import copy
import io
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from carousel.layers import Recurrent

TABLE = Path(__file__).parents[1] / "docs" / "pytorch.md"
ROWS = {}
CHECKS = {}


def row(label):
    """Under this label in the table stands whether the check passes."""

    def remember(check):
        CHECKS[label] = check
        return check

    return remember


def made(kind, *arguments, **options):
    torch.manual_seed(0)
    layer = nn.LSTM if kind == "nn.LSTM" else lambda *a, **o: Recurrent("lstm", *a, **o)
    return layer(*(arguments or (8, 16)), **options)


class Model(nn.Module):
    """A layer within a model, as people have it: its input is a tensor, and its output is one."""

    def __init__(self, kind, **options):
        super().__init__()
        self.layer, self.out = made(kind, **options), nn.Linear(16, 3)

    def forward(self, x):
        return self.out(self.layer(x)[0])


def same(a, b, tolerance=1e-5):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def gradients(model, x):
    model.zero_grad()
    model(x).square().sum().backward()
    return [p.grad.clone() for p in model.parameters()]


def data(steps=12, rows=4, **options):
    return torch.randn(steps, rows, 8, **options)


def weight(layer):
    """The name of a recurrent weight and the module that has it."""
    return (layer, "weight_hh_l0") if isinstance(layer, nn.LSTM) else (layer.W, "f_l0")


# ------------------------------------------------------------------------------------------------------------ inputs


@row("batches, single sequences, `batch_first`, several layers, both directions")
def check_shapes(kind):
    layer = made(kind, 8, 16, 2, batch_first=True, bidirectional=True)
    y, (h, c) = layer(torch.randn(4, 12, 8))
    assert (y.shape, h.shape, c.shape) == ((4, 12, 32), (4, 4, 16), (4, 4, 16))
    assert layer(torch.randn(12, 8))[0].shape == (12, 32)


@row("packed sequences, in any order")
def check_packed(kind):
    layer, x = made(kind), data()
    lengths = torch.tensor([3, 12, 7, 1])
    y, lengths_out = pad_packed_sequence(layer(pack_padded_sequence(x, lengths, enforce_sorted=False))[0])
    assert lengths_out.tolist() == lengths.tolist()
    for k, n in enumerate(lengths):
        same(y[:n, k], layer(x[:n, k])[0])


@row("a batch of no rows")
def check_no_rows(kind):
    assert made(kind)(data(rows=0))[0].shape == (12, 0, 16)


@row("100 000 steps, forwards and backwards")
def check_long(kind):
    steps = 100_000 if kind == "Recurrent" else 10_000  # which take it ten times as long
    x = torch.randn(steps, 1, 2, requires_grad=True)
    made(kind, 2, 4)(x)[0][-1].sum().backward()
    assert torch.isfinite(x.grad).all() and x.grad[-1].abs().sum() > 0


@row("another type of input is refused in one line")
def check_types(kind):
    with pytest.raises((ValueError, RuntimeError)) as refused:
        made(kind)(data(dtype=torch.float64))
    assert "\n" not in str(refused.value).strip()


# ---------------------------------------------------------------------------------------------------------- copies


@row("`copy.deepcopy` and `pickle`")
def check_copies(kind):
    layer, x = made(kind), data()
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        same(other(x)[0], layer(x)[0])


@row("`state_dict`, `torch.save`, `torch.load(weights_only=True)`")
def check_state_dict(kind):
    layer, other, x, file = made(kind), made(kind), data(), io.BytesIO()
    nn.init.normal_(getattr(*weight(other)))
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    same(other(x)[0], layer(x)[0])


@row("the meta device and `to_empty`")
def check_meta(kind):
    layer = made(kind, 8, 16, device="meta")
    assert layer(data(device="meta"))[0].shape == (12, 4, 16)
    layer.to_empty(device="cpu").reset_parameters()
    assert torch.isfinite(layer(data())[0]).all()


# ------------------------------------------------------------------------------------------------- changed weights


@row("`parametrizations.weight_norm`")
def check_weight_norm(kind):
    layer, x = made(kind), data()
    before = layer(x)[0]
    parametrizations.weight_norm(*weight(layer))
    same(layer(x)[0], before)
    owner, name = weight(layer)
    layer(x)[0].sum().backward()
    assert owner.parametrizations[name].original0.grad.abs().sum() > 0


@row("`parametrizations.spectral_norm`")
def check_spectral_norm(kind):
    layer, x = made(kind), data()
    parametrizations.spectral_norm(*weight(layer))
    layer.eval()
    same(torch.linalg.matrix_norm(getattr(*weight(layer)), 2), torch.tensor(1.0), 0.1)
    layer(x)[0].sum().backward()


@row("`torch.nn.utils.prune`")
def check_prune(kind):
    layer, x = made(kind), data()
    before = layer(x)[0]
    prune.random_unstructured(*weight(layer), 0.5)
    pruned = layer(x)[0]
    assert (pruned - before).abs().max() > 1e-4
    with torch.no_grad():  # a call sees what learning has changed
        owner, name = weight(layer)
        getattr(owner, f"{name}_orig").mul_(2)
    assert (layer(x)[0] - pruned).abs().max() > 1e-4


@row("a weight changed in place between forwards and backwards is noticed")
def check_in_place(kind):
    layer = made(kind)
    y = layer(data(requires_grad=True))[0]
    with torch.no_grad():
        getattr(*weight(layer)).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@row("`torch.optim.swa_utils.AveragedModel`")
def check_averaged(kind):
    model, x = Model(kind), data()
    averaged = torch.optim.swa_utils.AveragedModel(model)
    averaged.update_parameters(model)
    same(averaged(x), model(x))


# --------------------------------------------------------------------------------------------------------- training


@row("`torch.autocast` in bfloat16")
def check_autocast(kind):
    model, x = Model(kind), data()
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x)
    y.float().sum().backward()
    same(y.float(), model(x), 0.05)


@row("`torch.utils.checkpoint.checkpoint(use_reentrant=False)`")
def check_checkpoint(kind):
    model, x = Model(kind), data(requires_grad=True)
    wanted = gradients(model, x)
    model.zero_grad()
    torch.utils.checkpoint.checkpoint(model, x, use_reentrant=False).square().sum().backward()
    for p, g in zip(model.parameters(), wanted, strict=True):
        same(p.grad, g)


@row("`nn.DataParallel`")
def check_data_parallel(kind):
    model, x = Model(kind), data()
    same(nn.DataParallel(model)(x), model(x))


@row("`DistributedDataParallel`")
def check_distributed(kind, tmp_path):
    torch.distributed.init_process_group("gloo", f"file://{tmp_path / kind}", rank=0, world_size=1)
    try:
        model, x = Model(kind), data()
        wanted = gradients(model, x)
        for a, b in zip(gradients(nn.parallel.DistributedDataParallel(model), x), wanted, strict=True):
            same(a, b)
    finally:
        torch.distributed.destroy_process_group()


# ------------------------------------------------------------------------------------------------------- transforms


def loss_of(model):
    return lambda parameters, x: torch.func.functional_call(model, parameters, (x,)).square().sum()


@row("`torch.func.functional_call`, `grad`, `vjp`")
def check_grad(kind):
    model, x = Model(kind), data()
    found = torch.func.grad(loss_of(model))(dict(model.named_parameters()), x)
    for a, b in zip(found.values(), gradients(model, x), strict=True):
        same(a, b, 1e-4)


@row("`vmap(grad(…))`: the gradient of each sample")
def check_each_sample(kind):
    model, x = Model(kind), torch.randn(3, 12, 1, 8)
    found = torch.func.vmap(torch.func.grad(loss_of(model)), in_dims=(None, 0))(dict(model.named_parameters()), x)
    for k in range(3):
        for a, b in zip(found.values(), gradients(model, x[k]), strict=True):
            same(a[k], b, 1e-4)


@row("ensembles by `torch.func.stack_module_state` and `vmap`")
def check_ensemble(kind):
    models, x = [Model(kind) for _ in range(3)], data()
    for k, model in enumerate(models):
        nn.init.normal_(getattr(*weight(model.layer)), std=0.1 * (k + 1))
    parameters, buffers = torch.func.stack_module_state(models)
    one = models[0]
    found = torch.func.vmap(lambda p, b: torch.func.functional_call(one, (p, b), (x,)))(parameters, buffers)
    for y, model in zip(found, models, strict=True):
        same(y, model(x))


@row("`torch.func.jvp` and `torch.autograd.forward_ad`")
def check_forward_mode(kind):
    model, x, u = Model(kind).double(), data(dtype=torch.float64), data(dtype=torch.float64)
    _, found = torch.func.jvp(model, (x,), (u,))
    same(found, (model(x + 1e-6 * u) - model(x - 1e-6 * u)) / 2e-6, 1e-6)


@row("`torch.func.hessian`, and gradients of gradients")
def check_hessian(kind):
    model, x = Model(kind).double(), torch.randn(3, 1, 8, dtype=torch.float64)
    found = torch.func.hessian(lambda x: model(x).square().sum())(x)
    same(found, torch.autograd.functional.hessian(lambda x: model(x).square().sum(), x), 1e-8)


# ---------------------------------------------------------------------------------------------- graphs and exporters


def lengths(model, compiled, backward):
    for steps in range(2, 16):  # eight recompilations are allowed
        x = data(steps, 3 + steps % 3, requires_grad=backward)
        y = compiled(x)
        same(y, model(x))
        if backward:
            y.square().sum().backward()
            found, x.grad = x.grad, None
            model(x).square().sum().backward()
            same(x.grad, found, 1e-4)


@pytest.fixture
def fresh():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


@row("`torch.compile(fullgraph=True)`, sequences of many lengths, inference")
def check_compiled(kind):
    model = Model(kind)
    with torch.no_grad():
        lengths(model, torch.compile(model, fullgraph=True, backend="aot_eager"), False)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2


@row("`torch.compile(fullgraph=True)`, sequences of many lengths, training")
def check_compiled_training(kind):
    model = Model(kind)
    lengths(model, torch.compile(model, fullgraph=True, backend="aot_eager"), True)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2


def exported(kind):
    model = Model(kind).eval()
    free = {0: torch.export.Dim("time", min=2, max=1000), 1: torch.export.Dim("batch", min=2, max=1000)}
    with torch.no_grad():
        return model, torch.export.export(model, (data(),), dynamic_shapes={"x": free})


LOADED = """
import sys, torch
import carousel.layers
x = torch.load(sys.argv[2])
{load}
torch.save(model(x), sys.argv[3])
"""


def in_another_process(tmp_path, load, file, x):
    torch.save(x, tmp_path / "x.pt")
    command = [sys.executable, "-c", LOADED.format(load=load), file, tmp_path / "x.pt", tmp_path / "y.pt"]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return torch.load(tmp_path / "y.pt")


@row("`torch.export`, batch and time dynamic; saved, loaded by another process")
def check_export(kind, tmp_path):
    model, program = exported(kind)
    torch.export.save(program, tmp_path / "model.pt2")
    x = data(20, 7)
    load = "model = torch.export.load(sys.argv[1]).module()"
    same(in_another_process(tmp_path, load, tmp_path / "model.pt2", x), model(x))


@row("AOTInductor: `aoti_compile_and_package`, loaded by another process")
def check_packaged(kind, tmp_path):
    model, program = exported(kind)
    # The system's compiler, not what conftest.py puts before it; headers are not prepared for one file.
    with torch._inductor.config.patch({"cpp.cxx": (None, "g++"), "aot_inductor.precompile_headers": False}):
        package = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "model.pt2"))
    x = data(20, 7)
    load = "model = torch._inductor.aoti_load_package(sys.argv[1])"
    same(in_another_process(tmp_path, load, package, x), model(x))


@row("`torch.jit.trace`, for other lengths, too")
def check_trace(kind, tmp_path):
    model = Model(kind).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(model, (data(),)).save(str(tmp_path / "model.pt"))
    x = data(20, 7)
    same(in_another_process(tmp_path, "model = torch.jit.load(sys.argv[1])", tmp_path / "model.pt", x), model(x))


@row("`torch.jit.script`")
def check_script(kind):
    torch.jit.script(Model(kind))


@row("`torch.onnx.export`, batch dynamic")
def check_onnx(kind, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    model, x = Model(kind).eval(), data(12, 7)
    free = {"x": {1: torch.export.Dim("batch", min=2, max=1000)}}
    torch.onnx.export(model, (data(),), tmp_path / "model.onnx", dynamo=True, dynamic_shapes=free, verbose=False)
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    same(torch.tensor(y), model(x).detach(), 1e-4)


@row("`torch.onnx.export`, time dynamic")
def check_onnx_time(kind, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    model, x = Model(kind).eval(), data(20)
    free = {"x": {0: torch.export.Dim("time", min=2, max=1000)}}
    torch.onnx.export(model, (data(),), tmp_path / "model.onnx", dynamo=True, dynamic_shapes=free, verbose=False)
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    same(torch.tensor(y), model(x).detach(), 1e-4)


# -------------------------------------------------------------------------------------------------------- the table


def table():
    found = {}
    for line in TABLE.read_text().splitlines() if TABLE.exists() else ():
        if match := re.fullmatch(r"\| (.+) \| (yes|no)\b.* \| (yes|no)\b.* \|", line):
            found[match[1]] = {"nn.LSTM": match[2], "Recurrent": match[3]}
    return found


def test_every_row_of_the_table_has_a_check():
    assert list(table()) == list(CHECKS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["nn.LSTM", "Recurrent"])
@pytest.mark.parametrize("label", CHECKS)
def test_the_table_is_true(label, kind, fresh, tmp_path):
    check = CHECKS[label]
    options = {"tmp_path": tmp_path} if "tmp_path" in check.__code__.co_varnames[: check.__code__.co_argcount] else {}
    try:
        check(kind, **options)
    except Exception as error:
        assert table()[label][kind] == "no", f"{type(error).__name__}: {error}"
    else:
        assert table()[label][kind] == "yes"
