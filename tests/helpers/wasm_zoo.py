"""Every cell of the library as WebAssembly in Node, beside the reference: ``PYTHONPATH=. python tests/helpers/wasm_zoo.py``."""

import tempfile
import time
from pathlib import Path

import torch
from in_node import Together

from carousel import export
from carousel.cells import CELLS
from carousel.cells.papers import PAPERS
from carousel.layers import Recurrent

STEPS = 200


def main():
    begun, sizes = time.monotonic(), []

    def made(layer, precision):
        files = export.wasm(layer, precision)
        sizes.append(len(files[".wasm"]))
        return files

    with tempfile.TemporaryDirectory() as folder:
        together = Together(Path(folder), made)
        for cell in (*CELLS.values(), *PAPERS.values()):
            torch.manual_seed(3)
            size = 7 if cell.trace.input_like else 5
            hidden = 7 * cell.heads if cell.has_hidden or cell.name in PAPERS else 5
            layer = Recurrent(cell, size, hidden, input_sizes=dict.fromkeys(cell.sized, 3)).eval()
            with torch.no_grad():
                for p in layer.parameters() if cell.name == "cec" else ():  # its memory has no gate, and grows
                    p *= 0.1
            together.add(layer, STEPS)
        found = [(difference, layer.cell.name) for layer, difference, _ in together.differences()]
    for difference, name in sorted(found, reverse=True)[:5]:
        print(f"{name:32} {difference:.1e}")
    worst, near = max(found)[0], sum(difference < 1e-5 for difference, _ in found)
    print(f"{len(found)} cells, {STEPS} steps: at most {worst:.1e} of the largest number; {near} below 1e-5")
    print(f"{min(sizes)} to {max(sizes)} bytes a module; {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
