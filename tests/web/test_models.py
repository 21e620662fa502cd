"""Several models behind the page: side by side, with weights of any step, and while they are being trained."""

import re
import shutil
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

import carousel
from carousel import files
from carousel.errors import InputError
from carousel.language.config import Config
from carousel.language.task import LanguageTask
from carousel.training import kept
from carousel.training.processes import Processes
from carousel.training.run_folder import CHECKPOINT, MODEL
from carousel.training.trainer import Trainer
from carousel.web.models import OPENED, Models
from carousel.web.server import create_app

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

TEXT = "the boy who waits near the king lost his hat"


@pytest.fixture
def page(open_page, side_by_side):
    return open_page(side_by_side.address)


def level(page, name, run):
    return float(page.locator(f"#run-{run} .valve[data-name={name}] .value").text_content())


def mean(found, name, step, layer=0):
    return pytest.approx(np.mean(found["values"][name][layer][step]), abs=0.0051)


# The server


def test_each_model_answers_for_itself(side_by_side, two_runs):
    _, about = side_by_side.ask("api/run")
    assert [about["cell"], about["others"][0]["cell"]] == ["rnn", "lstm-v3"]
    steps = kept.steps(two_runs[0])
    assert about["kept"] == about["others"][0]["kept"] == steps and steps[:3] == [0, 10, 20]
    for name, place in (
        ("0", two_runs[0]),
        ("1", two_runs[1]),
        ("1@10", f"{two_runs[1]}@10"),
        ("0@last", f"{two_runs[0]}@last"),
    ):
        status, found = side_by_side.ask("api/watch", {"text": TEXT, "model": name})
        del found["spans"]
        assert status == 200 and found == carousel.load(place).watch(TEXT).as_dict()
    flow = side_by_side.ask("api/gradients", {"text": TEXT, "model": "1@10"})[1]
    assert flow == carousel.load(f"{two_runs[1]}@10").gradient_flow(TEXT)
    unit = {"kind": "unit", "name": "h", "unit": 2}
    found = side_by_side.ask("api/find", {**unit, "model": "1"})[1]
    assert found["highest"] == [e.as_dict() for e in carousel.load(two_runs[1]).indexed(name="h").unit(2)[0]]


def test_a_long_course_is_thinned_over_its_whole_length(side_by_side, monkeypatch):
    whole = side_by_side.ask("api/training", {"model": "1"})[1]["train"]
    monkeypatch.setattr("carousel.web.models.POINTS", 4)
    few = side_by_side.ask("api/training", {"model": "1"})[1]["train"]
    assert 2 <= len(few) <= 4 < len(whole) and few[0] == whole[0] and few[-1][0] > 0.6 * whole[-1][0]


@pytest.mark.parametrize(
    ("model", "status", "says"),
    [
        ("7", 400, "runs are 0 to 1"),
        ("0@7", 400, "kept no weights of step 7"),
        ("x", 422, "malformed"),
        ("../0", 422, "malformed"),
    ],
)
def test_a_model_that_is_not_there_is_refused(side_by_side, model, status, says):
    found, answer = side_by_side.ask("api/watch", {"text": TEXT, "model": model})
    assert found == status and says in answer["error"]


def test_runs_that_cannot_stand_side_by_side_are_refused(two_runs, translator, tmp_path):
    letters = {"vocabulary": "char", "hidden": 4, "epochs": 1, "batch_size": 2, "length": 8}
    carousel.train(two_runs[0].parent / "text.txt", tmp_path / "letters", **letters)
    with pytest.raises(InputError, match=r"letters has another vocabulary than .*; side by side they need one"):
        create_app(two_runs[0], beside=[tmp_path / "letters"])
    with pytest.raises(InputError, match="holds another kind of run"):
        create_app(two_runs[0], beside=[translator])


def test_what_is_opened_goes_on_without_its_folder(two_runs, tmp_path):
    folder = shutil.copytree(two_runs[0], tmp_path / "run")
    models = Models([folder])
    opened = models.view("0")
    shutil.rmtree(folder)
    assert models.view("0") is opened


def test_few_models_stay_in_memory(two_runs):
    models = Models(two_runs[:1])
    names = [f"0@{step}" for step in kept.steps(two_runs[0])]
    assert len(names) > OPENED
    for name in names:
        models.view(name)
    assert list(models.opened) == ["0", *names[-OPENED:]]


def test_a_run_may_be_given_with_its_weights(two_runs, serve):
    served = serve(f"{two_runs[1]}@20")
    _, about = served.ask("api/run")
    assert about["run"] == "lstm-v3@20" and about["kept"] == []
    _, found = served.ask("api/watch", {"text": TEXT})
    assert found["surprisal"] == carousel.load(f"{two_runs[1]}@20").watch(TEXT).as_dict()["surprisal"]


@pytest.fixture
def training(two_runs, tmp_path):
    """A run like the LSTM that is being trained: ``training.go(n)`` lets it take n steps, ``training.end()`` all others."""
    with RunInTraining(two_runs[1], tmp_path / "in-training") as begun:
        yield begun


class RunInTraining:
    """A trainer in a thread that waits before each step."""

    def __init__(self, like, folder):
        config = Config.load(like)
        config = replace(config, training=replace(config.training, save_every=0.0, log_every=1, epochs=2, seed=7))
        folder.mkdir()
        config.save(folder)
        for name in ("vocab.json", "data"):
            (folder / name).symlink_to(like / name)
        self.folder, self.steps = folder, threading.Semaphore(0)
        self.done, self.taken, self.allowed = False, 0, 0
        self.trainer = Trainer(folder, config, Processes(), LanguageTask, self._told)
        self.thread = threading.Thread(target=self.trainer.run, daemon=True)

    def _told(self, event):
        if event["event"] == "step" and not self.done:
            self.taken = event["step"]
            self.steps.acquire()

    def __enter__(self):
        self.thread.start()
        self.go(2)
        return self

    def go(self, count):
        self.allowed += count
        for _ in range(count):
            self.steps.release()
        for _ in range(500):
            if self.taken == self.allowed + 1:  # it waits, and what it has taken before is saved
                return
            time.sleep(0.02)
        raise AssertionError(f"step {self.allowed} was not reached")

    def end(self):
        self.done = True
        self.steps.release()
        self.thread.join(60)

    def __exit__(self, *_):
        self.end()


def test_a_run_without_best_weights_is_followed_by_its_newest(training, serve):
    assert not (training.folder / MODEL).exists() and files.owner(training.folder)
    served = serve(training.folder)
    _, about = served.ask("api/run")
    assert about["training"] is True and about["best"] is False and about["run"] == "in-training"
    _, before = served.ask("api/watch", {"text": TEXT, "model": "0@last"})
    _, course = served.ask("api/training", {"model": "0"})
    training.go(3)
    _, later = served.ask("api/training", {"model": "0"})
    assert later["newest"] == course["newest"] + 3 and len(later["train"]) == len(course["train"]) + 3
    _, after = served.ask("api/watch", {"text": TEXT, "model": "0@last"})
    assert before["surprisal"] != after["surprisal"]
    training.end()
    _, course = served.ask("api/training", {"model": "0"})
    assert course["training"] is False and course["best"] is True and len(course["valid"]) == 2
    newest = carousel.load(f"{training.folder}@last").watch(TEXT).as_dict()["surprisal"]
    assert served.ask("api/watch", {"text": TEXT, "model": "0@last"})[1]["surprisal"] == newest


def test_a_file_of_weights_that_is_not_whole_is_refused_and_the_next_one_read(training, serve):
    served = serve(training.folder)
    whole = (training.folder / CHECKPOINT).read_bytes()
    (training.folder / CHECKPOINT).write_bytes(whole[: len(whole) // 2])
    for question in ("api/watch", "api/training"):
        asked = {"model": "0@last"} | ({"text": TEXT} if question == "api/watch" else {})
        status, found = served.ask(question, asked)
        assert status == 400 and "is not whole" in found["error"]
    training.go(1)
    assert served.ask("api/watch", {"text": TEXT, "model": "0@last"})[0] == 200


def test_serving_waits_for_the_first_weights(training):
    (training.folder / CHECKPOINT).unlink()
    waited = threading.Thread(target=create_when_there, args=(training.folder, found := []))
    waited.start()
    waited.join(0.6)
    assert waited.is_alive()
    training.go(1)
    waited.join(20)
    assert found == [True]


def create_when_there(folder, found):
    from carousel.web.models import wait_for_weights

    wait_for_weights(folder)
    found.append((folder / CHECKPOINT).exists())


# The page


def test_a_second_run_stands_beside_the_first(page, side_by_side):
    page.locator("#model-b").select_option("lstm-v3")
    page.wait_for_selector("#words .word.b")
    page.locator("[data-go=last]").click()
    _, found = side_by_side.ask("api/watch", {"text": TEXT, "model": "1", "predictions": 8})
    assert level(page, "f", "b") == mean(found, "f", 10)
    shown = page.locator("#run-b .predictions .word").all_inner_texts()
    assert shown == [w.replace("<eos>", "¶") for w, _ in found["predictions"][10]]
    assert page.locator("#run-a .valve").count() == 0 and page.locator("#map-d").is_hidden()
    assert "rnn, rnn" in page.locator("#run-a h2").inner_text() and "lstm-v3" in page.locator("#run-b h2").inner_text()
    page.locator("#run-b .valve[data-name=f]").click()
    assert "Memory h (A) and Forget valve f (B)".lower() in page.locator("#maps-title").inner_text().lower()
    assert page.locator("#patch-go").count() == 0
    page.get_by_role("button", name="Swap").click()
    sync_api.expect(page.locator("#run-a h2 .which")).to_contain_text("lstm-v3")
    assert level(page, "f", "a") == mean(found, "f", 10)


def test_a_clamp_holds_the_other_run(page, side_by_side):
    page.locator("#model-b").select_option("lstm-v3")
    page.wait_for_selector("#words .word.b")
    page.locator("#run-b .valve[data-name=f]").click()
    assert page.locator("#clamp-title").inner_text() == "Clamp f of lstm-v3"
    page.locator("#clamp-value").fill("0")
    page.get_by_role("button", name="Clamp and compare").click()
    page.wait_for_selector("#changed .chip")
    _, found = side_by_side.ask("api/watch", {"text": TEXT, "model": "1", "clamps": [{"name": "f", "value": 0}]})
    assert level(page, "f", "b") == 0
    page.locator("[data-go=last]").click()
    assert float(page.locator("#words .word.b .number").last.inner_text().split()[0]) == pytest.approx(
        found["surprisal"][-1], abs=0.051
    )


def test_a_slider_shows_valves_learning(open_page, side_by_side):
    page = open_page(f"{side_by_side.address}#model=1&step=5&see=f")
    slider = page.locator("#weights-a")
    assert page.locator("#weights-a-says").inner_text() == "best"
    slider.focus()
    page.keyboard.press("Home")
    shown, places = [], []
    for step in (0, 10, 20):
        says = "step 0" if step == 0 else f"step {step}"
        sync_api.expect(page.locator("#weights-a-says")).to_have_text(says)
        sync_api.expect(page.locator("#run-a h2 .which")).to_contain_text(says)
        _, found = side_by_side.ask("api/watch", {"text": TEXT, "model": f"1@{step}"})
        assert level(page, "f", "a") == mean(found, "f", 5)
        shown.append(page.locator("#map-a canvas").evaluate("e => e.toDataURL()"))
        places.append(float(page.locator("#training .course-here.a").get_attribute("x1")) - 56)  # the axis begins at 56
        page.keyboard.press("ArrowRight")
    assert len(set(shown)) == 3 and "model=1%4030" in page.url
    assert places[0] == 0 and places[2] == pytest.approx(2 * places[1]) != 0
    page.locator("#model-b").select_option("lstm-v3")  # the same run with its best weights
    page.wait_for_selector("#words .word.b")
    assert page.locator("#map-d").is_visible()  # whose units are the same
    again = open_page(page.url)
    again.wait_for_selector("#words .word.b")
    assert again.locator("#weights-a-says").inner_text() == "step 30"


def test_both_runs_flow_back(page, side_by_side):
    page.locator("#model-b").select_option("lstm-v3")
    page.wait_for_selector("#words .word.b")
    page.get_by_role("tab", name="Gradient flow").click()
    page.wait_for_selector("#depends-legend .ramp")
    sync_api.expect(page.locator("#flow-plot text.name")).to_have_text(["h, A", "m, B", "h, B"])
    page.locator("#depends-run").select_option("B")
    page.locator("#depends-name").select_option("f")
    sync_api.expect(page.locator("#depends-legend b")).to_have_text("|∂L/∂f|")


def test_a_saved_page_of_both_shows_what_was_seen(page, open_page, tmp_path):
    page.locator("#model-b").select_option("lstm-v3")
    page.wait_for_selector("#words .word.b")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as one HTML file").click()
    download.value.save_as(tmp_path / "saved.html")
    saved = open_page((tmp_path / "saved.html").as_uri(), offline=True)
    saved.wait_for_selector("#words .word.b")
    for part in ("#words", "#run-b"):
        assert saved.locator(part).inner_text() == page.locator(part).inner_text()
    saved.locator("#text").fill("the girl who sings")
    saved.get_by_role("button", name="Read", exact=True).click()
    sync_api.expect(saved.locator("#message")).to_contain_text("only the model of run A inside")
    sync_api.expect(saved.locator("#words .word.a")).to_have_count(5)


def test_what_is_being_trained_is_followed_on_the_page(training, serve, open_page):
    page = open_page(serve(training.folder).address)
    sync_api.expect(page.locator("#live")).to_contain_text("This run is being trained: epoch 1 of 2")
    assert "model=0%40last" in page.url
    said = page.locator("#training .muted")
    step = training.taken - 1  # the newest weights that are saved
    sync_api.expect(said).to_contain_text(f"its newest weights are those of step {step}")
    before = page.locator("#words").inner_text()
    curve = page.locator("#training .course-line").get_attribute("d")
    training.go(8)
    sync_api.expect(said).to_contain_text(f"its newest weights are those of step {step + 8}")
    sync_api.expect(page.locator("#weights-a-says, #run-a h2 .which").first).to_contain_text(f"step {step + 8}")
    assert page.locator("#training .course-line").get_attribute("d") != curve
    sync_api.expect(page.locator("#words")).not_to_have_text(before, use_inner_text=True)
    training.end()
    sync_api.expect(page.locator("#live")).to_be_hidden()
    assert re.search(r"Epoch 2 of 2, step \d+: perplexity \S+ in training, \S+ held out\.$", said.inner_text())
