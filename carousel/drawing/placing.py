"""Where the parts of a drawing stand, and where their wires run.

Columns from left to right as things are computed; from top to bottom the pipes, the pointwise operations between, the row
of layers, and the lanes on which the other states and the input come in.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from carousel.drawing.graph import Graph, Node
from carousel.drawing.routing import DOWN, LEFT, RIGHT, UP, Point, Port, Router, along_way

MARGIN, LANE, APART = 6, 3, 5  # grid points: at the sides, between lanes, from one input to the next
TRIES = ((3, "near"), (4, "near"), (4, "far"))  # points between columns, and which wires come first
WIDER = (6, 9)  # where wires have run together
LAYER, ROW = 2, 5  # half a layer's side; from one row of operations to the next
ENDS = ("input", "before", "after", "output")


@dataclass
class Place:
    """A node's place: its middle and half its width and height, in grid points."""

    x: int
    y: int
    half_width: int
    half_height: int

    @property
    def body(self) -> tuple[int, int, int, int]:
        return self.x - self.half_width, self.y - self.half_height, self.x + self.half_width, self.y + self.half_height


@dataclass(frozen=True)
class Way:
    """A wire from a node (or from a fork of its wires) to a reader; ``piped`` where it is part of a pipe."""

    source: str
    reader: str
    manner: str
    points: tuple[Point, ...]
    piped: bool = False


@dataclass
class Layout:
    """The places of a drawing's nodes, and its ways, all in grid points."""

    graph: Graph
    width: int
    height: int
    frame: tuple[int, int, int, int]
    places: dict[str, Place] = field(default_factory=dict)
    ways: list[Way] = field(default_factory=list)
    cost: float = 0.0


def layout(graph: Graph) -> Layout:
    """Place the nodes and connect them; of a few spacings and orders of wires, the cheapest is taken."""
    made = [_Placer(graph, gap, order).make() for gap, order in TRIES]
    for gap in WIDER:
        best = min(made, key=lambda m: m.cost)
        if not _runs_together(best.ways):
            break
        made.append(_Placer(graph, gap, "near").make())
    return min(made, key=lambda m: m.cost)


def _runs_together(ways: list[Way]) -> bool:
    """Return whether wires of different sources lie on one another anywhere."""
    steps: dict[tuple[Point, Point], str] = {}
    for way in ways:
        along = along_way(way.points)
        for a, b in itertools.pairwise(along):
            if steps.setdefault((min(a, b), max(a, b)), way.source) != way.source:
                return True
    return False


class _Placer:
    def __init__(self, graph: Graph, gap: int, order: str):
        self.graph, self.gap, self.order = graph, gap, order
        self.piped = {key: state for state, keys in graph.pipes.items() for key in keys}
        self.column: dict[str, int] = {}
        self.level: dict[str, int] = {}  # 0: the row of layers; 1, 2, … above it; −1, −2, … below the pipes
        self.columns: list[list[str]] = []
        self.places: dict[str, Place] = {}

    def make(self) -> Layout:
        for node in self.graph.nodes.values():
            if node.kind not in ENDS:
                self._choose_column(node)
        self._choose_points()
        return self._connect()

    # Columns and levels

    def _choose_column(self, node: Node) -> None:
        sources = [w.source for w in node.wires]
        inner = [s for s in sources if s in self.column and s not in self.piped]
        if node.key in self.piped:
            self._choose_on_pipe(node, inner)
        elif node.kind == "join" or node.kind == "constant" or (node.kind == "layer" and not self._inline(node)):
            self._enter(node.key, None, 0)
        elif not inner:  # hangs from the pipes
            self._enter(node.key, None, -1)
        elif node.kind == "layer" or all(self.level[s] < 0 for s in inner):
            last = max(inner, key=lambda s: self.column[s])
            self._enter(node.key, None, self.level[last] or 1)
        else:
            main = max(inner, key=lambda s: self.column[s])
            level = 1 + max(self.level[s] for s in inner if self.level[s] >= 0)
            self._enter(node.key, self.column[main] if self._is_open(main) else None, level)

    def _choose_on_pipe(self, node: Node, inner: list[str]) -> None:
        pipe = self.graph.pipes[self.piped[node.key]]
        before = pipe[: pipe.index(node.key)]
        least = max([self.column[k] for k in before if k in self.column], default=-1)
        least = max([least, *(self.column[s] for s in inner)])
        at = max(inner, key=lambda s: self.column[s], default=None)
        free = at is not None and self.column[at] == least and self._is_open(at)
        free = free and not any(self.column.get(k) == least for k in before)
        self._enter(node.key, least if free else None, 0)

    def _inline(self, node: Node) -> bool:
        """Return whether a layer stands among the operations: its inputs are computed in this step, as v4's projection is."""
        made = [w.source in self.column and self.graph.nodes[w.source].kind not in ("join", "layer") for w in node.wires]
        return all(made) and len(made) == 1

    def _is_open(self, key: str) -> bool:
        """Return whether nothing stands above a node in its column."""
        others = [k for k in self.columns[self.column[key]] if k != key]
        if self.level[key] < 0:
            return not any(self.level[k] > 0 for k in others if k not in self.piped)
        return not any(k in self.piped or self.level[k] > self.level[key] or self.level[k] < 0 for k in others)

    def _enter(self, key: str, column: int | None, level: int) -> None:
        if column is None:
            column = len(self.columns)
            self.columns.append([])
        self.columns[column].append(key)
        self.column[key], self.level[key] = column, level

    # Points

    def _choose_points(self) -> None:
        nodes = self.graph.nodes
        x = MARGIN + 2
        for keys in self.columns:
            half = max(half_width(nodes[k]) for k in keys)
            joins = all(nodes[k].kind == "join" for k in keys)
            x += half
            for key in keys:
                self.places[key] = Place(x, 0, half_width(nodes[key]), half_height(nodes[key], nodes))
            x += half + (self.gap - 2 if joins else self.gap)
        self.right = x + 1
        pipes = sorted(self.graph.pipes, key=lambda s: (s != "t", list(self.graph.pipes).index(s)))
        top = 7
        self.lane = {state: top + ROW * k for k, state in enumerate(pipes)}
        under = top + ROW * max(0, len(pipes) - 1)
        rows = self._rows()
        layers = under + ROW * rows + (ROW + 1 if pipes or rows else 3)
        for key, place in self.places.items():
            level = self.level[key]
            if key in self.piped:
                place.y = self.lane[self.piped[key]]
            elif level:
                place.y = under - ROW * level if level < 0 else layers - 1 - ROW * level
            else:
                place.y = layers
        self._choose_lanes(layers)

    def _rows(self) -> int:
        """Return how many rows of operations lie between the pipes and the layers."""
        need = 0
        for key, level in self.level.items():
            if key in self.piped:
                continue
            need = max(need, abs(level))
            hanging = [-self.level[w.source] for w in self.graph.nodes[key].wires if self.level.get(w.source, 0) < 0]
            if level > 0 and hanging:
                need = max(need, level + max(hanging))
        return need

    def _choose_lanes(self, layers: int) -> None:
        """Choose lanes below the layers for states that are no pipes, in one of which a join stands.

        The input comes from below.
        """
        nodes = self.graph.nodes
        y = layers + LAYER + 4
        below = [k for k, n in nodes.items() if n.kind == "before" and n.label not in self.lane]
        after = [n.label for n in nodes.values() if n.kind == "after" and n.label not in self.lane]
        joins = [k for k, n in nodes.items() if n.kind == "join"]
        lanes: list[str] = []
        for join in joins:
            states = [w.source for w in nodes[join].wires if w.source in below and w.source not in lanes]
            lanes += states
            for state in states:
                self.lane[nodes[state].label] = y
                y += LANE
            earlier = [w.source for w in nodes[join].wires if w.source in joins]
            if states:
                self.places[join].y = self.lane[nodes[states[len(states) // 2]].label]
            elif earlier:
                self.places[join].y = self.places[earlier[0]].y
            else:
                self.places[join].y, y = y, y + LANE
        for label in [*(nodes[k].label for k in below if k not in lanes), *after]:
            if label not in self.lane:
                self.lane[label] = y
                y += LANE
        self.bottom = y
        self._place_ends()

    def _place_ends(self) -> None:
        nodes = self.graph.nodes
        for key, node in nodes.items():
            if node.kind == "before":
                self.places[key] = Place(MARGIN - 3, self.lane[node.label], 2, 1)
            elif node.kind == "after":
                self.places[key] = Place(self.right + 6, self.lane[node.label], 2, 1)
            elif node.kind == "input":
                readers = [self.places[k].x for k in self.graph.readers(key) if k in self.places]
                x = min(readers, default=MARGIN + 3)
                others = [self.places[k].x for k, n in nodes.items() if n.kind == "input" and k in self.places]
                while any(abs(x - other) < APART for other in others):
                    x += 1
                self.places[key] = Place(x, self.bottom + 3, 2, 1)
            elif node.kind == "output":
                self.places[key] = Place(self.right, 1, 2, 1)

    # Wires

    def _connect(self) -> Layout:
        nodes = self.graph.nodes
        router = Router(self.right + 12, self.bottom + 8, [p.body for p in self.places.values()])
        frame = (MARGIN, 4, self.right + 3, self.bottom)
        router.avoid(frame)
        made = Layout(self.graph, self.right + 9, self.bottom + 5, frame, self.places)
        taken: set[Port] = set()
        done = self._pipes(router, made, taken)
        wanted = [(w.source, n.key, w.manner) for n in nodes.values() for w in n.wires]
        for source, reader in done:
            wanted.remove((source, reader, "plain"))
        for source, reader, manner in sorted(wanted, key=self._priority):
            targets = [p for p in self._inputs(nodes[reader], manner) if p not in taken]
            sources = [] if source in router.nets else [p for p in self._outputs(nodes[source]) if p not in taken]
            way, port = router.connect(source, sources, targets or self._inputs(nodes[reader], manner))
            taken |= {port, *(p for p in sources if p.at == way[0])}
            made.ways.append(Way(source, reader, manner, tuple(way)))
        made.cost = router.cost
        return made

    def _pipes(self, router: Router, made: Layout, taken: set[Port]) -> list[tuple[str, str]]:
        """Lay the pipes straight; return the nodes that they connect, in pairs."""
        done = []
        for state, keys in self.graph.pipes.items():
            chain = [f"before {state}", *keys, f"after {state}"]
            for a, b in itertools.pairwise(chain):
                pa, pb = self.places[a], self.places[b]
                way = [(pa.x + pa.half_width, pa.y), (pb.x - pb.half_width, pb.y)]
                router.lay(a, way)
                taken |= {Port(way[0], RIGHT), Port(way[1], LEFT)}
                made.ways.append(Way(a, b, "plain", tuple(way), piped=True))
                done.append((a, b))
        return done

    def _priority(self, wire: tuple[str, str, str]) -> tuple[int, int, str, str]:
        source, reader, _ = wire
        kind = self.graph.nodes[reader].kind
        last = {"join": 0, "output": 2, "after": 3}.get(kind, 1)
        a, b = self.places[source], self.places[reader]
        distance = abs(a.x - b.x) + abs(a.y - b.y)
        if self.graph.nodes[source].kind == "join":
            distance = -1000 - abs(a.x - b.x)  # a bus is as long as it has to be at once
        return last, distance if self.order == "near" or distance < 0 else -distance, source, reader

    def _outputs(self, node: Node) -> list[Port]:
        place = self.places[node.key]
        _left, top, right, bottom = place.body
        if node.kind == "input":
            return [Port((place.x, top), UP)]
        if node.kind == "before" or node.kind == "join":
            return [Port((right, place.y), RIGHT)]
        if node.kind == "layer" and self.level[node.key] == 0:
            return [Port((place.x, top), UP)]
        if node.kind == "layer":
            return [Port((right, place.y), RIGHT)]
        return [Port((right, place.y), RIGHT), Port((place.x, top), UP), Port((place.x, bottom), DOWN)]

    def _inputs(self, node: Node, manner: str) -> list[Port]:
        place = self.places[node.key]
        left, top, _right, bottom = place.body
        x, y = place.x, place.y
        if node.kind == "after":
            return [Port((left, y), LEFT)]
        if node.kind == "output":
            return [Port((x, bottom), DOWN)]
        if node.kind == "layer" and self.level[node.key] == 0:
            below = [Port((x + dx, bottom), DOWN) for dx in self._spread(node)]
            beside = [Port((left, y + dy), LEFT) for dy in (0, 1, -1)]
            return below if manner == "dense" else [*beside, *below]
        if node.kind == "layer":
            return [Port((left, y), LEFT), Port((x, bottom), DOWN), Port((x, top), UP)]
        if node.kind == "join":
            beside = [Port((left, y + dy), LEFT) for dy in range(-place.half_height, place.half_height + 1)]
            return [
                *(beside if _from_left(node, self.graph.nodes) > 1 else [Port((left, y), LEFT)]),
                Port((x, bottom), DOWN),
                Port((x, top), UP),
            ]
        if node.kind == "switch":
            return [Port((x + dx, bottom), DOWN) for dx in (-3, 0, 3)] + [Port((x + dx, top), UP) for dx in (-3, 0, 3)]
        return [Port((left, y), LEFT), Port((x, bottom), DOWN), Port((x, top), UP)]

    def _spread(self, node: Node) -> tuple[int, ...]:
        """Return where wires enter a layer from below, seen from its middle."""
        dense = sum(w.manner == "dense" for w in node.wires)
        return (0,) if dense < 2 else (-1, 1) if dense == 2 else (-1, 0, 1)


def half_width(node: Node) -> int:
    """Return half the width of a node, in grid points."""
    if node.kind == "layer":
        return LAYER
    if node.kind == "switch":
        return max(4, round(len(node.label) * 0.35))
    if node.kind in ("function", "constant", "larger"):
        return max(1, (len(node.label) + 1) // 2)
    return 0 if node.kind == "join" else 1


def half_height(node: Node, nodes: Mapping[str, Node]) -> int:
    """Return half the height of a node, in grid points."""
    if node.kind == "join":
        count = _from_left(node, nodes)
        return LANE * (count // 2) if count > 2 else 1
    return LAYER if node.kind == "layer" else 1


def _from_left(node: Node, nodes: Mapping[str, Node]) -> int:
    """Return how many wires enter a join from the left: states, and operations on them alone."""
    return sum(all(s.startswith("before") for s in _sources(nodes[w.source])) for w in node.wires)


def _sources(node: Node) -> list[str]:
    """Return the keys of a function's operands, else the node's own."""
    return [w.source for w in node.wires] if node.kind == "function" else [node.key]
