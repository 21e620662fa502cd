"""A small run to look into, and the server before it."""

import json
import shutil
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import uvicorn
from small_examples import examples
from small_labels import OF_SERIES, as_text, sentences, table, trees

from carousel import LabellerRun, TranscriberRun, train
from carousel.corpora import listops
from carousel.export.rounding import in_bytes
from carousel.language.config import Config, TextConfig
from carousel.language.model import LanguageModel, ModelConfig
from carousel.text.encoded import EncodedText
from carousel.text.vocabulary import Vocabulary
from carousel.training.run_folder import save_model
from carousel.translation.config import PairsConfig, TranslationConfig
from carousel.translation.model import Translator, TranslatorConfig
from carousel.web.server import create_app, create_cell_app, listen

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LINES = ["the boy who waits near the king lost his hat", "the girl who sings lost her hat", "a king and a queen read"]


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run folder with an untrained LSTM v3 of two layers and 9 units, beside a file that is nobody's business."""
    folder = tmp_path_factory.mktemp("runs") / "boys-and-girls"
    folder.mkdir()
    (folder.parent / "secret.txt").write_text("nobody's business")
    torch.manual_seed(1)
    vocabulary = Vocabulary.train("word", LINES)
    config = Config(TextConfig(LINES), ModelConfig("lstm-v3", 8, 9, 2, forget_bias=1.0))
    model = LanguageModel(vocabulary.size, config.model)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)  # so that words and valves make a difference
            if p.ndim == 2:  # a page with weights in 8 bits has the same
                whole, scale = in_bytes(p.numpy())
                p.copy_(torch.tensor(whole * scale[:, None]))
    config.save(folder)
    vocabulary.save(folder / "vocab.json")
    save_model(model, folder)
    EncodedText.encode(LINES, vocabulary, folder / "data", "valid")
    return folder


@pytest.fixture(scope="session")
def translator(tmp_path_factory):
    """A run folder with an untrained translator, memory only."""
    return _translator(tmp_path_factory, TranslatorConfig("lstm-v2", embedding=8, hidden=9, attention="none"))


@pytest.fixture(scope="session")
def looking_translator(tmp_path_factory):
    """The same with attention, an encoder of two layers in two directions and a decoder of three layers."""
    config = TranslatorConfig("gru", 8, 9, layers=2, bidirectional=True, attention="additive", decoder_layers=3)
    return _translator(tmp_path_factory, config)


@pytest.fixture(scope="session")
def narrowing(tmp_path_factory):
    """A server of a translator with attention whose encoder is a pyramid."""
    config = TranslatorConfig("gru", 8, 9, layers=2, subsample="1,2", attention="general")
    yield from _serve(_translator(tmp_path_factory, config))


def _translator(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("runs") / "english-czech"
    folder.mkdir()
    torch.manual_seed(1)
    lines = [*LINES, "kluk který čeká ztratil klobouk", "dívka která zpívá ztratila klobouk"]
    vocabulary = Vocabulary.train("word", lines)
    config = TranslationConfig(PairsConfig(["a", "b"], vocabulary="word"), model)
    model = Translator(vocabulary.size, vocabulary.size, config.model)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(4)
            if p.ndim == 2 and len(p) > 1:  # a page with weights in 8 bits has the same
                whole, scale = in_bytes(p.numpy())
                p.copy_(torch.tensor(whole * scale[:, None]))
    config.save(folder)
    vocabulary.save(folder / "vocab.json")
    save_model(model, folder)
    EncodedText.encode(LINES, vocabulary, folder / "data", "valid.source")
    return folder


@pytest.fixture(scope="session")
def server(run):
    """The server in a thread of its own: ``address``, and ``ask(path, body=None, **headers)`` → (status, JSON or text)."""
    yield from _serve(run)


@pytest.fixture(scope="session")
def pieces(tmp_path_factory):
    """The same for a language model that reads byte pairs."""
    folder = tmp_path_factory.mktemp("runs") / "pieces"
    folder.mkdir()
    vocabulary = Vocabulary.train("bpe", LINES * 3, 600)
    config = Config(TextConfig(LINES, vocabulary="bpe"), ModelConfig("gru", 8, 9))
    config.save(folder)
    vocabulary.save(folder / "vocab.json")
    save_model(LanguageModel(vocabulary.size, config.model), folder)
    yield from _serve(folder)


@pytest.fixture(scope="session")
def translating(translator):
    """The same for the translator."""
    yield from _serve(translator)


@pytest.fixture(scope="session")
def looking(looking_translator):
    """The same for the translator with attention."""
    yield from _serve(looking_translator)


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory):
    """The folders of an RNN and an LSTM v3 that were trained a little on one text, and kept weights every 10 steps."""
    room = tmp_path_factory.mktemp("two")
    (room / "text.txt").write_text("\n".join(LINES * 20) + "\n")
    how = {"hidden": 9, "embedding": 8, "epochs": 4, "batch_size": 4, "length": 8, "log_every": 5, "keep_every": 10, "lr": 0.02}
    for cell in ("rnn", "lstm-v3"):
        train(room / "text.txt", room / cell, cell=cell, **how)
    return room / "rnn", room / "lstm-v3"


@pytest.fixture(scope="session")
def side_by_side(two_runs):
    """A server of both, the RNN first."""
    yield from _serve(*two_runs)


@pytest.fixture
def serve():
    """``serve(run, *beside)`` gives a server for one test."""
    with ExitStack() as stack:
        yield lambda *runs, **how: stack.enter_context(contextmanager(_serve)(*runs, **how))


@pytest.fixture(scope="session")
def of_trees(tmp_path_factory):
    """The folder of a Tree-LSTM that learnt the labels of all nodes of small trees, which are true or false."""
    room = tmp_path_factory.mktemp("trees")
    for part, seed, count in (("train", 1, 200), ("test", 2, 20)):
        (room / f"{part}.txt").write_text("\n".join(trees(count, seed)) + "\n")
    how = {"trees": "labelled", "least_count": 1, "hidden": 9, "layers": 2, "dropout": 0.0, "threads": 1}
    how |= {"epochs": 3, "lr": 0.03, "warmup": 2, "batch_size": 8, "keep_every": 20}
    LabellerRun.train(room / "train.txt", room / "logic", test=room / "test.txt", cell="tree-lstm", **how)
    return room / "logic"


@pytest.fixture(scope="session")
def of_expressions(tmp_path_factory):
    """The folder of a Tree-LSTM that has read some ListOps, one label for the whole."""
    room = tmp_path_factory.mktemp("listops")
    listops.write(room, {"train": 60, "valid": 10, "test": 20})
    how = {"trees": "plain", "whole": True, "spelling": False, "hidden": 9, "epochs": 1, "threads": 1}
    LabellerRun.train(
        room / "train.tsv", room / "ops", valid=room / "valid.tsv", test=room / "test.tsv", cell="tree-lstm", **how
    )
    return room / "ops"


@pytest.fixture(scope="session")
def of_words(tmp_path_factory):
    """The folder of a labeller that learnt to tag each word with the next one, in both directions."""
    room = tmp_path_factory.mktemp("words")
    for part, seed, count in (("train", 1, 200), ("test", 2, 20)):
        (room / f"{part}.txt").write_text(as_text(sentences(count, seed)))
    how = {"hidden": 9, "layers": 2, "bidirectional": True, "dropout": 0.0, "threads": 1}
    how |= {"epochs": 3, "lr": 0.03, "warmup": 2, "batch_size": 8, "keep_every": 20}
    LabellerRun.train(room / "train.txt", room / "tags", test=room / "test.txt", **how)
    return room / "tags"


@pytest.fixture(scope="session")
def of_table(tmp_path_factory):
    """The folder of a labeller of whole series, hardly trained."""
    room = tmp_path_factory.mktemp("table")
    (room / "train.csv").write_text(table(40))
    LabellerRun.train(room / "train.csv", room / "kinds", **OF_SERIES, whole=True, hidden=5, epochs=1, threads=1)
    return room / "kinds"


@pytest.fixture(scope="session")
def tagging(of_words):
    """A server of the tags."""
    yield from _serve(of_words)


@pytest.fixture(scope="session")
def of_series(tmp_path_factory):
    """The folder of a transcriber that learnt series a little, in both directions, each output of two steps."""
    room = tmp_path_factory.mktemp("series")
    for part, seed, count in (("train", 1, 120), ("test", 2, 20)):
        np.savez(room / f"{part}.npz", **examples(count, seed))
    how = {"reads": "series", "layers": 2, "hidden": 8, "subsample": "1,2", "dropout": 0.0, "threads": 1}
    how |= {"epochs": 12, "batch_size": 8, "warmup": 2, "lr": 0.03, "keep_every": 50}
    TranscriberRun.train(room / "train.npz", room / "letters", test=room / "test.npz", **how)
    return room / "letters"


@pytest.fixture(scope="session")
def of_images(tmp_path_factory):
    """The folder of a transcriber of images that was hardly trained: two layers of grids, scanned from four corners."""
    folder = tmp_path_factory.mktemp("images") / "digits"
    how = {"reads": "grid", "hidden": 4, "subsample": "1x1,3x2", "between": 5, "strings": 12, "epochs": 1, "threads": 1}
    TranscriberRun.train("digits", folder, **how)
    return folder


@pytest.fixture(scope="session")
def spelling(of_series):
    """A server of the series."""
    yield from _serve(of_series)


@pytest.fixture(scope="session")
def scanning(of_images):
    """A server of the images."""
    yield from _serve(of_images)


@pytest.fixture(scope="session")
def growing(of_trees):
    """A server of the trees whose nodes have labels."""
    yield from _serve(of_trees)


@pytest.fixture(scope="session")
def computing(of_expressions):
    """A server of the ListOps expressions."""
    yield from _serve(of_expressions)


@pytest.fixture(scope="session")
def writing():
    """The same without a run: cells are written."""
    yield from _serve_app(create_cell_app())


def _serve(run, *beside, **how):
    yield from _serve_app(create_app(run, beside=beside, **how))


def _serve_app(app):
    listening, address = listen("127.0.0.1", 0)
    made = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
    thread = threading.Thread(target=made.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()

    def ask(path, body=None, **headers):
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"} | headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                status, content, found = reply.status, reply.read().decode(), reply.headers
        except urllib.error.HTTPError as error:
            status, content, found = error.code, error.read().decode(), error.headers
        is_json = found.get("Content-Type", "").startswith("application/json")
        return status, json.loads(content) if is_json else content

    yield SimpleNamespace(address=address, ask=ask)
    made.should_exit = True
    thread.join(10)


@pytest.fixture(scope="session")
def browser():
    """Chromium, headless: one for all tests."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser):
    """``open_page(address, width=1200, scheme="light", height=900)``; at the end nothing may have been said on the console, but
    that the server answered ``begin.expected``."""
    contexts, said = [], []

    def begin(address, width=1200, scheme="light", height=900, **options):
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce", **options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(8000)
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
        page.goto(address)
        page.wait_for_selector(begin.until)
        return page

    begin.expected, begin.until = "nothing of the kind", "#words .word"
    yield begin
    for context in contexts:
        context.close()
    assert [line for line in said if begin.expected not in line] == []
