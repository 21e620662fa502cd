"""Commands import what they need, and no more."""

import subprocess
import sys

import pytest

from carousel.bench import startup
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


def test_the_list_of_cells_needs_no_pytorch():
    found = imported("import sys; sys.argv = ['carousel', 'cells']; from carousel.cli import main; main()")
    assert "sympy" in found and found.isdisjoint({"torch", *HEAVY[2:]})


FORKED = """
import os, sys
import carousel.layers
from carousel.cli import loaded
for name in sys.argv[1:]:
    print("of", name, flush=True)
    if not os.fork():
        loaded(name)
        print(*sys.modules, sep="\\n", flush=True)
        os._exit(0)
    assert os.wait()[1] == 0
"""


@pytest.fixture(scope="module")
def loads():
    """By command, the modules that it loads, in a process that has those of layers already (of which the last test tells)."""
    names = [n for n in COMMANDS if n not in ("cells", "serve")]
    said = subprocess.run([sys.executable, "-c", FORKED, *names], capture_output=True, text=True, check=True).stdout
    each = [part.split("\n") for part in said.split("of ")[1:]]
    return {name: set(modules) for name, *modules in each}


@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in ("cells", "serve")])
def test_a_command_loads_figures_probes_and_servers_when_it_makes_them(loads, name):
    assert f"carousel.cli.{name}" in loads[name] and loads[name].isdisjoint(HEAVY[2:-1])


def test_the_collector_of_garbage_passes_by_the_modules_of_a_command_and_is_there_afterwards():
    code = (
        "import gc; from carousel.cli import loaded as l; l('train'); assert gc.isenabled() and gc.get_freeze_count() > 100_000"
    )
    assert "torch" in imported(code)


def test_start_up_is_measured_beside_pytorch():
    rows = startup.measure(1, commands=())
    assert rows[0]["name"] == "import torch" and rows[0]["ratio"] == 1
    by_name = {r["name"]: r for r in rows}
    assert by_name["carousel --version"]["cpu_ratio"] < 0.5 and by_name["carousel cells"]["cpu_ratio"] < 1.5
    assert by_name["shell completion"]["cpu_ratio"] < 0.5


def test_a_layer_needs_no_figures_no_servers_and_no_compiler_of_pytorch():
    found = imported("import carousel.layers")
    assert "torch" in found and found.isdisjoint({*HEAVY[2:], "torch._dynamo"})
