"""Wires between things that stand on a grid: along its lines, round the things, crossing as little as can be."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

Point = tuple[int, int]
State = tuple[Point, Point]  # a point, and the direction in which a wire has come there
UP, RIGHT, DOWN, LEFT = (0, -1), (1, 0), (0, 1), (-1, 0)
STEP, BEND, CROSS, FORK, NEAR, EDGE, OVERLAP = 1.0, 3.0, 5.0, 1.5, 2.0, 8.0, 60.0  # the prices of a wire's path
WAYS = (UP, RIGHT, DOWN, LEFT)
WALL = 1e6  # more than any path costs; its sums are exact, as all others are


@dataclass(frozen=True)
class Port:
    """A place where a wire meets a thing: ``at`` its edge, going ``out`` of it."""

    at: Point
    out: Point


@dataclass
class Net:
    """The wires of one source: its points with the directions in which wires run through them, and its ways."""

    points: dict[Point, set[bool]] = field(default_factory=dict)  # {True}: across, {False}: up and down; both: a bend
    ways: list[list[Point]] = field(default_factory=list)


class Router:
    """A grid of ``width`` × ``height`` points; ``bodies`` are rectangles (left, top, right, bottom) that no wire enters."""

    def __init__(self, width: int, height: int, bodies: Iterable[tuple[int, int, int, int]]):
        self.width, self.height = width, height
        self.blocked, near = np.zeros((2, width, height), bool)
        for left, top, right, bottom in bodies:
            around = np.zeros_like(near)
            around[max(left - 1, 0) : right + 2, max(top - 1, 0) : bottom + 2] = True
            body = (slice(max(left, 0), right + 1), slice(max(top, 0), bottom + 1))
            around[body] = False
            self.blocked[body] = True
            near |= around
        self.base = STEP + NEAR * near  # of moving into a point
        self.nets: dict[str, Net] = {}
        self.through = np.zeros((width, height))  # how many nets run through a point
        self.along = {True: np.zeros((width, height)), False: np.zeros((width, height))}  # across, and up and down
        self.cost = 0.0

    def avoid(self, frame: tuple[int, int, int, int]) -> None:
        """Let no wire run along the edge of a rectangle (left, top, right, bottom), though through it."""
        left, top, right, bottom = frame
        edge = np.zeros_like(self.blocked)
        edge[left : right + 1, top : bottom + 1] = True
        edge[left + 1 : right, top + 1 : bottom] = False
        self.base += EDGE * edge

    def lay(self, name: str, way: list[Point]) -> None:
        """Enter a known way."""
        net = self.nets.setdefault(name, Net())
        net.ways.append(way)
        for corner, other in itertools.pairwise(way):
            across = corner[1] == other[1]
            for point in along_way((corner, other)):
                directions = net.points.setdefault(point, set())
                self.through[point] += not directions
                self.along[across][point] += across not in directions
                directions.add(across)

    def connect(self, name: str, sources: list[Port], targets: list[Port]) -> tuple[list[Point], Port]:
        """Find the cheapest way from one of ``sources``, or from the net's own wires, to one of ``targets``; return both.

        Wires of other nets may be crossed, and covered only where there is no other way.
        """
        net = self.nets.get(name, Net())
        price, bend = self._prices(net)
        goals: dict[State, Port] = {(_beyond(t), _back(t.out)): t for t in targets}
        begin: list[tuple[State, float, Point]] = [
            ((_beyond(p), p.out), price[p.out][_beyond(p)], p.at) for p in sources if self._is_in(_beyond(p))
        ]
        for point in sorted(net.points):
            for way in WAYS:
                to = (point[0] + way[0], point[1] + way[1])
                if to not in net.points and self._is_in(to) and not self.blocked[to] and not self.blocked[point]:
                    begin.append(((to, way), price[way][to] + FORK + bend[point], point))
        rest, least = self._rest(price, bend, goals, begin)
        queue: list[tuple[float, int, State]] = []
        came: dict[State, State | None] = {}
        best: dict[State, float] = {}
        starts: dict[State, Point] = {}

        count = itertools.count()

        def offer(cost: float, state: State, before: State | None) -> bool:
            """Take a way to a state if it is the best so far, and one of the cheapest can go on from it."""
            if cost >= best.get(state, WALL) or cost + rest[state[1]][state[0]] > least:
                return False
            best[state], came[state] = cost, before
            heapq.heappush(queue, (cost, next(count), state))
            return True

        for state, cost, start in begin:
            if offer(cost, state, None):
                starts[state] = start
        while queue:
            cost, _, state = heapq.heappop(queue)
            point, way = state
            if cost > best[state]:
                continue
            if state in goals:
                return self._finish(name, state, goals[state], came, starts, cost)
            for turn in WAYS:
                to = (point[0] + turn[0], point[1] + turn[1])
                if turn == _back(way) or not self._is_in(to):
                    continue
                bends = 0.0 if turn == way else BEND + bend[point]
                if (point, turn) in goals:  # turns into the port
                    offer(cost + bends, (point, turn), state)
                if not self.blocked[to]:
                    offer(cost + bends + price[turn][to], (to, turn), state)
        raise AssertionError(f"no way for {name}")  # covering is allowed, so there always is one

    def _finish(
        self,
        name: str,
        state: State,
        target: Port,
        came: dict[State, State | None],
        starts: dict[State, Point],
        cost: float,
    ) -> tuple[list[Point], Port]:
        way = [target.at]
        at: State | None = state
        last = state
        while at is not None:
            way.append(at[0])
            last, at = at, came[at]
        way.append(starts[last])
        way = _straight(way[::-1])
        self.cost += cost
        self.lay(name, way)
        return way, target

    def _is_in(self, point: Point) -> bool:
        return 0 <= point[0] < self.width and 0 <= point[1] < self.height

    def _prices(self, net: Net) -> tuple[dict[Point, np.ndarray], np.ndarray]:
        """Return the prices of moving into each point, by direction, and of a bend there: other nets must not be covered."""
        own = {across: np.zeros_like(self.blocked) for across in (True, False)}
        for point, directions in net.points.items():
            for across in directions:
                own[across][point] = True
        price = {}
        for across, way, back in ((True, RIGHT, LEFT), (False, DOWN, UP)):
            covered = self.along[across] - own[across]
            price[way] = price[back] = self.base + CROSS * self.through + (OVERLAP - CROSS) * covered
        return price, OVERLAP * (self.through - (own[True] | own[False]))

    def _rest(
        self, price: dict[Point, np.ndarray], bend: np.ndarray, goals: Iterable[State], begin: list[tuple[State, float, Point]]
    ) -> tuple[dict[Point, np.ndarray], float]:
        """Return the cost from each state to the nearest goal, and the cost of the cheapest way in all.

        Whole lines of the grid at a time, one more bend each round, until no round finds a cheaper way. States that are on
        no cheapest way may be given too much.
        """
        shape = (self.width, self.height)
        sums, ends, first = {}, {}, {}
        for way in WAYS:
            sums[way] = np.empty(shape)
            _ahead(np.where(self.blocked, WALL, price[way]), way).cumsum(axis=0, out=_ahead(sums[way], way))
            ends[way] = _indices(point for point, end in goals if end == way)
            first[way] = _indices(point for (point, start), _, _ in begin if start == way)
        costs = {way: np.array([cost for (_, start), cost, _ in begin if start == way]) for way in WAYS}
        on = {way: np.full(shape, np.inf) for way in WAYS}  # of going on in a direction, or into a port there
        along = {way: on[way] for way in WAYS}  # of going on in it or back
        turning = BEND + bend
        least, cheaper = np.inf, True
        while cheaper:
            cheaper = False
            for way in (RIGHT, DOWN):
                side = along[_left(way)] + turning
                for going in (way, _back(way)):
                    on[going] = _straight_on(side, sums[going], ends[going], going)
                both = np.minimum(on[way], on[_back(way)])
                cheaper |= bool(((both < along[way]) & (both < least)).any())
                along[way] = along[_back(way)] = both
            for way, at in first.items():
                whole = costs[way] + np.minimum(on[way][at], along[_left(way)][at] + turning[at])
                least = min(least, whole.min(initial=np.inf))
        return {way: np.minimum(on[way], along[_left(way)] + turning) for way in WAYS}, least


def _straight_on(side: np.ndarray, sums: np.ndarray, ends: tuple[np.ndarray, ...], way: Point) -> np.ndarray:
    """Return the cost of going straight on: into a port at ``ends``, or some points further, where a turn costs ``side``.

    ``sums`` are of the prices along the direction's lines, up to each point.
    """
    reached = side + sums
    reached[ends] = sums[ends]
    nearest = np.empty_like(reached)
    np.minimum.accumulate(_ahead(reached, way)[::-1], axis=0, out=_ahead(nearest, way)[::-1])
    _ahead(reached, way)[:-1] = _ahead(nearest, way)[1:] - _ahead(sums, way)[:-1]
    _ahead(reached, way)[-1] = np.inf
    reached[ends] = 0.0
    return reached


def along_way(way: Sequence[Point]) -> list[Point]:
    """Return every grid point of a way that is given by its bends."""
    points = [way[0]]
    for (x0, y0), (x1, y1) in itertools.pairwise(way):
        steps = max(abs(x1 - x0), abs(y1 - y0))
        points += [(x0 + (x1 - x0) * k // steps, y0 + (y1 - y0) * k // steps) for k in range(1, steps + 1)]
    return points


def _beyond(port: Port) -> Point:
    return port.at[0] + port.out[0], port.at[1] + port.out[1]


def _back(way: Point) -> Point:
    return -way[0], -way[1]


def _left(way: Point) -> Point:
    return way[1], -way[0]


def _ahead(array: np.ndarray, way: Point) -> np.ndarray:
    """Return a view whose first axis goes in a direction."""
    turned = array if way[0] else array.T
    return turned if sum(way) > 0 else turned[::-1]


def _indices(points: Iterable[Point]) -> tuple[np.ndarray, ...]:
    """Return points as indices of a grid."""
    return tuple(np.array(list(points), int).reshape(-1, 2).T)


def _straight(way: list[Point]) -> list[Point]:
    """Return a way without the points between bends, and without repetitions."""
    corners: list[Point] = []
    for point in way:
        if corners and point == corners[-1]:
            continue
        if len(corners) > 1 and any(corners[-2][k] == corners[-1][k] == point[k] for k in (0, 1)):
            corners.pop()
        corners.append(point)
    return corners
