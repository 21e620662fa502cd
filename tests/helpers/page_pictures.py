"""Pictures of the page for the documents: ``PYTHONPATH=. python tests/helpers/page_pictures.py AGREE RNN TEST FOLDER``.

AGREE and RNN are an LSTM v3 and an RNN that learnt the agreement corpus, as docs/tutorial/lecture.md does; TEST has its labels.
``examples TREES TAGS COLUMNS GRID FOLDER`` takes those of the pages of examples: TREES is a Tree-LSTM that learnt ListOps,
TAGS tags the source of Python's library, COLUMNS and GRID transcribe digits, as docs/howto/labels.md and
docs/howto/transcriptions.md train them.
"""

import sys
import threading
import urllib.parse
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import uvicorn
from PIL import Image
from playwright.sync_api import sync_playwright

from carousel.web.server import create_app, listen

SHORT = "the boy who the teachers admire lost his hat ."
GIRL = "the girl who the teachers admire lost his hat ."
LONG = "the boy who the old teachers near the lake admire lost his hat ."
SUM = "[MAX 2 9 [MIN 4 7 ] [SM 8 7 ] 0 ]"
LAPTOP, PHONE = (1280, 800), (400, 800)
COLOURS, MORE = 128, 256  # a third of the size, and no difference that one sees; with pictures in it


@contextmanager
def serving(run, corpus=None, *beside):
    listening, address = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(create_app(run, (), corpus, beside=beside), log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield address
    server.should_exit = True
    thread.join()


def drag(page):
    """Take the column of “teachers” of A's map half way to the same word of B's, and hold it there."""
    for map_of, then in (("a", page.mouse.down), ("b", lambda: page.wait_for_timeout(500))):
        box = page.locator(f"#map-{map_of} canvas").bounding_box()
        page.mouse.move(box["x"] + box["width"] * 5.5 / len(SHORT.split()), box["y"] + 20, steps=5)
        then()


@contextmanager
def taking(folder):
    """``picture(name, address, size, dark, **state)`` takes one."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])

        def picture(name, address, size, dark=False, do=None, colours=COLOURS, **state):
            page = browser.new_page(viewport=dict(zip(("width", "height"), size, strict=True)))
            page.emulate_media(color_scheme="dark" if dark else "light")
            page.goto(f"{address}#{urllib.parse.urlencode(state)}")
            page.wait_for_selector(".ramp", timeout=120_000)  # a legend: all is there
            page.wait_for_timeout(5000)
            if do is not None:
                do(page)
            picture = Image.open(BytesIO(page.screenshot())).convert("RGB").quantize(colours)
            picture.save(Path(folder) / f"{name}.png", optimize=True)
            page.close()

        yield picture


def main(agree, rnn, test, folder):
    with taking(folder) as picture:
        with serving(Path(agree), Path(test)) as address:
            picture("page", address, LAPTOP, text=SHORT, step=2, see="f")
            picture("page-pairs", address, LAPTOP, text=SHORT, other=GIRL, step=7, see="h")
            picture("page-dragging", address, LAPTOP, do=drag, text=SHORT, other=GIRL, step=5, see="h")
            picture("page-unit", address, (1920, 1400), dark=True, text=SHORT, step=2, see="h", unit=60)
            picture("page-phone", address, PHONE, text=SHORT, step=2, see="h")
        with serving(Path(agree), None, Path(rnn)) as address:
            picture("page-models", address, LAPTOP, text=LONG, beside=1, step=11)


def examples(trees, tags, columns, grid, folder):
    with taking(folder) as picture:
        with serving(Path(trees)) as address:
            picture("page-tree", address, LAPTOP, text=SUM, see="m", level=5)
        with serving(Path(tags)) as address:
            picture("page-labels", address, LAPTOP, number=3)
        with serving(Path(columns)) as address:
            picture("page-spikes", address, (1280, 690), number=3)
        with serving(Path(grid)) as address:
            picture("page-grid", address, (1280, 1330), colours=MORE, number=3, see="h", level=40)


if __name__ == "__main__":
    examples(*sys.argv[2:]) if sys.argv[1] == "examples" else main(*sys.argv[1:])
