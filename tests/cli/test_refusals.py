"""Bad input gets one clear line and status 2; nothing is left half-written."""

import json
import os
import shutil

import pytest


def one_line(result, *parts):
    status, _, err = result
    assert status == 2
    assert err.startswith("carousel: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["trian"], "Did you mean 'train'"),
        (["train"], "give a text file"),
        (["train", "none.txt"], "cannot read"),
        (["train", "."], "is a folder"),
        (["train", "text.txt", "--cell", "lsmt"], "did you mean lstm"),
        (["train", "text.txt", "--cell", "cfc"], "cell cfc takes d beside its input, and nothing here feeds that"),
        (["compare", "text.txt", "--cells", "lstm,gru-d"], "cell gru-d takes k, d beside its input"),
        (["gradients", "--cells", "ltc"], "cell ltc takes d beside its input"),
        (["tasks", "run", "adding", "--T", "100", "--cell", "time-lstm"], "cell time-lstm takes d beside its input"),
        (["bench", "lm", "text.txt", "--cell", "augru"], "cell augru takes a beside its input"),
        (["train", "text.txt", "--cell", "mdlstm"], "a step of cell mdlstm follows several, and here one follows one"),
        (["bench", "kernels", "--cells", "lstm,tree-lstm"], "a step of cell tree-lstm follows several"),
        (["train", "text.txt", "--lr", "fast"], "--lr"),
        (["train", "text.txt", "--lr", "-1"], "lr must be above 0"),
        (["train", "text.txt", "--vocab", "letters"], "word or char or bpe"),
        (["train", "text.txt", "--schedule", "steps"], "cosine or linear or plateau"),
        (["train", "text.txt", "--feed", "lines"], "stream or sentences"),
        (["train", "text.txt", "--dropout", "1.5"], "probability"),
        (["train", "text.txt", "--batch-size", "5000"], "fewer than one batch of 5000 rows"),
        (["train", "text.txt", "--projection", "3"], "has no projection"),
        (["train", "text.txt", "--resume", "run"], "leave the files out"),
        (["train", "--resume", "none"], "no such folder"),
        (["score", "none", "text.txt"], "no such folder"),
        (["generate", "."], "has no config.json"),
        (["translate", "none", "--beam", "99999999999999999999"], "--beam"),
        (["translate", "none", "--rows", "99999999999999999999"], "--rows"),
        (["compare", "text.txt", "--cells", "rnn,nope"], "no cell is called 'nope'"),
        (["cells", "lstm-v9"], "lstm-v"),
        (["serve", "--corpus", "text.txt"], "--corpus is for the page of a run: carousel serve RUN"),
        (["serve", "--annotations", "none"], "--annotations is for the page of a run"),
        (["serve", "none"], "no such folder"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_one_line(carousel, text, arguments, part):
    one_line(carousel(*arguments), part)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "is empty"),
        (b"good\n\xff\n", "offset 5"),
        (b"a\0b\n", "NUL byte at offset 1"),
        (b"x" * 10_000_000, "longer than 1 MiB"),
        (b"no no no\n" * 400, "vocabulary of 1 word"),
    ],
    ids=["empty", "not UTF-8", "NUL", "10 MB line", "one word"],
)
def test_text_that_cannot_be_used(carousel, tmp_path, content, part, small):
    (tmp_path / "bad.txt").write_bytes(content)
    one_line(carousel("train", "bad.txt", *small), part)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["bad.txt"]


@pytest.mark.parametrize("command", [("train",), ("compare", "--cells", "rnn")], ids=["train", "compare"])
def test_once_the_texts_are_mended_the_same_command_works(carousel, text, command, small):
    good, held_out = text.read_text(), text.with_name("valid.txt")
    text.write_text("some other words\n" * 200)
    held_out.write_text("the cat\n\0")  # refused when the vocabulary is there already
    arguments = (*command, text, "--valid", held_out, *small, "--epochs", 1)
    one_line(carousel(*arguments), "NUL byte")
    text.write_text(good)
    held_out.write_text(good)
    status, _, err = carousel(*arguments)
    assert status == 0, err
    (vocabulary,) = {p.resolve() for p in text.parent.rglob("vocab.json")}
    assert "other" not in vocabulary.read_text()


def test_a_folder_that_holds_something_else_is_left_alone(carousel, text, small):
    one_line(carousel("train", text, *small, "--out", text.parent), "is not an empty folder")
    assert [p.name for p in text.parent.iterdir()] == ["text.txt"]


def test_weights_that_are_missing_cut_short_or_foreign(carousel, trained, text, small):
    path = trained / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    one_line(carousel("score", trained, text), "is not whole")
    path.write_bytes(b"not tensors")
    one_line(carousel("generate", trained), "no safetensors file")
    path.unlink()
    one_line(carousel("score", trained, text), "is missing")
    assert carousel("train", text, *small, "--epochs", 1, "--cell", "gru", "--out", "other")[0] == 0
    path.write_bytes((trained.parent / "other" / "model.safetensors").read_bytes())
    one_line(carousel("score", trained, text), "is not this run's", "lstm-v2 needs")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda c: c.update(modle={}), "did you mean 'model'"),
        (lambda c: c["model"].update(hiden=3), "did you mean 'hidden'"),
        (lambda c: c["model"].update(hidden="many"), "model.hidden must be int"),
        (lambda c: c["training"].update(lr=None), "training.lr must be float"),
        (lambda c: c["model"].update(cell="nope"), "no cell is called"),
    ],
    ids=["key", "nested key", "type", "null", "cell"],
)
def test_a_config_that_cannot_be(carousel, trained, text, change, part):
    path = trained / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    one_line(carousel("score", trained, text), part)


def test_a_config_that_is_no_json(carousel, trained, text):
    (trained / "config.json").write_text("{")
    one_line(carousel("score", trained, text), "is not JSON")


def test_a_flipped_bit_in_the_encoded_text_is_refused(carousel, trained):
    path = trained / "data" / "train.words"
    content = bytearray(path.read_bytes())
    content[101] ^= 0x40
    path.write_bytes(content)
    one_line(carousel("train", "--resume", trained), "train.* is not this run's encoded text")
    shutil.rmtree(trained / "data")
    assert carousel("train", "--resume", trained)[0] == 0  # as the line says


def test_metrics_that_are_no_text_are_refused(carousel, trained):
    with (trained / "metrics.jsonl").open("ab") as file:
        file.write(b"\xff\xfe\n")
    one_line(carousel("train", "--resume", trained), "metrics.jsonl is not UTF-8")


@pytest.mark.parametrize("name", ["config.json", "vocab.json", "model.safetensors", "metrics.jsonl", "data/valid.words"])
def test_a_folder_where_a_file_should_be(carousel, trained, text, name):
    (trained / name).unlink()
    (trained / name).mkdir()
    one_line(carousel("train", "--resume", trained), name.partition(".")[0])


def test_a_name_that_is_too_long_is_bad_input(carousel, text, small):
    for arguments in (("train", "x" * 300), ("train", text, *small, "--out", "x" * 300), ("score", "x" * 300, text)):
        one_line(carousel(*arguments), "File name too long")
    assert [p.name for p in text.parent.iterdir()] == ["text.txt"]


def test_a_line_break_in_a_name_is_shown_as_one_writes_it(carousel, tmp_path):
    (tmp_path / "a\nb\x1b[31m.txt").write_bytes(b"x\0")
    one_line(carousel("train", "a\nb\x1b[31m.txt"), r"a\nb\x1b[31m.txt has a NUL byte")


def test_a_name_that_is_no_text(carousel, text, small):
    name = os.fsdecode(b"\xff.txt")
    one_line(carousel("train", text, *small, "--out", name), r"cannot write to \udcff.txt: its name is not UTF-8")
    text.rename(text.with_name(name))
    status, _, err = carousel("train", name, *small, "--epochs", 1, "--out", "run", "--json")
    assert status == 0, err
    assert json.loads(carousel("score", "run", name, "--json")[1])["file"] == name


@pytest.mark.parametrize(
    "options", [("--hidden", 10**20), ("--layers", 10**9), ("--batch-size", 10**20), ("--vocab-size", 2**40)]
)
def test_a_size_that_overflows_is_refused(carousel, text, options):
    one_line(carousel("train", text, *options), options[0])
    assert [p.name for p in text.parent.iterdir()] == ["text.txt"]


def test_a_size_in_a_config_that_overflows_is_refused(carousel, trained):
    path = trained / "config.json"
    path.write_text(path.read_text().replace('"hidden": 8', f'"hidden": {10**20}'))
    one_line(carousel("generate", trained), "model.hidden must be at most 1048576")


def test_more_than_the_memory_is_one_line(carousel, trained, text, monkeypatch):
    def full(*arguments):
        raise RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 858993459200 bytes."
        )

    monkeypatch.setattr("carousel.runs.language.load_run", full)
    status, _, err = carousel("score", trained, text)
    assert (status, err.count("\n")) == (1, 1)
    assert "not enough memory" in err


def test_ctrl_c_is_told(carousel, trained, text, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("carousel.runs.language.load_run", interrupted)
    status, _, err = carousel("score", trained, text)
    assert (status, err) == (130, "carousel: interrupted; finished work is kept, nothing is half-written\n")


def test_a_pipe_is_no_text(carousel, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    one_line(carousel("train", "pipe"), "is a pipe or a device")
    one_line(carousel("train", "/dev/full"), "is a pipe or a device")


def test_a_pipe_is_not_replaced_by_a_file(carousel, trained, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for option in ("--figure", "--npz"):
        one_line(carousel("valves", trained, "the cat", option, "pipe.png"), "cannot write pipe.png: it is a pipe or a device")
    assert (tmp_path / "pipe.png").is_fifo()


def test_a_run_that_names_no_text_is_refused(carousel, trained):
    config = json.loads((trained / "config.json").read_text())
    config["text"]["train"] = []
    (trained / "config.json").write_text(json.dumps(config))
    one_line(carousel("train", "--resume", trained), "names no text to train on")


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "bad.txt"),
        ("compare", "bad.txt", "--cells", "rnn"),
        ("claims", "projection", "bad.txt", "--seeds", "1"),
        ("translate", "train", "bad.txt", "bad.txt"),
        ("compare", "bad.txt", "--cells", "rnn", "--out", "here"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("content", [b"a b\n\0\n" * 30, b"one line", b"a b c\n" * 12], ids=["NUL", "one line", "too short"])
def test_nothing_is_left_of_a_text_that_was_refused(carousel, tmp_path, arguments, content):
    (tmp_path / "bad.txt").write_bytes(content)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "notes").write_text("the user's own")
    if "translate" in arguments and content.startswith(b"a b c"):
        arguments += ("--longest", "2")  # pairs may be few, but not none
    one_line(carousel(*arguments))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["bad.txt", "here", "notes"]


def test_no_pickle_is_ever_read():
    from pathlib import Path

    import carousel

    sources = "".join(p.read_text() for p in Path(carousel.__file__).parent.rglob("*.py"))
    for word in ("import pickle", "torch.load", "joblib", "marshal", "allow_pickle=True"):
        assert word not in sources
    assert sources.count("np.load(") == sources.count("np.load(path, allow_pickle=False)")


def test_a_trained_run_keeps_its_vocabulary_though_its_text_is_gone(carousel, trained, text):
    before = (trained / "vocab.json").read_bytes()
    shutil.rmtree(trained / "data")
    text.unlink()
    status, _, err = carousel("train", "--resume", trained)
    assert (status, err.count("\n")) == (2, 1)
    assert (trained / "vocab.json").read_bytes() == before


@pytest.mark.parametrize("options", [["--temperature", "-1"], ["--clamp", "none"], ["--clamp", "q=0"], ["--top-p", "2"]])
def test_a_refusal_is_one_line_though_the_prompt_has_unknown_words(carousel, trained, options):
    one_line(carousel("generate", "run", "--prompt", "xyzzy", *options))
