"""Language models in JavaScript and WebAssembly: they read, score, write and show what the library does, in Node."""

import importlib.util
import subprocess

import numpy as np
import pytest
import torch
from compiled_c import built, needs_compiler
from in_node import needs_node, needs_zig, said

from carousel import Clamp
from carousel.errors import InputError
from carousel.export.c99.language import of_language as in_c
from carousel.export.javascript.file import of_language as in_javascript
from carousel.export.webassembly.file import of_language as in_webassembly
from carousel.insight.watch import read, spans, watch
from carousel.language.generate import generate
from carousel.language.model import LanguageModel, ModelConfig
from carousel.text.vocabulary import Vocabulary

pytestmark = needs_node

LINES = [
    "The cat sat on the mat, and the cat's hat wasn't the cat's.",
    "",
    "   ",
    "  Two  spaces,\ttabs\u00a0and 12 345 numbers: ½, ², Ⅷ; they'll've gone ...  ",
    "Škoda žluťoučký kůň — 猫が座った。 naïve?? “quotes” \U0001f600! \ufeff \x85 \x1c \u3000.",
    "<unk> <eos> \\ slashes \" ' $ % \x7f e\u0301",
    "the mat the cat the hat the end",
]
TEXT = " \x1c The cat sat on žluťoučký \U0001f600 the \n\n hat wasn't  12 \u2003"
CLAMPS = [Clamp("h", 0.25, (0, 3), 2, 5, 1), Clamp("f", 0.0, None, 4), Clamp("m", [0.5, -0.5, 0.25], (7, 2, 4), 3, 6, 0)]

ALL = """
const { load } = await import("./model.js");
const model = await load();
const { vocabulary } = model;
const clamps = given.clamps;
say({
  pieces: given.lines.map((line) => vocabulary.pieces(line)),
  texts: given.lines.map((line) => vocabulary.decode(vocabulary.encode(line))),
  watched: model.watch(given.text, { predictions: 4 }),
  clamped: model.watch(given.text, { predictions: 4, clamps }),
  written: given.prompts.map((prompt) => model.generate(prompt, { count: 40, temperature: 0 })),
  held: model.generate("The", { count: 20, temperature: 0, clamps }),
  drawn: model.generate("The", { count: 60, temperature: 0.9, seed: 7 }),
  again: model.generate("The", { count: 60, temperature: 0.9, seed: 7 }),
  other: model.generate("The", { count: 60, temperature: 0.9, seed: 8 }),
  one: model.generate("The", { count: 40, temperature: 2, topK: 1 }),
  ended: model.generate("The", { count: 4000, temperature: 1.5, seed: 3, stopAtEnd: true }),
  refused: [[1, 2], [1, 2, null], "x"].map((value) => {
    try {
      return model.watch(given.text, { clamps: [{ name: "h", value, units: [0, 1, 2] }] });
    } catch (error) {
      return error.message;
    }
  }),
});
"""


def made(kind, **config):
    torch.manual_seed(1)
    vocabulary = Vocabulary.train(kind, LINES[:4] * 2, 320 if kind == "bpe" else 40)
    model = LanguageModel(
        vocabulary.size, ModelConfig(**{"cell": "lstm-v3", "hidden": 12, "embedding": 12, "layers": 2} | config)
    )
    with torch.no_grad():
        for p in model.parameters():
            p *= 4  # so that predictions are not all alike
        if vocabulary.unknown is not None:
            model.output.bias[vocabulary.unknown] += 3  # often the likeliest, which is never written
    return model.eval(), vocabulary


def asked(model, vocabulary, folder, files):
    for end, content in files.items():
        (folder / f"model{end}").write_bytes(content)
    clamps = [
        {
            "name": c.name,
            "value": torch.as_tensor(c.value).tolist(),
            "units": c.units,
            "from": c.begin,
            "to": c.end,
            "layer": c.layer,
        }
        for c in CLAMPS
    ]
    return said(ALL, folder, {"lines": LINES, "text": TEXT, "clamps": clamps, "prompts": ["", "The cat", " Škoda\nThe"]})


def check(found, model, vocabulary):
    for pieces, line in zip(found["pieces"], LINES, strict=True):
        assert [(p["text"], p["id"]) for p in pieces] == vocabulary.pieces(line)[:-1]
        assert [(p["begin"], p["end"]) for p in pieces] == vocabulary.spans(line)
    assert found["texts"] == [vocabulary.decode(vocabulary.encode(line)) for line in LINES]
    words, ids = read(vocabulary, TEXT)
    for which, clamps in (("watched", []), ("clamped", CLAMPS)):
        wanted, seen = watch(model, vocabulary, TEXT, clamps=clamps, predictions=4), found[which]
        assert seen["words"] == words and seen["known"] == list(wanted.known)
        assert [span and tuple(span) for span in seen["spans"]] == spans(vocabulary, TEXT)
        for name, values in wanted.values.items():
            for ours, theirs in zip(seen["values"][name], values, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(seen["surprisal"][1:], wanted.surprisal[1:], atol=1e-4)
        for likely, expected in zip(seen["predictions"], wanted.predictions, strict=True):
            assert [word for word, _ in likely] == [word for word, _ in expected]
            np.testing.assert_allclose([p for _, p in likely], [p for _, p in expected], atol=1e-5)
    assert found["watched"]["surprisal"] != found["clamped"]["surprisal"] and len(ids) > 10

    def written(prompt, count, **how):
        return "".join(generate(model, vocabulary, prompt, count=count, temperature=0.0, **how))

    assert found["written"] == [written(prompt, 40) for prompt in ("", "The cat", " Škoda\nThe")]
    assert found["held"] == written("The", 20, clamp=CLAMPS)
    assert found["drawn"] == found["again"] != found["other"]
    assert found["one"] == written("The", 40)
    few, *wrong = found["refused"]
    assert few == "h is clamped at 2 values, expected 3" and all(each.startswith("h is clamped at a number") for each in wrong)
    assert found["ended"].endswith("\n") and len(found["ended"]) < 4000


@pytest.mark.parametrize("kind", ["word", "char", "bpe"])
def test_javascript_does_as_the_library(kind, tmp_path):
    model, vocabulary = made(kind, learned_initial=kind == "char")
    model.fresh_at = vocabulary.end if kind == "char" else None
    module = in_javascript(model, vocabulary).module()
    check(asked(model, vocabulary, tmp_path, {".js": module.encode()}), model, vocabulary)


@pytest.mark.parametrize("options", [{"hidden": [12, 9, 14], "layers": 3}, {"layers": 3, "skip": "residual"}], ids=str)
def test_layers_of_several_sizes_and_residual_connections(options, tmp_path):
    model, vocabulary = made("word", **options)
    module = in_javascript(model, vocabulary).module()
    check(asked(model, vocabulary, tmp_path, {".js": module.encode()}), model, vocabulary)


@needs_zig
def test_webassembly_does_as_the_library_and_sentences_begin_anew(tmp_path):
    model, vocabulary = made("bpe", tied=True)
    model.fresh_at = vocabulary.end
    found = asked(model, vocabulary, tmp_path, in_webassembly(model, vocabulary))
    check(found, model, vocabulary)
    scripted = tmp_path / "scripted"
    scripted.mkdir()
    other = asked(model, vocabulary, scripted, {".js": in_javascript(model, vocabulary).module().encode()})
    check(other, model, vocabulary)
    assert other["drawn"] == found["drawn"]


@needs_compiler
def test_a_seed_draws_what_the_program_in_c_draws(tmp_path):
    model, vocabulary = made("char")
    found = asked(model, vocabulary, tmp_path, {".js": in_javascript(model, vocabulary).module().encode()})
    program = built(in_c(model, vocabulary), tmp_path, "-DMAIN", name="program")
    done = subprocess.run([program, "-n", "60", "-t", "0.9", "-s", "7", "The"], capture_output=True, check=True)
    assert done.stdout.decode() == f"The{found['drawn']}\n"


def test_what_cannot_be_is_refused(tmp_path):
    model, vocabulary = made("word")
    (tmp_path / "model.js").write_text(in_javascript(model, vocabulary).module())
    script = """
    const { load } = await import("./model.js");
    const model = await load();
    const asked = [
      () => model.watch(" \\n"),
      () => model.watch("half \\ud800"),
      () => model.reader([{ name: "q", value: 0 }]),
      () => model.reader([{ name: "f", value: NaN }]),
      () => model.reader([{ name: "f", value: 0, units: [12] }]),
      () => model.reader([{ name: "f", value: 0, layer: 2 }]),
      () => model.reader().read(4000),
      () => model.after("The").values("q"),
      () => model.generate("The", { temperature: -1 }),
    ];
    say(asked.map((ask) => { try { ask(); return ""; } catch (error) { return error.message; } }));
    """
    parts = ["empty", "half a character", "nothing called 'q'", "a number", "units are 0 to 11", "layers are 0 to 1"]
    parts += ["no token 4000", "nothing called q", "temperature"]
    for message, part in zip(said(script, tmp_path), parts, strict=True):
        assert part in message
    model = LanguageModel(2000, ModelConfig(hidden=16, embedding=16, softmax="adaptive"))
    with pytest.raises(InputError, match="`softmax` adaptive cannot be exported to JavaScript"):
        in_javascript(model, Vocabulary.train("word", [f"w{k}" for k in range(2000)]))


def test_the_types_name_what_there_is():
    """The declarations and the classes go together."""
    from carousel.export.javascript.file import part, types

    for name in ("generate", "pieces", "watch", "after", "reader", "values", "copy", "encode", "decode", "token"):
        assert f"{name}(" in types("language") and f"{name}(" in part("language") + part("tokens")
    for name in ("start", "reset", "copy", "step", "seen", "held"):
        assert f"{name}(" in types("layers") and f"{name}(" in part("layers")
    assert importlib.util.find_spec("carousel.export.webassembly")
