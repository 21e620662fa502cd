"""Recipes: named files of settings for training, each with its papers and the result that it reached."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from carousel import files
from carousel.errors import InputError
from carousel.language.config import TextConfig
from carousel.language.model import ModelConfig
from carousel.training.config import TrainConfig
from carousel.training.fields import is_of, settings

FOLDER = Path(__file__).parent
SECTIONS: dict[str, type] = {"text": TextConfig, "model": ModelConfig, "training": TrainConfig}
RESULT = {"text": str, "perplexity": float, "measured": str, "command": str}  # where there is one, it says all of this
NOT_MEASURED = "not yet measured"


@dataclass(frozen=True)
class Recipe:
    """Settings under a name.

    Attributes:
        name: the file's name without its suffix.
        about: a sentence about it.
        papers: the papers that it follows.
        differs: its differences from them, in a sentence.
        settings: fields of ``TextConfig``, ``ModelConfig`` and ``TrainConfig`` with their values.
        result: the ``text``, the static test ``perplexity``, the conditions (``measured``) and the command; empty before it
            is measured.
        source: the text of the file.
    """

    name: str
    about: str
    papers: tuple[str, ...]
    differs: str
    settings: dict[str, Any]
    result: dict[str, Any]
    source: str

    @property
    def told(self) -> str:
        """The result in a line, or that there is none."""
        return (
            f"{self.result['perplexity']:.2f} on {self.result['text']}, {self.result['measured']}"
            if self.result
            else NOT_MEASURED
        )


def names() -> list[str]:
    """Return the names of the recipes that come with Carousel."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def recipe(name: str | Path) -> Recipe:
    """Return a recipe by its name, or read one from a file, whose name ends in ``.toml``.

    Raises:
        InputError: no recipe has that name, or the file holds none.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if str(name) not in names():
            near = get_close_matches(str(name), names(), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names())}, and files that end in .toml"
            raise InputError(f"no recipe is called {str(name)!r}; {hint}")
        path = FOLDER / f"{name}.toml"
    source = files.read(path)
    try:
        content = tomllib.loads(source)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not TOML: {error}") from None
    return _checked(path, content, source)


def _checked(path: Path, content: dict[str, Any], source: str) -> Recipe:
    found: dict[str, Any] = {}
    _refuse_unknown(path, content, {*SECTIONS, "about", "papers", "differs", "result"}, "")
    for section, kind in SECTIONS.items():
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
    if result and not (isinstance(result, dict) and {k: type(v) for k, v in result.items()} == RESULT):
        raise InputError(f"{path}: a result has {', '.join(RESULT)}, and perplexity is a number with a point")
    return Recipe(path.stem, content.get("about", ""), tuple(papers), content.get("differs", ""), found, result, source)


def _refuse_unknown(path: Path, values: dict[str, Any], known: set[str], where: str) -> None:
    for name in values:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise InputError(f"{path} has an unknown key {name!r}{where}" + (f"; did you mean {near[0]!r}?" if near else ""))
