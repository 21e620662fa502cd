"""Cells to which the past of their inputs is handed: what ``e.ago(2)`` stands for is no state then, but a further input."""

from __future__ import annotations

from dataclasses import replace

from carousel.equations.notes import Input
from carousel.equations.trace import State, Trace


def past(trace: Trace) -> dict[State, tuple[str, int]]:
    """Return the states that keep an input of some steps ago, with its name and the steps, the latest first."""
    given = {"e", *(x.name for x in trace.inputs)}
    found = {s: trace.delays[s.before] for s in trace.states if trace.delays.get(s.before, ("", 0))[0] in given}
    return dict(sorted(found.items(), key=lambda kept: kept[1][1]))


def handed(trace: Trace) -> Trace:
    """Return the trace with these states as further inputs."""
    kept = past(trace)
    after = {s.after for s in kept}
    inputs = [Input(s.name, letter, s.before, s.size) for s, (letter, _) in kept.items() if s.size is not None]
    return replace(
        trace,
        states=tuple(s for s in trace.states if s not in kept),
        equations=tuple((s, expr) for s, expr in trace.equations if s not in after),
        inputs=(*trace.inputs, *inputs),
        delays={s: said for s, said in trace.delays.items() if s not in {x.symbol for x in inputs}},
    )
