"""Pages of the site that are made from what the repository already holds, so that nothing is written twice.

README.md becomes the first page; CHANGELOG.md, CONTRIBUTING.md, LICENSE and the notebook become pages. The pages of commands
and cells are filled from the program.
"""

from __future__ import annotations

import base64
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from carousel.cells import CELLS
from carousel.cells.catalogue import MEANING, catalogue
from carousel.cells.papers import BRANCHED, PAPERS
from carousel.cli import whole
from carousel.drawing.svg import standalone
from carousel.equations import Cell
from carousel.equations.functions import FUNCTIONS, identity
from carousel.equations.units import OVER_UNITS

ROOT = Path(__file__).parents[2]
PAGES = {"README.md": "index.md", "CHANGELOG.md": "changes.md", "CONTRIBUTING.md": "contributing.md", "LICENSE": "license.md"}
NOTEBOOK = "tutorial/notebook"
WIDE = ("index.md", "tour.md", "results/measurements.md", "results/claims.md", "results/tasks.md")  # tables need room
PICTURES = {"image/svg+xml": "svg", "image/png": "png"}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made here."""

    def add(name: str, content: str | bytes) -> None:
        files.append(File.generated(config, name, content=content))

    for source, name in PAGES.items():
        text = (ROOT / source).read_text()
        add(name, moved(text) if name != "license.md" else f"# License\n\n```\n{text}```\n")
    for cell in (*CELLS.values(), *PAPERS.values(), *BRANCHED.values()):
        add(f"reference/cells/{cell.name}.svg", standalone(cell))
    for name, content in notebook(json.loads((ROOT / f"docs/{NOTEBOOK}.ipynb").read_text())).items():
        add(name, content)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill the places that pages leave; on the site, links to the notebook lead to its page."""
    if page.file.src_uri in WIDE:
        page.meta.setdefault("hide", ["navigation"])
    if page.file.src_uri == f"{NOTEBOOK}.md":
        return markdown
    name = Path(NOTEBOOK).name
    for place, made in {"commands": commands, "cells": cells, "papers": papers, "functions": functions}.items():
        mark = f"<!-- {place}: made by docs/site/hooks.py -->"
        if mark in markdown:
            markdown = markdown.replace(mark, "\n".join(made()))
    return markdown.replace(f"{name}.ipynb)", f"{name}.md)")


def on_page_content(html: str, **_: Any) -> str:
    """Keep a line from breaking inside an option: ``--draw`` stays whole."""

    def whole(code: re.Match[str]) -> str:
        return re.sub(r"(?<=[ >])-[\w=.-]{1,24}(?=[ <])", r'<span class="whole">\g<0></span>', code[0])

    return re.sub(r"(?<!<pre>)<code>[^<]*</code>", whole, html)


def moved(text: str) -> str:
    """A page of the repository's root, with links as they are on the site."""
    text = text.replace("](docs/", "](")
    for source, name in PAGES.items():
        text = text.replace(f"]({source})", f"]({name})")
    return text


# Commands


def commands() -> Iterator[str]:
    """All commands, from the program itself."""
    root = whole()
    yield from _command(root, "carousel")


def _command(command: Any, name: str) -> Iterator[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    names = command.list_commands(context) if hasattr(command, "list_commands") else []
    if name != "carousel":
        yield f"{'#' * len(name.split())} {name}\n"
    yield f"{_plain(command.help or '')}\n"
    groups: dict[str, list[Any]] = {}
    for p in command.params if name != "carousel" else ():
        if not getattr(p, "hidden", False):
            kind = "Argument" if p.param_type_name == "argument" else "Option"
            groups.setdefault(getattr(p, "rich_help_panel", None) or kind, []).append(p)
    for heading, parameters in groups.items():
        yield f"| {heading} | |\n| --- | --- |"
        yield from (_row(*record) for p in parameters if (record := p.get_help_record(context)))
        yield ""
    if command.epilog:
        before, _, example = command.epilog.partition(": ")
        yield f"{before}: `{'`, then `'.join(example.split(', then '))}`\n"
    for each in names:
        yield from _command(command.get_command(context, each), f"{name} {each}")


def _row(names: str, told: str) -> str:
    """A line of a table, as ``--help`` has it."""
    return f"| `{names}` | {_plain(told)} |"


def _plain(text: str) -> str:
    """Help as Markdown that shows just its characters."""
    return re.sub(r"([|*_\[])", r"\\\1", " ".join(inspect.cleandoc(text).split()).replace("<", "&lt;"))


# Functions


def functions() -> Iterator[str]:
    """The functions of the equations: names, operands, what they say of themselves."""
    yield "| function | for each unit |\n| --- | --- |"
    for function in (*FUNCTIONS.values(), identity, *OVER_UNITS.values()):
        said, _, _ = (inspect.getdoc(function) or "").partition("\n\n")
        yield f"| `{function.__name__}({', '.join(inspect.signature(function).parameters)})` | {_plain(said)} |"


# Cells


def papers() -> Iterator[str]:
    """The cells of papers: a table by family and year, then drawing, equations and states of each."""
    entries = [entry for entry in catalogue() if entry.cell.name in PAPERS | BRANCHED]
    for family, meaning in MEANING.items():
        yield f"\n**{family.capitalize()}**: {meaning}.\n\n| cell | year | parameters | |\n| --- | --- | --- | --- |"
        for entry in (x for x in entries if x.family == family):
            c = entry.cell
            yield f"| [{c.name}](#{c.name}) | {entry.year} | {c.count(200, 200, 200, *[200] * len(c.sized)):,} | {c.doc} |"
    for entry in entries:
        yield from _cell(entry.cell)


def cells() -> Iterator[str]:
    """The cells of the lectures: a table, then drawing, equations and states of each."""
    yield "| cell | gates | parameters | |\n| --- | --- | --- | --- |"
    for c in CELLS.values():
        yield f"| [{c.name}](#{c.name}) | {' '.join(c.gates)} | {c.count(200, 200):,} | {c.doc} |"
    for c in CELLS.values():
        yield from _cell(c)


def _size(like: int | str | None) -> str:
    return "one number a row" if like == 1 else "any size" if like is None else f"as {like}"


def _cell(c: Cell) -> Iterator[str]:
    citation = inspect.getdoc(c.function).partition("\n")[2].strip()
    yield f"\n## {c.name}\n\n{c.doc}\n\n{citation}\n"
    yield f"```\n{c.text}\n```\n"
    if c.inputs:
        yield f"Inputs beside `e`: {', '.join(f'`{n}` ({_size(like)})' for n, like in c.inputs.items())}. "
    yield f"States: {', '.join(f'`{s}`' for s in c.states)}; the first is the output. In the library: "
    layer = ("Grid" if set(c.before) == {"up", "left"} else "Tree") if c.before else "Recurrent"
    yield f'`{layer}("{c.name}", …)`.\n'
    yield f"![{c.name}, drawn from its equations](cells/{c.name}.svg)"


# The notebook


def notebook(document: dict[str, Any]) -> dict[str, str | bytes]:
    """A notebook as a page and its pictures, by name."""
    lines: list[str] = []
    made: dict[str, str | bytes] = {}
    for k, cell in enumerate(document["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            lines.append(f"{source}\n")
            continue
        lines.append(f"```python\n{source}\n```\n")
        for output in cell["outputs"]:
            data = output.get("data", {"text/plain": output.get("text", "")})
            kind = next((kind for kind in PICTURES if kind in data), "text/plain")
            content = "".join(data[kind])
            if "text/html" in data:
                lines.append("".join(data["text/html"]) + "\n")
                continue
            if kind == "text/plain":
                lines.append(f"```{{.text .output}}\n{content.rstrip()}\n```\n")
                continue
            picture = f"{NOTEBOOK}/{k}.{PICTURES[kind]}"
            made[picture] = content if kind == "image/svg+xml" else base64.b64decode(content)
            lines.append(f"![What the cell above shows]({Path(picture).relative_to('tutorial')})\n")
    lines.append(f"[The notebook itself]({Path(NOTEBOOK).name}.ipynb)\n")
    return {f"{NOTEBOOK}.md": "\n".join(lines), **made}
