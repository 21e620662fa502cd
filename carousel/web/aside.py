"""Questions that another process answers, which is ended where one takes too long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Lock, Timer
from typing import Any

import carousel
from carousel.errors import InputError

SECONDS, START = 20.0, 120.0  # that an answer may take, and the start of the process


class Aside:
    """A process that answers one question after another, started with the first one, and anew after it was ended.

    Args:
        module: its name; it reads questions as lines of JSON and writes answers.
        seconds: how long an answer may take, the start of the process not counted.
    """

    def __init__(self, module: str, seconds: float = SECONDS):
        self.module, self.seconds = module, seconds
        self.process: subprocess.Popen[str] | None = None
        self.lock = Lock()

    def start(self) -> None:
        """Start the process, unless it runs."""
        if self.process is None:
            home = str(Path(carousel.__file__).parent.parent)
            path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", self.module],  # -P: nothing of the folder that one works in is imported
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
                encoding="utf-8",
            )

    def ask(self, kind: str, **given: Any) -> dict[str, Any]:
        """Return the answer to a question.

        Raises:
            InputError: there is none within the time, or none at all.
        """
        with self.lock:
            self.start()
            if self._ask({"kind": "ready"}, START) is None:  # it has ended meanwhile
                self.end()
                self.start()
                self._ask({"kind": "ready"}, START)
            found = self._ask({"kind": kind, **given}, self.seconds)
            if found is None:
                self.end()
        if found is None:
            raise InputError(f"this took longer than {self.seconds:g} seconds, or more memory than there is, and was ended")
        return found

    def _ask(self, question: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        process = self.process
        assert process is not None and process.stdin is not None and process.stdout is not None
        timer = Timer(seconds, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:  # it has ended
            line = ""
        finally:
            timer.cancel()
        return json.loads(line) if line.endswith("\n") else None  # else it ended in the middle of its answer

    def end(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None
