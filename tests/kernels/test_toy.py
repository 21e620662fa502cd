"""A back end is a class and an entry in the list: with a toy in it, all that layers can do works."""

import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
COMPILED = "tests/layers/test_portable.py::test_a_process_without_carousel_runs_what_aotinductor_has_compiled"


def test_the_layers_run_over_a_back_end_that_nobody_knows():
    paths = [str(TESTS / "helpers"), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-p", "toy", "-p", "no:cacheprovider", "--calls", "90", str(TESTS / "layers"),
         "--deselect", COMPILED],  # exports by another back end's name, and half of the time is GCC's
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    ran = re.search(r"the toy back end ran (\d+) calls", done.stdout)
    assert ran, done.stdout[-4000:]
    assert int(ran[1]) > 1000
