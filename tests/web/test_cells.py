"""The server works typed cells out in a process beside it, never runs them, and hands out the engines of one unit."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from urllib.parse import urlsplit

import pytest

from carousel import Recurrent, cells
from carousel.cells.catalogue import catalogue
from carousel.cells.sources import source
from carousel.drawing.svg import draw
from carousel.equations.single import single
from carousel.errors import InputError
from carousel.export.javascript.single import one_unit
from carousel.insight.gradient_decay import at_first_weights
from carousel.web.aside import Aside
from carousel.web.cell_worker import LONGEST
from carousel.web.cells import KEPT, Cells, answer_cells

MINE = """@cell
def mine(e, h, W, b):
    \"\"\"Mine: a leak.

    Nobody 2026.
    \"\"\"
    f = logistic(W.fe @ e + b.f)
    h = f * h + (1 - f) * tanh(W.he @ e + W.hh @ h)
    return h
"""


def test_the_menu_has_every_cell(writing):
    status, menu = writing.ask("api/cells")
    assert status == 200
    assert [n for family in menu["families"] for n in family["cells"]] == [e.cell.name for e in catalogue()]


def test_a_typed_cell_is_described(writing):
    status, found = writing.ask("api/cell", {"text": MINE, "units": 8})
    assert status == 200
    assert (found["name"], found["doc"], found["source"]) == ("mine", "Mine: a leak.", "Nobody 2026.")
    assert found["equations"][0] == "fₜ = logistic(W.fe eₜ + b.f)" and found["latex"].startswith("\\begin{aligned}")
    assert found["valves"] == ["f"] and found["states"] == ["h"]
    assert found["svg"].startswith("<svg") and 'data-name="f"' in found["svg"]
    assert found["counts"]["parameters"] == 8 * 8 * 3 + 8 and found["counts"]["shapes"]["W.hh"] == [8, 8]
    assert found["one"]["weights"] == ["W.fe", "b.f", "W.he", "W.hh"] and found["one"]["initial"] == ["uniform"] * 4
    assert found["text"] == MINE


@pytest.mark.parametrize("name", ["lstm-v1", "lstm-v4", "clockwork", "mdlstm", "time-lstm", "lmu", "lstm-zoneout"])
def test_a_cell_of_the_catalogue_is_described_as_the_library_has_it(writing, name):
    _, found = writing.ask("api/cell", {"name": name, "units": 6})
    cell = cells.get(name)
    assert (found["equations"], found["latex"], found["svg"]) == (cell.text.splitlines(), cell.latex, draw(cell))
    assert found["text"] == source(cell)
    assert found["counts"]["parameters"] == cell.count(6, 6, 3, *[6] * len(cell.sized))
    if "module" in found["one"]:
        status, code = writing.ask(f"engine/{found['one']['module']}")
        assert status == 200 and code == one_unit(single(cell))
    else:
        assert name in ("mdlstm", "time-lstm") and "this cell" in found["one"]["refused"]


def test_the_gradients_decay_is_that_of_the_library(writing):
    _, found = writing.ask("api/decay", {"text": source(cells.get("lstm-v3")), "units": 12})
    wanted = at_first_weights("lstm-v3", hidden=12, steps=found["steps"], rows=found["rows"], seed=found["seed"]).as_dict()
    assert found["half_life_steps"] == pytest.approx(wanted["half_life_steps"], rel=1e-3)
    for state, sizes in wanted["size_by_state"].items():
        assert found["size_by_state"][state] == pytest.approx(sizes, rel=1e-3, abs=1e-12)
    _, found = writing.ask("api/decay", {"text": source(cells.get("mdlstm"))})
    assert "follows several" in found["error"]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (MINE.replace("* tanh", "* hh"), 8, "unknown function or variable hh"),
        (MINE.replace("f * h +", "f * h +("), 8, "this is not Python"),
        (MINE.replace("W.he @ e", "e"), 8, "sizes that cannot agree"),
        (MINE.replace("logistic(W", "open('/etc/passwd').read(W"), 7, "unknown function or variable open"),
        ("", 1, "there is no cell"),
        ("\0", 1, "this is not Python"),
        ("x" * 9000, 1, "at most 8,000"),
    ],
)
def test_what_is_no_cell_is_answered_with_its_line(writing, text, line, says):
    """No failure of the server's: a browser would log that."""
    for question in ("api/cell", "api/decay"):
        status, found = writing.ask(question, {"text": text})
        assert status == 200 and sorted(found)[:2] == ["error", "line"]
        assert found["line"] == line and says in found["error"] and "\n" not in found["error"]


@pytest.mark.parametrize(
    ("question", "body", "status", "says"),
    [
        ("api/cell", b"{", 422, "JSON"),
        ("api/cell", {"text": MINE, "units": 0}, 422, "malformed: Units: "),
        ("api/cell", {"text": MINE, "more": 1}, 422, "more"),
        ("api/cell", {"text": "x" * 16_001}, 422, "at most 16000"),
        ("api/decay", {"text": MINE, "units": 257}, 422, "malformed: Units: "),
        ("api/decay", {}, 422, "malformed: Text: "),
        ("api/cell", {"text": "x" * 300_000}, 413, "256 KiB"),
    ],
)
def test_questions_that_cannot_be_are_refused_in_one_line(writing, question, body, status, says):
    found, answer = writing.ask(question, body)
    assert found == status and list(answer) == ["error"] and says in answer["error"] and "\n" not in answer["error"]


def test_a_cell_that_does_not_exist_is_said_to_be_none(writing):
    status, found = writing.ask("api/cell", {"name": "lstm-v5"})
    assert status == 200 and "no cell is called 'lstm-v5'; did you mean lstm-v" in found["error"]
    assert writing.ask("engine/nothing.js")[0] == writing.ask("engine/..%2fserver.py")[0] == 404


def test_sizes_that_do_not_fit_are_said(writing):
    text = source(cells.get("gru")).replace("@cell", "@cell(heads=5)").replace("gru", "mine")
    _, found = writing.ask("api/cell", {"text": text, "units": 8})
    assert "5 heads" in found["counts"]["refused"] and "5 heads cannot share one unit" in found["one"]["refused"]


def test_a_message_of_one_unit_has_one(writing):
    _, found = writing.ask("api/cell", {"name": "lstm-v4", "units": 1})
    assert found["counts"]["projected"] == 1 and found["counts"]["parameters"] == cells.get("lstm-v4").count(1, 1, 1)


def test_a_page_without_a_run_needs_nothing_from_elsewhere_and_asks_for_no_run(writing):
    status, page = writing.ask("")
    names = re.findall(r'(?:href|src)="(static/[^"]+)"', page)
    assert status == 200 and {"static/alone.js", "static/write.css"} < set(names)
    while names:
        status, text = writing.ask(names.pop())
        assert status == 200 and not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)
        names += [f"static/{name}" for name in re.findall(r'^import .* from "\./(.+)";', text, re.MULTILINE)]
    assert writing.ask("api/run")[0] == writing.ask("api/watch", {"text": "the"})[0] == 404


def test_other_hosts_and_sites_are_refused(writing):
    assert writing.ask("api/cells", Host="evil.example")[0] == 403
    assert writing.ask("api/cell", {"text": MINE}, Origin="https://evil.example")[0] == 403


def test_the_page_of_a_run_writes_cells_too(server):
    _, found = server.ask("api/cell", {"text": MINE})
    assert found["name"] == "mine" and server.ask(f"engine/{found['one']['module']}")[0] == 200
    assert "static/write.js" in server.ask("")[1]


SLOW = """
import json, os, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    if asked["kind"] == "sleep": time.sleep(600)
    if asked["kind"] == "die": os._exit(3)
    if asked["kind"] == "half": print('{"pid"', end="", flush=True); os._exit(3)
    print(json.dumps({"pid": os.getpid(), **asked}), flush=True)
"""


@pytest.fixture
def aside(tmp_path, monkeypatch):
    (tmp_path / "slow_module.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = Aside("slow_module", seconds=1.0)
    yield made
    made.end()


def test_an_answer_that_takes_too_long_is_ended_and_the_next_question_answered(aside):
    first = aside.ask("hello", x=1)
    assert first["x"] == 1
    began = time.monotonic()
    with pytest.raises(InputError, match="longer than 1 seconds"):
        aside.ask("sleep")
    assert time.monotonic() - began < 10
    with pytest.raises(InputError, match="was ended"):
        aside.ask("half")
    second = aside.ask("hello")
    assert second["pid"] != first["pid"]
    with pytest.raises(InputError, match="was ended"):
        aside.ask("die")
    assert aside.ask("hello")["kind"] == "hello"


def test_questions_at_once_get_their_own_answers(aside):
    found = {}
    threads = [threading.Thread(target=lambda k=k: found.update({k: aside.ask("hello", x=k)["x"]})) for k in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {k: k for k in range(20)}


def test_the_process_imports_nothing_of_the_folder_that_one_works_in(tmp_path):
    (tmp_path / "torch.py").write_text("raise SystemExit('run')")
    made = Aside("carousel.web.cell_worker")
    script = f"import sys; sys.path[:0] = {sys.path!r}\nfrom carousel.web.aside import Aside\n"
    script += "made = Aside('carousel.web.cell_worker'); print(made.ask('named', name='rnn')['text']); made.end()"
    done = subprocess.run([sys.executable, "-P", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "def rnn(e, h, W, b):" in done.stdout, done.stderr
    made.end()


def test_the_process_ends_with_its_server():
    from fastapi import FastAPI
    from starlette.testclient import TestClient

    app = FastAPI()
    answering = answer_cells(app)
    with TestClient(app) as client:
        assert client.post("/api/cell", json={"text": MINE}).json()["name"] == "mine"
        process = answering.aside.process
        assert process.poll() is None
    assert process.poll() is not None


def test_the_command_alone_serves_the_page_until_it_is_interrupted(tmp_path):
    command = [sys.executable, "-m", "carousel", "serve"]
    started = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = started.stdout.readline().strip()
        with urllib.request.urlopen(address, timeout=60) as reply:
            assert "static/alone.js" in reply.read().decode()
        asked = urllib.request.Request(
            f"{address}api/cell", json.dumps({"text": MINE}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=60) as reply:
            assert json.load(reply)["name"] == "mine"
    finally:
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=30)
    assert (started.returncode, out, err) == (0, "", "") and list(tmp_path.iterdir()) == []


BOUNDED = """
import json, resource, signal, sys
from carousel.web import cell_worker as worker
alarms = []
signal.alarm = alarms.append
worker.ANSWERS["ready"] = lambda: print("some library's noise", flush=True) or {}
sys.stdin = ['{"kind": "ready"}', '{"kind": "nothing"}']
worker.main()
sys.stderr.write(json.dumps([resource.getrlimit(resource.RLIMIT_DATA)[0] == worker.MEMORY, alarms]))
"""


def test_the_process_bounds_its_memory_and_time_and_says_only_answers():
    done = subprocess.run([sys.executable, "-c", BOUNDED], capture_output=True, text=True, timeout=120)
    first, second = map(json.loads, done.stdout.splitlines())
    assert first == {} and second == {"error": "this cell cannot be shown: KeyError: 'nothing'"}
    assert json.loads(done.stderr.splitlines()[-1]) == [True, [LONGEST, 0] * 2] and LONGEST < 100


def test_engines_of_the_last_texts_are_kept():
    kept = Cells(Aside("nothing"))
    names = [kept.keep(f"export const n = {k};") for k in range(KEPT + 1)]
    assert kept.engine(names[-1]) == f"export const n = {KEPT};"
    with pytest.raises(Exception, match="404"):
        kept.engine(names[0])


def test_an_engine_is_a_script_of_this_site_alone(writing):
    import http.client

    _, found = writing.ask("api/cell", {"text": MINE})
    where = urlsplit(writing.address)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=10)
    connection.request("GET", f"/engine/{found['one']['module']}")
    reply = connection.getresponse()
    assert reply.getheader("Content-Type").startswith("text/javascript")
    assert reply.getheader("Cross-Origin-Resource-Policy") == "same-origin"
    assert reply.getheader("X-Content-Type-Options") == "nosniff"


def test_what_a_text_says_of_itself_is_only_text(writing):
    """Names, a docstring and letters cannot become code or marks of the page."""
    text = MINE.replace("Mine: a leak.", "</title><script>alert(1)</script> \\u2028 */").replace(
        "@cell", '@cell(name="a b\\u2028c")'
    )
    _, found = writing.ask("api/cell", {"text": text})
    assert "a cell's name is one line of text" in found["error"]
    text = MINE.replace("Mine: a leak.", "</title><script>alert(1)</script>")
    _, found = writing.ask("api/cell", {"text": text})
    assert "<script" not in found["svg"] and "&lt;script&gt;" in found["svg"]
    code = writing.ask(f"engine/{found['one']['module']}")[1]
    assert "alert" not in code


def test_a_layer_takes_a_typed_cell():
    """The text makes a cell as any other."""
    import torch

    from carousel.equations.typed import typed

    torch.manual_seed(1)
    one = Recurrent(typed(source(cells.get("lstm-v2"))), 4, 5)
    torch.manual_seed(1)
    other = Recurrent("lstm-v2", 4, 5)
    x = torch.randn(6, 2, 4)
    assert torch.equal(one(x)[0], other(x)[0])
