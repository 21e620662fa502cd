"""Commands import what they need, and no more."""

import subprocess
import sys

import pytest

from carousel.cli import COMMANDS, loaded

HEAVY = ("torch", "sympy", "matplotlib", "sklearn", "fastapi", "sacrebleu", "tokenizers")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_what_the_command_says(name):
    said = " ".join((loaded(name).help or "").split("\n\n")[0].split())
    assert said == COMMANDS[name]


def imported(code):
    """The packages that are there once the code has run, in a process of its own."""
    show = "import sys; print('\\n'.join(sys.modules), file=sys.stderr)"
    code = f"try:\n    {code}\nexcept SystemExit: pass\n{show}"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split("\n"))


@pytest.mark.parametrize("option", ["--help", "--version", "trian"])
def test_what_needs_no_model_loads_none(option):
    found = imported(f"import sys; sys.argv = ['carousel', '{option}']; from carousel.cli import main; main()")
    assert "typer" in found and found.isdisjoint(HEAVY)


def test_a_layer_needs_no_figures_no_servers_and_no_compiler_of_pytorch():
    found = imported("import carousel.layers")
    assert "torch" in found and found.isdisjoint({*HEAVY[2:], "torch._dynamo"})
