"""A cell of one unit as JavaScript, in Node: its steps and their gradient are those of a layer of one unit in doubles."""

import pytest
import torch
from in_node import needs_node, said
from random_cells import stored

from carousel import Recurrent, cells, kernels
from carousel.cells.catalogue import catalogue
from carousel.equations import EquationError, cell, concat, layer_norm, logistic, mean, norm, softmax, tanh, where
from carousel.equations.single import single
from carousel.export.javascript.single import one_unit

pytestmark = needs_node
STEPS = 12

SCRIPT = """
const found = [];
for (const { module, w, e, given: errors } of given) {
  const made = await import(module);
  const a = made.forward(w, e);
  const back = made.backward(w, a, errors);
  const lists = (record) => Object.fromEntries(Object.entries(record).map(([name, xs]) => [name, Array.from(xs)]));
  const seen = Object.fromEntries(Object.entries(made.names).map(([name, key]) => [name, Array.from(a[key])]));
  const [gradient, input] = [back.gradient, back.input].map((xs) => Array.from(xs));
  found.push({ weights: made.weights, seen, gradient, errors: lists(back.errors), input });
}
say(found);
"""


def fits(each):
    return not (each.before or each.inputs or each.heads > 1)


class Layer:
    """The same by a layer of one unit, from automatic differentiation."""

    def __init__(self, each, seed):
        torch.manual_seed(seed)
        self.cell = each
        self.layer = Recurrent(each, 1, 1, proj_size=1 if each.has_projection else None, dtype=torch.float64).eval()
        with torch.no_grad():
            for p in self.layer.parameters():
                p.normal_()
        self.e, self.given = (torch.randn(STEPS, dtype=torch.float64) for _ in range(2))

    def weights(self):
        """Names as JavaScript has them but for what a part multiplies, the values, and of each parameter its numbers."""
        places = {p.name: p for p in self.cell.trace.parameters if p.learned}
        return {name: self.layer.parameter(name) for name in places}

    def flat(self, of):
        return [float(x) for name, p in self.weights().items() for x in of(p).flatten()]

    def results(self):
        e = self.e.clone().requires_grad_()
        output, kept, seen = [], [], []
        names = [n for n in self.cell.quiet.names if n in self.layer.units()]
        hx = self.layer.initial_state(1)
        hx = tuple(h.requires_grad_() for h in (hx if isinstance(hx, tuple) else (hx,)))
        for k in range(STEPS):
            y, hx, recorded = self.layer(e[k].view(1, 1, 1), hx if len(hx) > 1 else hx[0], record=names)
            hx = hx if isinstance(hx, tuple) else (hx,)
            # Apart from the output, though both are the first state; and those that nothing learned decides, too.
            hx = tuple(h * 1 if h.requires_grad else h.detach().requires_grad_() for h in hx)
            for h in hx:
                h.retain_grad()
            output.append(y.flatten())
            kept.append(hx)
            seen.append({n: x.detach().flatten()[0].item() for n, x in recorded.items()})
        total = (torch.cat(output) * self.given).sum()
        if total.requires_grad:
            total.backward()
        zero = lambda x: torch.zeros_like(x) if x.grad is None else x.grad  # noqa: E731
        errors = {}
        for place, (name, state) in enumerate(zip(self.cell.states, self.cell.trace.states, strict=True)):
            if state.size is not None:
                errors[name] = [float(zero(hx[place]).flatten()[0]) for hx in kept]
        first = self.cell.states[0]
        errors[first] = [x + float(g) for x, g in zip(errors[first], self.given, strict=True)]
        return {
            "seen": {n: [s[n] for s in seen] for n in names},
            "gradient": self.flat(zero),
            "errors": errors,
            "input": zero(e).tolist(),
        }


def check(layers, folder):
    given = []
    for k, made in enumerate(layers):
        (folder / f"cell{k}.mjs").write_text(one_unit(single(made.cell)))
        values = made.flat(lambda p: p.detach())
        given.append({"module": f"./cell{k}.mjs", "w": values, "e": made.e.tolist(), "given": made.given.tolist()})
    compared = 0
    for found, made in zip(said(SCRIPT, folder, given), layers, strict=True):
        with kernels.use("reference"):
            wanted = made.results()
        names = [n.partition("[")[0] for n in found["weights"]]
        assert names == [n for n, p in made.weights().items() for _ in range(p.numel())], made.cell.name
        for what in ("seen", "errors"):
            for name, values in wanted[what].items():
                assert found[what][name] == pytest.approx(values, rel=1e-9, abs=1e-11), (made.cell, what, name)
                compared += 1
        for what in ("gradient", "input"):
            assert found[what] == pytest.approx(wanted[what], rel=1e-8, abs=1e-10), (made.cell, what)
    return compared


def test_every_cell_of_a_chain(tmp_path):
    every = [entry.cell for entry in catalogue() if fits(entry.cell)]
    assert len(every) > 60
    assert check([Layer(c, seed) for seed, c in enumerate(every)], tmp_path) > 300


def test_cells_that_a_program_wrote(tmp_path):
    every = [case.cell for case in stored() if fits(case.cell)]
    assert len(every) > 60
    check([Layer(c, seed) for seed, c in enumerate(every)], tmp_path)


def test_functions_over_the_units_go_over_one(tmp_path):
    @cell(masks={"W.hh": lambda rows, columns: 1 - torch.eye(rows, columns).numpy()})
    def one(e, h, W, w, b):
        a = softmax(W.ae @ e) + layer_norm(h, w.a, b.a)
        g = where(norm(h) > 0.3, logistic(h), 0.1 * mean(e) * a)
        h = tanh(W.h @ concat(g, a, g) + W.hh @ h + W.h @ concat(a, a, h))
        return h

    made = single(one)
    assert made.weights == ("W.ae", "w.a", "b.a", "W.h[0]", "W.h[a]", "W.h[2]")  # no unit hears itself: the mask is zero
    assert made.initial == ("uniform", 1.0, 0.0, "uniform", "uniform", "uniform")
    layer = Layer(one, 1)
    layer.weights = lambda: {n: layer.layer.parameter(n) for n in ("W.ae", "w.a", "b.a", "W.h")}
    check([layer], tmp_path)


def test_what_has_no_single_unit_is_refused():
    for name, says in (("mdlstm", "follows several"), ("time-lstm", "takes d beside"), ("gru-2-heads", "2 heads cannot share")):
        with pytest.raises(EquationError, match=says):
            single(cells.get(name))
