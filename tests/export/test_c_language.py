"""Language models as C programs: they score and write as the model does, with every kind of vocabulary."""

import math
import shutil
import subprocess
from functools import cache

import pytest
import torch
from compiled_c import SANITIZED, built, needs_compiler

from carousel.errors import InputError
from carousel.export.c99.language import of_language
from carousel.language.generate import generate
from carousel.language.model import LanguageModel, ModelConfig
from carousel.language.score import score
from carousel.text.encoded import EncodedText
from carousel.text.vocabulary import Vocabulary

pytestmark = needs_compiler

LINES = [
    "The cat sat on the mat, and the cat's hat wasn't the cat's.",
    "",
    "   ",
    "  Two  spaces,\ttabs\u00a0and 12 345 numbers: ½, ², Ⅷ; they'll've gone ...  ",
    "Škoda žluťoučký kůň — 猫が座った。 naïve?? “quotes” \U0001f600!",
    "?? trigraphs ??/ and \\ slashes \" ' $ % \x7f",
    "the mat the cat the hat the end",
]


def made(kind, **config):
    torch.manual_seed(1)
    vocabulary = Vocabulary.train(kind, LINES[:4] * 2, 320 if kind == "bpe" else 40)
    options = {"hidden": 24, "embedding": 24, "layers": 2, "dropout": 0.0, **config}
    model = LanguageModel(vocabulary.size, ModelConfig(**options)).eval()
    with torch.no_grad():
        for p in model.parameters():
            p *= 4  # so that predictions are not all alike
        if vocabulary.unknown is not None:
            model.output.bias[vocabulary.unknown] += 9  # the likeliest, which is never written
    return model, vocabulary


def program(model, vocabulary, folder, **how):
    return built(of_language(model, vocabulary, **how), folder, "-DMAIN", *SANITIZED)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The model, the vocabulary and the program of each kind of vocabulary, compiled once."""

    @cache
    def of_kind(kind):
        model, vocabulary = made(kind)
        return model, vocabulary, program(model, vocabulary, tmp_path_factory.mktemp(kind))

    return of_kind


def perplexity(made, text, before=()):
    done = subprocess.run([*before, made, "-p"], input=text.encode(), capture_output=True)
    assert done.returncode == 0, done.stderr
    _, value, tokens, _ = done.stdout.decode().split()
    return float(value.rstrip(",")), int(tokens)


def expected(model, vocabulary, lines, folder):
    corpus = EncodedText.encode(iter(lines), vocabulary, folder, "text")
    found = score(model, corpus, vocabulary.end, sentences=model.fresh_at is not None)
    return found.perplexity, found.tokens


@pytest.mark.parametrize("kind", ["word", "char", "bpe"])
def test_perplexity_is_that_of_the_score(kind, programs, tmp_path):
    model, vocabulary, runs = programs(kind)
    wanted, tokens = expected(model, vocabulary, LINES, tmp_path)
    for text in ("\n".join(LINES) + "\n", "\ufeff" + "\r\n".join(LINES)):
        value, count = perplexity(runs, text)
        assert count == tokens and value == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("kind", ["word", "char", "bpe"])
def test_it_writes_what_the_model_writes(kind, programs):
    model, vocabulary, runs = programs(kind)
    for prompt in ("", "The cat", "  Škoda "):
        wanted = "".join(generate(model, vocabulary, prompt, count=40, temperature=0.0))
        done = subprocess.run([runs, "-n", "40", "-t", "0", prompt], capture_output=True)
        text = done.stdout.decode(errors="replace")
        assert text == f"{prompt}{wanted}\n" or (kind == "bpe" and text.startswith(f"{prompt}{wanted[:8]}"))


def test_sentences_begin_with_new_states_and_tied_weights_are_one(tmp_path):
    model, vocabulary = made("word", tied=True, cell="lstm-v3")
    model.fresh_at = vocabulary.end
    wanted, tokens = expected(model, vocabulary, LINES, tmp_path)
    value, count = perplexity(program(model, vocabulary, tmp_path), "\n".join(LINES))
    assert count == tokens and value == pytest.approx(wanted, rel=1e-5)
    assert "model_output[" not in of_language(model, vocabulary)


@pytest.mark.parametrize("options", [{"hidden": [12, 9, 14], "layers": 3}, {"layers": 3, "skip": "residual"}], ids=str)
def test_layers_of_several_sizes_and_residual_connections(options, tmp_path):
    model, vocabulary = made("word", **options)
    wanted, _ = expected(model, vocabulary, LINES, tmp_path)
    assert perplexity(program(model, vocabulary, tmp_path), "\n".join(LINES))[0] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_fewer_bits_change_little(precision, tmp_path):
    model, vocabulary = made("char")
    wanted, _ = expected(model, vocabulary, LINES, tmp_path)
    value, _ = perplexity(program(model, vocabulary, tmp_path, precision=precision), "\n".join(LINES))
    assert value != wanted and math.log(value) == pytest.approx(math.log(wanted), rel=0.02)


def test_drawn_text_follows_the_seed(programs):
    _, _, runs = programs("char")

    def text(*options):
        return subprocess.run([runs, "-n", "60", *options], capture_output=True, check=True).stdout

    assert text("-s", "7") == text("-s", "7") != text("-s", "8")
    assert text("-t", "0.5") != text("-t", "2")


@pytest.mark.parametrize("arguments", [["-n"], ["-n", "many"], ["-t", "-1"], ["-t", "nan"], ["-x", "1"]])
def test_options_that_are_none_are_refused(arguments, programs):
    done = subprocess.run([programs("char")[2], *arguments], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("usage: ") and done.stderr.count("\n") == 1 and not done.stdout


@pytest.mark.skipif(not (shutil.which("aarch64-linux-gnu-gcc") and shutil.which("qemu-aarch64")), reason="no AArch64 tools")
def test_on_another_processor_it_does_the_same(tmp_path):
    model, vocabulary = made("bpe")
    wanted, tokens = expected(model, vocabulary, LINES, tmp_path)
    runs = built(of_language(model, vocabulary), tmp_path, "-DMAIN", "-O2", "-static", compiler=["aarch64-linux-gnu-gcc"])
    value, count = perplexity(runs, "\n".join(LINES), before=["qemu-aarch64"])
    assert count == tokens and value == pytest.approx(wanted, rel=1e-5)


def test_an_adaptive_output_layer_is_refused():
    vocabulary = Vocabulary.train("word", [f"w{k}" for k in range(2000)])
    model = LanguageModel(vocabulary.size, ModelConfig(hidden=16, embedding=16, softmax="adaptive"))
    with pytest.raises(InputError, match="`softmax` adaptive cannot be exported to C"):
        of_language(model, vocabulary)
