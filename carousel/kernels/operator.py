"""The loop as an operator of PyTorch, ``carousel::loop``, forward and backward, by the kernels of any back end.

All that PyTorch asks of an operator (shapes, derivatives, transforms) is the same for each back end that provides compiled
loops, and stands here and in ``derivatives``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from carousel.kernels import compiled
from carousel.kernels.backend import Call, Result
from carousel.kernels.boundary import clock_type
from carousel.kernels.compiled import ON_REQUEST, Run, provided
from carousel.kernels.derivatives import loop, one_by_one
from carousel.kernels.inputs import as_vectors, hoist_rest, parameters_alone, step_numbers
from carousel.kernels.interface import KINDS, Arriving, interface_of
from carousel.kernels.pointwise import Values
from carousel.kernels.registry import loop_called, wide_key
from carousel.kernels.steps import last_numbers
from carousel.kernels.variants import Variant, held, recorded, variant


def run(backend: str, call: Call, products: torch.dtype | None = None, *, wide: bool = False) -> Result:
    """Run a call by a back end's kernels.

    Args:
        backend: its name.
        call: what to run.
        products: the type of factors, where it is not the data's.
        wide: hand hoisted numbers of a row to the loop as vectors, unless the call records or clamps.
    """
    cell, data, wide = call.cell, call.data, wide and not call.record and not call.clamp
    key, record, clamp = Variant(wide_key(cell)) if wide else variant(call)
    interface = interface_of(loop_called(key))
    names = interface.state_names
    values: Values = {}
    if not call.record and (alone := parameters_alone(cell)):
        dense, biases, vectors = ([call.parameters[n] for n in kind] for kind in alone)
        hoisted: list[Tensor] = []
    else:
        with torch.autocast(data.device.type, enabled=False):
            hoisted, vectors, values = hoist_rest(call)
            if wide:
                hoisted = as_vectors(call, hoisted)
        dense, biases = [values[s] for s in interface.dense_symbols], [values[b] for b in interface.biases]
    initial = call.initial if call.resets is not None else None
    sizes = None if call.batch_sizes is None else tuple(call.batch_sizes)
    number_type = clock_type(data.dtype)
    clock = step_numbers(cell, call.before, data.shape[0], sizes, call.reverse, call.resets, call.initial, number_type)
    lists = {
        "data": [data],
        "dense": dense,
        "biases": biases,
        "hoisted": hoisted + held(call, clamp, data.dtype),
        "vectors": vectors,
        "before": [call.before[n].to(data.dtype) for n in names],
        "initial": [initial[n].to(data.dtype) for n in names] if initial is not None else [],
    }
    made = Run(backend, key, tuple(map(len, lists.values())), sizes, call.reverse, products, call.follows)
    resets = call.resets if initial is not None else None
    output, *others = loop(made, clock, resets, [x for xs in lists.values() for x in xs])
    after = dict(zip(names[: made.after], others, strict=False))
    if clock is not None:
        name = cell.trace.states[-1].name
        after[name] = last_numbers(clock, sizes, call.reverse, call.before[name])
    inside = dict(zip(record, others[made.after :], strict=True))
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
_LEVELS = {"follows": "Tensor?"}  # the last, and None by default: programs that were exported earlier have none
FORWARD = {**_GIVEN, "save": "bool", **_LEVELS}
_ARRIVING = {"given": "Tensor", "final": "Tensor[]", "recorded": "Tensor[]", "saved": "Tensor[]"}
BACKWARD = {**_GIVEN, **_ARRIVING, **{f"to_{k}": "bool" for k in ON_REQUEST}, **_LEVELS}

_library = torch.library.Library("carousel", "FRAGMENT")
for _name, _schema in (("loop", FORWARD), ("loop_backward", BACKWARD)):
    _said = [f"{kind} {name}{'=None' if name in _LEVELS else ''}" for name, kind in _schema.items()]
    _library.define(f"{_name}({', '.join(_said)}) -> Tensor[]")


class _Arguments:
    """An operator's arguments by the names of its schema."""

    def __init__(self, schema: dict[str, str], arguments: Sequence[Any]):
        self.given = given = {"follows": None, **dict(zip(schema, arguments, strict=False))}
        # AOTInductor gives None for a list that is empty.
        self.lists: dict[str, Any] = {kind: [given[kind]] if kind == "data" else given[kind] or [] for kind in KINDS}
        self.data, self.clock, self.resets = given["data"], given["clock"], given["resets"]
        if self.data is None:  # which PyTorch lets pass for a tensor
            raise TypeError("the input is a tensor, (rows, input_size), not None")
        counts, sizes = tuple(map(len, self.lists.values())), given["batch_sizes"]
        sizes = None if sizes is None else tuple(sizes)
        self.run = Run(given["backend"], given["cell"], counts, sizes, given["reverse"], given["products"], given["follows"])
        self.kernels, self.loop = provided(given["backend"]), loop_called(given["cell"])
        self.output = self.kernels.output_type(self.data.dtype, given["products"])


def _forward(*arguments: Any) -> list[Tensor]:
    given = _Arguments(FORWARD, arguments)
    return compiled.forward(given.run, given.lists, given.clock, given.resets, given.given["save"])


def _backward(*arguments: Any) -> list[Tensor]:
    given = _Arguments(BACKWARD, arguments)
    asked = [kind for kind in ON_REQUEST if given.given[f"to_{kind}"]]
    arriving = Arriving(**{kind: given.given[kind] for kind in _ARRIVING}, asked=asked)
    return compiled.backward(given.run, given.lists, given.clock, given.resets, arriving)


def _forward_shapes(*arguments: Any) -> list[Tensor]:
    given = _Arguments(FORWARD, arguments)
    data, before = given.data, given.lists["before"]
    others = [x for x in (given.clock, given.resets) if x is not None]
    for x in (*others, *(x for xs in given.lists.values() for x in xs)):
        if x.device != data.device:  # PyTorch asks for shapes alone where one tensor has no numbers
            raise ValueError(f"the input is on {data.device}, another tensor of the call on {x.device}: move one of them")
    output = data.new_empty(data.shape[0], before[0].shape[1], dtype=given.output)
    results = [output, *(x.new_empty(x.shape) for x in before[: given.run.after])]
    described = interface_of(given.loop).tensors["recorded"]
    if given.given["save"]:
        described += given.kernels.saved(given.loop, given.output)
    if not described:
        return results
    lengths = {**interface_of(given.loop).lengths_of(given.lists), "rows": data.shape[0], "batch": before[0].shape[0]}
    return results + [data.new_empty(x.at(lengths), dtype=x.type(given.output)) for x in described]


def _backward_shapes(*arguments: Any) -> list[Tensor]:
    given = _Arguments(BACKWARD, arguments)
    lists = {**given.lists, "vectors": [given.lists["vectors"][k] for k in interface_of(given.loop).learned]}
    left_out = [kind for kind in ON_REQUEST if not given.given[f"to_{kind}"]]
    return [x.new_empty(x.shape) for kind, xs in lists.items() if kind not in left_out for x in xs]


def _autograd(*arguments: Any) -> list[Tensor]:
    """Run the operator that is called by itself; ``run`` calls ``loop``, which leaves the operator no derivative to find."""
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
