"""JavaScript that was exported, run by Node; what it says is JSON."""

import importlib.util
import json
import shutil
import subprocess

import pytest

needs_node = pytest.mark.skipif(not shutil.which("node"), reason="node is not installed: apt-get install nodejs")
needs_zig = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="the package ziglang is not there: pip install 'carousel-rnn[compiler]'"
)


def said(script, folder, given=None):
    """What a module says at its end, ``say(value)``; ``given`` it finds under that name. ``folder`` has the files it imports."""
    (folder / "given.json").write_text(json.dumps(given))
    (folder / "package.json").write_text('{"type": "module"}')
    begin = "import { readFileSync, writeFileSync } from 'node:fs';\n"
    begin += "const given = JSON.parse(readFileSync('given.json'));\n"
    begin += "const say = (value) => writeFileSync('said.json', JSON.stringify(value));\n"
    (folder / "script.js").write_text(begin + script)
    done = subprocess.run(["node", "script.js"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "said.json").read_text())


# Takes all steps with the modules that ``given`` names: outputs, and where something is held or asked for, all that is seen.
STEPS = """
const found = [];
for (const { module, x, further, names, held } of given) {
  const { load } = await import(module);
  const layers = await load();
  let states = layers.start();
  const outputs = [];
  const seen = {};
  for (const [k, step] of x.entries()) {
    if (k === 2) states = layers.copy(states);
    for (const [layer, name, unit, value] of held) layers.held(states, layer, name)[unit] = k >= 1 ? value : NaN;
    outputs.push(Array.from(layers.step(states, step, ...further.map((each) => each[k]))));
    for (const [layer, name] of names) (seen[`${name} ${layer}`] ??= []).push(Array.from(layers.seen(states, layer, name)));
  }
  found.push({ outputs, seen });
}
say(found);
"""
