"""A cell's parameters, their initial values, and how much it computes."""

import cProfile

import pytest

from carousel.cells import CELLS
from carousel.equations import EquationError, cell, logistic, tanh
from carousel.equations.stored import StoredCell, as_data

E, H, P = 3, 5, 2


def shapes(name, *sizes, **options):
    return {p.name: p.shape for p in CELLS[name].parameter_specs(*sizes, **options)}


def test_shapes_are_into_from():
    dense = {f"W.{a}{b}": (H, n) for a in "ifho" for b, n in (("e", E), ("m", H))}
    diagonal = {f"w.{a}h": (H,) for a in "ifo"}
    assert shapes("lstm-v3", E, H) == dense | diagonal | {f"b.{a}": (H,) for a in "ifho"}


def test_projected_message_is_smaller():
    found = shapes("lstm-v4", E, H, P)
    assert found["W.im"] == (H, P)
    assert found["W.he"] == (H, E)
    assert found["w.oh"] == (H,)
    assert found["W.mm"] == (P, H)


def test_concatenated_weight_has_all_columns():
    assert shapes("lstm", E, H)["W.f"] == (H, H + E)


def test_words_in_states_have_the_inputs_size():
    assert shapes("mlp", E, H) == {"W.he": (H, E), "W.hp": (H, E), "W.hq": (H, E), "b.h": (H,)}


def test_full_gate_recurrence_has_nine_more_matrices():
    extra = set(shapes("fgr", E, H)) - set(shapes("vanilla", E, H))
    assert extra == {f"W.{a}{b}" for a in "ifo" for b in "ifo"}


def test_initial_values():
    start = {p.name: p.initial for p in CELLS["lstm-v3"].parameter_specs(E, H)}
    assert set(start.values()) == {"uniform"}
    start = {p.name: p.initial for p in CELLS["lstm-v3"].parameter_specs(E, H, recurrent_init="orthogonal", forget_bias=1.0)}
    assert {n for n, v in start.items() if v == "orthogonal"} == {"W.im", "W.fm", "W.hm", "W.om"}
    assert start.pop("b.f") == 1.0
    assert start["b.i"] == start["W.ie"] == start["w.fh"] == "uniform"


def test_forget_bias_needs_a_forget_gate():
    with pytest.raises(ValueError, match=r"cell rnn has no bias b\.f"):
        CELLS["rnn"].parameter_specs(E, H, forget_bias=1.0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rnn", H * E + H * H + H),
        ("mlp", 3 * H * E + H),
        ("lstm-v1", 3 * H * (E + H + 1)),
        ("lstm-v2", 4 * H * (E + H + 1)),
        ("lstm", 4 * H * (E + H + 1)),
        ("lstm-v3", 4 * H * (E + H + 1) + 3 * H),
        ("lstm-v4", 4 * H * (E + P + 1) + 3 * H + P * H),
        ("cifg", 3 * H * (E + H + 1) + 2 * H),
        ("fgr", 4 * H * (E + H + 1) + 3 * H + 9 * H * H),
        ("gru", 3 * H * (E + H + 1) + H),
        ("gru-original", 3 * H * (E + H + 1)),
        ("clockwork", H * E + H + H * (H + 1) // 2),  # five units, five periods: a triangle
    ],
)
def test_count(name, expected):
    assert CELLS[name].count(E, H, P if name == "lstm-v4" else 0) == expected


def test_clockwork_count_with_groups():
    units = 14  # seven groups of two, each hearing itself and the slower ones
    assert CELLS["clockwork"].count(E, units) == units * E + units + 4 * sum(range(1, 8))


@pytest.mark.parametrize(
    ("name", "from_input", "from_states"),
    [
        ("rnn", H * E, H * H),
        ("lstm-v3", 4 * H * E, 4 * H * H),
        ("lstm", 4 * H * E, 4 * H * H),
        ("lstm-v4", 4 * H * E, 4 * H * P + P * H),
        ("gru", 3 * H * E, 3 * H * H),
        ("mlp", H * E, 2 * H * E),
    ],
)
def test_dense_work_is_two_operations_a_weight(name, from_input, from_states):
    work = CELLS[name].work(E, H, P if name == "lstm-v4" else 0)
    assert work.input_products == 2 * from_input
    assert work.recurrent_products == 2 * from_states
    assert work.total == work.input_products + work.recurrent_products + work.pointwise


def test_pointwise_work():
    # One addition for the bias, one to join input and recurrence, one tanh.
    assert CELLS["rnn"].work(E, H).pointwise == 3 * H


def test_peepholes_cost_pointwise_work_only():
    without, with_ = CELLS["lstm-v2"].work(E, H), CELLS["lstm-v3"].work(E, H)
    assert with_.recurrent_products == without.recurrent_products
    assert with_.pointwise - without.pointwise == 3 * 2 * H  # a product and a sum for each of three gates


def test_docstring_gives_title_and_source():
    c = CELLS["lstm-v3"]
    assert c.doc == "LSTM v3: gates that also see the memory, through diagonal peepholes."
    assert c.citation.startswith("Renshaw 2014, slide")
    assert repr(c) == f"<cell lstm-v3(e, m, h): gates i, f, o; parameters 8 W, 3 w, 4 b; {c.doc}>"


def test_name_is_the_functions_with_hyphens_or_as_given():
    def my_cell(e, h, W):
        h = tanh(W.he @ e + W.hh @ h)
        return h

    assert cell(my_cell).name == "my-cell"
    assert cell(name="other")(my_cell).name == "other"


def test_a_program_under_the_profiler_defines_cells_and_goes_on_being_profiled():
    profile = cProfile.Profile()
    profile.enable()

    @cell
    def plain(e, h, W, b):
        return tanh(W.he @ e + W.hh @ h + b.h)

    str.casefold("later")
    profile.disable()
    assert plain.states == ("h",)
    assert any("casefold" in str(entry.code) for entry in profile.getstats())


def test_the_input_may_have_the_size_of_a_state_where_the_cell_says_so():
    @cell(input_size="h")
    def residual(e, m, h, W, b):
        o = logistic(W.oe @ e + W.om @ m + b.o)
        h = h + tanh(W.he @ (o * e) + W.hm @ m)
        m = o * tanh(h) + e
        return m, h

    specs = {p.name: p for p in residual.parameter_specs(4, 4)}
    assert {p.shape for p in specs.values()} == {(4, 4), (4,)} and not residual.has_projection
    assert [n for n, p in specs.items() if p.recurrent] == ["W.om", "W.he", "W.hm"]  # o * e hears the state, too


def test_the_input_may_have_the_size_of_the_memory_or_of_the_projected_message():
    def equations(size):
        @cell(input_size=size)
        def projected(e, m, h, W):
            h = tanh(W.he @ e + W.hm @ m) + (e if size == "h" else 0)
            m = W.mh @ h + (e if size == "m" else 0)
            return m, h

        return projected

    memory, message = equations("h"), equations("m")
    assert memory.has_projection and message.has_projection
    assert {p.name: p.shape for p in memory.parameter_specs(5, 5, 2)} == {"W.he": (5, 5), "W.hm": (5, 2), "W.mh": (2, 5)}
    assert {p.name: p.shape for p in message.parameter_specs(2, 5, 2)} == {"W.he": (5, 2), "W.hm": (5, 2), "W.mh": (2, 5)}


def test_the_input_has_the_size_of_a_state_and_of_nothing_else():
    with pytest.raises(EquationError, match="input_size names a state of the cell, m or h, not 'x'"):

        @cell(input_size="x")
        def wrong(e, m, h, W):
            return W.mh @ h, h + 1


def test_states_have_one_size_where_the_cell_says_so():
    def equations(**options):
        @cell(**options)
        def two(e, y, z, W):
            z = tanh(W.zy @ y + W.ze @ e)
            y = tanh(W.yz @ z + W.ye @ e)
            return y, z

        return two

    apart, together = equations(), equations(same=("y", "z"))
    assert apart.has_projection and not together.has_projection and apart.key != together.key
    assert {p.shape for p in together.parameter_specs(E, H)} == {(H, E), (H, H)}
    again = StoredCell(as_data(together, [(E, H, 0)]))
    assert again.trace.same == ("y", "z") and not again.has_projection
    with pytest.raises(EquationError, match="same names states of the cell, y or z, not 'x'"):
        equations(same=("y", "x"))
    with pytest.raises(EquationError, match="what has one size are none of its states"):
        StoredCell({**as_data(together, []), "same": ["x"]})


def test_a_list_names_its_quantities():
    @cell
    def deep(e, s, W, b):
        r = [s]
        for k in range(2):
            r.append(tanh(W[f"s{k}"] @ r[-1] + b[f"s{k}"]))
        s = r[-1] + W.se @ e
        return s

    assert deep.names == ("r1", "r2", "s")
    assert deep.text.splitlines()[1] == "r2ₜ = tanh(W.s1 r1ₜ + b.s1)"


@pytest.mark.parametrize("name", ["a\nalert(1)", "a */ int x;", "</script>", "a\u2028b", "\r", "\x1b[2J"])
def test_a_name_that_would_end_a_comment_is_refused_of_a_function_and_of_stored_data(name):
    def plain(e, h, W, b):
        return tanh(W.he @ e + W.hh @ h + b.h)

    with pytest.raises(EquationError, match="a cell's name is one line of text"):
        cell(name=name)(plain)
    data = as_data(cell(name="plain")(plain), [(3, 4, 4)])
    with pytest.raises(EquationError, match="a cell's name is one line of text"):
        StoredCell({**data, "name": name})


def test_a_lambda_is_called_so():
    assert cell(lambda e, h, W, b: tanh(W.he @ e + W.hh @ h + b.h)).name == "lambda"
