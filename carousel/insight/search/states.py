"""Values of a layer's units after each token of a text, in a memory-mapped file, so that they may be larger than memory.

The file holds blocks of ``BLOCK`` tokens, in each the units one after the other, as float16: so the values of one unit lie
together, and the file is written block by block. It counts once ``.json`` stands beside it, which is written last.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from carousel import files
from carousel.errors import InputError
from carousel.training.run_folder import packed, read_tensors

BLOCK = 1 << 15  # tokens
LARGEST = float(np.finfo(np.float16).max)
Carry = Sequence[Tensor]  # the states that go on from one token to the next
Read = Callable[[int, Carry | None], Iterator[tuple[np.ndarray, Carry]]]
Tick = Callable[[int, int], object]


@dataclass(frozen=True)
class Facts:
    """The content of a file of states: ``tokens`` times ``units`` values of quantity ``name`` in a ``layer``, by the model and
    of the text that have these digests."""

    name: str
    layer: int
    units: int
    tokens: int
    model: str
    text: str

    @property
    def stem(self) -> str:
        """The name of the file, without its suffix."""
        return f"{self.name}-{self.layer}"


class States:
    """Values (tokens, units), read only.

    Args:
        halves: the file's float16, as whole numbers of 16 bits.
        facts: of the file.
    """

    def __init__(self, halves: np.ndarray, facts: Facts):
        self.halves, self.facts = halves, facts

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the first token of each block, and its float16 values as whole numbers, (units, tokens)."""
        units, tokens = self.facts.units, self.facts.tokens
        for begin in range(0, tokens, BLOCK):
            count = min(BLOCK, tokens - begin)
            yield begin, self.halves[begin * units : (begin + count) * units].reshape(units, count)

    def unit(self, unit: int) -> np.ndarray:
        """Return the float16 values of one unit as whole numbers, (tokens,)."""
        return np.concatenate([block[unit] for _, block in self.blocks()])

    def values(self, tokens: np.ndarray) -> np.ndarray:
        """Return the values after some tokens, (tokens, units), float64."""
        units, total = self.facts.units, self.facts.tokens
        begin = tokens // BLOCK * BLOCK
        count = np.minimum(BLOCK, total - begin)
        at = (begin * units + tokens - begin)[:, None] + count[:, None] * np.arange(units)
        return np.asarray(self.halves[at]).view("<f2").astype(np.float64)


def in_halves(values: np.ndarray) -> np.ndarray:
    """Return values as float16; larger ones than it holds become its largest."""
    return np.clip(values, -LARGEST, LARGEST).astype("<f2")


def open_states(folder: Path, facts: Facts) -> States | None:
    """Return the states of these facts, or None where there are none, or another model's or text's."""
    path = folder / f"{facts.stem}.f16"
    try:
        known = files.read_object(folder / f"{facts.stem}.json")
        files.check_regular(path)
    except FileNotFoundError:
        return None
    if known != asdict(facts) or path.stat().st_size != 2 * facts.tokens * facts.units:
        return None
    return States(np.memmap(path, "<i2", "c"), facts)  # PyTorch asks for arrays that may be written


def write_states(folder: Path, facts: Facts, read: Read, tick: Tick | None = None) -> States:
    """Write the states of a text and open them; where writing was interrupted, go on after the last whole block.

    Args:
        folder: where to; no other process may write there meanwhile.
        facts: of the file.
        read: yields values (tokens, units) from a token on, given the states that were carried there, and the states after
            them; where a block ends some values must end, too.
        tick: told of the tokens that are done, and of all.

    Raises:
        InputError: values are not finite; another process writes there.
    """
    part, journal = folder / f"{facts.stem}.part", folder / f"{facts.stem}.part.safetensors"
    with files.owning(folder):
        done, before = _resumed(part, journal, facts)
        with part.open("r+b" if done else "wb") as file:
            file.truncate(2 * done * facts.units)
            file.seek(0, os.SEEK_END)
            for block, carry in _in_blocks(read(done, before), facts, done):
                file.write(block.tobytes())
                file.flush()
                os.fsync(file.fileno())
                done += block.shape[1]
                kept = {f"{k}": x.contiguous().cpu() for k, x in enumerate(carry)}
                files.write(journal, packed(kept, {"done": f"{done}", "facts": json.dumps(asdict(facts))}))
                if tick:
                    tick(done, facts.tokens)
        os.replace(part, folder / f"{facts.stem}.f16")
        files.write(folder / f"{facts.stem}.json", json.dumps(asdict(facts), indent=1))
        journal.unlink()
    found = open_states(folder, facts)
    assert found is not None  # just written
    return found


def _resumed(part: Path, journal: Path, facts: Facts) -> tuple[int, Carry | None]:
    """Return how many tokens are written, and the states after them."""
    with suppress(InputError, OSError, ValueError, KeyError):
        tensors, told = read_tensors(journal, "the states")
        done = int(told["done"])
        whole = done % BLOCK == 0 and 0 < done < facts.tokens and part.stat().st_size >= 2 * done * facts.units
        if whole and json.loads(told["facts"]) == asdict(facts):
            return done, [tensors[f"{k}"] for k in range(len(tensors))]
    return 0, None


def _in_blocks(values: Iterator[tuple[np.ndarray, Carry]], facts: Facts, done: int) -> Iterator[tuple[np.ndarray, Carry]]:
    """Yield whole blocks (units, tokens) of float16, and the states after the values that the last of them came from."""
    filled, block = 0, np.empty((facts.units, min(BLOCK, facts.tokens - done)), "<f2")
    for some, carry in values:
        if not math.isfinite(float(some.sum(dtype=np.float64))):
            raise InputError("the model's values are not finite; was it trained to the end?")
        while len(some):
            count = min(len(some), block.shape[1] - filled)
            block[:, filled : filled + count] = in_halves(some[:count]).T
            some, filled = some[count:], filled + count
            if filled == block.shape[1]:
                yield block, carry
                done += filled
                filled, block = 0, np.empty((facts.units, min(BLOCK, facts.tokens - done)), "<f2")
