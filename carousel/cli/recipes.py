"""``carousel recipes``: named settings for training."""

from __future__ import annotations

from typing import Annotated

import typer

from carousel.cli import options, screen
from carousel.language.recipes import names, recipe

EXAMPLE = "Example: carousel recipes awd > mine.toml, then carousel train book.txt --recipe mine.toml"


def command(
    name: Annotated[str | None, typer.Argument(help="Print the file of this recipe.", show_default=False)] = None,
    json: options.Json = False,
) -> None:
    """List the recipes of carousel train, each with the result that it reached; or print one."""
    found = [recipe(each) for each in ([name] if name else names())]
    if json:
        told = [
            {
                **{"name": r.name, "about": r.about, "papers": r.papers, "differs": r.differs},
                **{"settings": r.settings, "result": r.result or None},
            }
            for r in found
        ]
        screen.print_json(told[0] if name else told)
    elif name:
        print(found[0].source, end="")
    else:
        for r in found:
            print(f"{r.name}\n  {r.about}")
            print("\n".join(f"  {paper}." for paper in r.papers))
            print(f"  test perplexity: {r.told}\n")
