"""The documentation's code runs as it stands, its links lead somewhere, and its diagrams are those of the code."""

import json
import re
import subprocess
import sys
from pathlib import Path

import notebook
import pytest

from carousel.cli import whole

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NOTEBOOKS = sorted((ROOT / "docs").rglob("*.ipynb"))


PYTHON = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
LINK = re.compile(r"\]\((?!http)([^)#]+)")


def _name(path):
    return str(path.relative_to(ROOT))


def with_any(of):
    """The pages in which ``of`` finds anything, by name."""
    return pytest.mark.parametrize("page", [p for p in PAGES if of(p.read_text())], ids=_name)


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
        command = whole()
        for word in line.split()[:2]:
            command = getattr(command, "commands", {}).get(word, command)
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert set(re.findall(r"(?<=\s)--?[a-z][a-z0-9-]*", line.partition(", then ")[0])) <= known, line


def _kinds(document):
    """For each cell, what it holds and the kinds of what it shows."""
    shown = ((c["source"], c.get("outputs", ())) for c in document["cells"])
    return [("".join(source), [sorted(o.get("data", {"text/plain"})) for o in outputs]) for source, outputs in shown]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=_name)
def test_a_notebook_runs_and_what_it_stores_is_what_it_shows(path):
    """Of what it shows, the kinds are compared: numbers differ in their last places from machine to machine."""
    assert _kinds(notebook.executed(path)) == _kinds(json.loads(path.read_text())), "run make notebook"


def test_diagrams_are_those_of_the_code(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "site")
    from diagrams import DIAGRAMS, FIGURES

    for name, draw in DIAGRAMS.items():
        assert (FIGURES / name).read_text() == str(draw()), "run python docs/site/diagrams.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built strictly."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_loads_nothing_from_elsewhere(site):
    loaded = re.compile(r"""<(?:script|img|link|iframe|source)\b[^>]*?\b(?:src|href)=["']?((?:https?:)?//[^"'> ]+)""")
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        assert loaded.findall(page.read_text()) == [], page.name
    for sheet in site.rglob("*.css"):
        assert re.findall(r"""(?:url\(|@import )["']?(?:https?:)?//""", sheet.read_text()) == [], sheet.name


def test_the_site_has_what_is_made_for_it(site):
    """The README, the commands, the cells and the notebook are pages."""
    first = (site / "index.html").read_text()
    assert "A cell is its equations." in first and 'src="figures/lstm-v3.svg"' in first and 'href="docs/' not in first
    commands = (site / "reference" / "commands.html").read_text()
    assert all(f'id="carousel-{name}"' in commands for name in ("train", "translate-run", "bench-kernels"))
    cells = (site / "reference" / "cells.html").read_text()
    assert 'src="cells/lstm-v3.svg"' in cells and (site / "reference" / "cells" / "lstm-v3.svg").exists()
    assert (site / "tutorial" / "notebook.html").read_text().count("<img") >= 2
    layers = (site / "reference" / "layers.html").read_text()
    assert "num_layers" in layers and "Gal and Ghahramani 2016" in layers
