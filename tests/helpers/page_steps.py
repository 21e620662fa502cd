"""Time of a step of the page: ``PYTHONPATH=. python tests/helpers/page_steps.py [UNITS WORDS]``; 384 and 500 by default.

A network that was not trained reads; Chromium, headless, 1280 × 800, takes 100 steps, each after the frame of the one before:
alone, with a unit chosen, and compared with another text.
"""

import sys
import tempfile
import threading
import urllib.parse
from pathlib import Path
from typing import Any

import torch
import uvicorn

from carousel.language.config import Config, TextConfig
from carousel.language.model import LanguageModel, ModelConfig
from carousel.text.encoded import EncodedText
from carousel.text.vocabulary import Vocabulary
from carousel.training.run_folder import save_model
from carousel.web.server import create_app, listen

TEXT = "the boy who waits near the king lost his hat , and a girl that sings about old ships reads it to a queen ."
WORDS = TEXT.split()
STEPS = """async () => {
  const on = document.querySelector("[data-go=on]");
  const shown = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  document.querySelector("[data-go=first]").click();
  await shown();
  const own = [];
  const begun = performance.now();
  for (let step = 0; step < 100; step += 1) {
    const before = performance.now();
    on.click();
    own.push(performance.now() - before);
    await shown();
  }
  return [(performance.now() - begun) / 100, own.sort((a, b) => a - b)[50]];
}"""


def make(folder: Path, units: int) -> Path:
    torch.manual_seed(1)
    line = " ".join(WORDS)
    vocabulary = Vocabulary.train("word", [line])
    config = Config(TextConfig([line]), ModelConfig("lstm-v3", 64, units, 1, forget_bias=1.0))
    model = LanguageModel(vocabulary.size, config.model)
    config.save(folder)
    vocabulary.save(folder / "vocab.json")
    save_model(model, folder)
    EncodedText.encode([line], vocabulary, folder / "data", "valid")
    return folder


def busy(tools: Any) -> float:
    """Return seconds of the processor's time that the page's thread has taken."""
    return next(m["value"] for m in tools.send("Performance.getMetrics")["metrics"] if m["name"] == "TaskDuration")


def main(units: int = 384, words: int = 500) -> None:
    from playwright.sync_api import sync_playwright

    text = [WORDS[k % len(WORDS)] for k in range(words)]
    other = " ".join(["queen" if k == 20 else word for k, word in enumerate(text)])
    with tempfile.TemporaryDirectory() as room:
        listening, address = listen("127.0.0.1", 0)
        server = uvicorn.Server(uvicorn.Config(create_app(make(Path(room), units)), log_level="warning", ws="none"))
        threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            for name, more in (("alone", {}), ("with a unit", {"unit": 7}), ("compared", {"other": other})):
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                page.goto(f"{address}#{urllib.parse.urlencode({'text': ' '.join(text), 'see': 'h', **more})}")
                page.wait_for_selector("#words .word.b" if "other" in more else "#words .word", timeout=120_000)
                tools = page.context.new_cdp_session(page)
                tools.send("Performance.enable", {"timeDomain": "threadTicks"})  # the processor's time, whatever else it does
                for _ in range(3):
                    before = busy(tools)
                    step, own = page.evaluate(STEPS)
                    cost = (busy(tools) - before) * 10
                    print(
                        f"{name}: {step:.1f} ms a step, {1000 / step:.0f} steps a second; its thread is busy {cost:.1f} ms"
                        f" of the processor's time; {own:.1f} ms pass in the page's code"
                    )
            browser.close()
        server.should_exit = True


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
