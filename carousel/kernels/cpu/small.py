"""The products of small runs backwards in one call of compiled code: PyTorch's would take longer to call than to multiply."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from torch import Tensor

from carousel.kernels.compiled import Run
from carousel.kernels.cpu.kernel import Kernel
from carousel.kernels.gradients import Products

MOST = 100_000  # products of two numbers for the weights' gradients, below which the calls are what costs


class _Job(ctypes.Structure):
    """``Small`` of ``products.cpp``."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("a", "b", "c")),
        *((name, ctypes.c_int64) for name in ("turned", "rows", "m", "n", "a_stride", "b_stride", "c_stride")),
    )


class _Place(NamedTuple):
    """A tensor by name, and how many numbers of it come before."""

    name: str
    after: int = 0


class Small:
    """The products of calls of the same shapes.

    Args:
        kernel: of the loop.
        lengths: the units behind each size.
        rows: of all steps.
    """

    def __init__(self, kernel: Kernel, lengths: Mapping[str, int], rows: int):
        self.multiply, program = kernel.multiply, kernel.program
        interface, shared = program.interface, program.live.shared
        outer = [f"E_{j}_bar" if shared[j] is None else f"A_{shared[j]}" for j in range(len(interface.outer))]
        factors = [(name, "x") for name in outer]
        factors += [(f"A_{g}", program.stored[s.operand].array) for (g, _), s in interface.inner.items()]
        self.rows, self.width = rows, lengths[interface.size(program.loop.input)]
        self.wholes: list[tuple[int, int, list[int]]] = []  # of each tower its rows and columns, and its weights
        self.places: list[tuple[_Place, _Place | None, _Place]] = []
        jobs = []
        for tower in interface.towers:
            stacks, whole = [interface.stacks[k] for k in tower], f"whole{len(self.wholes)}"
            units, columns = len(stacks[0].parts) * lengths[stacks[0].size], [lengths[s.depth] for s in stacks]
            self.wholes.append((units, sum(columns), [number for number, _ in stacks[0].parts]))
            for k, (number, depth) in enumerate(zip(tower, columns, strict=True)):
                adjoints, operand = factors[number]
                self.places.append((_Place(adjoints), _Place(operand), _Place(whole, sum(columns[:k]))))
                jobs.append(_Job(None, None, None, 0, rows, units, depth, units, depth, sum(columns)))
        self.biases = [len(s.parts) * lengths[s.size] if any(s.biases or ()) else 0 for s in interface.outer]
        for j, units in enumerate(self.biases):
            if units:
                self.places.append((_Place(outer[j]), None, _Place(f"bias{j}")))
                jobs.append(_Job(None, None, None, 0, rows, units, 1, units, 0, 1))
        self.without_data = len(jobs)
        for name, stack in zip(outer, interface.outer, strict=True):
            units = lengths[stack.size]
            for k, (number, prefix) in enumerate(stack.parts):
                columns = [lengths[n] for n in interface.tensors["dense"][number].shape[1]]
                weight = _Place(f"dense{number}", sum(lengths[n] for n in prefix))
                self.places.append((_Place(name, k * units), weight, _Place("data")))
                jobs.append(
                    _Job(None, None, None, 1, rows, units, self.width, len(stack.parts) * units, sum(columns), self.width)
                )
        self.blank = bytes((_Job * len(jobs))(*jobs))
        self.jobs = _Job * len(jobs)

    def __call__(self, arrays: Mapping[str, Tensor], dense: Sequence[Tensor], like: Tensor, *, data: bool) -> Products:
        """Return the products.

        Args:
            arrays: adjoints and operands by the names that the program has for them.
            dense: weights.
            like: a tensor of the type.
            data: whether the gradient of the input is wanted.
        """
        wholes = [like.new_zeros(units, columns) for units, columns, _ in self.wholes]
        biases = [like.new_zeros(units) if units else None for units in self.biases]
        of_data = like.new_zeros(self.rows, self.width) if data else None
        address = {name: x.data_ptr() for name, x in arrays.items()}
        for kind, tensors in (("whole", wholes), ("bias", biases), ("dense", dense)):
            address |= {f"{kind}{k}": x.data_ptr() for k, x in enumerate(tensors) if x is not None}
        if of_data is not None:
            address["data"] = of_data.data_ptr()
        jobs, size = self.jobs.from_buffer_copy(self.blank), like.itemsize
        count = len(self.places) if data else self.without_data
        for job, (a, b, c) in zip(jobs, self.places[:count], strict=False):
            job.a, job.c = address[a.name] + a.after * size, address[c.name] + c.after * size
            if b is not None:
                job.b = address[b.name] + b.after * size
        self.multiply(jobs, count)
        found = {
            n: x
            for whole, (*_, numbers) in zip(wholes, self.wholes, strict=True)
            for n, x in zip(numbers, whole.chunk(len(numbers)), strict=True)
        }
        return Products([found[k] for k in range(len(dense))], biases, of_data)


@lru_cache(maxsize=1024)
def _small(kernel: Kernel, lengths: tuple[tuple[str, int], ...], rows: int) -> Small | None:
    interface, known = kernel.program.interface, dict(lengths)
    work = sum(len(s.parts) * known[s.size] * known[s.depth] for s in interface.stacks)
    if rows * work > MOST or sum(map(len, interface.towers)) < len(interface.stacks):
        return None
    return Small(kernel, known, rows)


def small(kernel: Kernel, run: Run, lengths: Mapping[str, int], rows: int) -> Small | None:
    """Return the products of a run backwards whose rows of all steps are so many, None where PyTorch's are to be called."""
    return _small(kernel, tuple(lengths.items()), rows) if run.products is None else None
