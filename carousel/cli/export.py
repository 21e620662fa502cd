"""``carousel export``: a trained model for other machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from carousel import files
from carousel.cli import options, screen
from carousel.errors import InputError
from carousel.export.targets import TARGETS, target
from carousel.runs.labeller import LabellerRun
from carousel.runs.language import LanguageRun
from carousel.runs.loading import load
from carousel.runs.transcriber import TranscriberRun
from carousel.runs.translator import TranslatorRun
from carousel.runs.trials import Trials

EXAMPLE = "Example: carousel export runs/book-lstm-v2 -o model.c, then cc -O3 -DMAIN model.c -lm -o model && ./model The"
TO = f"{'; '.join(f'{t.name}: {t.about}' for t in TARGETS.values())}. Without it the end of the file's name decides."
SHOWN = 3  # examples in a page
PRECISIONS = [*dict.fromkeys(p for t in TARGETS.values() for p in t.precisions)]

PRECISION = f"Of the weights: {', '.join(PRECISIONS)}. By default {PRECISIONS[0]}, in a page int8."


def command(
    run: options.Run,
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write.", show_default=False)],
    to: Annotated[str | None, typer.Option(help=TO, show_default=False)] = None,
    precision: Annotated[str | None, typer.Option(help=PRECISION, show_default=False)] = None,
    valid: Annotated[Path | None, typer.Option(help="Held-out text: tell what fewer bits cost.", show_default=False)] = None,
    examples: Annotated[
        int | None,
        typer.Option(min=1, max=100, help=f"Examples in the page of a labeller or a transcriber; by default {SHOWN}."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Write a model as a file that runs without Python: C, JavaScript, a page, WebAssembly, ONNX.

    A translator goes to C, JavaScript and a page. The page of a labeller or a transcriber shows examples and holds no model.
    """
    files.check(out)
    kind = target(to, out)
    given, precision = precision, precision or kind.precisions[0]
    kind.check(precision)
    model = load(run)
    if isinstance(model, Trials):
        raise InputError(f"{run} holds trials, which have no model to export")
    if isinstance(model, LabellerRun | TranscriberRun) and kind.name == "html":
        if given or valid is not None:
            raise InputError("a page of examples holds no weights; leave `precision` and `valid` out")
        from carousel.web.server import page_of_examples  # here: no other target needs it

        with screen.busy(f"writing {out.name}"):
            files.write(out, page_of_examples(model, examples or SHOWN).encode())
        return _tell(run, kind.name, [out], kind.next(out), json)
    if not isinstance(model, LanguageRun | TranslatorRun):
        raise InputError(f"{run} holds the run of a {model.config.kind}; language models and translators are exported")
    if examples is not None:
        raise InputError("only the page of a labeller or a transcriber has examples; leave `examples` out")
    scores = _scores(model, valid, precision)
    with screen.busy(f"writing {out.name}"):
        written = model.export(out, kind.name, precision)
    way = kind if isinstance(model, LanguageRun) else kind.translating
    assert way is not None  # else nothing was written
    _tell(run, kind.name, written, way.next(written[0]), json, {"precision": precision, **scores})


def _tell(
    run: Path, to: str, written: Iterable[Path], next: str, json: bool, further: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Print the files that were written, with their sizes, and the line that tells a way to try them."""
    sizes = {str(path): path.stat().st_size for path in written}
    if json:
        screen.print_json({"run": str(run), "files": sizes, "to": to, **further})
        return
    for path, size in sizes.items():
        print(f"wrote {path} ({size / 1e6:.1f} MB)")
    if "perplexity" in further:
        before, after = further["perplexity_float32"], further["perplexity"]
        print(f"perplexity {after:.4f}, in float32 {before:.4f} ({after / before - 1:+.2%})")
    print(next)


def _scores(model: LanguageRun | TranslatorRun, valid: Path | None, precision: str) -> dict[str, float]:
    """Return the perplexity of a held-out text with weights of this precision, and with those of the run."""
    if valid is None:
        return {}
    if not isinstance(model, LanguageRun):
        raise InputError("a translator is not scored by a text; leave --valid out")
    with model.encoded(valid) as corpus, screen.busy("scoring"):
        before, after = (m.score(corpus).perplexity for m in (model, model.rounded(precision)))
    return {"perplexity": after, "perplexity_float32": before}
