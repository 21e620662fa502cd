"""The command, run in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carousel.cli import main

Run = Callable[..., tuple[int, str, str]]


def runner(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> Run:
    """Return a function from arguments to (exit status, standard output, standard error), as a shell in ``folder`` would."""
    monkeypatch.chdir(folder)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["carousel", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capfd.readouterr()
        return exit_.value.code or 0, out, err

    return run
