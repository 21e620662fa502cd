"""Layers as ONNX models: every cell and option gives in ONNX Runtime what the layer gives, as an operator or as a Scan."""

import dataclasses
import importlib.util

import onnx_models
import pytest
import torch
from exact_functions import EXACT
from onnx_models import kinds, onnx
from random_cells import stored
from torch.nn.utils import prune

from carousel import cells, export, kernels
from carousel.cells import CELLS
from carousel.cells.papers import PAPERS
from carousel.equations import cell, concat, log, logistic, tanh
from carousel.equations.functions import FUNCTIONS
from carousel.errors import InputError
from carousel.export.onnx18 import file, weights
from carousel.layers import Recurrent

OPERATORS = {
    "LSTM": ["lstm-v2", "lstm-v3", "lstm", "vanilla", "cifg", "np", "lstm-coupled"],
    "GRU": ["gru-original", "gru", "mgu"],
    "RNN": ["rnn", "rnn-logistic", "relu-rnn"],
}
OPERATORS["LSTM"] += ["lstm-recurrent-dropout", "lstm-variational"]  # what they draw is left out
OPERATORS["GRU"] += ["gru-recurrent-dropout"]


def inputs(layer, steps, rows=2):
    """Random inputs of a layer, and the further ones."""
    cell = layer.cell
    units = {i.name: [] if i.is_number else [cell.length(i.size, *layer.sizes())] for i in cell.trace.inputs}
    leading = (rows, steps) if layer.batch_first else (steps, rows)
    return torch.randn(*leading, layer.input_size), {i: torch.rand(*leading, *n) for i, n in units.items()}


def difference(layer, precision="float32", steps=20, like=None, hx=None):
    """The largest difference of outputs and last states, of their largest number; the model. The layer becomes double."""
    model = export.onnx(layer, precision)
    x, further = inputs(layer, steps)
    before = {} if hx is None else dict(zip(layer.cell.states, hx, strict=True))
    found = onnx_models.outputs(onnx_models.session(model), {"input": x, **further, **before})
    with torch.no_grad(), kernels.use("reference"):
        start = None if hx is None else [s.double() for s in hx]
        given = {i: value.double() for i, value in further.items()}
        y, after = (like or layer).double().eval()(x.double(), start if start is None or start[1:] else start[0], **given)
    wanted = (y, *(after if isinstance(after, tuple) else (after,)))
    return max(_apart(a, b) for a, b in zip(found, wanted, strict=True)), model


def _apart(found, wanted):
    assert found.shape == wanted.shape
    wanted = wanted.detach()
    return float((found - wanted).abs().max() / (wanted.abs().max() + 1e-3))


def made(name, **options):
    torch.manual_seed(3)
    cell = cells.get(name)
    hidden = 6 * cell.heads if cell.has_hidden else 5
    size = hidden if cell.trace.input_like else 5
    return Recurrent(cell, size, hidden, input_sizes=dict.fromkeys(cell.sized, 3), **options)


@pytest.mark.parametrize("name", [*CELLS, *PAPERS])
def test_every_cell_over_two_hundred_steps(name):
    layer = made(name)
    with torch.no_grad():
        for p in layer.parameters() if name == "cec" else ():  # its memory has no gate, and grows
            p *= 0.1
    # Layers of these sizes with normalisation are chaotic: the layer itself is as far from double precision.
    apart, model = difference(layer, steps=20 if "layer-norm" in name else 200)
    assert apart < 1e-5
    assert kinds(model) == [next((k for k, names in OPERATORS.items() if name in names), "Scan")]


@pytest.mark.parametrize("name", ["lstm-v3", "lstm-v4", "gru", "lstm-layer-norm", "clockwork", "gru-2-heads"])
@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 2, "bidirectional": True},
        {"learned_initial": True, "bidirectional": True},
        {"num_layers": 3, "bias": False, "batch_first": True},
    ],
    ids=str,
)
def test_options_of_a_layer(options, name):
    layer = made(name, **options)
    for start in layer.initial.values():
        torch.nn.init.normal_(start)
    assert difference(layer, steps=6)[0] < 1e-5
    states = layer.float().initial_state(2)
    hx = [torch.rand_like(s) for s in (states if isinstance(states, tuple) else (states,))]
    assert difference(layer, steps=6, hx=hx)[0] < 1e-5


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", ["lstm-v3", "lstm-v4", "gru", "clockwork"])
@pytest.mark.parametrize(
    "options", [{"hidden_size": (8, 12, 4)}, {"hidden_size": 6, "num_layers": 3, "skip": "residual"}], ids=str
)
def test_layers_of_several_sizes_and_residual_connections(name, options, bidirectional):
    torch.manual_seed(3)
    layer = Recurrent(name, 5, **options, bidirectional=bidirectional, learned_initial=True)
    for start in layer.initial.values():
        torch.nn.init.normal_(start)
    assert difference(layer, steps=6)[0] < 1e-5
    states = layer.float().initial_state(2)
    hx = [torch.rand_like(s) for s in (states if isinstance(states, tuple) else (states,))]
    assert difference(layer, steps=6, hx=hx)[0] < 1e-5


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", ["lstm-v2", "lstm-v3", "vanilla", "cifg", "gru-original", "rnn"])
def test_operators_take_states(name, bidirectional):
    layer = made(name, bidirectional=bidirectional)
    for p in layer.parameters():
        torch.nn.init.normal_(p, std=0.6)
    hx = [torch.randn(layer.directions, 2, 6) for _ in layer.cell.states]
    assert difference(layer, steps=7, hx=hx)[0] < 1e-5


@pytest.mark.parametrize("name", ["gru", "lstm-v4", "min-gru"])
@pytest.mark.parametrize("rows", [1, 2, 4])
def test_states_of_other_rows_than_the_inputs_are_refused(name, rows):
    layer = Recurrent(name, 5, 6)
    runs, x = onnx_models.session(export.onnx(layer)), torch.zeros(4, 3, 5)
    states = layer.initial_state(rows)
    given = dict(zip(layer.cell.states, states if isinstance(states, tuple) else (states,), strict=True))
    with pytest.raises(Exception, match="ONNXRuntimeError"):  # the missing rows had the layer's initial state
        onnx_models.outputs(runs, {"input": x, **{k: v.detach() for k, v in given.items()}})


def test_further_inputs_are_laid_out_as_the_input():
    assert difference(made("gru-d", bidirectional=True, batch_first=True))[0] < 1e-5


def test_a_bidirectional_layer_is_one_operator_a_layer():
    assert kinds(export.onnx(made("gru", num_layers=2, bidirectional=True))) == ["GRU"] * 2


def test_noise_and_dropout_are_left_out():
    layer = made("lstm-zoneout", num_layers=2, dropout=0.5, rates={"m": 0.3, "h": 0.2})
    assert difference(layer)[0] < 1e-5


@pytest.mark.parametrize("name", EXACT)
def test_functions(name):
    function = next(f for f in FUNCTIONS.values() if f.name == name)

    @cell
    def one(e, h):
        x = abs(e) if EXACT[name].least == 0 else 4 * e
        h = function(x, -1, 2) if name == "clip" else function(x)
        return h

    assert difference(Recurrent(one, 5, 5))[0] < 1e-6


def test_the_logarithm_of_a_logistic_that_is_nearly_zero():
    @cell
    def one(e, h):
        f = logistic(e)
        h = log(f)
        return h

    x = torch.tensor([[[-80.0, -30.0, -17.0, 0.0, 9.0]]])
    (found, _) = onnx_models.outputs(onnx_models.session(export.onnx(Recurrent(one, 5, 5))), {"input": x})
    torch.testing.assert_close(found, torch.nn.functional.logsigmoid(x))


@pytest.mark.parametrize("first", range(0, len(stored()), 25))
def test_cells_that_a_program_wrote(first):
    for k, case in enumerate(stored()[first : first + 25]):
        torch.manual_seed(k)
        sizes = dict.fromkeys(case.cell.sized, 4)
        proj = case.sizes[2] if case.cell.has_projection else 0
        layer = Recurrent(case.cell, *case.sizes[:2], proj_size=proj, input_sizes=sizes, bidirectional=case.reverse)
        # A threshold may be crossed by the last places of single precision, so these are few steps.
        assert difference(layer, steps=3)[0] < 1e-4, case


# ----------------------------------------------------------------------------------------- cells with an operator's equations


@cell
def other_letters(e, q, s, W, w, b):
    """An LSTM whose names, order of factors and signs are others."""
    keep = logistic(b.k - W.k @ concat(e, q) + w.ks * s)
    take = logistic(W.u @ concat(e, q) + w.us * s + 0.5)
    s = tanh(W.x @ concat(e, q)) * take + s * keep
    q = tanh(s) * logistic(w.os * s + W.oe @ e + b.o)
    return q, s


@cell
def mixed_up(e, h, W, b):
    """A GRU whose update gate lets in what it is called after, and whose sums have other names."""
    z = logistic(W.ze @ e + W.zh @ h + b.z)
    r = logistic(W.re @ e + W.rh @ h)
    inner = W.nh @ h
    total = inner * r + W.ne @ e
    h = z * tanh(total) + (1 - z) * h
    return h


@cell
def peeping_block(e, m, h, W, w, b):
    """No LSTM of ONNX's: what is written sees the memory."""
    i = logistic(W.ie @ e + W.im @ m + b.i)
    h = (1 - i) * h + i * tanh(W.he @ e + w.hh * h)
    m = logistic(W.oe @ e) * tanh(h)
    return m, h


@cell
def two_kinds(e, m, h, W, b):
    """No LSTM of ONNX's: its gates have two functions."""
    i = tanh(W.ie @ e + W.im @ m + b.i)
    f = logistic(W.fe @ e + W.fm @ m + b.f)
    h = f * h + i * tanh(W.he @ e)
    m = f * tanh(h)
    return m, h


@cell
def from_two(e, m, h, W, b):
    """No LSTM of ONNX's: one gate is two less the other."""
    i = logistic(W.ie @ e + W.im @ m + b.i)
    h = (2 - i) * h + i * tanh(W.he @ e)
    m = logistic(W.oe @ e) * tanh(h)
    return m, h


@cell
def coupled_tanh(e, m, h, W, b):
    """No LSTM of ONNX's: 1 − tanh(x) is no tanh."""
    f = tanh(W.fe @ e + W.fm @ m + b.f)
    h = f * h + (1 - f) * tanh(W.he @ e)
    m = tanh(W.oe @ e) * tanh(h)
    return m, h


@cell
def taken_away(e, h, W, b):
    """No GRU of ONNX's: what comes from the state is subtracted."""
    z = logistic(W.ze @ e + W.zh @ h + b.z)
    r = logistic(W.re @ e + W.rh @ h)
    h = z * h + (1 - z) * tanh(W.ne @ e - r * (W.nh @ h))
    return h


@cell
def reset_by_tanh(e, h, W, b):
    """No GRU of ONNX's: its gates have two functions."""
    z = logistic(W.ze @ e + W.zh @ h + b.z)
    r = tanh(W.re @ e + W.rh @ h)
    h = z * h + (1 - z) * tanh(W.ne @ e + r * (W.nh @ h))
    return h


OTHERS = [peeping_block, two_kinds, from_two, coupled_tanh, taken_away, reset_by_tanh]


@pytest.mark.parametrize(("cell", "kind"), [(other_letters, "LSTM"), (mixed_up, "GRU"), *((c, "Scan") for c in OTHERS)])
def test_a_cell_is_known_by_its_equations(cell, kind):
    torch.manual_seed(1)
    apart, model = difference(Recurrent(cell, 4, 6, 2))
    assert apart < 1e-5 and kinds(model) == [kind] * 2


@pytest.mark.parametrize("name", ["lstm", "lstm-v3", "cifg", "gru", "gru-original", "rnn"])
def test_operator_and_scan_agree(name, monkeypatch):
    layer = made(name, bidirectional=True)
    x, _ = inputs(layer, 9)
    one = onnx_models.outputs(onnx_models.session(export.onnx(layer)), {"input": x})
    monkeypatch.setattr("carousel.export.onnx18.layers.known", lambda *_: None)
    scans = export.onnx(layer)
    assert kinds(scans) == ["Scan"] * 2
    for a, b in zip(one, onnx_models.outputs(onnx_models.session(scans), {"input": x}), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------------------------------------------------ the file


@pytest.mark.parametrize("precision", weights.PRECISIONS)
@pytest.mark.parametrize("name", ["lstm-v3", "lstm-v4", "gru", "lstm-v4-2-heads"])
def test_weights_of_fewer_bits_are_the_rounded_ones(precision, name):
    layer, rounded = (made(name, num_layers=2) for _ in range(2))
    with torch.no_grad():
        for p in rounded.W.values():
            scale = p.abs().amax(-1, keepdim=True) / 127
            bits = {"float32": p, "float16": p.half(), "bfloat16": p.bfloat16(), "int8": (p / scale).round() * scale}
            p.copy_(bits[precision])
    assert difference(layer, precision, like=rounded)[0] < 1e-5


def test_fewer_bits_take_fewer_bytes():
    layer = Recurrent("lstm-v4", 64, 128, proj_size=64)
    size = {p: export.onnx(layer, p).ByteSize() for p in weights.PRECISIONS}
    assert size["float32"] > 1.9 * size["float16"] and size["float16"] > 1.7 * size["int8"]
    assert size["float16"] == pytest.approx(size["bfloat16"], rel=0.01)


def test_the_file_tells_of_its_cell_and_is_made_for_runtimes_since_2022():
    layer = Recurrent("lstm-v3", 2, 3)
    model = export.onnx(layer)
    assert (model.opset_import[0].version, model.ir_version) == (18, 8)
    assert layer.cell.text in model.doc_string
    assert {p.key: p.value for p in model.metadata_props} == {"cell": "lstm-v3", "states": "m h"}
    assert [x.name for x in model.graph.input] == ["input", "m", "h"]
    assert [x.name for x in model.graph.output] == ["output", "m_after", "h_after"]


def test_weights_that_hooks_compute_are_those_of_the_next_call():
    layer = Recurrent("gru", 4, 5)
    prune.l1_unstructured(layer.W, "zh_l0", amount=0.5)
    assert difference(layer)[0] < 1e-5


def test_what_cannot_be_exported_is_refused_in_one_line(monkeypatch):
    layer = Recurrent("lstm", 2, 3)
    with pytest.raises(InputError, match="`precision` must be float32 or float16 or bfloat16 or int8, not 'int4'"):
        export.onnx(layer, "int4")
    monkeypatch.setattr(file, "LARGEST", 2**20 + 100)
    with pytest.raises(InputError, match="more than the 2 GB"):
        export.onnx(layer)
    with torch.no_grad():
        layer.W["f_l0"][0, 0] = 1e6
    with pytest.raises(InputError, match="l0_R holds numbers that float16 has not"):
        export.onnx(layer, "float16")
    torch.nn.init.constant_(layer.W["f_l0"], torch.nan)
    with pytest.raises(InputError, match="l0_W holds numbers that are not finite"):
        export.onnx(layer)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install carousel-rnn\[onnx\]"):
        export.onnx(layer)


def test_a_stage_of_another_kind_is_refused_rather_than_left_out():
    """Whoever gives the loop's stages more than products, reductions and equations must write it here, too."""
    from carousel.equations.loop import LoopStage

    assert {f.name for f in dataclasses.fields(LoopStage)} == {"groups", "reductions", "equations"}
    assert onnx.defs.onnx_opset_version() >= 18
