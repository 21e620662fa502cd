"""The links of the lecturer's hour open the states that they name."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from carousel import page

LECTURE = Path(__file__).parents[2] / "docs" / "tutorial" / "lecture.md"
READ = """
import {{ fromHash }} from {module};
process.stdout.write(JSON.stringify({hashes}.map(fromHash)));
"""


pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")


def states(hashes):
    """The states that links ask for."""
    module = json.dumps((Path(page.__file__).parent / "static" / "state.js").as_uri())
    code = READ.format(module=module, hashes=json.dumps(hashes))
    done = subprocess.run(["node", "--input-type=module", "-e", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_each_link_is_understood_word_for_word():
    hashes = re.findall(r"\]\(http://127\.0\.0\.1:80\d\d/(#[^)]+)\)", LECTURE.read_text())
    assert len(hashes) > 15
    for link, state in zip(hashes, states(hashes), strict=True):
        for key, (asked,) in parse_qs(link[1:]).items():
            found = state[key]
            assert (json.loads(asked) == found) if key in ("step", "steps", "clamps", "end") else asked == found, (link, key)


def test_what_no_link_can_ask_for_is_left_out_or_brought_within_its_bounds():
    wrong = [
        "model=../0",
        "model=1@x",
        "beside=x",
        "tab=<b>",
        "task=sum",
        "units=x",
        "steps=x",
        "seed=-1",
        "clamps=[3]",
        "step=1e9",
    ]
    first, *found = states(["", *wrong])
    assert found == [first] * len(wrong)
    (found,) = states(["units=99999&steps=1&seed=99999&model=1@last&beside=0@400"])
    asked = {"units": 4096, "steps": 2, "seed": 99999, "model": "1@last", "beside": "0@400"}
    assert found == first | asked
