"""Translators as C programs: they translate as the greedy search does, from whole lines."""

import subprocess

import pytest
import torch
from compiled_c import SANITIZED, built, needs_compiler

from carousel.errors import InputError
from carousel.export.c99.translator import of_translator
from carousel.export.targets import TARGETS, Origin, write_translator
from carousel.text.vocabulary import Vocabulary
from carousel.translation.model import Translator, TranslatorConfig
from carousel.translation.translate import Interpreter

pytestmark = needs_compiler

LINES = [
    "the cat sat on the mat",
    "",
    "the cat",
    "  \t",
    "a dog and another cat ½ sat; they'll go",
    "mat " * 40,
    "žluťoučký kůň",
]
OTHERS = ["kočka seděla na podložce", "pes a jiná kočka", "půjdou", "žluťoučký kůň"]


def made(kind="word", seed=1, **options):
    torch.manual_seed(seed)
    source, target = (Vocabulary.train(kind, lines * 2, 300) for lines in (LINES, OTHERS))
    config = TranslatorConfig(**{"embedding": 10, "hidden": 12, "dropout": 0.0, **options})
    model = Translator(source.size, target.size, config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)
        model.output.bias[target.end] -= 1  # so that translations are long
        if target.unknown is not None:
            model.output.bias[target.unknown] += 9  # the likeliest, which is never written
    return model, source, target


def translated(program, lines, before=()):
    text = "\ufeff" + "".join(f"{line}\n" for line in lines)
    done = subprocess.run([*before, program], input=text.encode(), capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode(errors="replace").split("\n")[:-1]


def wanted(model, source, target, lines):
    return [t[0].text for t in Interpreter(model, source, target, beam=1).lines(lines)]


@pytest.mark.parametrize(
    "options",
    [
        {"layers": 2, "decoder_layers": 2},
        {"cell": "lstm-v3", "bidirectional": True, "layers": 2, "attention": "general", "decoder_layers": 2},
        {"cell": "gru", "attention": "additive", "kind": "char"},
        {"cell": "clockwork", "attention": "dot", "tied": True, "kind": "bpe"},
        {"cell": "lstm-v4", "projection": 5, "bidirectional": True, "decoder_layers": 2},
        {"bidirectional": True, "layers": 3, "subsample": "2,1,3", "attention": "general"},
        {"cell": "gru", "layers": 2, "subsample": "1,2", "decoder_layers": 2, "kind": "char"},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
def test_lines_are_translated_as_by_greedy_search(options, tmp_path):
    model, source, target = made(**options)
    program = built(of_translator(model, source, target), tmp_path, "-DMAIN", *SANITIZED)
    found = translated(program, LINES)
    expected = wanted(model, source, target, LINES)
    assert found == expected and len(set(found)) > 3


def test_lines_that_are_too_long_are_cut_and_fewer_bits_translate(tmp_path):
    model, source, target = made()
    text = of_translator(model, source, target, "int8").replace("#define MODEL_LONGEST 1000", "#define MODEL_LONGEST 5")
    program = built(text, tmp_path, "-DMAIN", *SANITIZED)
    lines = f"{LINES[0]}\nthe cat sat on\nthe cat sat\n"
    done = subprocess.run([program], input=lines.encode(), capture_output=True, check=True)
    assert done.stderr == b"line 1 is longer than 4 tokens\n"
    cut, same, shorter = done.stdout.splitlines()
    assert cut == same != shorter


def test_other_targets_have_no_translators(tmp_path):
    for name in ("c-bare", "wasm", "onnx"):
        with pytest.raises(InputError, match=f"a translator cannot be written as {name}, only as c, js or html"):
            write_translator(*made(), tmp_path / "model.c", TARGETS[name], "float32", Origin("run", lambda: ""))
