"""``carousel export``: a file that is whole, or a line."""

import json
import re
import subprocess

import pytest
from compiled_c import built, needs_compiler

from carousel.runs.translator import TranslatorRun


@pytest.fixture
def run(carousel, text, small):
    status, _, err = carousel("train", text, *small, "--epochs", 1, "-o", "run")
    assert status == 0, err
    return "run"


@needs_compiler
def test_the_program_scores_as_the_command_does(carousel, run, text, tmp_path):
    status, out, err = carousel("export", run, "-o", "model.c")
    assert status == 0 and "cc -O3 -DMAIN model.c -lm -o model" in out, err
    score = json.loads(carousel("score", run, text, "--json")[1])
    program = built((tmp_path / "model.c").read_text(), tmp_path, "-DMAIN")
    done = subprocess.run([program, "-p"], stdin=(tmp_path / text).open(), capture_output=True, text=True, check=True)
    assert float(done.stdout.split()[1].rstrip(",")) == pytest.approx(score["perplexity"], rel=1e-5)
    rounded = json.loads(carousel("score", run, text, "--precision", "int8", "--json")[1])["perplexity"]
    assert rounded != score["perplexity"] and rounded == pytest.approx(score["perplexity"], rel=0.01)
    smaller = json.loads(carousel("export", run, "-o", "small.c", "--precision", "int8", "--valid", text, "--json")[1])
    assert smaller["perplexity"] == rounded and smaller["perplexity_float32"] == score["perplexity"]
    assert smaller["precision"] == "int8" and smaller["files"] == {"small.c": (tmp_path / "small.c").stat().st_size}


def test_a_page_and_a_module_go_out_with_the_run_s_own_words(carousel, run, tmp_path):
    status, out, err = carousel("export", run, "-o", "model.html")
    assert status == 0 and "open model.html in a browser" in out, err
    page = (tmp_path / "model.html").read_text()
    known = json.loads(re.search('<script type="application/json" id="saved">(.*)</script>', page)[1])["answers"]["api/run"]
    example = json.loads(carousel("export", run, "-o", "again.html", "--precision", "bfloat16", "--json")[1])
    assert known["run"] == "run" and known["precision"] == "int8" and known["example"] and example["precision"] == "bfloat16"
    status, out, err = carousel("export", run, "-o", "model.js")
    assert status == 0 and 'import { load } from "./model.js"' in out, err
    assert (tmp_path / "model.d.ts").exists()
    status, out, err = carousel("export", run, "-o", "model-1.5", "--to", "js")
    assert status == 0 and 'from "./model-1.5.js"' in out and (tmp_path / "model-1.5.d.ts").exists(), err


@needs_compiler
def test_a_translator_is_a_program(carousel, tmp_path):
    (tmp_path / "a.txt").write_text("a b\nb a\n" * 20)
    (tmp_path / "b.txt").write_text("c d\nd c\n" * 20)
    small = ["--vocab", "word", "--hidden", 8, "--embedding", 8, "--epochs", 1, "-o", "run"]
    status, _, err = carousel("translate", "train", "a.txt", "b.txt", *small)
    assert status == 0, err
    status, out, err = carousel("export", "run", "-o", "model.c")
    assert status == 0 and "cc -O3 -DMAIN model.c -lm -o model && ./model < lines.txt" in out, err
    program = built((tmp_path / "model.c").read_text(), tmp_path, "-DMAIN")
    done = subprocess.run([program], input="a b\nb b\n", capture_output=True, text=True, check=True)
    translator = TranslatorRun(tmp_path / "run")
    assert done.stdout == "".join(f"{translator.translate(line, beam=1).text}\n" for line in ("a b", "b b"))
    status, _, err = carousel("export", "run", "-o", "model.c", "--to", "c-bare")
    assert status == 2 and "a translator cannot be written as c-bare" in err and err.count("\n") == 1


def test_a_model_of_onnx_is_written_and_opened(carousel, run, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    status, out, err = carousel("export", run, "-o", "model.onnx")
    assert status == 0 and out.count("\n") == 2 and "python -c 'import onnxruntime" in out, err
    told = json.loads(carousel("export", run, "-o", "small.onnx", "--precision", "int8", "--json")[1])
    assert told["to"] == "onnx" and told["files"]["small.onnx"] < (tmp_path / "model.onnx").stat().st_size
    names = [x.name for x in runtime.InferenceSession(tmp_path / "small.onnx").get_outputs()]
    assert names == ["logits", "m_after", "h_after"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["run", "-o", "no/model.c"], "there is no folder no"),
        (["run", "-o", "run"], "it is a folder"),
        (["run", "-o", "model.c", "--precision", "int4"], "int4"),
        (["run", "-o", "model.c", "--to", "fortran"], "fortran"),
        (["run", "-o", "model.c", "--valid", "none.txt"], "none.txt"),
        (["run", "-o", "model"], "model has no ending that says what to write; say it: --to c or c-bare or"),
        (["run", "-o", "model.c", "--precision", "float16"], "float16"),
        (["run"], "--out"),
        (["nowhere", "-o", "model.c"], "nowhere"),
        (["run", "-o", "model.c", "--examples", 2], "leave --examples out"),
    ],
)
def test_bad_input_is_one_line(carousel, run, tmp_path, arguments, part):
    status, out, err = carousel("export", *arguments)
    assert status == 2 and part in err and err.count("\n") == 1 and not out
    assert not (tmp_path / "model.c").exists()
