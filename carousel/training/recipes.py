"""Recipes: named files of settings for training, each with its papers and the result that it reached."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from carousel import files
from carousel.errors import InputError
from carousel.training.fields import is_of, settings

NOT_MEASURED = "not yet measured"


@dataclass(frozen=True)
class Recipe:
    """Settings under a name.

    Attributes:
        name: the file's name without its suffix.
        about: a sentence about it.
        papers: the papers that it follows.
        differs: its differences from them, in a sentence.
        settings: fields of a run's configuration with their values.
        result: the ``text``, the number that was reached by its name, the conditions (``measured``) and the command; empty
            before it is measured.
        source: the text of the file.
        reached: the name of that number: "perplexity", of the test; "bleu".
    """

    name: str
    about: str
    papers: tuple[str, ...]
    differs: str
    settings: dict[str, Any]
    result: dict[str, Any]
    source: str
    reached: str

    @property
    def told(self) -> str:
        """The result in a line, or that there is none."""
        return (
            f"{self.result[self.reached]:.2f} on {self.result['text']}, {self.result['measured']}"
            if self.result
            else NOT_MEASURED
        )


@dataclass(frozen=True)
class Recipes:
    """The recipes that come with Carousel for one kind of run, and files of one's own for it.

    Attributes:
        folder: where their files lie.
        sections: the class of settings of each table of a file.
        reached: the name of the number in a result.
        about: words for that number.
        command: the command that takes them.
    """

    folder: Path
    sections: Mapping[str, type]
    reached: str
    about: str
    command: str

    def names(self) -> list[str]:
        """Return the names of the recipes that come with Carousel."""
        return sorted(path.stem for path in self.folder.glob("*.toml"))

    def recipe(self, name: str | Path) -> Recipe:
        """Return a recipe by its name, or read one from a file, whose name ends in ``.toml``.

        Raises:
            InputError: no recipe has that name, or the file holds none.
        """
        path, known = Path(name), self.names()
        if path.suffix != ".toml":
            if str(name) not in known:
                raise unknown(str(name), known, f"recipe of {self.command}")
            path = self.folder / f"{name}.toml"
        source = files.read(path)
        try:
            content = tomllib.loads(source)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise InputError(f"{path} is not TOML: {error}") from None
        return self._checked(path, content, source)

    def _checked(self, path: Path, content: dict[str, Any], source: str) -> Recipe:
        found: dict[str, Any] = {}
        _refuse_unknown(path, content, {*self.sections, "about", "papers", "differs", "result"}, "")
        for section, kind in self.sections.items():
            values = content.get(section, {})
            types = {f.name: str(f.type) for f in fields(kind)}
            about = settings(kind)
            if not isinstance(values, dict):
                raise InputError(f"{path}: {section} must be a table")
            _refuse_unknown(path, values, {name for name in types if name in about and about[name].help}, f" in {section}")
            for name, value in values.items():
                reason = None if is_of(types[name], value) else f"must be {types[name]}, not {value!r}"
                if reason := reason or about[name].refusal(value):
                    raise InputError(f"{path}: {section}.{name} {reason}")
            found |= values
        papers, result = content.get("papers", []), content.get("result", {})
        if not is_of("list[str]", papers) or not all(isinstance(content.get(key, ""), str) for key in ("about", "differs")):
            raise InputError(f"{path}: about and differs are text, papers are a list of texts")
        said = {"text": str, self.reached: float, "measured": str, "command": str}
        if result and not (isinstance(result, dict) and {k: type(v) for k, v in result.items()} == said):
            raise InputError(f"{path}: a result has {', '.join(said)}, and {self.reached} is a number with a point")
        about, differs = content.get("about", ""), content.get("differs", "")
        return Recipe(path.stem, about, tuple(papers), differs, found, result, source, self.reached)


def unknown(name: str, known: Sequence[str], what: str) -> InputError:
    """Return the refusal of a name, with the nearest one that is there."""
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}, and files that end in .toml"
    return InputError(f"no {what} is called {name!r}; {hint}")


def _refuse_unknown(path: Path, values: dict[str, Any], known: set[str], where: str) -> None:
    for name in values:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise InputError(f"{path} has an unknown key {name!r}{where}" + (f"; did you mean {near[0]!r}?" if near else ""))
