"""The kinds of files that hold a trained language model: one record each, which the command and Python read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from carousel import files
from carousel.errors import InputError
from carousel.export.onnx18 import weights as onnx_weights
from carousel.language.model import LanguageModel
from carousel.layers.precision import PRECISIONS as LAYERS
from carousel.text.vocabulary import Vocabulary
from carousel.translation.model import Translator

if TYPE_CHECKING:
    from carousel.export.javascript.file import Script


@dataclass(frozen=True)
class Origin:
    """The run of a model: its ``name``, and a function ``example`` that returns a text such as the model reads."""

    name: str
    example: Callable[[], str]


@dataclass(frozen=True)
class Translating:
    """The way in which a target holds translators.

    Attributes:
        write: a function of a translator, its two vocabularies, a precision and the model's origin, which returns the contents
            of all files by their suffixes.
        next: as a target's.
    """

    write: Callable[[Translator, Vocabulary, Vocabulary, str, Origin], dict[str, bytes]]
    next: Callable[[Path], str]


@dataclass(frozen=True)
class Target:
    """A kind of file.

    Attributes:
        name: the value of the option `to`.
        about: one line for the help.
        precisions: possible precisions of the weights, the usual one first.
        write: a function of a model, its vocabulary, a precision and the model's origin, which returns the contents of all
            files by their suffixes.
        next: a function of the file's path, which returns a line with a way to try the file.
        translating: the same of translators; None where the target takes none.
    """

    name: str
    about: str
    precisions: tuple[str, ...]
    write: Callable[[LanguageModel, Vocabulary, str, Origin], dict[str, bytes]]
    next: Callable[[Path], str]
    translating: Translating | None = None

    def check(self, precision: str) -> None:
        """Raise InputError for a precision that the weights cannot have."""
        if precision not in self.precisions:
            raise InputError(f"`precision` of {self.name} must be {' or '.join(self.precisions)}, not {precision!r}")


def target(name: str | None, path: Path) -> Target:
    """Return a target by its name or, for None, by the suffix of a file. Raises InputError for an unknown one."""
    if name is None and (name := path.suffix.removeprefix(".")) not in TARGETS:
        raise InputError(f"{path} has no ending that says what to write; say it: `to` {' or '.join(TARGETS)}")
    if name not in TARGETS:
        raise InputError(f"`to` must be {' or '.join(TARGETS)}, not {name!r}")
    return TARGETS[name]


def write(
    model: LanguageModel, vocabulary: Vocabulary, path: Path, to: Target, precision: str | None, origin: Origin
) -> list[Path]:
    """Write all files of a target, each whole, and return their paths. ``precision`` None: the target's usual one."""
    precision = precision or to.precisions[0]
    to.check(precision)
    return _written(path, to.write(model, vocabulary, precision, origin))


def write_translator(
    model: Translator,
    source: Vocabulary,
    target: Vocabulary,
    path: Path,
    to: Target,
    precision: str | None,
    origin: Origin,
) -> list[Path]:
    """Write a translator, as ``write`` does a language model. Raises InputError for a target without translators."""
    if to.translating is None:
        able = [t.name for t in TARGETS.values() if t.translating]
        raise InputError(f"a translator cannot be written as {to.name}, only as {', '.join(able[:-1])} or {able[-1]}")
    precision = precision or to.precisions[0]
    to.check(precision)
    return _written(path, to.translating.write(model, source, target, precision, origin))


def _written(path: Path, contents: dict[str, bytes]) -> list[Path]:
    base = path.with_suffix("") if path.suffix in contents else path  # "model-1.5" has no end of its own
    paths = [base.with_name(base.name + end) for end in contents]
    for place, content in zip(paths, contents.values(), strict=True):
        files.write(place, content)
    return paths


def _c(model: LanguageModel, vocabulary: Vocabulary, precision: str, _: Origin) -> dict[str, bytes]:
    from carousel.export.c99.language import of_language

    return {".c": of_language(model, vocabulary, precision).encode()}


def _c_translator(model: Translator, source: Vocabulary, target: Vocabulary, precision: str, _: Origin) -> dict[str, bytes]:
    from carousel.export.c99.translator import of_translator

    return {".c": of_translator(model, source, target, precision).encode()}


def _bare(model: LanguageModel, vocabulary: Vocabulary, precision: str, _: Origin) -> dict[str, bytes]:
    from carousel.export.c99.language import of_language

    return {".c": of_language(model, vocabulary, precision, libm=False).encode()}


def _object(path: Path) -> str:
    return f"cc -O2 -ffreestanding -c {path}"


def _compiled(path: Path) -> str:
    name = path.with_suffix("").name
    return f'cc -O3 -DMAIN {path} -lm -o {name} && ./{name} -n 50 -t 0.8 "The"'


def _translates(path: Path) -> str:
    name = path.with_suffix("").name
    return f"cc -O3 -DMAIN {path} -lm -o {name} && ./{name} < lines.txt"


def _js(model: LanguageModel, vocabulary: Vocabulary, precision: str, _: Origin) -> dict[str, bytes]:
    from carousel.export.javascript import file

    module = file.of_language(model, vocabulary, precision).module()
    return {".js": module.encode(), ".d.ts": file.types("language").encode()}


def _js_translator(model: Translator, source: Vocabulary, target: Vocabulary, precision: str, _: Origin) -> dict[str, bytes]:
    from carousel.export.javascript import file
    from carousel.export.javascript.translator import of_translator

    module = of_translator(model, source, target, precision).module()
    return {".js": module.encode(), ".d.ts": file.types("translator").encode()}


def _wasm(model: LanguageModel, vocabulary: Vocabulary, precision: str, _: Origin) -> dict[str, bytes]:
    from carousel.export.webassembly.file import of_language

    return of_language(model, vocabulary, precision)


def _html(model: LanguageModel, vocabulary: Vocabulary, precision: str, origin: Origin) -> dict[str, bytes]:
    from carousel.export.javascript.file import of_language

    return _page(model, vocabulary, of_language(model, vocabulary, precision), precision, origin)


def _html_translator(
    model: Translator, source: Vocabulary, target: Vocabulary, precision: str, origin: Origin
) -> dict[str, bytes]:
    from carousel.export.javascript.translator import of_translator

    return _page(model, source, of_translator(model, source, target, precision), precision, origin)


def _page(
    model: LanguageModel | Translator, vocabulary: Vocabulary, script: Script, precision: str, origin: Origin
) -> dict[str, bytes]:
    from carousel.export.html import page
    from carousel.page.facts import facts

    known = facts(model, vocabulary, run=origin.name, example=origin.example())
    return {".html": page(known, script, precision).encode()}


def _imported(path: Path) -> str:
    module = path.with_suffix(".js").name
    return f'in JavaScript: import {{ load }} from "./{module}"; console.log((await load()).generate("The"))'


def _asked(path: Path) -> str:
    return f'in JavaScript: import {{ load }} from "./{path.name}"; console.log((await load()).translate("..."))'


def _opened(path: Path) -> str:
    return f"open {path} in a browser, with or without a network"


def _onnx(model: LanguageModel, vocabulary: Vocabulary, precision: str, _: Origin) -> dict[str, bytes]:
    from carousel.export.onnx18.language import of_language

    return {".onnx": of_language(model, vocabulary, precision).SerializeToString()}


def _answered(path: Path) -> str:
    return f"""python -c 'import onnxruntime; print(*onnxruntime.InferenceSession("{path}").get_outputs(), sep="\\n")'"""


PRECISIONS = tuple(LAYERS)
SMALL_FIRST = PRECISIONS[::-1]
C = Translating(_c_translator, _translates)
JS = Translating(_js_translator, _asked)
HTML = Translating(_html_translator, _opened)
TARGETS = {
    t.name: t
    for t in (
        Target("c", "one C99 file that needs math.h alone", PRECISIONS, _c, _compiled, C),
        Target("c-bare", "one C99 file that needs no library, for small processors", PRECISIONS, _bare, _object),
        Target("js", "one JavaScript module that needs nothing", PRECISIONS, _js, _imported, JS),
        Target("wasm", "WebAssembly with a JavaScript module", PRECISIONS, _wasm, _imported),
        Target("html", "the page of `carousel serve` in one file, alive without a server", SMALL_FIRST, _html, _opened, HTML),
        Target("onnx", "a model for ONNX Runtime", onnx_weights.PRECISIONS, _onnx, _answered),
    )
}
