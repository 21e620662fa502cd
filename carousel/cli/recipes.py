"""``carousel recipes``: named settings for training."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from carousel.cli import options, screen
from carousel.errors import InputError
from carousel.language.recipes import RECIPES as OF_LANGUAGE
from carousel.training.recipes import Recipe, Recipes, unknown
from carousel.translation.recipes import RECIPES as OF_TRANSLATION

EXAMPLE = "Example: carousel recipes awd > mine.toml, then carousel train book.txt --recipe mine.toml"
KINDS = (OF_LANGUAGE, OF_TRANSLATION)


def command(
    name: Annotated[str | None, typer.Argument(help="Print the file of this recipe.", show_default=False)] = None,
    json: options.Json = False,
) -> None:
    """List the recipes of carousel train and carousel translate train, each with its result; or print one."""
    if name:
        kind, found = _found(name)
        if json:
            screen.print_json(_as_dict(kind, found))
        else:
            print(found.source, end="")
        return
    every = [(kind, kind.recipe(each)) for kind in KINDS for each in kind.names()]
    if json:
        screen.print_json([_as_dict(kind, each) for kind, each in every])
        return
    for kind, each in every:
        print(f"{each.name} ({kind.command})\n  {each.about}")
        print("\n".join(f"  {paper}." for paper in each.papers))
        print(f"  {kind.about}: {each.told}\n")


def _found(name: str) -> tuple[Recipes, Recipe]:
    """Return a recipe and its kind; for a file, the first that can read it. Raises InputError where there is none."""
    if not name.endswith(".toml"):
        known = {each: kind for kind in KINDS for each in kind.names()}
        if name not in known:
            raise unknown(name, list(known), "recipe")
        return known[name], known[name].recipe(name)
    refusals = []
    for kind in KINDS:
        try:
            return kind, kind.recipe(name)
        except InputError as error:
            refusals.append(error)
    raise refusals[0]


def _as_dict(kind: Recipes, recipe: Recipe) -> dict[str, Any]:
    told = {"name": recipe.name, "command": kind.command, "about": recipe.about, "papers": recipe.papers}
    return told | {"differs": recipe.differs, "settings": recipe.settings, "result": recipe.result or None}
