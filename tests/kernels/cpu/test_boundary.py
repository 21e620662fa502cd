"""What reaches compiled code is checked first: type, device, layout, count and shape of every tensor."""

import pytest
import torch
from torch.autograd import forward_ad
from torch.nn.utils.rnn import pack_sequence

from carousel import kernels
from carousel.cells import CELLS
from carousel.equations import cell, tanh
from carousel.kernels.interface import KINDS, interface_of
from carousel.kernels.registry import loop_called, register
from carousel.layers import Recurrent, Streaming

NAMES = ["lstm-v2", "lstm-v3", "lstm-v4", "gru", "rnn"]


@pytest.mark.parametrize("back_end", ["cpu", "reference"])
@pytest.mark.parametrize("name", NAMES)
def test_an_input_of_another_type_is_refused_as_by_nn_lstm(name, back_end):
    layer, x = Recurrent(name, 8, 16), torch.randn(12, 4, 8)
    message = r"input is torch.float64, but the layer's parameters are torch.float32: .*\.to\(torch.float32\)"
    with kernels.use(back_end):
        for given in (x.double(), pack_sequence([x[:, 0].double(), x[:3, 1].double()])):
            with pytest.raises(ValueError, match=message):
                layer(given)
            with pytest.raises(ValueError, match=message), torch.no_grad():
                layer(given)
        with pytest.raises(ValueError, match=r"input is torch.float32, .* torch.float64"):
            layer.double()(x)
        with pytest.raises(ValueError, match=r"input is torch.int64"):
            layer(torch.randint(3, (5, 2, 8)))


def test_under_torch_compile_as_well():
    layer = torch.compile(Recurrent("lstm-v3", 8, 16), backend="aot_eager")
    with pytest.raises(Exception, match=r"input is torch.float64, but the layer's parameters are torch.float32"):
        layer(torch.randn(12, 4, 8).double())


@pytest.mark.parametrize("back_end", ["cpu", "reference"])
def test_a_state_or_a_part_of_the_parameters_of_another_type_is_refused(back_end):
    x = torch.randn(12, 4, 8)
    with kernels.use(back_end):
        layer = Recurrent("lstm-v3", 8, 16)
        with pytest.raises(ValueError, match=r"state h is torch.float64"):
            layer(x, (torch.zeros(1, 4, 16), torch.zeros(1, 4, 16, dtype=torch.float64)))
        layer.w.double()
        with pytest.raises(ValueError, match=r"parameter w\.\w+ is torch.float64, but"):
            layer(x)


def test_another_device_is_refused():
    with pytest.raises(ValueError, match=r"input is on meta, but the layer's parameters are on cpu"):
        Recurrent("rnn", 8, 16)(torch.randn(12, 4, 8, device="meta"))
    with pytest.raises(ValueError, match=r"another tensor of the call on meta"):
        Recurrent("rnn", 8, 16)(torch.randn(12, 4, 8), torch.zeros(1, 4, 16, device="meta"))


@pytest.mark.parametrize(
    ("space", "letters", "shape"),
    [("W", "im_l0", (16, 15)), ("W", "ie_l0", (15, 8)), ("W", "he_l0", (16, 9)), ("b", "f_l0", (15,)), ("w", "oh_l0", (3,))],
)
def test_a_parameter_of_another_shape_is_refused(space, letters, shape):
    layer = Recurrent("lstm-v3", 8, 16)
    getattr(layer, space)[letters].data = torch.randn(shape)
    for grad in (True, False):
        with torch.set_grad_enabled(grad), pytest.raises(ValueError, match=rf"parameter {space}\.{letters[:2]}? ?.*{shape[0]}"):
            layer(torch.randn(12, 4, 8))
    with pytest.raises(ValueError, match=rf"parameter {space}\."):
        Streaming(layer)


def test_a_parameter_is_called_as_in_its_equations():
    @cell
    def named(e, h, W, w, b):
        h = tanh(W.he @ e + b.h_bar) + w.h_bar * h
        return h

    tensors = interface_of(loop_called(register(named))).tensors
    assert [tensors[kind][0].label for kind in ("biases", "vectors")] == ["parameter b.h_bar", "parameter w.h_bar"]


def test_a_changed_hidden_size_is_refused():
    layer = Recurrent("lstm-v3", 8, 16)
    layer.hidden_size = 20
    with pytest.raises(ValueError, match=r"sizes of a layer cannot be set"):
        layer(torch.randn(12, 4, 8))


@pytest.mark.parametrize("bad", [torch.zeros(2, 8).double(), torch.zeros(1, 8), torch.zeros(2, 7), torch.zeros(8)])
def test_a_stream_takes_what_fits(bad):
    stream = Streaming(Recurrent("lstm-v3", 8, 16), batch=2)
    stream(torch.zeros(2, 8))
    with pytest.raises(ValueError, match=r"a step's input"):
        stream(bad)


def test_a_stream_does_not_lose_a_tangent():
    stream, x = Streaming(Recurrent("lstm-v3", 8, 16)), torch.randn(1, 8)
    with forward_ad.dual_level(), pytest.raises(ValueError, match="a stream has no derivatives"):
        stream(forward_ad.make_dual(x, x))


@pytest.fixture
def arguments():
    """Arguments of the operator, by their names in its schema, and a function that calls it with some of them changed."""
    key, batch_sizes = register(CELLS["lstm-v3"]), [3, 3, 1]
    interface = interface_of(loop_called(key))
    lengths = {"n_m": 6, "n_e": 4, "rows": 7, "batch": 3}
    shapes = {kind: [t.at(lengths) for t in tensors] for kind, tensors in interface.tensors.items()}
    lists = {k: [torch.randn(s) for s in shapes[k]] for k in ("dense", "biases", "vectors", "before", "initial")}
    given = {"data": torch.randn(7, 4), "hoisted": [], "clock": None, "resets": torch.rand(7) < 0.3, **lists}

    def call(batch_sizes=batch_sizes, products=None, key=key, backend="cpu", **changes):
        tensors = {**given, **changes}
        ordered = (tensors[n] for n in (*KINDS, "clock", "resets"))
        return torch.ops.carousel.loop(backend, key, *ordered, list(batch_sizes), False, products, False)

    return given, call


def test_the_operator_takes_what_it_is_made_for(arguments):
    _, call = arguments
    assert call()[0].shape == (7, 6)
    assert call(resets=None, initial=[])[0].isfinite().all()


@pytest.mark.parametrize("what", ["data", "dense", "biases", "vectors", "before", "initial"])
def test_the_operator_refuses_every_tensor_that_does_not_fit(arguments, what):
    given, call = arguments
    tensors = given[what] if isinstance(given[what], list) else [given[what]]
    for k, x in enumerate(tensors):
        larger = torch.cat([x, x])
        for wrong in (
            x.double(),
            x.half(),
            x.to(torch.int32),
            x.to_sparse(),
            larger,
            x[:-1],
            x[..., :-1],
            x.unsqueeze(0),
            x[:0],
        ):
            changed = [*tensors[:k], wrong, *tensors[k + 1 :]]
            with pytest.raises((ValueError, NotImplementedError)) as error:
                call(**{what: changed if isinstance(given[what], list) else wrong})
            assert "\n" not in str(error.value) or isinstance(error.value, NotImplementedError)
    if isinstance(given[what], list):
        for wrong in (tensors[:-1], [*tensors, tensors[0]]):
            with pytest.raises(ValueError, match=r"tensors are given for|no initial states"):
                call(**{what: wrong})


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_sizes": [3, 3]},
        {"batch_sizes": [3, 3, 2]},
        {"batch_sizes": [1, 3, 3]},
        {"batch_sizes": []},
        {"batch_sizes": [7, 0]},
        {"batch_sizes": [9, -2]},
        {"batch_sizes": [2**62, 2**62]},
        {"resets": torch.zeros(6, dtype=torch.bool)},
        {"resets": torch.zeros(7)},
        {"clock": torch.zeros(7)},
        {"hoisted": [torch.zeros(7, 6)]},
        {"key": "nobody"},
        {"backend": "nobody"},
        {"products": torch.float16},
        {"initial": []},
    ],
    ids=str,
)
def test_the_operator_refuses_counts_that_do_not_fit(arguments, changes):
    _, call = arguments
    with pytest.raises(ValueError):
        call(**changes)


def test_the_operator_refuses_none_for_its_input(arguments):
    _, call = arguments
    with pytest.raises(TypeError, match=r"the input is a tensor, \(rows, input_size\), not None"):
        call(data=None)


@pytest.mark.parametrize("back_end", ["cpu", "reference"])
@pytest.mark.parametrize("name", ["clockwork", "lstm-v4"])
def test_one_number_is_neither_an_input_nor_a_state(name, back_end):
    layer, x = Recurrent(name, 5, 6), torch.randn(9, 5)
    states = layer.initial_state(3)
    names = dict(zip(layer.cell.states, [s[0] for s in (states if isinstance(states, tuple) else [states])], strict=True))
    first = layer.cell.states[0]
    for data, before in ((x[0, 0], names), (x, names | {first: names[first][0, 0]})):
        with pytest.raises(ValueError, match=rf"of cell {name} has shape \(\), expected 2 dimensions"), kernels.use(back_end):
            kernels.run(kernels.Call(layer.cell, data, None, before, layer.parameters_of(0)))


def test_strides_make_no_difference(arguments):
    given, call = arguments
    expected = call()
    spread = {
        k: [torch.empty(*x.shape[:-1], 2 * x.shape[-1]).copy_(x.repeat_interleave(2, -1))[..., ::2] for x in xs]
        for k, xs in given.items()
        if isinstance(xs, list)
    }
    data = given["data"].t().contiguous().t()
    for a, b in zip(call(data=data, **spread), expected, strict=True):
        assert torch.equal(a, b)
