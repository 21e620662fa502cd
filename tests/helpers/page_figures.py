"""Figures of docs/howto/export.md: ``PYTHONPATH=. python tests/helpers/page_figures.py RUN``.

Sizes of the files; processor time a word in Node; the time from a typed text to the page that shows it, in Chromium.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from carousel import load
from carousel.runs.translator import TranslatorRun

TEXT = "A class is a function with a name, and a method of it is called with an instance of the class as its first argument"
NODE = """
const { load } = await import("./%s.js");
const model = await load();
const times = [];
for (let round = 0; round < 15; round += 1) {
  const begun = process.cpuUsage().user;
  const { words } = model.watch(%r);
  times.push((process.cpuUsage().user - begun) / 1000 / words.length);
}
console.log(times.slice(5).sort((a, b) => a - b)[5].toFixed(2));
"""
PAGE = """async (text) => {
  const times = [];
  for (let round = 0; round < 9; round += 1) {
    document.getElementById("text").value = text + round;
    const begun = performance.now();
    document.getElementById("reader").requestSubmit();
    await new Promise((done) => {
      const watcher = new MutationObserver(() => (watcher.disconnect(), requestAnimationFrame(() => setTimeout(done))));
      watcher.observe(document.getElementById("words"), { childList: true });
    });
    times.push(performance.now() - begun);
  }
  return [times, document.querySelectorAll("#words li").length];
}"""


def main():
    run = load(sys.argv[1])
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room)
        if isinstance(run, TranslatorRun):
            in_chromium(*run.export(folder / "translator.html"))
            return
        (folder / "package.json").write_text('{"type": "module"}')
        for precision in ("float32", "bfloat16", "int8"):
            for to in ("html", "js", "wasm"):
                name = f"{to}-{precision}"
                run.export(folder / f"{name}.{to}", to, precision)
                said = f"{name:14} {(folder / f'{name}.{to}').stat().st_size / 1e6:.2f} MB"
                if to != "html":
                    (folder / "script.js").write_text(NODE % (name, TEXT))
                    done = subprocess.run(["node", "script.js"], cwd=folder, capture_output=True, text=True, check=True)
                    said += f", {done.stdout.strip()} ms a word"
                print(said, flush=True)
        in_chromium(folder / "html-int8.html")


def in_chromium(path):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(path.as_uri())
        page.wait_for_selector("#words .word")
        times, words = page.evaluate(PAGE, TEXT)
        whole = statistics.median(times)
        print(f"from typing to seeing: {whole:.0f} ms for {words} words, {whole / words:.1f} ms a word")
        browser.close()


if __name__ == "__main__":
    main()
