"""Any cell is drawn from its equations: everything is there once, nothing overlaps, every wire leads somewhere."""

import heapq
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from functools import cache
from itertools import combinations, pairwise
from types import SimpleNamespace

import pytest
from random_cells import stored

from carousel.cells import CELLS
from carousel.drawing import placing, routing
from carousel.drawing.graph import graph
from carousel.drawing.placing import layout
from carousel.drawing.svg import draw, standalone
from carousel.equations import cell, logistic, tanh, where
from carousel.equations.units import gains_and_biases


@cell
def odd(e, m, h, W, b):
    """A cell with a bit of everything that the lectures' cells lack."""
    u = tanh(W.ue @ e + W.um @ m + b.u)
    k = logistic(W.ke @ e + b.k)
    q = logistic(W.qe @ e + W.qh @ h + b.q)
    h = 0.9 * h + 2 * k * q * u - 0.5
    m = where(h > 0, h, 0.1 * h)
    return m, h


@pytest.fixture(params=[*CELLS, "slstm", "odd"])
def any_cell(request):
    own = {"odd": odd, "slstm": None}
    if request.param == "slstm":
        return request.getfixturevalue("slstm")
    return own.get(request.param) or CELLS[request.param]


@cache
def drawn(of):
    return ET.fromstring(draw(of))


@cache
def laid_out(of):
    return layout(graph(of))


def groups(svg, kind):
    return [g for g in svg.iter("{http://www.w3.org/2000/svg}g") if kind in g.get("class").split()]


def test_every_valve_and_state_is_there_once(any_cell):
    svg = drawn(any_cell)
    assert Counter(g.get("data-name") for g in groups(svg, "valve")) == Counter(any_cell.gates)
    assert Counter(g.get("data-name") for g in groups(svg, "state")) == Counter(any_cell.states)


def test_every_named_quantity_can_be_chosen_with_the_keyboard_and_says_what_it_is(any_cell):
    lines = dict(zip((n for n in any_cell.names if n != "t"), any_cell.text.splitlines(), strict=True))
    chosen = {g.get("data-name"): g for g in drawn(any_cell).iter() if g.get("role") == "button"}
    assert set(chosen) == set(lines)
    for name, group in chosen.items():
        assert group.get("tabindex") == "0"
        seen = " ".join(filter(None, (text.text for text in group.iter("{http://www.w3.org/2000/svg}text"))))
        assert group.get("aria-label").endswith(f" {seen}: {lines[name]}")  # whoever speaks to a page says what is seen


def test_wires_bring_to_each_quantity_what_its_equation_names(any_cell):
    """Going back from a quantity to the next that have a name, one meets the symbols of its equation, and no others."""
    made, trace = graph(any_cell), any_cell.trace
    named = {n.name: n.key for n in made.nodes.values() if n.name}
    names = {key: f"{name}_t" for name, key in named.items()} | {"input e": "e_t"}
    names |= {f"before {s}": f"{s}_tm1" for s in any_cell.states}

    def met(key):
        found = set()
        for wire in made.nodes[key].wires:
            found |= {names[wire.source]} if wire.source in names else met(wire.source)
        return found

    def said(expr):
        products = {s: p for s, p in trace.products.items() if s in expr.free_symbols}
        plain = {str(s) for s in expr.free_symbols - set(products) - {p.symbol for p in trace.parameters}}
        return plain.union(*(said(p.operand) for p in products.values()))

    for symbol, expr in trace.equations:
        if expr.is_Symbol and expr not in trace.products:  # the state is another value as it is
            assert [names[w.source] for w in made.nodes[f"after {str(symbol)[:-2]}"].wires] == [str(expr)]
        else:
            assert met(named[str(symbol)[:-2]]) == said(expr), symbol


def test_every_weight_is_drawn_as_what_it_is(any_cell):
    """Peepholes are dashed wires; each layer reads through dense ones what its weights multiply."""
    made, trace = graph(any_cell), any_cell.trace
    wires = [w for n in made.nodes.values() for w in n.wires]
    gains = gains_and_biases(trace.expressions)  # a normalisation has them in it
    diagonal = [p for p in trace.parameters if p.kind == "diagonal" and p.symbol not in gains]
    assert sum(w.manner == "diagonal" for w in wires) == len(diagonal)
    fed = {n.key for n in made.nodes.values() if any(w.manner == "dense" for w in n.wires)}
    assert {made.nodes[k].kind for k in fed} <= {"layer", "join"}
    assert all(n.key in fed for n in made.nodes.values() if n.kind == "layer")


def test_every_wire_begins_and_ends_somewhere(any_cell):
    made = laid_out(any_cell)
    expected = Counter((w.source, n.key) for n in made.graph.nodes.values() for w in n.wires)
    assert Counter((w.source, w.reader) for w in made.ways) == expected
    for way in made.ways:
        own = [p for other in made.ways if other is not way and other.source == way.source for p in points(other.points)]
        assert on_edge(made.places[way.source], way.points[0]) or way.points[0] in own, way
        assert on_edge(made.places[way.reader], way.points[-1]), way


def test_nothing_overlaps(any_cell):
    made = laid_out(any_cell)
    for (a, one), (b, other) in combinations(made.places.items(), 2):
        assert apart(one.body, other.body), (a, b)
    for way in made.ways:
        for key, place in made.places.items():
            inside = [p for p in points(way.points) if not apart((*p, *p), place.body)]
            assert len(inside) <= (key in (way.source, way.reader)), (way, key)


def test_wires_of_different_sources_cross_but_never_run_together(any_cell):
    steps = {}
    for way in laid_out(any_cell).ways:
        along = points(way.points)
        for a, b in pairwise(along):
            steps.setdefault(frozenset((a, b)), set()).add(way.source)
    assert all(len(sources) == 1 for sources in steps.values())


def test_the_memory_is_a_pipe_and_the_message_is_none():
    pipes = {name: set(graph(CELLS[name]).pipes) for name in ("lstm", "cec", "gru", "clockwork", "rnn", "mlp")}
    assert pipes == {"lstm": {"h"}, "cec": {"h"}, "gru": {"h"}, "clockwork": {"h", "t"}, "rnn": set(), "mlp": set()}


def test_the_lstm_is_olahs():
    """Along the pipe a product with f, then a sum with i ⊙ g; o and the squashed memory make the message."""
    made = graph(CELLS["lstm"])

    def says(key):
        node = made.nodes[key]
        if node.kind in ("layer", "before", "input"):
            return node.name or node.label
        return f"{node.label}({', '.join(says(w.source) for w in node.wires)})"

    assert says(made.nodes["after h"].wires[0].source) == "+(×(h, f), ×(i, g))"
    assert says(made.nodes["output m"].wires[0].source) == "×(o, tanh(+(×(h, f), ×(i, g))))"
    assert made.pipes["h"] == [
        made.nodes[made.nodes["after h"].wires[0].source].wires[0].source,
        made.nodes["after h"].wires[0].source,
    ]
    (join,) = [n for n in made.nodes.values() if n.kind == "join"]
    assert [w.source for w in join.wires] == ["before m", "input e"]


def test_the_same_cell_gives_the_same_text_in_every_process():
    code = (
        "from carousel.cells import CELLS\nfrom carousel.drawing.svg import draw\nprint(draw(CELLS['gru']), draw(CELLS['fgr']))"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1]
    assert found[0].decode().strip() == f"{draw(CELLS['gru'])} {draw(CELLS['fgr'])}"


def points(way):
    """Every grid point of a way."""
    found = [way[0]]
    for (x0, y0), (x1, y1) in pairwise(way):
        steps = max(abs(x1 - x0), abs(y1 - y0))
        found += [(x0 + (x1 - x0) * k // steps, y0 + (y1 - y0) * k // steps) for k in range(1, steps + 1)]
    return found


def on_edge(place, point):
    left, top, right, bottom = place.body
    x, y = point
    return left <= x <= right and top <= y <= bottom and (x in (left, right) or y in (top, bottom))


def apart(a, b):
    return a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


@pytest.mark.parametrize("name", ["lstm-v3", "clockwork"])
def test_a_file_of_its_own_needs_no_page(name):
    text = standalone(CELLS[name])
    found = ET.fromstring(text)
    assert found.tag.endswith("svg") and "var(" not in text and "#a9cbea" in text
    shapes = [e.get("class") for e in ET.fromstring(draw(CELLS[name])).iter()]
    assert [e.get("class") for e in found.iter() if not e.tag.endswith("style") and e.get("height") != "100%"] == shapes


def test_a_bias_inside_a_function_of_its_own_is_drawn():
    @cell
    def own(e, h, W, w, b):
        h = tanh(W.he @ e) * tanh(b.h) + h * w.hh
        return h

    assert "b.h" in draw(own)


def test_a_large_cell_is_laid_out_without_searching_the_whole_grid(monkeypatch):
    """Of fifty nodes; a search that looks everywhere takes twenty times as long as all else."""
    taken = 0

    def heappop(queue):
        nonlocal taken
        taken += 1
        return heapq.heappop(queue)

    monkeypatch.setattr(routing, "heapq", SimpleNamespace(heappush=heapq.heappush, heappop=heappop))
    made = layout(graph(stored()[102].cell))
    drawn = sum(len(routing.along_way(w.points)) for w in made.ways)
    tries = len(placing.TRIES) + len(placing.WIDER)
    assert len(made.graph.nodes) > 50 and taken < 5 * tries * drawn
