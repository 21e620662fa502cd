"""What ``test_interpreter.py`` runs of programs that wait for one another, each in a thread of its own.

The interpreter itself runs one program after the other, so that one which waits would wait for ever.
"""

import inspect
import sys
import threading
import time

import pytest
import torch
from in_triton import agree, solve
from triton import language as tl  # noqa: F401  # the interpreter looks for it beside a program
from triton.runtime import interpreter

from carousel import cells
from carousel.kernels.triton import calls, planner, source
from carousel.kernels.triton.kernel import Functions, Plan
from carousel.kernels.triton.program import program_of

torch.set_num_threads(1)
pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # NumPy's, of lanes beyond the last row or unit
    pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning"),
]
HELD, GRID = Plan("held", 16, 16, parts=3, pieces=1), Plan("grid", 16, 16, 16, parts=2)  # the latter has several tiles


@pytest.fixture(autouse=True)
def together(monkeypatch):
    """Let all programs of a kernel run at once."""
    own = threading.local()
    place = property(lambda builder: own.place, lambda builder, at: setattr(own, "place", at))
    monkeypatch.setattr(interpreter.InterpreterBuilder, "grid_idx", place, raising=False)
    made = interpreter.GridExecutor.__init__
    widest = []

    def begin(self, fn, *more):
        made(self, fn, *more)
        waiting = []

        def program(**arguments):
            waiting.append((own.place, arguments))
            rows, parts, _ = interpreter.interpreter_builder.grid_dim
            if len(waiting) == rows * parts:
                widest.append(parts)
                threads = [threading.Thread(target=alone, args=each) for each in waiting]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()

        def alone(at, arguments):
            own.place = at
            time.sleep(0.002 * at[1])  # the first programs are ahead
            fn(**arguments)

        program.__signature__ = inspect.signature(fn)
        self.fn = program

    monkeypatch.setattr(interpreter.GridExecutor, "__init__", begin)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield widest
    sys.setswitchinterval(before)


@pytest.mark.parametrize("plan", [HELD, GRID], ids=lambda plan: plan.way)
@pytest.mark.parametrize("name", ["lstm-v4", "gru-original", "gru-layer-norm"])
def test_programs_that_wait_for_one_another_agree_with_the_reference(name, plan, monkeypatch, together):
    monkeypatch.setattr(planner, "plan", lambda *_, **__: plan)
    agree(cells.get(name), torch.float32, [2, 2, 1], resets=True, units=40)
    assert set(together) == {plan.parts}


@pytest.mark.parametrize("plan", [HELD, GRID], ids=lambda plan: plan.way)
def test_without_waiting_they_do_not(plan, monkeypatch, together):
    """Else the test above could not fail."""
    monkeypatch.setattr(planner, "plan", lambda *_, **__: plan)
    monkeypatch.setattr(source, "_waiting", lambda stage: [])
    monkeypatch.setattr(calls, "kernels_of", lambda *which: Functions(program_of(*which)))  # printed anew
    c = cells.get("gru-original")
    found, expected = (solve(k, c, torch.float32, [2] * 4, units=40)["output"] for k in ("triton", "reference"))
    assert not torch.allclose(found, expected, atol=1e-3)
