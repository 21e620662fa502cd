"""Translators in JavaScript: they read, look, write and show what the library does, in Node."""

import numpy as np
import pytest
import torch
from in_node import needs_node, said

from carousel import Clamp
from carousel.export.javascript.translator import of_translator
from carousel.export.rounding import in_bytes
from carousel.insight.translating import watch_translation
from carousel.insight.watch import spans
from carousel.text.vocabulary import Vocabulary
from carousel.translation.model import Translator, TranslatorConfig
from carousel.translation.translate import Interpreter

pytestmark = needs_node

LINES = ["the cat sat on the mat", "", "the cat", "  \t", "a dog and another cat ½ sat; they'll go", "žluťoučký kůň \U0001f600"]
OTHERS = ["kočka seděla na podložce", "pes a jiná kočka", "půjdou", "žluťoučký kůň"]
TEXT = " \x1c the cat sat on  žluťoučký kůň \u2003"
CLAMPS = [Clamp("h", 0.25, (0, 3), 2, 5, 0), Clamp("h", -0.5, (1,), 4, 9), Clamp("h", 0.125, (2,), 0, None, 1)]
# What the page may be asked for: memory alone and attention of every kind, one direction and two, bridges of every kind.
KINDS = [
    {"layers": 2, "decoder_layers": 2},
    {"cell": "lstm-v3", "bidirectional": True, "layers": 2, "attention": "general", "decoder_layers": 3},
    {"cell": "gru", "attention": "additive", "kind": "char", "bidirectional": True, "decoder_layers": 2},
    {"cell": "clockwork", "attention": "dot", "tied": True, "kind": "bpe", "layers": 2},
    {"cell": "lstm-v4", "projection": 5, "bidirectional": True, "decoder_layers": 2},
    {"bidirectional": True, "layers": 3, "subsample": "2,1,3", "attention": "general"},
    {"cell": "gru", "layers": 2, "subsample": "1,2", "decoder_layers": 2, "kind": "char"},
]

ALL = """
const { load } = await import("./model.js");
const model = await load();
const { clamps } = given;
say({
  translated: given.lines.map((line) => model.translate(line)),
  watched: model.watch(given.text, { predictions: 4 }),
  clamped: model.watch(given.text, { predictions: 4, clamps }),
  refused: given.bad.map(refused),
});
function refused([text, clamps]) {
  try {
    model.watch(text, { clamps });
  } catch (error) {
    return error.message;
  }
}
"""


def made(kind="word", seed=1, **options):
    torch.manual_seed(seed)
    source, target = (Vocabulary.train(kind, lines * 2, 300) for lines in (LINES, OTHERS))
    config = TranslatorConfig(**{"embedding": 12, "hidden": 12, "dropout": 0.0, **options})
    model = Translator(source.size, target.size, config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)
        model.output.bias[target.end] -= 1  # so that translations are long
        if target.unknown is not None:
            model.output.bias[target.unknown] += 9  # the likeliest, which is never written
    return model, source, target


def asked(model, source, target, folder, precision="float32"):
    (folder / "model.js").write_text(of_translator(model, source, target, precision).module())
    clamps = [
        {"name": c.name, "value": c.value, "units": c.units, "from": c.begin, "to": c.end, "layer": c.layer} for c in CLAMPS
    ]
    bad = [
        (" \n", []),
        ("a\nb", []),
        ("half \ud800", []),
        ("a", [clamps[0] | {"layer": 3}]),
        ("a", [clamps[0] | {"name": "q"}]),
    ]
    return said(ALL, folder, {"lines": LINES, "text": TEXT, "clamps": clamps, "bad": bad})


@pytest.mark.parametrize("options", KINDS, ids=lambda options: " ".join(map(str, options.values())))
def test_javascript_translates_and_shows_as_the_library(options, tmp_path):
    model, source, target = made(**options)
    found = asked(model, source, target, tmp_path)
    wanted = [t[0].text for t in Interpreter(model, source, target, beam=1).lines(LINES)]
    assert found["translated"] == wanted and len(set(wanted)) > 3
    for which, held in (("watched", []), ("clamped", CLAMPS)):
        seen, shown = found[which], watch_translation(model, source, target, TEXT, clamps=held, predictions=4)
        told = shown.as_dict(7)
        for name in ("words", "known", "source", "translation", "written"):
            assert seen[name] == told[name], name
        assert [tuple(span) for span in seen["spans"]] == spans(source, TEXT)[1:]
        for name, rows in told["values"].items():
            assert [[[x is None for x in word] for word in row] for row in seen["values"][name]] == [
                [[x is None for x in word] for word in row] for row in rows
            ]
            np.testing.assert_allclose(*(np.array(x, float) for x in (seen["values"][name], rows)), rtol=1e-5, atol=1e-5)
        for name in ("surprisal", "attention"):
            assert (seen[name] is None) == (told[name] is None)
            if told[name] is not None:
                np.testing.assert_allclose(*(np.array(x, float) for x in (seen[name], told[name])), atol=1e-4)
        for likely, expected in zip(seen["predictions"], told["predictions"], strict=True):
            assert [word for word, _ in likely] == [word for word, _ in expected]
            np.testing.assert_allclose([p for _, p in likely], [p for _, p in expected], atol=1e-5)
    parts = ["the text is empty", "one sentence", "half a character", "no layer 3", "nothing called 'q'"]
    assert all(part in message for message, part in zip(found["refused"], parts, strict=True)), found["refused"]


def test_eight_bits_are_those_of_the_library(tmp_path):
    model, source, target = made(attention="general", decoder_layers=2)
    found = asked(model, source, target, tmp_path, "int8")
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim == 2:
                whole, scale = in_bytes(p.numpy())
                p.copy_(torch.tensor(whole * scale[:, None]))
    assert found["translated"] == [t[0].text for t in Interpreter(model, source, target, beam=1).lines(LINES)]
