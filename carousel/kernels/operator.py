"""The loop as an operator of PyTorch, ``carousel::loop``, forward and backward, by the kernels of any back end.

A back end that compiles loops provides ``Kernels``; all that PyTorch asks of an operator (shapes, derivatives, transforms) is
the same for each of them, and stands here and in ``derivatives``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor

from carousel.equations.loop import Loop
from carousel.kernels.backend import Call, Result, equal_steps
from carousel.kernels.boundary import check, clock_type
from carousel.kernels.derivatives import ON_REQUEST, Run, loop, one_by_one
from carousel.kernels.inputs import hoist_rest, step_numbers
from carousel.kernels.interface import KINDS, Arriving, Described, Tensors, interface_of
from carousel.kernels.registry import loop_called
from carousel.kernels.steps import last_numbers
from carousel.kernels.variants import held, recorded, variant


class Kernels(Protocol):
    """Compiled loops of one back end."""

    def allow(self, data: Tensor, products: torch.dtype | None) -> None:
        """Raise ValueError for a device that no kernel runs on, or factors that it does not multiply."""

    def output_type(self, dtype: torch.dtype, products: torch.dtype | None) -> torch.dtype:
        """Return the type of outputs and saved values, from those of the tensors and of factors. Raises ValueError."""
        ...

    def saved(self, loop: Loop, output: torch.dtype) -> tuple[Described, ...]:
        """Return the tensors that a run saves for the run backwards; the same tuple for the same loop and type of output."""
        ...

    def forward(self, run: Run, tensors: Tensors, lengths: dict[str, int], save: bool) -> list[Tensor]:
        """Return outputs, states after each row's last step, recorded values, and with ``save`` the tensors of ``saved``.

        Args:
            run: the call but for its tensors.
            tensors: of the call, checked.
            lengths: the units behind each size of the loop's interface.
            save: whether a run backwards follows.
        """
        ...

    def backward(self, run: Run, tensors: Tensors, lengths: dict[str, int], arriving: Arriving) -> dict[str, list[Tensor]]:
        """Return gradients by kind: those that are asked for, and of all that is not ``ON_REQUEST``; of vectors the learned.

        Args:
            run: the call but for its tensors.
            tensors: of the call, checked.
            lengths: the units behind each size of the loop's interface.
            arriving: what the run begins with.
        """
        ...


_kernels: dict[str, Kernels] = {}


def provide(backend: str, kernels: Kernels) -> None:
    """Let the operator find a back end's kernels."""
    _kernels[backend] = kernels


def run(backend: str, call: Call, products: torch.dtype | None = None) -> Result:
    """Run a call by a back end's kernels; ``products``: the type of factors, where it is not the data's."""
    cell, data = call.cell, call.data
    with torch.autocast(data.device.type, enabled=False):
        hoisted, vectors, values = hoist_rest(cell, data, call.before, call.parameters)
    key, record, clamp = variant(call)
    interface = interface_of(loop_called(key))
    names = interface.state_names
    initial = call.initial if call.resets is not None else None
    sizes = None if call.batch_sizes is None else tuple(call.batch_sizes)
    number_type = clock_type(data.dtype)
    clock = step_numbers(cell, call.before, data.shape[0], sizes, call.reverse, call.resets, call.initial, number_type)
    lists = {
        "data": [data],
        "dense": [values[s] for s in interface.dense_symbols],
        "biases": [values[b] for b in interface.biases],
        "hoisted": hoisted + held(call, clamp, data.dtype),
        "vectors": vectors,
        "before": [call.before[n].to(data.dtype) for n in names],
        "initial": [initial[n].to(data.dtype) for n in names] if initial is not None else [],
    }
    made = Run(backend, key, tuple(map(len, lists.values())), sizes, call.reverse, products)
    resets = call.resets if initial is not None else None
    output, *others = loop(made, clock, resets, [x for xs in lists.values() for x in xs])
    after = dict(zip(names, others, strict=False))
    if clock is not None:
        name = cell.trace.states[-1].name
        after[name] = last_numbers(clock, sizes, call.reverse, call.before[name])
    inside = dict(zip(record, others[len(names) :], strict=True))
    return Result(output, after, recorded(call, values, clock, output, inside) if call.record else {})


# ---------------------------------------------------------------------------------------------------- the operators

_GIVEN = {
    "backend": "str",
    "cell": "str",
    **{kind: "Tensor" if kind == "data" else "Tensor[]" for kind in KINDS},
    "clock": "Tensor?",
    "resets": "Tensor?",
    "batch_sizes": "SymInt[]?",
    "reverse": "bool",
    "products": "ScalarType?",
}
FORWARD = {**_GIVEN, "save": "bool"}
_ARRIVING = {"given": "Tensor", "final": "Tensor[]", "recorded": "Tensor[]", "saved": "Tensor[]"}
BACKWARD = {**_GIVEN, **_ARRIVING, **{f"to_{k}": "bool" for k in ON_REQUEST}}

_library = torch.library.Library("carousel", "FRAGMENT")
for _name, _schema in (("loop", FORWARD), ("loop_backward", BACKWARD)):
    _library.define(f"{_name}({', '.join(f'{kind} {name}' for name, kind in _schema.items())}) -> Tensor[]")


class _Arguments:
    """An operator's arguments by the names of its schema."""

    def __init__(self, schema: dict[str, str], arguments: Sequence[Any]):
        self.given = given = dict(zip(schema, arguments, strict=True))
        # AOTInductor gives None for a list that is empty.
        self.lists: dict[str, Any] = {kind: [given[kind]] if kind == "data" else given[kind] or [] for kind in KINDS}
        self.data, self.clock, self.resets = given["data"], given["clock"], given["resets"]
        if given["backend"] not in _kernels:
            raise ValueError(f"no back end called {given['backend']!r} has kernels; {' and '.join(_kernels)} have")
        self.kernels, self.loop = _kernels[given["backend"]], loop_called(given["cell"])
        self.interface, counts = interface_of(self.loop), tuple(map(len, self.lists.values()))
        sizes = None if given["batch_sizes"] is None else tuple(given["batch_sizes"])
        self.output = self.kernels.output_type(self.data.dtype, given["products"])
        self.run = Run(given["backend"], given["cell"], counts, sizes, given["reverse"], given["products"])

    def checked(self, **others: list[Tensor]) -> tuple[Run, Tensors, dict[str, int]]:
        """The call, its tensors and sizes, where these and the others fit. Raises ValueError."""
        self.kernels.allow(self.data, self.run.products)
        if (sizes := self.run.batch_sizes) is None:
            given = [x.shape[0] for x in (self.data, *self.lists["before"]) if x.dim()]  # other shapes are refused below
            sizes = tuple(equal_steps(given[0], given[1])) if len(given) > 1 else (1,)
            self.run = replace(self.run, batch_sizes=sizes)
        lists = self.lists | {"clock": [] if self.clock is None else [self.clock]} | others
        saved = self.kernels.saved(self.loop, self.output) if others else ()
        lengths = check(self.interface, sizes, self.data.dtype, lists, self.resets, saved, self.output)
        return self.run, Tensors.of(self.lists, self.clock, self.resets), lengths


def _forward(*arguments: Any) -> list[Tensor]:
    given = _Arguments(FORWARD, arguments)
    return given.kernels.forward(*given.checked(), given.given["save"])


def _backward(*arguments: Any) -> list[Tensor]:
    given = _Arguments(BACKWARD, arguments)
    others = {kind: [given.given[kind]] if kind == "given" else given.given[kind] for kind in _ARRIVING}
    asked = [kind for kind in ON_REQUEST if given.given[f"to_{kind}"]]
    arriving = Arriving(**{**others, "given": given.given["given"]}, asked=asked)
    found = given.kernels.backward(*given.checked(**others), arriving)
    return [x for kind in KINDS if kind in found for x in found[kind]]


def _forward_shapes(*arguments: Any) -> list[Tensor]:
    given = _Arguments(FORWARD, arguments)
    data, before = given.data, given.lists["before"]
    for x in (x for xs in given.lists.values() for x in xs):
        if x.device != data.device:  # PyTorch asks for shapes alone where one tensor has no numbers
            raise ValueError(f"the input is on {data.device}, but a state or a parameter is on {x.device}: move one of them")
    output = data.new_empty(data.shape[0], before[0].shape[1], dtype=given.output)
    results = [output, *(x.new_empty(x.shape) for x in before)]
    described = given.interface.tensors["recorded"]
    if given.given["save"]:
        described += given.kernels.saved(given.loop, given.output)
    if not described:
        return results
    lengths = {**given.interface.lengths_of(given.lists), "rows": data.shape[0], "batch": before[0].shape[0]}
    return results + [data.new_empty(x.at(lengths), dtype=x.type(given.output)) for x in described]


def _backward_shapes(*arguments: Any) -> list[Tensor]:
    given = _Arguments(BACKWARD, arguments)
    lists = {**given.lists, "vectors": [given.lists["vectors"][k] for k in given.interface.learned]}
    left_out = [kind for kind in ON_REQUEST if not given.given[f"to_{kind}"]]
    return [x.new_empty(x.shape) for kind, xs in lists.items() if kind not in left_out for x in xs]


def _autograd(*arguments: Any) -> list[Tensor]:
    """The operator where it is called by itself; ``run`` calls ``loop``, which leaves the operator no derivative to find."""
    given = _Arguments(FORWARD, arguments)
    if given.given["save"]:  # what is saved has no derivative
        with torch._C._AutoDispatchBelowAutograd():
            return torch.ops.carousel.loop(*arguments)
    if torch._C._are_functorch_transforms_active():
        raise RuntimeError("carousel::loop by itself has no transforms of torch.func: call a layer, or carousel.kernels.run")
    return loop(given.run, given.clock, given.resets, [x for xs in given.lists.values() for x in xs])


def _over_batches(info: Any, in_dims: Any, *arguments: Any) -> tuple[list[Tensor], list[int]]:
    found, dims = one_by_one(torch.ops.carousel.loop, info.batch_size, in_dims, arguments)
    return list(found), list(dims)


for _device in ("CPU", "CUDA"):
    _library.impl("loop", _forward, _device)
    _library.impl("loop", _autograd, f"Autograd{_device}")
    _library.impl("loop_backward", _backward, _device)
torch.library.register_fake("carousel::loop", _forward_shapes, lib=_library)
torch.library.register_fake("carousel::loop_backward", _backward_shapes, lib=_library)
torch.library.register_vmap("carousel::loop", _over_batches, lib=_library)
