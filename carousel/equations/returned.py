"""What a cell's function returns, checked: slips that would give a state another one's value, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from carousel.equations.errors import EquationError
from carousel.equations.terms import HOLDS, Term


def check_spaces(returned: Any, states: list[str], found: Mapping[str, Any], spaces: Iterable[str]) -> None:
    """Refuse a state that has the name of a namespace of parameters, or of the clock: its argument was something else."""
    outputs = returned if isinstance(returned, tuple) else (returned,)
    for name in spaces:
        if name in found and any(x is found[name] for x in outputs):
            raise EquationError(f"{name} is where {HOLDS[name]} come from, so no state can be called {name}")
    if len(outputs) > len(states) and any(x is found.get("t") for x in outputs):
        raise EquationError(
            f"t is the number of the step and goes on by itself: return {', '.join(states)}, and call a state something else"
        )


def check_inputs(returned: Any, states: list[str], inputs: list[Term]) -> None:
    """Refuse an input that is returned as a state is."""
    outputs = returned if isinstance(returned, tuple) else (returned,)
    for x in inputs:
        if len(outputs) > len(states) and any(value is x for value in outputs):
            raise EquationError(f"{x.letter} is an input, which a step only reads: return {', '.join(states)}")


def check_order(outputs: tuple[Term, ...], states: list[str], values: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Refuse ``return h, m`` of a cell (e, m, h, …) that has assigned both: each state would get the other's value."""
    for k, (state, value) in enumerate(zip(states, outputs, strict=True)):
        if any(found.get(name) is value for name in _own(state)):
            continue
        for other, own in zip(states, outputs, strict=True):
            assigned = [n for n in _own(other) if found.get(n) is value and found[n] is not values.get(n)]
            if other != state and assigned and own is not value:
                raise EquationError(
                    f"{assigned[0]} is returned in place {k + 1}, which is state {state}'s: "
                    f"return the states in the order of the arguments, {', '.join(states)}"
                )


def _own(state: str) -> tuple[str, ...]:
    """Return the variables that are named as a state's new value."""
    return state, f"{state}_new", f"new_{state}", f"{state}_next", f"next_{state}"
