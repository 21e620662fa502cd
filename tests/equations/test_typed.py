"""A cell typed as text is the cell that a file of the same text makes; nothing of it is run, and what is none has its line."""

import pickle
import re
import time
from contextlib import suppress

import pytest
from random_cells import made, stored

from carousel.cells.sources import functions
from carousel.equations import Cell, EquationError
from carousel.equations.typed import LONGEST, typed
from carousel.equations.worked import DEEPEST, MOST

GRU = '''"""A cell of mine."""
from carousel import cell, logistic, tanh

HALF = 1 / 2


@cell(name="mine")
def gru(e, h, W, b):
    """A GRU of mine.

    With a half in it;
    from nowhere.
    """
    z, r = logistic(W.ze @ e + W.zh @ h + b.z), logistic(W.re @ e + W.rh @ h + b["r"])
    n: "a candidate" = tanh(W.ne @ e + W.nh @ (r * h) + b.n)
    n *= HALF
    h = (1 - z) * h + z * n
    return h
'''


def body(*lines, head="def one(e, h, W, w, b):", above="@cell"):
    return "\n".join([above, head, *(f"    {line}" for line in lines)])


def test_a_text_has_all_that_a_file_may_have():
    mine = typed(GRU)
    assert isinstance(mine, Cell) and (mine.name, mine.doc) == ("mine", "A GRU of mine.")
    assert mine.citation == "With a half in it; from nowhere."
    assert mine.gates == ("z", "r") and mine.states == ("h",)
    assert mine.text.splitlines()[2] == "nₜ = tanh(W.ne eₜ + W.nh (rₜ ⊙ hₜ₋₁) + b.n) ⊙ 0.5"
    again = pickle.loads(pickle.dumps(mine))
    assert again.key == mine.key and again.source == GRU


def test_a_vector_may_be_called_p():
    """Where the text asks for no part of it, it is no rate of noise."""
    found = typed(body("p = tanh(W.pe @ e + w.p * p.ago(2))", "return p", head="def one(e, p, W, w):"))
    assert found.text == "pₜ = tanh(W.pe eₜ + w.p ⊙ pₜ₋₂)"


def test_an_operator_before_the_equals_sign_keeps_its_order():
    assert typed(body("h -= e", "return h")).text == "hₜ = hₜ₋₁ - eₜ"


NAMED = {
    "lambda n: 1.0 + np.arange(n) % 3": "thirds",
    "lambda n, m: np.tri(n, m)": "lower",
    "lambda n, m: np.eye(n, m)": "same",
}


def test_cells_that_a_program_wrote_are_those_that_python_makes():
    compared = 0
    for case in stored():
        text = case.text
        for code, name in NAMED.items():
            text = text.replace(code, name)
        if "lambda" in text:
            continue
        cell = made(case.text)
        known = {
            n: f for f in (*cell.constants.values(), *cell.masks.values(), *cell.matrices.values()) for n in NAMED.values()
        }
        found = typed(text, known)
        # The key tells functions apart that other texts have given, by a number at its end.
        assert found.key.partition(".")[0] == cell.key.partition(".")[0], text
        assert found.parameter_specs(*_sizes(cell)) == cell.parameter_specs(*_sizes(cell))
        compared += 1
    assert compared > 150


def _sizes(cell):
    return (6, 6, 6, *[6] * len(cell.sized))


@pytest.mark.parametrize(
    ("lines", "line", "says"),
    [
        # As @cell itself refuses them.
        (["h = tanh(W.hh @ h + hh)", "return h"], 3, "unknown function or variable hh; the functions"),
        (["i = logistic(e)", "h = (W.he @ e) * (W.hh @ h)", "return h"], 4, "a product of two dense terms"),
        (["h = tanh(W.he @ e + e)", "return h"], 3, "sizes that cannot agree"),
        (["h = tanh(W.he @ e)", "return h, e"], 4, "2 values are returned for 1 states"),
        (["return h"], 3, "state h is never set"),
        (["h = tanh(W.hh @ h) + W.eh @ h", "return h"], 3, "sizes that cannot agree"),
        (["h = tanh(W.hh @ e)", "return h"], 3, "'into h from h', but multiplies e"),
        (["h = where(h > 0 > e, h, e)", "return h"], 3, "a condition compares two values"),
        (["h = tanh(W + h)", "return h"], 3, "W is where dense weights come from"),
        (["h = tanh(c.T * h)", "return h"], 3, "unknown function or variable c"),
        (["h = layer_norm(h, 1, 0, 3, 4, 5)", "return h"], 3, "layer_norm takes"),
        # As Python does.
        (["x = y", "y = tanh(h)", "return y"], 3, "y is used before it is set"),
        (["h = tanh(h", "return h"], 3, "this is not Python: '(' was never closed"),
        (["h = h +", "return h"], 3, "this is not Python"),
        (["h = 1 / 0 * h", "return h"], 3, "division by zero"),
        (["h = tanh(h) * 2 ** 9999", "return h"], 3, "an exponent is too large"),
        (["h = tanh(h) * 1e300", "return h"], 3, "a number is too large"),
        (["h = h * (2 ** 50 * 2 ** 50)", "return h"], 3, "a number is too large"),
        (["h = h * (-2) ** 0.5", "return h"], 3, "the root of a negative number"),
        (["h = tanh * h", "return h"], 3, "tanh is a function: tanh(x)"),
        (["h = h(e)", "return h"], 3, "this is no function"),
        (["i, f = tanh(h)", "return i"], 3, "as many names as there are values"),
        (["h = tanh(...)", "return h"], 3, "… has to be filled in"),
        (["h = tanh('x')", "return h"], 3, "'x' is no number"),
        (["h = tanh(True)", "return h"], 3, "'True' is no number"),
        # What equations do not have.
        (["for k in range(3):", "    h = tanh(h)", "return h"], 3, "a loop: write its rounds"),
        (["while True:", "    pass", "return h"], 3, "a loop"),
        (["if e > 0:", "    h = e", "return h"], 3, "an if: where(condition, x, y) chooses"),
        (["h = h if e > 0 else e", "return h"], 3, "an if: where"),
        (["h = tanh(h)", "print(h)", "return h"], 4, "an expression whose value nothing keeps"),
        (["import os", "h = tanh(h)", "return h"], 3, "an import"),
        (["def f(x):", "    return x", "h = f(h)", "return h"], 3, "a function in a function"),
        (["f = lambda x: x", "return h"], 3, "a lambda"),
        (["h = [tanh(h)]", "return h"], 3, "a list"),
        (["h = sum(x for x in (h, h))", "return h"], 3, "unknown function or variable sum"),
        (["h = tanh((x := h))", "return h"], 3, "an assignment within an expression"),
        (["h = f'{h}'", "return h"], 3, "a text"),
        (["h = h and e", "return h"], 3, "and, or"),
        (["h = not h", "return h"], 3, "what Python calls UnaryOp"),
        (["h = h ^ e", "return h"], 3, "an operator that equations do not have"),
        (["h = 3 @ h", "return h"], 3, "only a dense weight multiplies with @"),
        (["h = where(1 > 0, h, e)", "return h"], 3, "a condition of two numbers is always the same"),
        (["h = tanh(*h)", "return h"], 3, "a *"),
        (["h.x = tanh(h)", "return h"], 3, "an equation sets a name"),
        (["h = tanh(h)", "return h", "h = e"], 5, "return is the last line"),
        (["h = tanh(h)"], 3, "never returned"),
        (["try:", "    h = e", "finally:", "    pass"], 3, "try"),
        # Ways out of the equations.
        (["h = h.__class__", "return h"], 3, "a parameter's letters"),
        (["h = W.__init__ @ h", "return h"], 3, "a parameter's letters"),
        (["h = W._notes @ h", "return h"], 3, "a parameter's letters"),
        (["h = tanh.definition(h)", "return h"], 3, "only functions are called"),
        (["h = h.notes", "return h"], 3, "nothing here has a part called notes"),
        (["h = W['a;b'] @ h", "return h"], 3, "a parameter's letters are letters and digits, not 'a;b'"),
        (["h = W['</script>'] @ h", "return h"], 3, "a parameter's letters"),
        (["h = open('x')", "return h"], 3, "unknown function or variable open"),
        (["h = __import__('os').system('x')", "return h"], 3, "unknown function or variable __import__"),
        (["h = eval('1')", "return h"], 3, "unknown function or variable eval"),
        (["h = h.back(2)", "return h"], 3, "only functions are called"),
        (["h = concat(h, e).ago(2)", "return h"], 3, "only functions are called"),
        (["h = h.ago(e)", "return h"], 3, "takes a whole number of steps"),
        (["h = h.ago", "return h"], 3, "a value of some steps ago is called"),
    ],
)  # fmt: skip
def test_what_is_no_cell_is_refused_with_its_line(lines, line, says):
    with pytest.raises(EquationError, match=re.escape(says)) as refused:
        typed(body(*lines))
    assert refused.value.line == line and refused.value.filename == "cell.py"
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "there is no cell: write @cell"),
        ("x = 3", 1, "there is no cell"),
        ("def one(e, h):\n    return e", 1, "@cell stands above the function"),
        ("@cell\n@cell\ndef one(e, h):\n    return e", 3, "@cell stands above the function, and nothing else"),
        ("@torch.jit\ndef one(e, h):\n    return e", 1, "above the function stands @cell"),
        ("@cell(3)\ndef one(e, h):\n    return e", 1, "above the function stands @cell"),
        ("@cell(size=3)\ndef one(e, h):\n    return e", 1, "@cell takes name, constants"),
        ("@cell(heads=two)\ndef one(e, h):\n    return e", 1, "heads is text, a number"),
        ("@cell(heads='2')\ndef one(e, h):\n    return e", 1, "this is no heads that @cell takes"),
        ("@cell(**x)\ndef one(e, h):\n    return e", 1, "** is text, a number"),
        ("@cell(constants={'T': lambda n: n})\ndef one(e, h):\n    return e", 1, "a function of Python's would have to be run"),
        ("@cell(constants={'T': 3})\ndef one(e, h):\n    return e", 1, "T must be a function"),
        ("@cell\ndef one(e, h, *, W):\n    return e", 2, "a cell's arguments are names alone"),
        ("@cell\ndef one(e, h=3):\n    return e", 2, "a cell's arguments are names alone"),
        ("@cell\ndef one(e, h, *W):\n    return e", 2, "a cell's arguments are names alone"),
        ("@cell\ndef one(e, h, **W):\n    return e", 2, "a cell's arguments are names alone"),
        ("@cell\ndef one(e, /, h):\n    return h", 2, "a cell's arguments are names alone"),
        ("@cell\ndef one(e, h, h):\n    return e", 2, "the argument h is there twice"),
        ("@cell\ndef one(h):\n    return h", 2, "the first argument of a cell is its input"),
        ("import numpy as np\n@cell\ndef one(e, h):\n    return e", 1, "only the functions of carousel"),
        ("from os import system\n@cell\ndef one(e, h):\n    return e", 1, "only the functions of carousel"),
        ("from .carousel import tanh\n@cell\ndef one(e, h):\n    return e", 1, "only the functions of carousel"),
        ("from carousel import load\n@cell\ndef one(e, h):\n    return e", 1, "nothing that equations may call is called load"),
        ("from carousel import tanh as t\n@cell\ndef one(e, h):\n    return e", 1, "is called t"),
        ("K = tanh\n@cell\ndef one(e, h):\n    return e", 1, "before the function only numbers have names"),
        ("K = L = 3\n@cell\ndef one(e, h):\n    return e", 1, "before the function only numbers have names"),
        ("k = 3\n@cell\ndef one(e, h):\n    h = k * h\n    k = tanh(h)\n    return k", 4, "k is used before it is set"),
        ("@cell(same='hm')\ndef one(e, h, m):\n    return h, m", 1, "this is no same that @cell takes"),
        ("class A: pass", 1, "a class"),
        ("print(1)", 1, "an expression"),
        (GRU + "\n\ndef two(e, h):\n    return e\n", 21, "a second function"),
        ("\0", 1, "this is not Python"),
        ("\ud800", 1, "this is not Python"),
        ("#" * (LONGEST + 1), 1, "characters, and a cell at most"),
    ],
)  # fmt: skip
def test_what_stands_around_the_equations_is_refused_with_its_line(text, line, says):
    with pytest.raises(EquationError, match=re.escape(says)) as refused:
        typed(text)
    assert refused.value.line == line


def test_what_would_take_long_is_refused_at_once():
    began = time.monotonic()
    doubled = ["x = tanh(h)", *["x = x + x"] * 100, "return x"]
    nested = ["x = tanh(h)", *["x = tanh(x) * tanh(x)"] * 100, "return x"]
    within = [f"h = {'(' * 120}h{' * e)' * 120}", "return h"]
    chained = [*["h = tanh(h)"] * 250, "return h"]
    products = ["x = tanh(h)", *["x = tanh(W.xx @ x)"] * 120, "return x"]
    long = [f"h = {' + '.join(['h'] * (MOST // 2))}", "return h"]
    deep = [f"h = {'-' * 2000}h", "return h"]
    for lines, says in (
        (doubled, "too long"),
        (nested, "too long"),
        (within, f"more than {DEEPEST} operations"),
        (chained, "too long"),
        (products, "too long"),
        (long, "parts, and a cell at most"),
        (deep, "parts, and a cell at most|not Python"),
        ([f"h = {'(' * 3000}h{')' * 3000}", "return h"], "not Python"),
    ):
        with pytest.raises(EquationError, match=says):
            typed(body(*lines))
    assert time.monotonic() - began < 5


def test_nothing_is_run(tmp_path, monkeypatch):
    """Not even what Python runs where a function is only defined: decorators, defaults, annotations."""
    touched = tmp_path / "touched"
    code = f"open({str(touched)!r}, 'w')"
    for text in (
        f"{code}\n{GRU}",
        GRU.replace('@cell(name="mine")', f"@cell(name={code})"),
        GRU.replace("gru(e, h", f"gru(e: {code}, h"),
        GRU.replace("W, b):", f"W, b={code}):"),
        GRU.replace("W, b):", f"W, b) -> {code}:"),
        GRU.replace('"a candidate"', code),
        GRU.replace("(r * h)", f"({code})"),
        GRU.replace("HALF = 1 / 2", f"HALF = {code}"),
    ):
        compile(text, "text", "exec")  # Python would
        with suppress(EquationError):
            typed(text)
        assert not touched.exists()


def test_functions_that_are_known_may_be_named():
    text = '@cell(constants={"T": periods}, masks={"W.hh": slower_to_faster})\n' + body(
        "h = where(t % c.T == 0, tanh(W.he @ e + W.hh @ h + b.h), h)",
        "return h",
        head="def ticking(e, h, t, W, b, c):",
        above="",
    )
    assert typed(text, functions()).array("c.T", 3).tolist() == [1, 2, 4]
    with pytest.raises(EquationError, match="only periods are known"):
        typed(text, {"periods": functions()["periods"]})
