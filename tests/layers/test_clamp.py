"""A clamped valve has its value where it is clamped, and the equations' elsewhere."""

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from carousel import kernels
from carousel.cells import CELLS
from carousel.layers import Clamp, Recurrent, Streaming

T, B, E, H = 6, 3, 4, 5


@pytest.fixture
def x():
    torch.manual_seed(0)
    return torch.randn(T, B, E)


def lstm_by_hand(layer, x, hold):
    """LSTM v2 written out, one step after the other; ``hold(t, name, value)`` says what a gate is instead."""
    p = {k: v.detach() for k, v in layer.named_parameters()}
    m, h = torch.zeros(B, H), torch.zeros(B, H)
    messages, forgets = [], []
    for t, e in enumerate(x):

        def total(k, e=e, m=m):
            return e @ p[f"W.{k}e_l0"].T + m @ p[f"W.{k}m_l0"].T + p[f"b.{k}_l0"]

        i, f, o = (hold(t, k, torch.sigmoid(total(k))) for k in "ifo")
        h = f * h + i * torch.tanh(total("h"))
        m = o * torch.tanh(h)
        messages.append(m)
        forgets.append(f)
    return torch.stack(messages), torch.stack(forgets)


def test_a_clamped_run_is_the_loop_written_by_hand(x):
    layer = Recurrent("lstm-v2", E, H)
    clamps = [Clamp("f", 0.0, (1, 3), 2, 4), Clamp("o", 0.25, None, 5)]

    def hold(t, name, value):
        if name == "f" and 2 <= t < 4:
            value[:, [1, 3]] = 0.0
        return torch.full_like(value, 0.25) if name == "o" and t >= 5 else value

    expected, forgets = lstm_by_hand(layer, x, hold)
    with torch.no_grad():
        output, _, recorded = layer(x, record=["f"], clamp=clamps)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(recorded["f"][0], forgets)


def test_by_name_all_units_or_some_are_held(x):
    layer = Recurrent("lstm-v3", E, H)
    with torch.no_grad():
        some = layer(x, clamp={"f": {3: 0.0}, "i": 0.5})[0]
        same = layer(x, clamp=[Clamp("f", 0.0, (3,)), Clamp("i", 0.5)])[0]
    assert torch.equal(some, same)
    assert not torch.allclose(some, layer(x)[0])


@pytest.mark.parametrize("name", [n for n, c in CELLS.items() if c.gates and n != "clockwork"])
def test_every_gate_of_every_cell_can_be_held(name, x):
    layer = Recurrent(name, E, H, num_layers=2 if name != "mlp" else 1)
    for gate in layer.cell.gates:
        with torch.no_grad(), kernels.use("reference"):  # tests/kernels/cpu/test_recording.py holds every gate by the kernels
            recorded = layer(x, record=[gate], clamp=[Clamp(gate, 0.125, (0,), 1, 3, layer=1)])[2][gate]
        assert (recorded[1, 1:3, :, 0] == 0.125).all()
        assert not (recorded[0, 1:3, :, 0] == 0.125).any()
        assert not (recorded[1, 3:, :, 0] == 0.125).any()


def test_a_memory_that_is_held_is_what_the_next_step_reads(x):
    layer, clamp = Recurrent("lstm-v2", E, H), [Clamp("h", 0.0, None, 2, 3)]
    with torch.no_grad():
        output, _, recorded = layer(x, record=["h", "m"], clamp=clamp)
        assert (recorded["h"][0, 2] == 0).all()
        expected, _ = layer(x[3:], (recorded["m"][:, 2], torch.zeros(1, B, H)))
    torch.testing.assert_close(output[3:], expected)


def test_steps_count_the_same_in_streams_and_packed_rows(x):
    layer = Recurrent("lstm-v2", E, H, num_layers=2)
    clamps = [Clamp("i", 0.0, None, 1, 4)]
    with torch.no_grad():
        expected = layer(x, clamp=clamps)[0]
        stream = Streaming(layer, batch=B, clamp=clamps)
        found = torch.stack([stream(e).clone() for e in x])
        packed = layer(pack_sequence([x[:, 0], x[:4, 1]]), clamp=clamps)[0]
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(packed.data[:2], expected[0, :2])
    torch.testing.assert_close(packed.data[-2:], expected[4:, 0])


def test_gradients_pass_by_a_held_gate(x):
    layer = Recurrent("lstm-v2", E, H)
    layer(x, clamp={"f": 1.0})[0].sum().backward()
    assert (layer.W["fe_l0"].grad == 0).all()
    assert (layer.W["ie_l0"].grad != 0).any()


def test_what_cannot_be_held_is_refused(x):
    layer = Recurrent("lstm-v2", E, H)
    for clamp, said in (
        ({"q": 0.0}, "nothing called 'q' to clamp; it has i, f, h, o, m"),
        ({"f": {5: 0.0}}, "no unit 5"),
        ([Clamp("f", 0.0, layer=1)], "no layer 1"),
    ):
        with pytest.raises(ValueError, match=said):
            layer(x, clamp=clamp)


@pytest.mark.parametrize("wrong", ["f", 1.0, ["f"], {"f": "x"}, {"f": {0.5: 0.0}}, [Clamp("f", 0.0, begin=0.5)]], ids=repr)
def test_what_is_no_clamp_is_refused_in_one_line(wrong):
    with pytest.raises(TypeError) as refused:
        Recurrent("lstm-v3", 3, 4)(torch.zeros(2, 1, 3), clamp=wrong)
    assert len(str(refused.value).splitlines()) == 1
