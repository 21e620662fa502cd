"""Wires between things that stand on a grid: along its lines, round what stands there, crossing as little as can be."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Point = tuple[int, int]
UP, RIGHT, DOWN, LEFT = (0, -1), (1, 0), (0, 1), (-1, 0)
STEP, BEND, CROSS, FORK, NEAR, EDGE, OVERLAP = 1.0, 3.0, 5.0, 1.5, 2.0, 8.0, 60.0  # what a wire's path costs


@dataclass(frozen=True)
class Port:
    """Where a wire meets a thing: ``at`` its edge, going ``out`` of it."""

    at: Point
    out: Point


@dataclass
class Net:
    """What is drawn of one source: its points with the directions in which wires run through them, and its ways."""

    points: dict[Point, set[bool]] = field(default_factory=dict)  # {True}: across, {False}: up and down; both: a bend
    ways: list[list[Point]] = field(default_factory=list)


class Router:
    """A grid of ``width`` × ``height`` points; ``bodies`` are rectangles (left, top, right, bottom) that no wire enters."""

    def __init__(self, width: int, height: int, bodies: Iterable[tuple[int, int, int, int]]):
        self.width, self.height = width, height
        self.blocked: set[Point] = set()
        self.near: set[Point] = set()
        self.edge: set[Point] = set()
        for left, top, right, bottom in bodies:
            for x in range(left - 1, right + 2):
                for y in range(top - 1, bottom + 2):
                    inside = left <= x <= right and top <= y <= bottom
                    (self.blocked if inside else self.near).add((x, y))
        self.nets: dict[str, Net] = {}
        self.held: dict[Point, dict[str, set[bool]]] = {}  # which nets run through a point, and how
        self.cost = 0.0

    def avoid(self, frame: tuple[int, int, int, int]) -> None:
        """Let no wire run along the edge of a rectangle (left, top, right, bottom), though through it."""
        left, top, right, bottom = frame
        self.edge |= {(x, y) for x in range(left, right + 1) for y in (top, bottom)}
        self.edge |= {(x, y) for x in (left, right) for y in range(top, bottom + 1)}

    def lay(self, name: str, way: list[Point]) -> None:
        """Enter a way that is known."""
        net = self.nets.setdefault(name, Net())
        net.ways.append(way)
        for corner, other in itertools.pairwise(way):
            for point in along_way((corner, other)):
                net.points.setdefault(point, set()).add(corner[1] == other[1])
                self.held.setdefault(point, {})[name] = net.points[point]

    def connect(self, name: str, sources: list[Port], targets: list[Port]) -> tuple[list[Point], Port]:
        """Find the cheapest way from one of ``sources``, or from what the net has already, to one of ``targets``.

        Gives the way and the target. Wires of other nets may be crossed, and covered only where there is no other way.
        """
        net = self.nets.get(name, Net())
        goals: dict[tuple[Point, Point], Port] = {(_beyond(t), _back(t.out)): t for t in targets}
        queue: list[tuple[float, int, Point, Point]] = []
        came: dict[tuple[Point, Point], tuple[Point, Point] | None] = {}
        best: dict[tuple[Point, Point], float] = {}
        starts: dict[tuple[Point, Point], Point] = {}
        count = 0

        def offer(cost: float, point: Point, way: Point, before: tuple[Point, Point] | None, start: Point | None) -> None:
            nonlocal count
            key = (point, way)
            if cost < best.get(key, 1e18):
                best[key], came[key] = cost, before
                if start is not None:
                    starts[key] = start
                count += 1
                heapq.heappush(queue, (cost, count, point, way))

        for port in sources:
            offer(self._price(name, _beyond(port), port.out), _beyond(port), port.out, None, port.at)
        for point in sorted(net.points):
            for way in (UP, RIGHT, DOWN, LEFT):
                to = (point[0] + way[0], point[1] + way[1])
                if to not in net.points and to not in self.blocked and point not in self.blocked:
                    price = self._price(name, to, way) + FORK + self._bend_price(name, point)
                    offer(price, to, way, None, point)
        while queue:
            cost, _, point, way = heapq.heappop(queue)
            key = (point, way)
            if cost > best[key]:
                continue
            if key in goals:
                return self._finish(name, key, goals[key], came, starts, cost)
            for turn in (UP, RIGHT, DOWN, LEFT):
                if turn == _back(way):
                    continue
                to = (point[0] + turn[0], point[1] + turn[1])
                bend = 0.0 if turn == way else BEND + self._bend_price(name, point)
                if not (0 <= to[0] < self.width and 0 <= to[1] < self.height):
                    continue
                if (point, turn) in goals:  # turns into the port
                    offer(cost + bend, point, turn, key, None)
                if to not in self.blocked:
                    offer(cost + bend + self._price(name, to, turn), to, turn, key, None)
        raise AssertionError(f"no way for {name}")  # covering is allowed, so there always is one

    def _finish(
        self,
        name: str,
        key: tuple[Point, Point],
        target: Port,
        came: dict[tuple[Point, Point], tuple[Point, Point] | None],
        starts: dict[tuple[Point, Point], Point],
        cost: float,
    ) -> tuple[list[Point], Port]:
        way = [target.at]
        at: tuple[Point, Point] | None = key
        last = key
        while at is not None:
            way.append(at[0])
            last, at = at, came[at]
        way.append(starts[last])
        way = _straight(way[::-1])
        self.cost += cost
        self.lay(name, way)
        return way, target

    def _price(self, name: str, point: Point, way: Point) -> float:
        """Of moving into a point in that direction."""
        price, across = STEP + NEAR * (point in self.near) + EDGE * (point in self.edge), way[1] == 0
        for other, ways in self.held.get(point, {}).items():
            price += OVERLAP if other != name and across in ways else CROSS
        return price

    def _bend_price(self, name: str, point: Point) -> float:
        return sum(OVERLAP for other in self.held.get(point, {}) if other != name)


def along_way(way: Sequence[Point]) -> list[Point]:
    """Every grid point of a way that is given by its bends."""
    found = [way[0]]
    for (x0, y0), (x1, y1) in itertools.pairwise(way):
        steps = max(abs(x1 - x0), abs(y1 - y0))
        found += [(x0 + (x1 - x0) * k // steps, y0 + (y1 - y0) * k // steps) for k in range(1, steps + 1)]
    return found


def _beyond(port: Port) -> Point:
    return port.at[0] + port.out[0], port.at[1] + port.out[1]


def _back(way: Point) -> Point:
    return -way[0], -way[1]


def _straight(way: list[Point]) -> list[Point]:
    """Without the points between bends, and without repetitions."""
    found: list[Point] = []
    for point in way:
        if found and point == found[-1]:
            continue
        if len(found) > 1 and ((found[-2][0] == found[-1][0] == point[0]) or (found[-2][1] == found[-1][1] == point[1])):
            found.pop()
        found.append(point)
    return found
