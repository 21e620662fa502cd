"""The documentation's code runs as it stands, and its links lead somewhere."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from carousel.cli import app

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


PYTHON = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
LINK = re.compile(r"\]\((?!http)([^)#]+)")


def with_any(of):
    """The pages in which ``of`` finds anything, by name."""
    return pytest.mark.parametrize("page", [p for p in PAGES if of(p.read_text())], ids=lambda p: p.name)


@with_any(PYTHON.findall)
def test_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "docs"}
    for code in PYTHON.findall(page.read_text()):
        exec(compile(code, page.name, "exec"), names)


@with_any(LINK.findall)
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


def _commands(text):
    """Command lines of ``carousel`` in blocks and between backquotes."""
    blocks = re.findall(r"^```\n(.*?)^```", text, re.M | re.S)
    code = [*blocks, *re.findall(r"`(carousel [^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))]
    return re.findall(r"\bcarousel ([^`\n#]*)", "\n".join(code))


@with_any(_commands)
def test_every_option_that_is_shown_exists(page):
    for line in _commands(page.read_text()):
        command = get_command(app)
        for word in line.split()[:2]:
            command = getattr(command, "commands", {}).get(word, command)
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert set(re.findall(r"(?<=\s)--?[a-z][a-z0-9-]*", line.partition(", then ")[0])) <= known, line
