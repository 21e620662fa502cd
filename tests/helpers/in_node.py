"""JavaScript that was exported, run by Node; what it says is JSON."""

import importlib.util
import json
import shutil
import subprocess

import pytest
import torch

from carousel import kernels

needs_node = pytest.mark.skipif(not shutil.which("node"), reason="node is not installed: apt-get install nodejs")
needs_zig = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="the package ziglang is not there: pip install 'carousel-rnn[compiler]'"
)


def said(script, folder, given=None):
    """What a script says, ``say(value)``; ``given`` it finds under that name. ``folder`` has the files that it imports."""
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


class Together:
    """Layers that one process of Node runs: ``add`` each, then ``check`` all against double precision."""

    def __init__(self, folder, made):
        """``made(layer, precision)`` gives the files by their ends."""
        self.folder, self.made, self.given, self.wanted = folder, made, [], []

    def add(self, layer, steps, *, like=None, bound=1e-5, precision="float32"):
        x, trace = torch.randn(steps, layer.input_size), layer.cell.trace
        units = {i.name: [] if i.is_number else [layer.cell.length(i.size, *layer.sizes())] for i in trace.inputs}
        further = {i: torch.rand(steps, *n) for i, n in units.items()}
        name = f"layers{len(self.given)}"
        for end, content in self.made(layer, precision).items():
            (self.folder / f"{name}{end}").write_bytes(content)
        lists = [each.tolist() for each in further.values()]
        self.given.append({"module": f"./{name}.js", "x": x.tolist(), "further": lists, "names": [], "held": []})
        with torch.no_grad(), kernels.use("reference"):
            wanted = (like or layer).double()(x.double(), **{i: value.double() for i, value in further.items()})[0]
        self.wanted.append((layer, wanted, bound))

    def differences(self):
        """Each layer with its largest difference, of its largest number, and the bound."""
        for each, (layer, wanted, bound) in zip(said(STEPS, self.folder, self.given), self.wanted, strict=True):
            outputs = torch.tensor(each["outputs"], dtype=torch.float64)
            yield layer, float((outputs - wanted).abs().max() / (wanted.abs().max() + 1e-3)), bound

    def check(self):
        for layer, difference, bound in self.differences():
            assert difference < bound, layer
