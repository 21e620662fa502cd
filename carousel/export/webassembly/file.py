"""A WebAssembly module and the JavaScript around it, with its types."""

from __future__ import annotations

from pathlib import Path

import carousel
from carousel.export.c99 import file, language
from carousel.export.c99.layers import further, seen_of
from carousel.export.javascript import file as js
from carousel.export.webassembly.compiler import compiled
from carousel.language.model import LanguageModel
from carousel.layers import Recurrent
from carousel.text.vocabulary import Vocabulary

EXPORTS = """
#define EXPORT(name) __attribute__((export_name(#name)))
extern unsigned char __heap_base;
EXPORT(heap) unsigned long wasm_heap(void) { return (unsigned long)&__heap_base; }
EXPORT(size) unsigned long wasm_size(void) { return sizeof(model_state); }
EXPORT(init) void wasm_init(model_state *s) { model_init(s); }
"""
HERE = Path(__file__).parent


def of_layer(layer: Recurrent, precision: str = "float32") -> dict[str, bytes]:
    """Return layers as WebAssembly with a JavaScript module around it: ``load()`` of the module promises ``Layers``.

    Args:
        layer: layers that read in one direction. The module holds their parameters.
        precision: of dense weights: float32, bfloat16 or int8. All sums are in float32.

    Returns:
        The contents of three files by their suffixes: ``.wasm``, ``.js`` and its types, ``.d.ts``.

    Raises:
        InputError: the compiler is missing; the layers read in both directions, are a ``Grid`` or ``Tree``, or have weights
            that are not finite; or no precision has that name.
    """
    body = file.layers_code(layer, precision, open=True)
    given = further(layer.cell)
    step = f"EXPORT(step) void wasm_step(model_state *s, const float *x, {given}float *y) {{\n"
    step += f"  model_step(s, x, {_names(given)}y);\n}}\n"
    code = f"{file.head(layer, precision)}{file.helpers(body)}\n{body}{EXPORTS}{_opened(layer)}{step}"
    end = "export async function load(source = beside()) {\n"
    end += f"  return new WasmLayers(await instantiated(source), {js.as_json(_shape(layer))});\n}}\n"
    return _files(code, f"{layer!r}, weights in {precision}", [], end, "layers")


def of_language(model: LanguageModel, vocabulary: Vocabulary, precision: str = "float32") -> dict[str, bytes]:
    """Return a language model as WebAssembly; ``load()`` promises a ``LanguageModel``. Otherwise as ``of_layer``."""
    layer = model.recurrent
    token = "EXPORT(token) void wasm_token(model_state *s, int token, float *logits) { model_token(s, token, logits); }\n"
    code = f"{language.of_language(model, vocabulary, precision, open=True)}{EXPORTS}{_opened(layer)}{token}"
    shape = js.as_json(_shape(layer) | {"vocabulary": vocabulary.size})
    end = "export async function load(source = beside()) {\n"
    end += f"  const layers = new WasmLayers(await instantiated(source), {shape});\n"
    end += f"  return new LanguageModel(layers, {js.as_json(js.about(model, vocabulary))});\n}}\n"
    return _files(code, f"{layer!r}, weights in {precision}", [*js.READING, "language"], end, "language")


def _files(code: str, said: str, parts: list[str], end: str, types: str) -> dict[str, bytes]:
    glue = (HERE / "layers.js").read_text("utf-8")
    module = f"// {said}. Made by carousel {carousel.__version__}.\n\n" + "\n".join([glue, *map(js.part, parts), end])
    return {".wasm": compiled(code), ".js": module.encode(), ".d.ts": js.types(types).encode()}


def _opened(layer: Recurrent) -> str:
    """Return the C functions that find arrays of seen and held values by number, and release all held values."""
    members = [(f"l{n}_{name}", units) for n in range(layer.num_layers) for name, units in seen_of(layer, n).items()]
    found = ""
    for what in ("seen", "held"):
        cases = "".join(f"    case {k}: return s->{member}_{what};\n" for k, (member, _) in enumerate(members))
        found += f"EXPORT({what}) float *wasm_{what}(model_state *s, int at) {{\n"
        found += f"  switch (at) {{\n{cases}    default: return 0;\n  }}\n}}\n"
    free = "".join(f"  for (k = 0; k < {units}; k++) s->{member}_held[k] = NAN;\n" for member, units in members)
    return f"{found}EXPORT(release) void wasm_release(model_state *s) {{\n  int k;\n{free}}}\n"


def _shape(layer: Recurrent) -> dict[str, object]:
    """Return the description of layers that ``WasmLayers`` takes."""
    further = [None if x.is_number else layer.cell.length(x.size, *layer.sizes()) for x in layer.cell.trace.inputs]
    return {
        "seen": [seen_of(layer, n) for n in range(layer.num_layers)],
        "inputs": [layer.input_size, *further],
        "outputs": layer.output_size,
        "vocabulary": 0,
    }


def _names(parameters: str) -> str:
    """Return the names of C's parameters, each with a comma after it."""
    return "".join(f"{each.split()[-1].lstrip('*')}, " for each in parameters.split(",") if each.strip())
