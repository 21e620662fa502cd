"""Cells that get their earlier inputs as further inputs: ``e.ago(2)`` is a state in the equations, and an input here."""

from __future__ import annotations

from dataclasses import replace

from carousel.equations.notes import Input
from carousel.equations.trace import State, Trace


def past(trace: Trace) -> dict[State, tuple[str, int]]:
    """Return the states that keep an earlier input, with its name and its age in steps, the youngest first."""
    given = {"e", *(x.name for x in trace.inputs)}
    found = {s: trace.delays[s.before] for s in trace.states if trace.delays.get(s.before, ("", 0))[0] in given}
    return dict(sorted(found.items(), key=lambda kept: kept[1][1]))


def handed(trace: Trace) -> Trace:
    """Return the trace with the states of ``past`` as further inputs."""
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
