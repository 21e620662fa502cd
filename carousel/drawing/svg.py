"""A cell drawn from its equations, in Olah's manner, as SVG text.

Valves, layers, states and other named quantities are elements that a page can fill and make answer: ``<g class="valve"
data-name="f" role="button" tabindex="0">``. Colours are the page's (``static/cell.css``): every shape has a class, so the
drawing follows light and dark. ``--level`` of a group, from 0 to 1, is how
full it is shown.
"""

from __future__ import annotations

import re
from html import escape
from importlib import resources

from carousel.drawing.graph import Graph, Node, graph
from carousel.drawing.placing import Layout, Place, Way, layout
from carousel.drawing.routing import Point
from carousel.equations import Cell
from carousel.equations.printing import ARROWS

UNIT = 14  # pixels of a grid point
CORNER = 7.0
SIGNS = {"times": "×", "plus": "+"}


def draw(cell: Cell) -> str:
    """Return the drawing of a cell: one ``<svg>`` element, the same text for the same cell."""
    made = layout(graph(cell))
    equations = dict(zip(_names(cell), cell.text.splitlines(), strict=True))
    drawer = _Drawer(cell, made, equations)
    return drawer.draw()


def standalone(cell: Cell) -> str:
    """Return the drawing as a file of its own: with the page's light colours, on white."""
    static = resources.files("carousel.page") / "static"
    theme, style = ((static / name).read_text("utf-8") for name in ("theme.css", "cell.css"))
    colours = dict(re.findall(r"--([\w-]+): ([^;]+);", theme.partition("}")[0]))  # not every viewer knows custom properties
    style = re.sub(r"var\(--([\w-]+)(?:, ([^)]*))?\)", lambda m: colours.get(m[1]) or m[2] or "", style)
    drawn = draw(cell)
    inside = drawn.index(">") + 1
    return f'{drawn[:inside]}\n<style>\n{style}</style>\n<rect width="100%" height="100%" fill="white"/>{drawn[inside:]}\n'


def _names(cell: Cell) -> list[str]:
    """Return the name that each line of the cell's text defines; the clock is not printed."""
    return [name for name in cell.names if name != "t"]


class _Drawer:
    def __init__(self, cell: Cell, made: Layout, equations: dict[str, str]):
        self.cell, self.made, self.equations = cell, made, equations
        self.graph: Graph = made.graph

    def draw(self) -> str:
        width, height = self.made.width * UNIT, self.made.height * UNIT
        left, top, right, bottom = (x * UNIT for x in self.made.frame)
        order = sorted(self.made.ways, key=lambda w: (not w.piped, w.source, w.reader))
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="cell" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="group" '
            f'aria-label="{escape(f"The cell {self.cell.name}, drawn from its equations. {self.cell.doc}")}">',
            f'<rect class="frame" x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" rx="28"/>',
            *(self._wire(way) for way in order),
            *(self._fork(way) for way in order),
            *(self._node(node) for node in self.graph.nodes.values()),
            "</svg>",
        ]
        return "\n".join(p for p in parts if p)

    # Wires

    def _wire(self, way: Way) -> str:
        path = _path(way.points)
        kind = "pipe" if way.piped else f"wire {way.manner}"
        facts = f'data-from="{escape(way.source)}" data-to="{escape(way.reader)}"'
        halo = f'<path class="halo" d="{path}"/>' if not way.piped else f'<path class="wall" d="{path}"/>'
        arrow = "" if way.piped or self.graph.nodes[way.reader].kind == "join" else _arrow(way.points)
        return f'<g class="{kind}" {facts}>{halo}<path class="line" d="{path}"/>{arrow}</g>'

    def _fork(self, way: Way) -> str:
        """Return a dot where a wire leaves another of the same source."""
        x, y = way.points[0]
        place = self.made.places[way.source]
        left, top, right, bottom = place.body
        if way.piped or (left <= x <= right and top <= y <= bottom):
            return ""
        return f'<circle class="fork" cx="{x * UNIT}" cy="{y * UNIT}" r="4"/>'

    # Nodes

    def _node(self, node: Node) -> str:
        place = self.made.places[node.key]
        draw = {
            "input": self._end,
            "before": self._end,
            "after": self._end,
            "output": self._end,
            "layer": self._layer,
            "join": self._joint,
            "switch": self._switch,
        }.get(node.kind, self._operation)
        return draw(node, place)

    def _group(self, node: Node, inside: str, *, name: str | None = None, kind: str = "", shown: str = "") -> str:
        """Return a group; with a name it can be chosen, and tells the letters ``shown`` after its name, and its equation."""
        if name is None:
            return f'<g class="{kind or node.kind}" data-key="{escape(node.key)}">{inside}</g>'
        equation = self.equations.get(name, "")
        what = {"valve": "valve", "state": "state"}.get(kind, "quantity")
        head = " ".join(filter(None, (what, name, shown)))  # whoever speaks to a page says what is seen
        label = escape(f"{head}: {equation}" if equation else head)
        return (
            f'<g class="{kind or "quantity"}" data-name="{escape(name)}" data-key="{escape(node.key)}" tabindex="0" '
            f'role="button" aria-label="{label}"><title>{label}</title>{inside}</g>'
        )

    def _kind(self, name: str | None) -> str:
        if name is None:
            return ""
        return "valve" if name in self.cell.gates else "quantity"

    def _layer(self, node: Node, place: Place) -> str:
        x, y, half = place.x * UNIT, place.y * UNIT, place.half_width * UNIT
        # A state's own chip stands at the right; a gate that is a state too (FGR) is a valve here.
        name = node.name if node.name in self.cell.gates or node.name not in self.cell.states else None
        box = f'x="{x - half}" y="{y - half}" width="{2 * half}" height="{2 * half}" rx="9"'
        inside = f'<rect class="box" {box}/>'
        if name is None:
            inside += f'<text class="function large" x="{x}" y="{y + 6}">{escape(node.label)}</text>'
        else:
            inside += (
                f'<rect class="level" x="{x - half + 3}" y="{y - half + 3}" width="{2 * half - 6}" '
                f'height="{2 * half - 6}" rx="6"/>'
                f'<text class="name{" long" if len(name) > 3 else ""}" x="{x}" y="{y - 8}">{escape(name)}</text> '
                f'<text class="function" x="{x}" y="{y + 7}">{escape(node.label)}</text> '
                f'<text class="value" x="{x}" y="{y + 23}"></text>'
            )
        return self._group(node, inside, name=name, kind=self._kind(name) if name else "layer", shown=node.label)

    def _operation(self, node: Node, place: Place) -> str:
        x, y = place.x * UNIT, place.y * UNIT
        name = node.name if node.name not in self.cell.states else None
        if node.kind in SIGNS:
            shown = ""
            inside = f'<circle class="shape" cx="{x}" cy="{y}" r="{UNIT}"/>{_sign(node.kind, x, y)}'
        else:
            shown, half = node.label, place.half_width * UNIT
            inside = f'<rect class="shape" x="{x - half}" y="{y - UNIT}" width="{2 * half}" height="{2 * UNIT}" rx="{UNIT}"/>'
        if name is not None:
            right = x + place.half_width * UNIT
            inside += f'<text class="name beside" x="{right + 2}" y="{y - UNIT - 1}">{escape(name)}</text> '
        if shown:
            inside += f'<text class="function" x="{x}" y="{y + 5}">{escape(shown)}</text>'
        kind = f"operation {node.kind}" if name is None else self._kind(name)
        return self._group(node, inside, name=name, kind=kind, shown=shown)

    def _switch(self, node: Node, place: Place) -> str:
        left, top, right, bottom = (v * UNIT for v in place.body)
        box = f'<rect class="shape" x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" rx="6"/>'
        text = f'<text class="function" x="{place.x * UNIT}" y="{place.y * UNIT + 4}">{escape(node.label)}</text>'
        return self._group(node, box + text, kind="operation switch")

    def _joint(self, node: Node, place: Place) -> str:
        x, y, half = place.x * UNIT, place.y * UNIT, place.half_height * UNIT - 4
        bar = f'<line class="bar" x1="{x}" y1="{y - half}" x2="{x}" y2="{y + half}"/>'
        return self._group(node, bar)

    def _end(self, node: Node, place: Place) -> str:
        x, y = place.x * UNIT, place.y * UNIT
        name, _, steps = node.label.partition(" ")
        when = f"t−{steps or 1}" if node.kind == "before" else "t"
        if steps and not steps.isdecimal():  # of a step with a name
            when = ARROWS.get(steps, (steps,))[0]
        if node.label == "t":  # the number of the step needs no index
            text = "t" if node.kind == "before" else "t+1"
        else:
            text = f'{escape(name)}<tspan class="index" dy="5">{when}</tspan>'
        inside = f'<text class="end" x="{x}" y="{y + 5}">{text}</text>'
        if node.kind != "after" or node.label == "t":
            kind = "after clock state" if node.kind == "after" else node.kind
            return self._group(node, inside, kind=kind) if kind == node.kind else self._clock(node, inside)
        chip = f'<rect class="chip" x="{x - 28}" y="{y - 17}" width="56" height="34" rx="17"/>'
        bar = f'<rect class="level" x="{x - 26}" y="{y - 15}" width="52" height="30" rx="15"/>'
        return self._group(node, chip + bar + inside, name=node.label, kind="state")

    def _clock(self, node: Node, inside: str) -> str:
        return f'<g class="state clock" data-name="t" data-key="{escape(node.key)}" role="img" aria-label="step">{inside}</g>'


def _sign(kind: str, x: int, y: int) -> str:
    if kind == "plus":
        return f'<path class="sign" d="M{x - 6} {y}H{x + 6}M{x} {y - 6}V{y + 6}"/>'
    return f'<path class="sign" d="M{x - 5} {y - 5}L{x + 5} {y + 5}M{x - 5} {y + 5}L{x + 5} {y - 5}"/>'


def _path(points: tuple[Point, ...]) -> str:
    """Return a way with rounded corners."""
    at = [(x * UNIT, y * UNIT) for x, y in points]
    parts = [f"M{at[0][0]} {at[0][1]}"]
    for before, corner, after in zip(at, at[1:], at[2:], strict=False):
        a, b = _toward(corner, before), _toward(corner, after)
        parts.append(f"L{a[0]:g} {a[1]:g}Q{corner[0]} {corner[1]} {b[0]:g} {b[1]:g}")
    return "".join(parts) + f"L{at[-1][0]} {at[-1][1]}"


def _toward(corner: Point, other: Point) -> tuple[float, float]:
    """Return a point a little way from a corner."""
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    length = max(abs(dx), abs(dy))
    step = min(CORNER, length / 2) / length
    return corner[0] + dx * step, corner[1] + dy * step


def _arrow(points: tuple[Point, ...]) -> str:
    """Return a small head at the end of a way."""
    (x0, y0), (x1, y1) = points[-2:]
    dx, dy = (x1 > x0) - (x1 < x0), (y1 > y0) - (y1 < y0)
    x, y = x1 * UNIT, y1 * UNIT
    a = (x - 7 * dx + 4 * dy, y - 7 * dy + 4 * dx)
    b = (x - 7 * dx - 4 * dy, y - 7 * dy - 4 * dx)
    return f'<path class="head" d="M{x} {y}L{a[0]} {a[1]}L{b[0]} {b[1]}Z"/>'
