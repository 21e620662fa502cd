"""The server answers questions about one run, refuses the rest in one line, and shows nothing else of the disk."""

import http.client
import re
import threading
from urllib.parse import urlsplit

import pytest

from carousel.errors import InputError
from carousel.insight.translating import watch_translation
from carousel.insight.watch import watch
from carousel.language.folder import load_run
from carousel.layers import Clamp
from carousel.page import facts
from carousel.runs import language
from carousel.runs.language import LanguageRun
from carousel.runs.loading import load
from carousel.translation.folder import load_translator
from carousel.web.application import in_words
from carousel.web.guard import Guard
from carousel.web.server import create_app, listen

TEXT = "the boy who waits near the king lost his hat"


def test_the_run_is_described(server, run):
    status, about = server.ask("api/run")
    assert status == 200
    assert (about["run"], about["cell"], about["layers"]) == ("boys-and-girls", "lstm-v3", 2)
    assert about["valves"] == ["i", "f", "o"] and about["states"] == ["m", "h"] and about["units"]["h"] == 9
    assert about["parameters"] == load_run(run)[0].count()
    assert "hₜ = fₜ ⊙ hₜ₋₁" in about["equations"][2]
    assert about["svg"].startswith("<svg") and about["example"] == TEXT


def test_what_is_watched_is_what_the_library_says(server, run):
    model, vocabulary, _ = load_run(run)
    status, found = server.ask("api/watch", {"text": TEXT, "predictions": 5})
    assert status == 200
    assert [span and TEXT[slice(*span)] for span in found.pop("spans")] == [None, *TEXT.split()]
    assert found == watch(model, vocabulary, TEXT, predictions=5).as_dict()


def test_a_clamp_holds_the_units_layer_and_steps_that_it_names(server, run):
    clamp = {"name": "f", "value": 0.25, "units": [2, 5], "from": 3, "to": 6, "layer": 1}
    _, found = server.ask("api/watch", {"text": TEXT, "clamps": [clamp]})
    model, vocabulary, _ = load_run(run)
    del found["spans"]
    assert found == watch(model, vocabulary, TEXT, clamps=[Clamp("f", 0.25, (2, 5), 3, 6, 1)]).as_dict()
    held = {(k, u) for k, units in enumerate(found["values"]["f"][1]) for u, v in enumerate(units) if v == 0.25}
    assert held == {(k, u) for k in (3, 4, 5) for u in (2, 5)}


def test_gradients_have_a_size_for_every_state_layer_and_word(server):
    status, found = server.ask("api/gradients", {"text": TEXT})
    assert status == 200 and found["predicted"] == "hat"
    for sizes in found["size"].values():
        assert [len(layer) for layer in sizes] == [len(found["words"])] * 2


def test_any_word_flows_back_with_clamps_in_force(server, run):
    clamp, held = {"name": "f", "value": 0.25, "from": 2}, [Clamp("f", 0.25, begin=2)]
    model = LanguageRun(run)
    _, found = server.ask("api/gradients", {"text": TEXT, "word": 4, "clamps": [clamp]})
    assert found == model.gradient_flow(TEXT, word=4, clamp=held) and found["predicted"] == TEXT.split()[3]
    _, found = server.ask("api/connectivity", {"text": TEXT, "name": "h", "clamps": [clamp]})
    assert found == model.connectivity(TEXT, names=["h"], clamp=held).as_dict()
    status, found = server.ask("api/connectivity", {"text": "the " * 100, "name": "h"})
    assert status == 400 and "at most 100 words" in found["error"]


def test_units_are_patched_from_one_text_into_another(server, translating, run):
    other = TEXT.replace("boy", "girl").replace("his", "her")
    status, found = server.ask("api/patch", {"text": TEXT, "other": other, "layer": 0})
    assert status == 200 and found == LanguageRun(run).patch(TEXT, other, layer=0).as_dict()
    for asked, says in (({"other": TEXT}, "the same"), ({"other": other, "layer": 2}, "layers are 0 to 1")):
        status, found = server.ask("api/patch", {"text": TEXT, **asked})
        assert status == 400 and says in found["error"]
    assert translating.ask("api/connectivity", {"text": TEXT, "name": "h"})[0] == 400


def test_unknown_words_are_read_and_said_to_be_unknown(server):
    _, found = server.ask("api/watch", {"text": "the zebra"})
    assert found["words"] == ["<eos>", "the", "zebra"] and found["known"] == [True, True, False]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{", 422, "JSON"),
        ({}, 422, "malformed: Text: "),
        ({"text": 3}, 422, "malformed: Text: "),
        ({"text": TEXT, "more": 1}, 422, "more"),
        ({"text": TEXT, "predictions": 0}, 422, "predictions"),
        ({"text": TEXT, "clamps": [{"name": "f"}]}, 422, "malformed: clamp 1: it takes a number, or the values of a word"),
        ({"text": TEXT, "clamps": [{"name": "f", "value": "shut"}]}, 422, "malformed: Value of clamp 1: "),
        ({"text": TEXT, "clamps": [{"name": "x", "value": 0}]}, 400, "nothing called 'x'"),
        ({"text": TEXT, "clamps": [{"name": "f", "value": 0, "units": [9]}]}, 400, "units are 0 to 8"),
        ({"text": TEXT, "clamps": [{"name": "f", "value": 0, "units": [-1]}]}, 400, "units are 0 to 8"),
        ({"text": TEXT, "clamps": [{"name": "f", "value": 0, "layer": 2}]}, 400, "layers are 0 to 1"),
        ({"text": "  \n "}, 400, "the text is empty"),
        ({"text": "the " * 501}, 400, "at most 500"),
        ({"text": "x" * 20_001}, 400, "at most 20,000"),
        ({"text": "x" * 300_000}, 413, "256 KiB"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(server, body, status, says):
    for question in ("api/watch", "api/gradients") if isinstance(body, bytes) or "clamps" not in body else ("api/watch",):
        if question == "api/gradients" and isinstance(body, dict) and "predictions" in body:
            continue
        found, answer = server.ask(question, body)
        assert found == status
        assert list(answer) == ["error"] and says in answer["error"] and "\n" not in answer["error"]


def test_fields_have_the_words_of_the_page(server):
    assert in_words("lower `batch_size`, or `from`") == "lower batch size, or From"
    labels = re.findall(r"<label[^>]*>(\w+)", server.ask("")[1])
    assert {in_words(f"`{field}`") for field in ("text", "value", "units", "layer", "from", "to")} <= set(labels)


def test_a_body_of_unsaid_length_is_cut_off_at_the_limit(server):
    where = urlsplit(server.address)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=10)
    connection.putrequest("POST", "/api/watch")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    for _ in range(facts.BYTES // 4096 + 1):  # one too many; the server does not wait for an end
        connection.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
    assert connection.getresponse().status == 413


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil.example:80"])
def test_other_hosts_are_refused(server, host):
    status, answer = server.ask("api/run", Host=host)
    assert status == 403 and "does not answer for the host" in answer["error"]


def test_pages_of_other_sites_are_refused(server):
    status, answer = server.ask("api/watch", {"text": TEXT}, Origin="https://evil.example")
    assert status == 403 and "evil.example" in answer["error"]
    assert server.ask("api/watch", {"text": TEXT}, Origin=server.address.rstrip("/"))[0] == 200


@pytest.mark.parametrize(("given", "host", "allowed"), [
    ("192.168.1.5", "192.168.1.5", True),
    ("192.168.1.5", "192.168.1.6", False),
    ("0.0.0.0", "192.168.1.6", True),
    ("0.0.0.0", "evil.example", False),
    ("::1", "::1", True),
])  # fmt: skip
def test_the_host_that_was_given_is_allowed(given, host, allowed):
    assert Guard(None, [given])._allowed(host) is allowed


@pytest.mark.parametrize(
    "path",
    [
        "secret.txt",
        "../secret.txt",
        "static/../../secret.txt",
        "static/..%2f..%2fserver.py",
        "static/%2e%2e/server.py",
        "static/config.json",
        "config.json",
        "model.safetensors",
        "static/",
        "docs",
        "openapi.json",
    ],
)
def test_nothing_else_of_the_disk_can_be_reached(server, path):
    where = urlsplit(server.address)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=10)
    connection.putrequest("GET", "/" + path, skip_host=False)  # as it is: urllib would tidy it up
    connection.endheaders()
    reply = connection.getresponse()
    assert reply.status == 404 and b"nobody" not in reply.read()


def test_the_page_needs_nothing_from_elsewhere(server):
    status, page = server.ask("")
    assert status == 200
    names = re.findall(r'(?:href|src)="(static/[^"]+)"', page)
    assert {"static/main.js", "static/find.js"} < set(names)
    sources = [page]
    while names:
        status, text = server.ask(names.pop())
        assert status == 200
        sources.append(text)
        names += [f"static/{name}" for name in re.findall(r'^import .* from "\./(.+)";', text, re.MULTILINE)]
    foreign = {u for text in sources for u in re.findall(r"https?://[^\s\"'`)]+", text)}
    assert foreign <= {"http://www.w3.org/2000/svg"}


def test_the_browser_is_told_to_load_only_from_here(server):
    where = urlsplit(server.address)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=10)
    connection.request("GET", "/")
    reply = connection.getresponse()
    policy = reply.getheader("Content-Security-Policy")
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert reply.getheader("X-Content-Type-Options") == "nosniff"


def test_requests_do_not_wait_for_each_other(server, monkeypatch):
    """While one reading takes its time, another request is answered."""
    begun, release = threading.Event(), threading.Event()
    true_watch = language.watch

    def slow(model, vocabulary, text, **options):
        if "queen" in text:
            begun.set()
            assert release.wait(15)
        return true_watch(model, vocabulary, text, **options)

    monkeypatch.setattr(language, "watch", slow)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(server.ask("api/watch", {"text": "the queen"})[0])) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    assert begun.wait(15)
    assert server.ask("api/watch", {"text": TEXT})[0] == 200
    assert server.ask("api/run")[0] == 200
    assert found == []  # they still wait
    release.set()
    for thread in threads:
        thread.join(15)
    assert found == [200, 200]


def test_readings_at_once_do_not_mix(server):
    texts = [TEXT, "the girl who sings lost her hat", "a king and a queen read"]
    alone = {t: server.ask("api/watch", {"text": t})[1] for t in texts}
    found = {}

    def ask(text, k):
        found[text, k] = server.ask("api/watch", {"text": text})[1]

    threads = [threading.Thread(target=ask, args=(t, k)) for k in range(4) for t in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 12
    assert all(answer == alone[text] for (text, _), answer in found.items())


def test_a_port_that_is_taken_is_said_to_be(run):
    listening, address = listen("127.0.0.1", 0)
    with listening, pytest.raises(InputError, match=r"cannot listen on 127\.0\.0\.1"):
        listen("127.0.0.1", urlsplit(address).port)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no config\.json"):
        create_app(tmp_path)


def test_a_translator_is_watched_over_both_sentences(translating, translator):
    status, about = translating.ask("api/run")
    assert (status, about["task"], about["example"]) == (200, "translate", TEXT)
    model, source, target, _ = load_translator(translator)
    clamp = {"name": "i", "value": 0, "units": [1], "from": 2, "to": 12}
    status, found = translating.ask("api/watch", {"text": TEXT, "clamps": [clamp]})
    assert status == 200
    assert [TEXT[slice(*span)] for span in found.pop("spans")] == TEXT.split()
    assert found == watch_translation(model, source, target, TEXT, clamps=[Clamp("i", 0.0, (1,), 2, 12)]).as_dict()
    assert translating.ask("api/watch", {"text": "the boy\nthe girl"})[0] == 400
    assert translating.ask("api/gradients", {"text": TEXT})[0] == 400


def test_text_that_is_none_and_half_an_address_are_refused(server):
    assert server.ask("api/watch", b'{"text": "\\ud800 the"}')[0] == 400
    assert server.ask("api/gradients", b'{"text": "\\ud800 the"}')[0] == 400
    assert server.ask("api/run", Origin="http://[::1")[0] == 403


def test_what_is_found_in_the_corpus_is_what_the_library_finds(server, run):
    held = load(run).indexed(name="m", layer=1)
    _, about = server.ask("api/run")
    assert about["corpus"] == "the held-out text"
    asked = {"kind": "like", "name": "m", "layer": 1, "text": TEXT, "begin": 2, "end": 3, "threshold": 0.1, "off": "before"}
    _, found = server.ask("api/find", asked)
    assert found["alike"] == held.like(TEXT, (2, 3), threshold=0.1, off="before").as_dict()
    assert found["alike"]["best"][0]["words"][found["alike"]["best"][0]["first"]] == "boy"
    _, found = server.ask("api/find", {"kind": "nearest", "name": "m", "layer": 1, "text": TEXT, "begin": 2, "end": 3})
    assert found["nearest"] == [e.as_dict() for e in held.nearest(TEXT, 2)]
    _, found = server.ask("api/find", {"kind": "unit", "name": "m", "layer": 1, "unit": 4})
    assert found["highest"] == [e.as_dict() for e in held.unit(4)[0]]
    for wrong, says in (
        ({"unit": 99}, "units are 0 to 8"),
        ({"name": "x"}, "nothing called 'x'"),
        ({"layer": 7}, "no layer 7"),
    ):
        status, found = server.ask("api/find", {"kind": "unit", "name": "m", **wrong})
        assert status == 400 and says in found["error"]


def test_a_translator_has_no_corpus(translating, translator):
    status, found = translating.ask("api/find", {"kind": "unit", "name": "h"})
    assert status == 400 and "language models" in found["error"]
    with pytest.raises(InputError, match="searches no corpus"):
        create_app(translator, corpus=translator / "config.json")
