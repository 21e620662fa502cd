"""A process that works out typed cells: a question a line of JSON, an answer a line of JSON.

The server can end it where an answer takes too long; it bounds its own memory and time besides.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from carousel.equations.errors import EquationError
from carousel.errors import InputError
from carousel.web import cell_view

ANSWERS: dict[str, Callable[..., dict[str, Any]]] = {
    **{"ready": dict, "menu": cell_view.menu, "named": cell_view.named, "about": cell_view.about, "decay": cell_view.decay}
}
MEMORY = 3 * 1024**3  # bytes of data; PyTorch has some 300 MB of it
LONGEST = 60  # seconds, for a server that is gone


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a question, or the error and, of a text, its line."""
    try:
        return ANSWERS[question.pop("kind")](**question)
    except EquationError as error:
        return {"error": error.reason, "line": error.line}
    except InputError as error:
        return {"error": str(error)}
    except (RecursionError, MemoryError):
        return {"error": "this cell is too large to be worked out here"}
    except Exception as error:  # one cell is no reason to end
        return {"error": f"this cell cannot be shown: {type(error).__name__}: {' '.join(str(error).split())}"}


def main() -> None:
    """Answer until the questions end."""
    with suppress(ImportError, ValueError, OSError):  # not every system bounds it
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed is no answer
    for line in sys.stdin:
        if hasattr(signal, "alarm"):
            signal.alarm(LONGEST)
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)
        if hasattr(signal, "alarm"):
            signal.alarm(0)


if __name__ == "__main__":
    main()
