"""The documentation's code runs as it stands, and its links lead somewhere."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from carousel.cli import app

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "docs"}
    for code in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S):
        exec(compile(code, page.name, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_option_that_is_shown_exists(page):
    for line in re.findall(r"\bcarousel ([^`\n#]*)", _code(page.read_text())):
        command = get_command(app)
        for word in line.split()[:2]:
            command = getattr(command, "commands", {}).get(word, command)
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert set(re.findall(r"(?<=\s)--?[a-z][a-z0-9-]*", line.partition(", then ")[0])) <= known, line


def _code(text):
    """What stands in blocks and between backquotes."""
    blocks = re.findall(r"^```\n(.*?)^```", text, re.M | re.S)
    return "\n".join([*blocks, *re.findall(r"`(carousel [^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))])
