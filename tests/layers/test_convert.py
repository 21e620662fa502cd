"""The same numbers as torch.nn.LSTM, GRU and RNN: outputs, final states, gradients."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from carousel.layers import Recurrent, from_torch, from_torch_state, to_torch, to_torch_state

E, H, P, T = 3, 5, 2, 7
LENGTHS = torch.tensor([4, 7, 1, 5])
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}

MODULES = {
    "lstm": (nn.LSTM, {}),
    "gru": (nn.GRU, {}),
    "rnn": (nn.RNN, {}),
    "relu-rnn": (nn.RNN, {"nonlinearity": "relu"}),
    "lstm-v4": (nn.LSTM, {"proj_size": P}),
}
BLOCKS = {"lstm": "ifho", "lstm-v4": "ifho", "gru": "rzn", "rnn": "h", "relu-rnn": "h"}


def module_of(name, **options):
    torch.manual_seed(11)
    kind, own = MODULES[name]
    return kind(E, H, **own, **options)


def flat(hx):
    return [hx] if isinstance(hx, torch.Tensor) else list(hx)


def assert_near(ours, theirs, dtype, what=""):
    assert ours.shape == theirs.shape, what
    error = (ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-30)
    assert error <= TOLERANCE[dtype], f"{what}: relative error {error:.1e}"


def run(module, x, hx, packed):
    """Outputs (a tensor either way) and final states."""
    if packed:
        x = pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
    output, after = module(x, tuple(hx) if len(hx) > 1 else hx[0])
    return (output.data if packed else output), flat(after)


def gradients_by_slide_name(name, module):
    """A torch.nn module's gradients under our names, by PyTorch's documentation of its stacked weights."""
    found = {}
    for key, parameter in module.named_parameters():
        kind, suffix = key[: key.index("_l")], key[key.index("_l") :]
        if kind == "weight_hr":
            found[f"W.mm{suffix}"] = parameter.grad
            continue
        for letter, grad in zip(BLOCKS[name], parameter.grad.chunk(len(BLOCKS[name])), strict=True):
            if kind == "weight_ih":
                found[f"W.{letter}e{suffix}"] = grad
            elif kind == "weight_hh":
                found[f"W.{letter}{'m' if 'lstm' in name else 'h'}{suffix}"] = grad
            elif kind == "bias_ih":
                found[f"b.{letter}{suffix}"] = grad
            elif name == "gru" and letter == "n":
                found[f"b.nh{suffix}"] = grad
    return found


def our_gradients(name, layer):
    found = {k: v.grad for k, v in layer.named_parameters() if not k.startswith("w.")}
    if name == "lstm":  # Olah's weights take [m; e]
        for key in [k for k in found if k.startswith("W.")]:
            letter, suffix = key[2], key[3:]
            both = found.pop(key)
            found[f"W.{letter}m{suffix}"], found[f"W.{letter}e{suffix}"] = both[:, :H], both[:, H:]
    return found


SHAPES = {
    "one layer": {},
    "two layers, both directions": {"num_layers": 2, "bidirectional": True},
    "three layers": {"num_layers": 3},
}


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed unsorted"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", MODULES)
def test_agrees_with_torch(name, shape, dtype, packed):
    theirs = module_of(name, **SHAPES[shape], dtype=dtype)
    ours = from_torch(theirs)
    assert ours.cell.name == name
    rows = theirs.num_layers * (2 if theirs.bidirectional else 1)
    sizes = {"lstm": (H, H), "lstm-v4": (P, H)}.get(name, (H,))
    results = []
    x = torch.randn(T, len(LENGTHS), E, dtype=dtype)
    start = [torch.randn(rows, len(LENGTHS), s, dtype=dtype) for s in sizes]
    weigh = None
    for module in (ours, theirs):
        inputs = [t.clone().requires_grad_() for t in (x, *start)]
        output, after = run(module, inputs[0], inputs[1:], packed)
        weigh = [torch.randn_like(v) for v in (output, *after)] if weigh is None else weigh
        sum((v * w).sum() for v, w in zip((output, *after), weigh, strict=True)).backward()
        results.append({"output": output, **{f"state {k}": s for k, s in enumerate(after)}})
        results[-1] |= {f"gradient of input {k}": v.grad for k, v in enumerate(inputs)}
    mine, expected = results
    mine |= our_gradients(name, ours)
    expected |= gradients_by_slide_name(name, theirs)
    assert set(mine) == set(expected)
    for what, value in expected.items():
        assert_near(mine[what].detach(), value.detach(), dtype, what)


@pytest.mark.parametrize("name", MODULES)
def test_modules_without_bias_and_with_batch_first(name):
    theirs = module_of(name, num_layers=2, bidirectional=True, bias=False, batch_first=True, dtype=torch.float64)
    ours = from_torch(theirs)
    assert ours.batch_first and not ours.bias
    assert not [key for key in ours.state_dict() if key.startswith("b.")]
    x = torch.randn(2, T, E, dtype=torch.float64)
    assert_near(ours(x)[0].detach(), theirs(x)[0].detach(), torch.float64)
    back = to_torch(ours)
    assert not back.bias and back.state_dict().keys() == theirs.state_dict().keys()
    for key, value in theirs.state_dict().items():
        assert torch.equal(back.state_dict()[key], value), key


def test_biases_become_zero_where_the_state_dict_has_none_and_are_refused_where_the_layer_has_none():
    ours = Recurrent("gru", E, H)
    converted = from_torch_state(module_of("gru", bias=False).state_dict(), ours)
    assert converted.keys() == ours.state_dict().keys()
    assert not any(value.any() for key, value in converted.items() if key.startswith("b."))
    with pytest.raises(ValueError, match=r"the state dict has biases, and the layer, with bias=False, has none for r_l0"):
        from_torch_state(module_of("gru").state_dict(), Recurrent("gru", E, H, bias=False))


@pytest.mark.parametrize("name", MODULES)
def test_round_trip(name):
    theirs = module_of(name, num_layers=2, bidirectional=True, dropout=0.25)
    back = to_torch(from_torch(theirs))
    assert type(back) is type(theirs)
    for option in ("num_layers", "bidirectional", "dropout", "proj_size", "batch_first"):
        assert getattr(back, option) == getattr(theirs, option)
    x = torch.randn(T, 2, E)
    assert_near(back.eval()(x)[0].detach(), theirs.eval()(x)[0].detach(), torch.float32)


@pytest.mark.parametrize("name", ["lstm", "lstm-v2", "gru", "rnn", "relu-rnn", "lstm-v4"])
def test_round_trip_from_our_side(name):
    layer = Recurrent(name, E, H, num_layers=2)
    for key, p in layer.named_parameters():
        if key.startswith("w."):
            nn.init.zeros_(p)
    again = Recurrent(name, E, H, num_layers=2)
    again.load_state_dict(from_torch_state(to_torch_state(layer), again))
    for key, value in layer.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    x = torch.randn(T, 2, E)
    assert_near(to_torch(layer)(x)[0].detach(), layer(x)[0].detach(), torch.float32)


def test_weights_of_an_lstm_fit_v2_and_v3():
    theirs = module_of("lstm", dtype=torch.float64)
    x = torch.randn(T, 2, E, dtype=torch.float64)
    for name in ("lstm-v2", "lstm-v3"):
        ours = Recurrent(name, E, H, dtype=torch.float64)
        ours.load_state_dict(from_torch_state(theirs.state_dict(), ours))
        assert_near(ours(x)[0].detach(), theirs(x)[0].detach(), torch.float64)


def test_converted_weights_are_copies():
    theirs = module_of("gru")
    ours = from_torch(theirs)
    before = ours.W["re_l0"].clone()
    with torch.no_grad():
        theirs.weight_ih_l0.zero_()
    assert torch.equal(ours.W["re_l0"], before)


def test_what_cannot_be_converted_is_refused():
    with pytest.raises(ValueError, match=r"only torch\.nn\.LSTM, GRU and RNN can be converted, not Linear"):
        from_torch(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="PyTorch has no module for cell clockwork"):
        to_torch(Recurrent("clockwork", E, H))
    with pytest.raises(ValueError, match=r"no peepholes, but w\..h_l0 is not zero"):
        to_torch(Recurrent("lstm-v3", E, H))
    with pytest.raises(ValueError, match="no learned initial states"):
        to_torch(Recurrent("lstm", E, H, learned_initial=True))
    with pytest.raises(ValueError, match="the state dict has no weight_ih_l1"):
        from_torch_state(module_of("gru").state_dict(), Recurrent("gru", E, H, num_layers=2))
    with pytest.raises(ValueError, match="would have shape"):
        from_torch_state(module_of("gru").state_dict(), Recurrent("gru", E + 1, H))


def test_packed_output_can_be_fed_to_torch():
    layer = from_torch(module_of("lstm"))
    packed = pack_padded_sequence(torch.randn(T, 4, E), LENGTHS, enforce_sorted=False)
    output, _ = layer(packed)
    assert isinstance(output, PackedSequence)
    padded, lengths = nn.utils.rnn.pad_packed_sequence(output)
    assert torch.equal(lengths, LENGTHS)
    assert padded.shape == (T, 4, H)


def test_other_types_are_refused_in_one_line():
    layer = Recurrent("gru", 3, 4)
    state = nn.GRU(3, 4).state_dict()
    for call in (
        lambda: from_torch_state("x", layer),
        lambda: from_torch_state(state | {"bias_ih_l0": 1.0}, layer),
        lambda: from_torch_state(state, "x"),
        lambda: to_torch_state(torch.zeros(2)),
        lambda: to_torch("x"),
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(ValueError, match="expected 2 dimensions"):
        from_torch_state(state | {"weight_ih_l0": torch.zeros(3)}, layer)
