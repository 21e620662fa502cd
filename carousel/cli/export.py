"""``carousel export``: a trained model for other machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
PRECISIONS = [*dict.fromkeys(p for t in TARGETS.values() for p in t.precisions)]

PRECISION = f"Of the weights: {', '.join(PRECISIONS)}. By default {PRECISIONS[0]}, in a page int8."


def command(
    run: options.Run,
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write.", show_default=False)],
    to: Annotated[str | None, typer.Option(help=TO, show_default=False)] = None,
    precision: Annotated[str | None, typer.Option(help=PRECISION, show_default=False)] = None,
    valid: Annotated[Path | None, typer.Option(help="Held-out text: tell what fewer bits cost.", show_default=False)] = None,
    examples: Annotated[int, typer.Option(min=1, max=100, help="Examples in the page of a labeller or a transcriber.")] = 3,
    json: options.Json = False,
) -> None:
    """Write a model as a file that runs without Python: C, JavaScript, a page, WebAssembly, ONNX.

    A translator goes to C, JavaScript and a page. Of a labeller or a transcriber, a page has examples, and no model.
    """
    files.check(out)
    kind = target(to, out)
    precision = precision or kind.precisions[0]
    kind.check(precision)
    model = load(run)
    if isinstance(model, Trials):
        raise InputError(f"{run} holds trials, which have no model to export")
    if isinstance(model, LabellerRun | TranscriberRun) and kind.name == "html":
        if precision != kind.precisions[0] or valid is not None:
            raise InputError("a page of examples holds no weights; leave `precision` and `valid` out")
        from carousel.web.server import page_of_examples  # here: no other target needs it

        with screen.busy(f"writing {out.name}"):
            files.write(out, page_of_examples(model, examples).encode())
        if json:
            screen.print_json({"run": str(run), "files": {str(out): out.stat().st_size}, "to": kind.name})
        else:
            print(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)\n{kind.next(out)}")
        return
    if not isinstance(model, LanguageRun | TranslatorRun):
        raise InputError(f"{run} holds the run of a {model.config.kind}; language models and translators are exported")
    scores = _scores(model, valid, precision)
    with screen.busy(f"writing {out.name}"):
        written = model.export(out, kind.name, precision)
    sizes = {str(path): path.stat().st_size for path in written}
    if json:
        screen.print_json({"run": str(run), "files": sizes, "to": kind.name, "precision": precision, **scores})
        return
    for path, size in sizes.items():
        print(f"wrote {path} ({size / 1e6:.1f} MB)")
    if scores:
        before, after = scores["perplexity_float32"], scores["perplexity"]
        print(f"perplexity {after:.4f}, in float32 {before:.4f} ({after / before - 1:+.2%})")
    way = kind if isinstance(model, LanguageRun) else kind.translating
    assert way is not None  # else nothing was written
    print(way.next(out))


def _scores(model: LanguageRun | TranslatorRun, valid: Path | None, precision: str) -> dict[str, float]:
    """Return the perplexity of a held-out text with weights of this precision, and with those of the run."""
    if valid is None:
        return {}
    if not isinstance(model, LanguageRun):
        raise InputError("a translator is not scored by a text; leave --valid out")
    with model.encoded(valid) as corpus, screen.busy("scoring"):
        before, after = (m.score(corpus).perplexity for m in (model, model.rounded(precision)))
    return {"perplexity": after, "perplexity_float32": before}
