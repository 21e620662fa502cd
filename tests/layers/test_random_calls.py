"""Calls that no caller should make: each is answered rightly, or refused with an exception of PyTorch's kinds and one line.

Each runs in a child of its own (``tests/helpers/forked.py``). Under AddressSanitizer, where a read out of bounds is a death:
``docs/explanation/kernels.md`` says how. A campaign:
``python -m pytest tests/layers/test_random_calls.py --calls 10000 --seed 7``.
"""

import itertools
import os

import numpy as np
import pytest
import torch
from apart import apart
from forked import verdict
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils._python_dispatch import TorchDispatchMode

from carousel import kernels
from carousel.cells import CELLS
from carousel.equations import cell, concat, tanh
from carousel.kernels.cpu import calls
from carousel.kernels.cpu.kernel import kernel
from carousel.kernels.inputs import loop_of
from carousel.kernels.operator import FORWARD
from carousel.layers import Clamp, Recurrent, Streaming, from_torch, from_torch_state, to_torch, to_torch_state

if "asan" in os.environ.get("LD_PRELOAD", ""):
    calls.scratch = apart  # so that a step over an array's end is seen

NAMES = ("lstm-v3", "lstm-v4", "gru", "rnn", "clockwork", "mlp")
MODULES = (nn.LSTM, nn.GRU, nn.RNN)


def negated(x):
    """The same numbers, of which PyTorch keeps that they are to be negated."""
    return torch.imag(torch.complex(torch.zeros_like(x), -x).conj())


# The same numbers in another layout: must be answered, or refused.
LAYOUTS = {
    "transposed": lambda x: x.t().contiguous().t() if x.dim() == 2 else x.transpose(0, -1).contiguous().transpose(0, -1),
    "strided": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "offset": lambda x: torch.cat([x.flatten()[:1], x.flatten()])[1:].view(x.shape),
    "negated": lambda x: negated(x) if x.is_floating_point() else x,
    "sparse": lambda x: x.to_sparse(),
    "expanded": lambda x: x[..., :1].expand(x.shape),
    "overlapping": lambda x: x.flatten().as_strided(x.shape, (1,) * x.dim()),
}
OTHERS = {
    "float32": lambda x: x.float(),
    "float64": lambda x: x.double(),
    "float16": lambda x: x.half(),
    "bfloat16": lambda x: x.bfloat16(),
    "int64": lambda x: x.long(),
    "bool": lambda x: x.bool(),
    "complex": lambda x: x.cfloat(),
    "meta": lambda x: x.to("meta"),
    "quantized": lambda x: torch.quantize_per_tensor(x.float(), 0.1, 0, torch.qint8),
    "one row less": lambda x: x[1:],
    "one column less": lambda x: x[..., 1:],
    "one row more": lambda x: torch.cat([x, x[:1]]),
    "one column more": lambda x: torch.cat([x, x[..., :1]], -1),
    "no rows": lambda x: x[:0],
    "no columns": lambda x: x[..., :0],
    "a dimension more": lambda x: x.unsqueeze(0),
    "a dimension less": lambda x: x[0],
    "flat": lambda x: x.flatten(),
    "one number": lambda x: x.flatten()[0],
    "huge": lambda x: x.flatten()[:1].expand(2**40, x.shape[-1] if x.dim() else 1),
    "wide": lambda x: x.flatten()[:1].expand(1, 2**45),
    "nan": lambda x: torch.full_like(x, float("nan")),
    "None": lambda x: None,
    "list": lambda x: x.tolist(),
    "array": lambda x: x.detach().numpy(),
    "text": lambda x: "x",
    "number": lambda x: 1.0,
    "set": lambda x: {1},
}
NO_TENSORS = ("None", "list", "array", "text", "number", "set")
SPOILERS = {**LAYOUTS, **OTHERS}


def spoilt(value, place, how):
    """A list of arguments, at any depth, with that tensor spoilt."""
    at = itertools.count()

    def walk(x):
        if isinstance(x, torch.Tensor):
            return SPOILERS[how](x.detach()) if next(at) == place else x
        if isinstance(x, list | tuple):
            return type(x)(walk(y) for y in x)
        return {k: walk(v) for k, v in x.items()} if isinstance(x, dict) else x

    return walk(value)


def tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, PackedSequence):
        return [value.data]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [x for y in inner for x in tensors(y)]


def judge(ours, reference=None):
    """ "" where a call is answered as the reference answers it, or refused as it should be; else what is wrong."""
    expected = refusal = None
    if reference is not None:
        try:
            expected = tensors(reference())
        except Exception as error:
            refusal = error
    try:
        found = tensors(ours())
    except (TypeError, ValueError, RuntimeError, MemoryError, NotImplementedError) as error:
        lines = str(error).strip().splitlines()
        mine = isinstance(error, TypeError | ValueError)
        return "" if lines and (len(lines) == 1 or not mine) else f"refused with {len(lines)} lines: {error!r}"
    except BaseException as error:
        return f"raised {type(error).__name__}: {error}"
    if reference is None:
        return ""
    if refusal is not None:
        return f"answered what the reference refuses ({type(refusal).__name__}: {refusal})"
    for a, b in zip(found, expected, strict=True):
        if a.is_meta or b.is_meta:
            continue
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"answered {a.dtype} {tuple(a.shape)}, the reference {b.dtype} {tuple(b.shape)}"
        small = a.dtype in (torch.float16, torch.bfloat16)
        limit = 1e-2 if small else 1e-4 if a.dtype is torch.float32 else 1e-9
        if not torch.allclose(a, b, rtol=limit, atol=limit, equal_nan=True):
            return f"answered {(a - b).abs().max()} off the reference"
    return ""


def drawn(*shape, dtype=torch.float32):
    return 0.5 * torch.randn(*shape, dtype=dtype)


def backwards(output, *leaves):
    """Outputs, and the gradients of the leaves that have any."""
    found = [x for x in tensors(output) if x.requires_grad]
    wanted = [x for x in tensors(list(leaves)) if x.requires_grad and x.is_leaf]
    gradients = torch.autograd.grad([x.sum() for x in found], wanted, allow_unused=True) if found and wanted else ()
    return [output, [g for g in gradients if g is not None]]


# ----------------------------------------------------------------------------------------------------- the entries


def of_layer(name, dtype, **options):
    torch.manual_seed(3)
    return Recurrent(name, 5, 5 if name == "mlp" else 6, dtype=dtype, **options)


def call_layer(name, dtype, place, how, learn):
    """A layer's own call: input, states, resets."""
    layer = of_layer(name, dtype)
    batch, steps = 3, 4
    states = layer.initial_state(batch)
    arguments = [drawn(steps, batch, 5, dtype=dtype), states, torch.rand(steps, batch) < 0.3]
    x, hx, resets = spoilt(arguments, place % len(tensors(arguments)), how)

    def run():
        with torch.set_grad_enabled(learn):
            output = layer(x, hx, resets=resets)
            return backwards(output, list(layer.parameters())) if learn else output

    def by_reference():
        with kernels.use("reference"):
            return run()

    return judge(run, by_reference)


def call_with_parameters(name, dtype, place, how, learn):
    """A layer with a parameter that somebody has changed."""
    layer = of_layer(name, dtype)
    every = [(space, key) for space in (layer.W, layer.w, layer.b) for key in space]
    space, key = every[place % len(every)]
    changed = SPOILERS[how](space[key].detach())
    if not isinstance(changed, torch.Tensor):
        return judge(lambda: setattr(space, key, changed))
    if learn:
        changed = nn.Parameter(changed, requires_grad=changed.is_floating_point())
    space._parameters[key] = changed
    return call_layer_with(layer, dtype, learn)


def call_layer_with(layer, dtype, learn):
    x = drawn(4, 3, 5, dtype=dtype)

    def run():
        with torch.set_grad_enabled(learn):
            output = layer(x)
            return backwards(output, list(layer.parameters())) if learn else output

    def by_reference():
        with kernels.use("reference"):
            return run()

    return judge(run, by_reference)


def call_stream(name, dtype, place, how, learn):
    """A stream: its states, its input, its layer's parameters."""
    layer = of_layer(name, dtype)
    states = layer.initial_state(3)
    parameters = [(space, key) for space in (layer.W, layer.w, layer.b) for key in space]
    arguments = [drawn(3, 5, dtype=dtype), states]
    count = len(tensors(arguments))
    place %= count + len(parameters)
    if place < count:
        x, hx = spoilt(arguments, place, how)
    else:
        (x, hx), (space, key) = arguments, parameters[place - count]
        changed = SPOILERS[how](space[key].detach())
        if isinstance(changed, torch.Tensor):
            space._parameters[key] = changed

    def run():
        stream = Streaming(layer, hx) if hx is not None else Streaming(layer, batch=3)
        return [stream(x).clone(), stream(x).clone(), stream.hx]

    def by_reference():
        with kernels.use("reference"):
            return run()

    return judge(run, by_reference)


@cell(inputs={"d": 1, "c": None, "k": "h"})
def told(e, h, d, c, k, W, w, b):
    """A cell with a further input of each kind, in the loop and in a concatenation."""
    h = tanh(W.he @ e + W.h @ concat(c, h) + w.hd * d + b.h) * k + 0.1 * d * h
    return h


def call_further(name, dtype, place, how, learn):
    """Further inputs of a call, of a stream, of ``kernels.run``."""
    torch.manual_seed(3)
    layer = Recurrent(told, 5, 6, input_sizes={"c": 2}, dtype=dtype)
    shapes = {"d": (4, 3), "c": (4, 3, 2), "k": (4, 3, 6)}
    good = {n: drawn(*s, dtype=dtype) for n, s in shapes.items()}
    given, x = spoilt(good, place % 3, how), drawn(4, 3, 5, dtype=dtype)
    step = spoilt({n: v[0] for n, v in good.items()}, place % 3, how)
    if place % 5 == 4 and how not in NO_TENSORS:
        flat = spoilt({n: v.reshape(12, -1) for n, v in good.items()}, place % 3, how)
        before, parameters = {"h": torch.zeros(3, 6, dtype=dtype)}, layer.parameters_of(0)

    def run():
        with torch.set_grad_enabled(learn):
            if place % 5 == 3:
                stream = Streaming(layer, batch=3)
                return [stream(x[0], **step).clone(), stream.hx]
            if place % 5 == 4 and how not in NO_TENSORS:
                call = kernels.Call(told, x.reshape(12, 5), [3] * 4, before, parameters, inputs=flat)
                return backwards(kernels.run(call).output, list(layer.parameters())) if learn else kernels.run(call).output
            output = layer(x, **given)
            return backwards(output, list(layer.parameters())) if learn else output

    def by_reference():
        with kernels.use("reference"):
            return run()

    return judge(run, by_reference)


class _Caught(TorchDispatchMode):
    """Keeps what carousel::loop is called with."""

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        if function is torch.ops.carousel.loop.default:
            self.arguments = list(arguments)
        return function(*arguments, **(options or {}))


def call_operator(name, dtype, place, how, learn):
    """The operator, called directly."""
    layer = of_layer(name, dtype)
    resets = torch.rand(4, 3) < 0.3
    with torch.no_grad(), kernels.use("cpu"), _Caught() as caught:
        layer(drawn(4, 3, 5, dtype=dtype), resets=resets)
    count = len(tensors(caught.arguments))
    arguments = spoilt(caught.arguments, place % count, how)
    if how not in LAYOUTS:
        return judge(lambda: torch.ops.carousel.loop(*arguments))
    alike = spoilt(caught.arguments, place % count, how)
    alike = [_plain(x) for x in alike]
    return judge(lambda: torch.ops.carousel.loop(*arguments), lambda: torch.ops.carousel.loop(*alike))


def _plain(x):
    if isinstance(x, list | tuple):
        return type(x)(_plain(y) for y in x)
    if not isinstance(x, torch.Tensor):
        return x
    x = x.to_dense() if x.layout is not torch.strided else x
    return x.resolve_neg().clone(memory_format=torch.contiguous_format)


def call_numbers_of_operator(name, dtype, place, how, learn):
    """The operator with another cell's key, other rows, other lists."""
    layer = of_layer(name, dtype)
    with torch.no_grad(), kernels.use("cpu"), _Caught() as caught:
        layer(drawn(4, 3, 5, dtype=dtype))
    arguments = list(caught.arguments)
    rows = list(FORWARD).index("batch_sizes")
    if place % 2:  # instead of none, which stands for equal steps
        arguments[rows] = [3] * 4
    lists = [k for k, x in enumerate(arguments) if isinstance(x, list | tuple) and k != rows]
    wrong = [
        (rows, []), (rows, [0]), (rows, [3, 3, 3]), (rows, [3, 3, 3, 4]), (rows, [-3, 15]), (rows, [2**62, 2**62]),
        (rows, [12]), (rows, [3] * 400), (0, "nobody"), (0, 5), (0, None),
        (1, "nobody"), (1, layer.cell.name), (1, 5), (1, None),
        *((k, []) for k in lists), *((k, arguments[k] * 2) for k in lists), *((k, arguments[k][::-1]) for k in lists),
    ]  # fmt: skip
    at, value = wrong[place % len(wrong)]
    if _shapes(value) == _shapes(arguments[at]) or (at == rows and value == [12]):  # a right call, of another problem
        return ""
    arguments[at] = value
    try:
        torch.ops.carousel.loop(*arguments)
    except (TypeError, ValueError, RuntimeError):
        return ""
    except BaseException as error:
        return f"raised {type(error).__name__}: {error}"
    return f"answered with argument {at} = {value}"


def _shapes(value):
    return [getattr(x, "shape", x) for x in value] if isinstance(value, list | tuple) else value


def call_run(name, dtype, place, how, learn):
    """``kernels.run``, as a back end is called: with tensors."""
    if how in NO_TENSORS:
        how = "flat"
    called = CELLS[name]
    layer = of_layer(name, dtype)
    states = layer.initial_state(3)
    names = dict(zip(called.states, [s[0] for s in ([states] if isinstance(states, torch.Tensor) else states)], strict=True))
    arguments = [drawn(9, 5, dtype=dtype), names, layer.parameters_of(0), torch.rand(9) < 0.3, dict(names)]
    data, before, parameters, resets, initial = spoilt(arguments, place % len(tensors(arguments)), how)

    def run():
        with torch.set_grad_enabled(learn):
            call = kernels.Call(called, data, [3, 3, 2, 1], before, parameters, resets=resets, initial=initial)
            output, after, _ = kernels.run(call)
            return backwards([output, after], list(layer.parameters())) if learn else [output, after]

    def by_reference():
        with kernels.use("reference"):
            return run()

    return judge(run, by_reference)


HOSTILE = (None, -1, 0, 1.5, 2**62, "x", [], {}, float("nan"), True, torch.tensor(3), torch.ones(2), np.float64(2))


def call_constructor(name, dtype, place, how, learn):
    """A layer's options. Right ones give a layer that works."""
    options = {"cell": name, "input_size": 5, "hidden_size": 5, "num_layers": 1, "dropout": 0.0, "proj_size": None}
    options |= {"batch_first": False, "bidirectional": False, "recurrent_init": "uniform", "forget_bias": None}
    options |= {"segment_length": 0, "device": None, "dtype": None, "learned_initial": False}
    key = list(options)[place % len(options)]
    value = HOSTILE[(place // len(options)) % len(HOSTILE)]
    if key in ("input_size", "hidden_size", "num_layers", "proj_size") and type(value) is int and value > 1:
        value = 2**40

    def run():
        layer = Recurrent(**{**options, key: value})
        return layer(torch.zeros(2, 3, layer.input_size, dtype=next(layer.parameters()).dtype))

    return judge(run)


def call_clamp(name, dtype, place, how, learn):
    layer = of_layer(name, dtype)
    unit = layer.cell.states[0]
    value = HOSTILE[place % len(HOSTILE)]
    each = [
        value, {"nobody": 0.0}, {unit: value}, {unit: {value if isinstance(value, int | str) else 99: 0.0}}, {unit: {99: 0.0}},
        [Clamp(unit, value)], [Clamp(unit, 0.0, units=(value,))], [Clamp(unit, 0.0, begin=value)],
        [Clamp(unit, 0.0, layer=value)],
    ]  # fmt: skip
    given_ = each[(place // len(HOSTILE)) % len(each)]
    return judge(lambda: layer(drawn(4, 3, 5, dtype=dtype), clamp=given_))


def call_conversion(name, dtype, place, how, learn):
    """from_torch, its state dicts, and load_state_dict."""
    module = MODULES[place % 3](5, 6, dtype=dtype)
    layer = from_torch(module)
    state = module.state_dict()
    ours = spoilt(dict(to_torch_state(layer)), place % len(state), how)
    own = spoilt(dict(layer.state_dict()), place % len(layer.state_dict()), how)
    x = drawn(4, 3, 5, dtype=dtype)
    calls = [
        lambda: from_torch_state(ours, layer),
        lambda: [layer.load_state_dict(from_torch_state(ours, layer)), layer(x)][1],
        lambda: [layer.load_state_dict(own), layer(x)][1],
        lambda: from_torch(SPOILERS[how](x)),
        lambda: to_torch(SPOILERS[how](x)),
        lambda: to_torch_state(SPOILERS[how](x)),
        lambda: from_torch_state(SPOILERS[how](x), layer),
        lambda: from_torch_state(ours, SPOILERS[how](x)),
    ]
    return judge(calls[place % len(calls)])


ENTRIES = (
    call_layer, call_with_parameters, call_stream, call_operator, call_numbers_of_operator, call_run, call_constructor,
    call_clamp, call_conversion, call_further,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """Once, so that no child compiles."""
    for known in (*(CELLS[name] for name in ("lstm", *NAMES)), told):
        for dtype in (torch.float32, torch.float64):
            kernel(loop_of(known), dtype).compile("forward", "backward")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda f: f.__name__.removeprefix("call_"))
def test_random_calls(entry, request):
    each = -(-request.config.getoption("calls") // len(ENTRIES))
    wrong = {}

    def check(**call):
        found = verdict(lambda: entry(**call))
        if found:
            wrong[f"{call}: {found}"] = None

    options = {"max_examples": each, "deadline": None, "database": None, "phases": [Phase.generate]}
    strategies = {
        "name": st.sampled_from(NAMES),
        "dtype": st.sampled_from([torch.float32, torch.float64]),
        "place": st.integers(0, 500),
        "how": st.sampled_from(list(SPOILERS)),
        "learn": st.booleans(),
    }
    wrapped = given(**strategies)(check)
    seed(request.config.getoption("seed"))(settings(**options, suppress_health_check=list(HealthCheck))(wrapped))()
    assert not wrong, f"{len(wrong)} of {each} calls:\n" + "\n".join(wrong)
