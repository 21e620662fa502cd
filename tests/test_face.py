"""``from carousel import …``: what it gives, and that it costs nothing before it is asked for."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import carousel

SOURCE = Path(carousel.__file__)


def _imported_for_type_checkers():
    """By name, the module from which type checkers have it."""
    found = {}
    for node in ast.walk(ast.parse(SOURCE.read_text())):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for line in node.body:
                found |= {name.name: line.module for name in line.names}
    return found


@pytest.mark.parametrize("name", carousel.__all__)
def test_every_name_is_there(name):
    namespace = {}
    exec(f"from carousel import {name}", namespace)
    assert namespace[name] is getattr(carousel, name)


def test_type_checkers_see_the_same():
    seen = _imported_for_type_checkers()
    assert {*seen, "__version__", "load_ipython_extension"} == set(carousel.__all__)
    for name, module in seen.items():
        assert getattr(importlib.import_module(module), name) is getattr(carousel, name)
    assert (SOURCE.parent / "py.typed").exists()


def test_all_functions_of_the_equations_are_among_them():
    from carousel import equations

    assert set(equations.__all__) - set(carousel.__all__) == {"Shape", "Work"}


def test_what_is_not_there_is_refused():
    with pytest.raises(ImportError, match="cannot import name 'lstm_v9' from 'carousel'"):
        exec("from carousel import lstm_v9")
    assert "Recurrent" in dir(carousel) and "layers" in dir(carousel)


HEAVY = {"matplotlib", "sklearn", "fastapi", "sacrebleu", "uvicorn"}


@pytest.mark.parametrize(
    ("code", "without"),
    [
        ("import carousel", {"torch", "sympy", "numpy", *HEAVY}),
        ("from carousel import cell, tanh", {"torch", *HEAVY}),
        ("from carousel import Recurrent", {"tokenizers", *HEAVY}),
        ("from carousel import load", HEAVY),
    ],
)
def test_a_name_loads_what_it_needs(code, without):
    show = "import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", f"{code}; {show}"], capture_output=True, text=True, check=True)
    assert without.isdisjoint(done.stdout.split())


# What README and documentation of a version have imported, from 0.1.0 on.
DOCUMENTED = [
    "from carousel.equations import cell, exp, log, logistic, maximum, tanh",
    "from carousel.layers import Clamp, Recurrent, Streaming, from_torch, from_torch_state, to_torch",
    "from carousel.insight.gradients import gradient_flow",
    "from carousel.translation.beam import search",
    "from carousel.translation.model import Translator, TranslatorConfig",
    "from carousel.corpora.czech import lecture",
    "from carousel.drawing.svg import standalone",
    "from carousel.cells import CELLS, get",
    "from carousel.kernels import use, source",
]


@pytest.mark.parametrize("line", DOCUMENTED)
def test_what_documentation_has_imported_goes_on_working(line):
    exec(line, {})


def test_a_place_of_0_1_0_leads_to_todays():
    from carousel.corpora.czech import lecture

    namespace = {}
    with pytest.warns(DeprecationWarning, match=r"carousel\.translation\.czech is carousel\.corpora\.czech now"):
        exec("from carousel.translation.czech import lecture", namespace)
    assert namespace["lecture"] is lecture


def test_mypy_sees_the_types(tmp_path):
    """As somebody's own file: names and their types."""
    pytest.importorskip("mypy")
    (tmp_path / "own.py").write_text(
        "from carousel import Recurrent, LanguageRun, cell, load, tanh\n"
        "reveal_type(Recurrent)\nreveal_type(load)\nreveal_type(LanguageRun('x').score('y').perplexity)\n"
    )
    others = "torch.*,sympy.*,numpy.*,scipy.*,sklearn.*,matplotlib.*,tokenizers.*"  # whose types would take three times as long
    (tmp_path / "mypy.ini").write_text(f"[mypy]\n[mypy-{others}]\nfollow_imports = skip\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "own.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"MYPYPATH": str(SOURCE.parents[1])})
    assert 'Revealed type is "float"' in done.stdout.replace("builtins.", ""), done.stdout + done.stderr
    assert "def (cell: str | carousel.equations.cell.Cell, input_size: int, hidden_size: int" in done.stdout, done.stdout
    assert "error" not in done.stdout, done.stdout


def test_the_reference_has_every_name():
    page = (Path(__file__).parent.parent / "docs/reference/carousel.md").read_text()
    assert [name for name in carousel.__all__ if f"`{name}`" not in page] == ["__version__", "load_ipython_extension"]
