"""What tests of several rooms share."""

import multiprocessing
import os
import shlex
from contextlib import suppress
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # of commands that tests start, before anything counts the processors
os.environ["OMP_WAIT_POLICY"] = "passive"  # threads that wait for one another leave the processor to other tests
import torch

from carousel import cells
from carousel.cells import CELLS
from carousel.kernels.cpu import compiler


def pytest_addoption(parser):
    group = parser.getgroup("campaigns", "more of what random tests look for (tests/kernels/cpu/test_random_cells.py)")
    group.addoption("--cells", type=int, default=100, help="how many random cells, with --seed")
    group.addoption("--calls", type=int, default=300, help="how many random calls (tests/layers/test_random_calls.py)")
    group.addoption("--seed", type=int, default=0, help="of the first fifty of them; 0: the hundred that are stored")
    group.addoption("--shrink", action="store_true", help="look for the smallest cell that fails")
    group.addoption("--optimized", action="store_true", help="compile all kernels as for users")


def pytest_configure(config):
    """Compiled kernels are kept among pytest's own files, not among the user's.

    Those of the lectures' cells are compiled as for users, and all others (of tests' own cells, recording, clamping, tangents)
    without optimization, unless ``--optimized`` or $CXX says how.
    """
    if "CAROUSEL_CACHE" not in os.environ and hasattr(config, "cache"):
        os.environ["CAROUSEL_CACHE"] = str(config.cache.mkdir("carousel"))
    if "CXX" not in os.environ and not config.getoption("optimized"):  # workers of pytest-xdist have it from their parent
        unoptimized = Path(__file__).parent / "helpers" / "unoptimized.sh"
        with suppress(compiler.CompileError):
            os.environ["CXX"] = shlex.join(["sh", str(unoptimized), ",".join(CELLS), *compiler.compiler()])
    torch.set_num_threads(1)  # workers of pytest-xdist share the processors


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def forked_trials(monkeypatch):
    """Processes of trials are forked from one that has imported everything, where users' are started anew."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["carousel.tasks.trial", "torch._dynamo"])
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: context)


@pytest.fixture(scope="session")
def slstm():
    """A cell with exponential gates, a normaliser and a stabiliser."""
    return cells.get("slstm")
