"""``Recurrent``: what holds for every cell and every shape, and what its options do."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from carousel import kernels
from carousel.cells import CELLS
from carousel.equations import cell, logistic, tanh
from carousel.layers import Recurrent
from carousel.layers.sequences import Sequences

few = settings(deadline=None, max_examples=60)


@st.composite
def layers(draw, cells=tuple(CELLS), bidirectional=None, most_layers=2):
    """Any cell with any small sizes, its parameters and learned initial states drawn at random."""
    name = draw(st.sampled_from(cells))
    both = draw(st.booleans()) if bidirectional is None else bidirectional
    depth, hidden = draw(st.integers(1, most_layers)), draw(st.sampled_from([1, 3, 5, 7]))
    size = draw(st.sampled_from([1, 2, 3, 5]))
    torch.manual_seed(draw(st.integers(0, 999)))
    layer = Recurrent(name, size, hidden, depth, bidirectional=both, learned_initial=True, dtype=torch.float64)
    for p in layer.parameters():
        nn.init.normal_(p, std=0.5)
    return layer


def pieces(states):
    return [states] if isinstance(states, torch.Tensor) else list(states)


def whole(states):
    return states[0] if len(states) == 1 else tuple(states)


def random_state(layer, batch):
    """States to begin with; the clock somewhere in its day."""
    start = pieces(layer.initial_state(batch))
    return [
        torch.randint(0, 5, s.shape).to(s) if n == "t" else torch.randn_like(s)
        for n, s in zip(layer.cell.states, start, strict=True)
    ]


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


steps, batches = st.integers(1, 5), st.integers(1, 4)


@few
@given(layers(), st.lists(steps, min_size=1, max_size=4))
def test_packed_rows_are_as_if_alone(layer, lengths):
    batch = len(lengths)
    x, before = torch.randn(max(lengths), batch, layer.input_size, dtype=torch.float64), random_state(layer, batch)
    packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    output, after, seen = layer(packed, whole(before), record=layer.cell.names[:1])
    padded, found = pad_packed_sequence(output)
    assert found.tolist() == lengths
    for row, length in enumerate(lengths):
        alone = slice(row, row + 1)
        start = whole([s[:, alone] for s in before])
        expected, last, recorded = layer(x[:length, alone], start, record=layer.cell.names[:1])
        close(padded[:length, alone], expected)
        for ours, theirs in zip(pieces(after), pieces(last), strict=True):
            close(ours[:, alone], theirs)
        for name, each in recorded.items():
            for ours, value in zip(seen[name], each, strict=True):
                close(ours[:length, alone], value)
                assert not ours[length:, alone].any()


@few
@given(layers(), st.lists(steps, min_size=1, max_size=3), st.booleans(), st.data())
def test_resets_are_as_if_the_pieces_ran_apart(layer, lengths, pack, data):
    """A reset begins a new sequence, read from the initial state in either direction."""
    batch, total = len(lengths), max(lengths)
    lengths = lengths if pack else [total] * batch
    resets = torch.tensor([data.draw(st.lists(st.booleans(), min_size=batch, max_size=batch)) for _ in range(total)])
    resets &= torch.arange(total)[:, None] < torch.tensor(lengths)
    x, before = torch.randn(total, batch, layer.input_size, dtype=torch.float64), random_state(layer, batch)
    if pack:
        output, after = layer(
            pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False), whole(before), resets=resets
        )
        output, _ = pad_packed_sequence(output)
    else:
        output, after = layer(x, whole(before), resets=resets)

    d = layer.directions
    for row, length in enumerate(lengths):
        alone = slice(row, row + 1)
        starts = [t for t in range(length) if t == 0 or resets[t, row]]
        ends = [*starts[1:], length]
        for start, end in zip(starts, ends, strict=True):
            state = [s.clone() for s in pieces(layer.initial_state(1))]
            for s, given_ in zip(state, before, strict=True):
                if start == 0 and not resets[0, row]:
                    s[0::d] = given_[0::d, alone]  # forwards, the first piece goes on from what was given
                if end == length and d == 2:
                    s[1::d] = given_[1::d, alone]  # backwards, the last one does
            expected, last = layer(x[start:end, alone], whole(state))
            close(output[start:end, alone], expected)
            for ours, theirs in zip(pieces(after), pieces(last), strict=True):
                if end == length:
                    close(ours[0::d, alone], theirs[0::d])
                if start == 0 and d == 2:
                    close(ours[1::d, alone], theirs[1::d])


@pytest.mark.parametrize("name", CELLS)
def test_two_windows_with_carried_state_are_one_run(name):
    @settings(deadline=None, max_examples=6)
    @given(layers((name,), bidirectional=False), steps, steps, batches)
    def check(layer, first, second, batch):
        x = torch.randn(first + second, batch, layer.input_size, dtype=torch.float64)
        expected, last = layer(x)
        a, state = layer(x[:first])
        b, state = layer(x[first:], state)
        close(torch.cat([a, b]), expected)
        for ours, theirs in zip(pieces(state), pieces(last), strict=True):
            close(ours, theirs)

    check()


def test_the_clock_is_carried_and_reset():
    layer = Recurrent("clockwork", 2, 5)
    x = torch.randn(6, 1, 2)
    _, (_, t) = layer(x)
    assert t.item() == 6
    _, (_, t) = layer(x, layer(x)[1])
    assert t.item() == 12
    resets = torch.zeros(6, 1, dtype=torch.bool)
    resets[4] = True
    _, (_, t) = layer(x, resets=resets)
    assert t.item() == 2


@few
@given(layers(), steps, batches)
def test_batch_first_is_transposition(layer, length, batch):
    options = {"bidirectional": layer.bidirectional, "learned_initial": True, "dtype": torch.float64}
    first = Recurrent(layer.cell, layer.input_size, layer.hidden_size, layer.num_layers, batch_first=True, **options)
    first.load_state_dict(layer.state_dict())
    x, before = torch.randn(length, batch, layer.input_size, dtype=torch.float64), whole(random_state(layer, batch))
    resets = torch.rand(length, batch) < 0.3
    names = layer.cell.names
    expected, last, recorded = layer(x, before, resets=resets, record=names)
    output, after, seen = first(x.transpose(0, 1), before, resets=resets.t(), record=names)
    close(output.transpose(0, 1), expected)
    for ours, theirs in zip(pieces(after), pieces(last), strict=True):
        close(ours, theirs)
    for name in names:
        for ours, theirs in zip(seen[name], recorded[name], strict=True):
            close(ours.transpose(0, 1), theirs)


@few
@given(layers(), steps)
def test_unbatched_input_is_a_batch_of_one(layer, length):
    x, before = torch.randn(length, layer.input_size, dtype=torch.float64), random_state(layer, 1)
    resets = torch.rand(length) < 0.3
    name = layer.cell.names[0]
    expected, last, recorded = layer(x[:, None], whole(before), resets=resets[:, None], record=[name])
    output, after, seen = layer(x, whole([s[:, 0] for s in before]), resets=resets, record=[name])
    close(output, expected[:, 0])
    for ours, theirs in zip(seen[name], recorded[name], strict=True):
        close(ours, theirs[:, 0])
    for ours, theirs in zip(pieces(after), pieces(last), strict=True):
        close(ours, theirs[:, 0])


@few
@given(layers(bidirectional=True, most_layers=1), steps, batches)
def test_backwards_is_forwards_on_the_reversed_sequence(layer, length, batch):
    """Of one layer: with the two directions' weights and states exchanged, time and halves of the output turn round."""
    twin = Recurrent(
        layer.cell, layer.input_size, layer.hidden_size, bidirectional=True, learned_initial=True, dtype=torch.float64
    )
    suffixes = {"_l0": "_l0_reverse", "_l0_reverse": "_l0"}
    state = {k[: k.index("_l0")] + suffixes[k[k.index("_l0") :]]: v for k, v in layer.state_dict().items()}
    twin.load_state_dict(state)
    x = torch.randn(length, batch, layer.input_size, dtype=torch.float64)
    output, after = layer(x)
    turned, last = twin(x.flip(0))
    close(turned.flip(0), torch.cat(output.chunk(2, dim=-1)[::-1], dim=-1))
    for ours, theirs in zip(pieces(after), pieces(last), strict=True):
        close(ours, theirs.flip(0))


@pytest.mark.parametrize("name", CELLS)
def test_recorded_values_have_one_row_a_layer_and_direction(name):
    size = 8 if name == "mlp" else 3
    layer = Recurrent(name, size, 4, num_layers=2, bidirectional=True)
    names = layer.cell.names
    output, after, seen = layer(torch.randn(5, 3, size), record=names)
    assert list(seen) == list(names)
    sizes = dict(zip(layer.cell.states, (s.shape[-1] for s in pieces(after)), strict=True))
    for key, value in seen.items():
        assert value.shape == (4, 5, 3, sizes.get(key, 4))
    for gate in layer.cell.gates:
        assert ((seen[gate] > 0) & (seen[gate] < 1)).all()
    message = seen[layer.cell.states[0]]
    assert torch.equal(torch.cat([message[2], message[3]], dim=-1), output)  # the last layer's, both directions
    for state, last in zip(layer.cell.states, pieces(after), strict=True):
        assert torch.equal(seen[state][0::2, -1], last[0::2])
        assert torch.equal(seen[state][1::2, 0], last[1::2])


def test_nothing_is_recorded_unless_asked():
    layer = Recurrent("lstm", 2, 3)
    assert len(layer(torch.randn(4, 1, 2))) == 2
    assert layer(torch.randn(4, 1, 2), record=[])[2] == {}


def test_parameters_carry_the_slides_names():
    layer = Recurrent("lstm-v3", 3, 5, num_layers=2, bidirectional=True, learned_initial=True)
    own = [f"W.{a}{b}" for a in "ifho" for b in "em"] + [f"w.{a}h" for a in "ifo"] + [f"b.{a}" for a in "ifho"]
    own += ["initial.m", "initial.h"]
    suffixes = ["_l0", "_l0_reverse", "_l1", "_l1_reverse"]
    assert set(layer.state_dict()) == {name + suffix for name in own for suffix in suffixes}
    assert layer.state_dict()["W.ie_l0"].shape == (5, 3)
    assert layer.state_dict()["W.ie_l1_reverse"].shape == (5, 10)


def test_keyword_pair_is_a_name_like_any_other():
    assert "W.if_l0" in Recurrent("fgr", 2, 3).state_dict()


def test_projection_makes_the_message_smaller():
    layer = Recurrent("lstm-v4", 3, 8, num_layers=2, bidirectional=True, proj_size=2)
    output, (m, h) = layer(torch.randn(5, 2, 3))
    assert output.shape == (5, 2, 4) and m.shape == (4, 2, 2) and h.shape == (4, 2, 8)
    assert layer.output_size == 2
    assert Recurrent("lstm-v4", 3, 8).proj_size == 4  # half, unless said
    assert Recurrent("lstm", 3, 8, proj_size=0).proj_size == Recurrent("lstm", 3, 8).proj_size == 0  # as in torch.nn


def test_uniform_start():
    torch.manual_seed(0)
    layer = Recurrent("lstm-v3", 8, 64)
    for name, p in layer.named_parameters():
        assert p.abs().max() <= 1 / 8, name
        assert p.abs().max() > 0.1, name


def test_orthogonal_start_of_recurrent_weights_only():
    layer = Recurrent("lstm-v3", 6, 6, recurrent_init="orthogonal")
    for name, p in layer.named_parameters():
        if name.startswith("W."):
            orthogonal = torch.allclose(p @ p.t(), torch.eye(6), atol=1e-5)
            assert orthogonal == (name.split("_")[0][-1] == "m"), name


def test_forget_bias():
    layer = Recurrent("lstm-v3", 3, 5, num_layers=2, forget_bias=1.0)
    assert (layer.b["f_l0"] == 1).all() and (layer.b["f_l1"] == 1).all()
    assert not (layer.b["i_l0"] == 1).any()
    with pytest.raises(ValueError, match=r"cell gru has no bias b\.f"):
        Recurrent("gru", 3, 5, forget_bias=1.0)


def test_learned_initial_states_start_at_zero_are_used_and_get_gradient():
    layer = Recurrent("lstm", 2, 3, num_layers=2, bidirectional=True, learned_initial=True)
    x = torch.randn(4, 5, 2)
    plain, _ = layer(x, tuple(torch.zeros(4, 5, 3) for _ in "mh"))
    assert torch.equal(layer(x)[0], plain)
    layer(x)[0].pow(2).sum().backward()
    assert len(layer.initial) == 8
    assert all(p.grad is not None and p.grad.any() for p in layer.initial.values())
    nn.init.ones_(layer.initial["h_l0"])
    assert not torch.equal(layer(x)[0], plain)


def test_without_learned_initial_there_are_no_such_parameters():
    layer = Recurrent("lstm", 2, 3)
    assert not any(k.startswith("initial") for k in layer.state_dict())
    assert all(not s.any() for s in layer.initial_state(2))


def test_the_clock_is_not_learned():
    assert list(Recurrent("clockwork", 2, 3, learned_initial=True).initial) == ["h_l0"]


@cell
def copy(e, h, W):
    """Gives its input on, so that a stack shows what lies between its layers."""
    h = W.he @ e
    return h


def stack_of_copies(units=64, **options):
    layer = Recurrent(copy, units, units, **options)
    for p in layer.parameters():
        nn.init.eye_(p)
    return layer


def test_variational_dropout_keeps_one_mask_over_time():
    torch.manual_seed(0)
    ones = torch.ones(6, 3, 64)
    output, _ = stack_of_copies(num_layers=2, dropout=0.25, variational_dropout=True)(ones)
    assert output.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (output == output[0]).all()
    assert not torch.equal(output[:, 0], output[:, 1])  # each sequence has its own


def test_ordinary_dropout_draws_anew_at_each_step():
    torch.manual_seed(0)
    output, _ = stack_of_copies(num_layers=2, dropout=0.25)(torch.ones(6, 3, 64))
    assert not (output == output[0]).all()
    assert (output == 0).float().mean().item() == pytest.approx(0.25, abs=0.08)


@pytest.mark.parametrize("variational_dropout", [False, True])
def test_dropout_is_off_in_evaluation_and_after_the_last_layer(variational_dropout):
    ones = torch.ones(6, 3, 64)
    layer = stack_of_copies(num_layers=2, dropout=0.5, variational_dropout=variational_dropout)
    assert torch.equal(layer.eval()(ones)[0], ones)
    assert not torch.equal(layer.train()(ones)[0], ones)
    with pytest.warns(UserWarning, match="dropout is between layers, so with num_layers=1 it has no effect"):
        single = stack_of_copies(num_layers=1, dropout=0.5, variational_dropout=variational_dropout)
    assert torch.equal(single(ones)[0], ones)


def test_variational_dropout_of_packed_rows():
    torch.manual_seed(0)
    batch_sizes = [3, 2, 2, 1]
    packed = PackedSequence(torch.ones(8, 32), torch.tensor(batch_sizes))
    data = Sequences(packed, 32, batch_first=False).dropout(packed.data, 0.5, variational_dropout=True)
    first, *others = data.split(batch_sizes)
    assert 0 < (first == 0).float().mean() < 1
    for rows in others:
        assert torch.equal(rows, first[: len(rows)])


def test_every_parameter_of_every_cell_learns():
    for name in CELLS:
        layer = Recurrent(name, 6 if name == "mlp" else 2, 6, num_layers=2)
        layer(torch.randn(5, 4, layer.input_size))[0].pow(2).sum().backward()
        for key, p in layer.named_parameters():
            assert p.grad is not None and p.grad.any(), f"{name} {key}"


def test_a_users_cell_works_as_the_lectures_do():
    @cell
    def mine(e, h, W, w, b):
        h = tanh(W.he @ e + w.hh * h + b.h)
        return h

    layer = Recurrent(mine, 2, 3, dtype=torch.float64)
    x = torch.randn(3, 2, dtype=torch.float64)
    h = torch.zeros(3, dtype=torch.float64)
    for e in x:
        h = torch.tanh(layer.W["he_l0"] @ e + layer.w["hh_l0"] * h + layer.b["h_l0"])
    close(layer(x)[0][-1], h)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("lstm-v5", 2, 3), {}, r"did you mean .*lstm-v4"),
        (("lstm", 0, 3), {}, r"input_size must be at least 1, not 0"),
        (("lstm", 2, 0), {}, r"hidden_size must be at least 1, not 0"),
        (("lstm", 2, 3, 0), {}, r"num_layers must be at least 1, not 0"),
        (("lstm", 2, 3), {"dropout": 1.0}, r"dropout is a probability in \[0, 1\), not 1"),
        (("lstm", 2, 3), {"dropout": -0.1}, r"dropout is a probability"),
        (("lstm", 2, 3), {"recurrent_init": "identity"}, r"recurrent_init must be 'uniform' or 'orthogonal', not 'identity'"),
        (("lstm", 2, 3), {"proj_size": 2}, r"cell lstm has no projection, so proj_size must be 0"),
        (("lstm-v4", 2, 3), {"proj_size": -1}, r"proj_size must be at least 1"),
        (("lstm-v4", 2, 3), {"proj_size": 0}, r"proj_size must be at least 1, not 0"),
        (("rnn", 2, 3), {"forget_bias": 1.0}, r"cell rnn has no bias b\.f"),
    ],
)
def test_bad_options_are_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        Recurrent(*arguments, **options)


ZERO = torch.zeros(1, 2, 3)


@pytest.mark.parametrize(
    ("input", "options", "message"),
    [
        (torch.zeros(4, 2, 5), {}, r"input has vectors of size 5, but input_size is 2"),
        (torch.zeros(4, 2, 1, 2), {}, r"input must have 2 or 3 dimensions, not 4"),
        (torch.zeros(0, 2, 2), {}, r"at least one step"),
        (torch.zeros(0, 2), {}, r"at least one step"),
        (torch.zeros(4, 2, 2), {"hx": ZERO}, r"hx must hold 2 states \(m, h\), not 1"),
        (torch.zeros(4, 2, 2), {"hx": (ZERO, ZERO[:, :1])}, r"state h .* has shape \(1, 1, 3\), expected \(1, 2, 3\)"),
        (torch.zeros(4, 2, 2), {"resets": torch.zeros(2, 4)}, r"resets must have one element per step and row"),
        (torch.zeros(4, 2, 2), {"record": ["z"]}, r"cell lstm has no quantity 'z'; it has f, i, g, h, o, m"),
    ],
)
def test_bad_inputs_are_refused(input, options, message):
    with pytest.raises(ValueError, match=message):
        Recurrent("lstm", 2, 3)(input, **options)


def test_repr_says_what_differs_from_the_default():
    assert repr(Recurrent("gru", 2, 3)) == "Recurrent(gru, 2, 3)"
    shown = repr(Recurrent("lstm-v4", 2, 6, num_layers=2, dropout=0.5, bidirectional=True))
    assert shown == "Recurrent(lstm-v4, 2, 6, num_layers=2, proj_size=3, bidirectional=True, dropout=0.5)"


def test_a_reset_after_a_rows_end_changes_nothing():
    layer = Recurrent("rnn", 2, 3, bidirectional=True)
    packed = pack_padded_sequence(torch.randn(5, 2, 2), [5, 2])
    hx, resets = torch.randn(2, 2, 3), torch.zeros(5, 2, dtype=torch.bool)
    expected = layer(packed, hx, resets=resets)[0].data
    resets[2, 1] = True
    torch.testing.assert_close(layer(packed, hx, resets=resets)[0].data, expected)


@pytest.mark.parametrize("name", CELLS)
def test_a_copy_has_the_same_cell(name):
    layer = Recurrent(name, 3, 3)
    assert deepcopy(layer).cell is layer.cell


@cell(input_size="h")
def highway(e, h, W, b):
    """A recurrent network with a way past it."""
    g = logistic(W.ge @ e + W.gh @ h + b.g)
    h = g * tanh(W.he @ e + W.hh @ h + b.h) + (1 - g) * e
    return h


@cell(input_size="h")
def highway_projected(e, m, h, W):
    h = tanh(W.he @ e + W.hm @ m) + e
    m = W.mh @ h
    return m, h


def test_an_input_that_is_added_to_the_state():
    torch.manual_seed(1)
    layer = Recurrent(highway, 4, 4, num_layers=2, dtype=torch.float64)
    x = torch.randn(6, 3, 4, dtype=torch.float64, requires_grad=True)
    outputs = x
    for k in range(2):
        W, b = (
            {n: getattr(layer, s)[f"{n}_l{k}"] for n in names} for s, names in (("W", ("ge", "gh", "he", "hh")), ("b", "gh"))
        )
        h, found = torch.zeros(3, 4, dtype=torch.float64), []
        for e in outputs:
            g = torch.sigmoid(e @ W["ge"].T + h @ W["gh"].T + b["g"])
            h = g * torch.tanh(e @ W["he"].T + h @ W["hh"].T + b["h"]) + (1 - g) * e
            found.append(h)
        outputs = torch.stack(found)
    leaves = [x, *layer.parameters()]
    wanted = torch.autograd.grad(outputs.square().sum(), leaves)
    for back_end in ("cpu", "reference"):
        with kernels.use(back_end):
            output, _ = layer(x)
            torch.testing.assert_close(output, outputs, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(torch.autograd.grad(output.square().sum(), leaves), wanted, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("cell", "sizes", "options", "message"),
    [
        (
            highway,
            (3, 4),
            {},
            "the input of cell highway has the size of its state h, so input_size must be hidden_size, 4, not 3",
        ),
        (
            highway,
            (4, 4),
            {"num_layers": 2, "bidirectional": True},
            "state h, 4, but a layer above the first would get 8 numbers",
        ),
        (highway_projected, (4, 4), {"num_layers": 2, "proj_size": 2}, "but a layer above the first would get 2 numbers"),
    ],
)
def test_an_input_of_another_size_than_the_state_is_refused(cell, sizes, options, message):
    with pytest.raises(ValueError, match=message):
        Recurrent(cell, *sizes, **options)


def test_a_projected_output_has_the_inputs_size_where_the_cell_says_so():
    @cell(input_size="m")
    def past(e, m, h, W):
        h = tanh(W.he @ e + W.hm @ m)
        m = W.mh @ h + e
        return m, h

    layer = Recurrent(past, 3, 8, num_layers=2)
    assert layer.proj_size == 3 and layer(torch.randn(5, 2, 3))[0].shape == (5, 2, 3)
    with pytest.raises(ValueError, match="state m, so input_size must be proj_size, 4, not 3"):
        Recurrent(past, 3, 8, proj_size=4)


def test_two_directions_of_half_the_size_are_stacked():
    layer = Recurrent(highway_projected, 4, 4, num_layers=2, proj_size=2, bidirectional=True)
    assert layer(torch.randn(5, 2, 4))[0].shape == (5, 2, 4)
    assert Recurrent(highway, 4, 4, bidirectional=True)(torch.randn(5, 2, 4))[0].shape == (5, 2, 8)
