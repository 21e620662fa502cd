"""A clamped valve has its value where it is clamped, and the equations' elsewhere."""

from dataclasses import replace

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

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


def by_hand_changed(layer, x, change):
    """LSTM v2 written out, whose memory is changed by ``change(t, h)`` at each step."""
    p = {k: v.detach() for k, v in layer.named_parameters()}
    m, h = torch.zeros(x.shape[1], H), torch.zeros(x.shape[1], H)
    messages, memories = [], []
    for t, e in enumerate(x):
        i, f, o, g = (e @ p[f"W.{k}e_l0"].T + m @ p[f"W.{k}m_l0"].T + p[f"b.{k}_l0"] for k in "ifoh")
        h = change(t, torch.sigmoid(f) * h + torch.sigmoid(i) * torch.tanh(g))
        m = torch.sigmoid(o) * torch.tanh(h)
        messages.append(m)
        memories.append(h)
    return torch.stack(messages), torch.stack(memories)


@pytest.mark.parametrize("kernels_", ["cpu", "reference"])
def test_units_and_rows_are_held_at_what_another_run_recorded(x, kernels_):
    layer, other = Recurrent("lstm-v2", E, H), torch.randn(T, B, E)
    with torch.no_grad(), kernels.use(kernels_):
        there = layer(other, record=["h"])[2]["h"][0]
        clamps = [
            Clamp("h", there[2:4, :, [0, 4]], (0, 4), 2),  # both steps, each row its own values
            Clamp("h", there[4:5, 1, [1, 2]], (1, 2), 4, rows=(2,)),  # what row 1 had there, in row 2
        ]
        output, _, seen = layer(x, record=["h"], clamp=clamps)

    def change(t, h):
        if t in (2, 3):
            h[:, [0, 4]] = there[t][:, [0, 4]]
        if t == 4:
            h[2, [1, 2]] = there[4, 1, [1, 2]]
        return h

    messages, memories = by_hand_changed(layer, x, change)
    torch.testing.assert_close(output, messages)
    torch.testing.assert_close(seen["h"][0], memories)


def test_a_function_changes_what_the_equation_says(x):
    layer = Recurrent("lstm-v2", E, H)
    clamps = [Clamp("h", lambda h: 2 * h, (1, 3), 1, 3), Clamp("h", torch.tanh, begin=2, rows=(0,))]

    def change(t, h):
        if t in (1, 2):
            h[:, [1, 3]] *= 2
        if t >= 2:
            h[0] = torch.tanh(h[0])
        return h

    expected, _ = by_hand_changed(layer, x, change)
    with torch.no_grad():
        torch.testing.assert_close(layer(x, clamp=clamps)[0], expected)
        stream = Streaming(layer, batch=B, clamp=clamps)
        torch.testing.assert_close(torch.stack([stream(e).clone() for e in x]), expected)
        by_name = layer(x, clamp={"h": {1: lambda h: 2 * h}, "f": torch.zeros(H)})[0]
        torch.testing.assert_close(by_name, layer(x, clamp=[Clamp("h", lambda h: 2 * h, (1,)), Clamp("f", 0.0)])[0])


def test_rows_of_packed_sequences_are_the_caller_s(x):
    layer = Recurrent("lstm-v2", E, H, bidirectional=True)
    short, long = x[:3, 0], x[:, 1]
    clamps = [Clamp("i", 0.5, begin=1, end=2, rows=(0,)), Clamp("f", lambda f: f / 2, begin=1, rows=(1,))]
    mine = [[c for c in clamps if c.rows == (k,)] for k in (0, 1)]
    with torch.no_grad():
        packed, _ = pad_packed_sequence(layer(pack_sequence([short, long], enforce_sorted=False), clamp=clamps)[0])
        for k, sequence in enumerate((short, long)):
            alone = layer(sequence, clamp=[replace(c, rows=None) for c in mine[k]])[0]
            torch.testing.assert_close(packed[: len(sequence), k], alone)


def test_segments_hold_and_change_the_same_steps(x):
    layer = Recurrent("lstm-v2", E, H)
    held = torch.randn(2, B, H, requires_grad=True)
    clamps = [Clamp("h", held, begin=3), Clamp("f", lambda f: f**2, begin=2, end=5)]
    found = []
    for layer.segment_length in (0, 2):
        output = layer(x, clamp=clamps)[0]
        found.append((output, *torch.autograd.grad(output.square().sum(), [held, layer.W["fe_l0"]])))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_function_that_draws_draws_the_same_when_a_segment_runs_again(x):
    layer = Recurrent("lstm-v2", E, H)
    found = []
    for layer.segment_length in (0, 2):
        torch.manual_seed(1)
        output = layer(x, clamp=[Clamp("f", lambda f: f + torch.randn_like(f))])[0]
        found.append((output, *torch.autograd.grad(output.square().sum(), layer.parameters())))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("segment_length", [0, 2])
def test_a_function_holds_between_the_graphs_of_torch_compile(x, segment_length):
    layer = Recurrent("lstm-v2", E, H, segment_length=segment_length)
    clamps = [Clamp("f", lambda f: f / 2, begin=2, end=5)]
    found = []
    for ways in (layer, torch.compile(layer, backend="aot_eager")):
        output = ways(x, clamp=clamps)[0]
        found.append((output, *torch.autograd.grad(output.square().sum(), layer.parameters())))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_values_and_rows_that_do_not_fit_are_refused(x):
    layer = Recurrent("lstm-v2", E, H)
    for clamp, said in (
        ([Clamp("f", torch.zeros(H - 1))], r"shape \(4,\), expected \(5,\)"),
        ([Clamp("f", torch.zeros(2, H), end=3)], r"shape \(2, 5\), expected \(3, 5\)"),
        ([Clamp("f", torch.zeros(2, B + 1, H))], "have 4 rows, and the batch has 3"),
        ([Clamp("f", 0.0, rows=(3,))], "rows are 0 to 2"),
        ([Clamp("f", lambda f: f[:, 0])], r"must return a tensor of shape \(3, 5\), not \(3,\)"),
    ):
        with pytest.raises(ValueError, match=said):
            layer(x, clamp=clamp)


def test_a_function_goes_into_no_graph(x):
    class Changed(torch.nn.Module):
        layer = Recurrent("lstm-v2", E, H)

        def forward(self, x):
            return self.layer(x, clamp=[Clamp("f", torch.tanh)])[0]

    with pytest.raises(ValueError, match="goes into no graph"):
        torch.export.export(Changed(), (x,))


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
