"""From C++ to a loaded library: find a compiler, build once, keep what is built in the user's cache folder.

What all kernels of a type have in common (``products.cpp``) is one object there, which each is linked with.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Timer
from typing import NamedTuple

import platformdirs
import torch

from carousel.kernels.backend import Unavailable

HEADERS = tuple(Path(__file__).with_name(name) for name in ("runtime.h", "functions.h", "noise.h", "int8.h"))
PRODUCTS = Path(__file__).with_name("products.cpp")
# Vector extensions: bytes of a vector, and what the compiler is told.
SIMD: dict[str, tuple[int, list[str]]] = {
    "avx512": (64, ["-march=x86-64-v4", "-mprefer-vector-width=512"]),
    "avx2": (32, ["-march=x86-64-v3"]),
    "generic": (16, []),
}
# Zig's names; without one it compiles for the processor at hand, and an object may meet another.
ZIG: dict[str, list[str]] = {
    "avx512": ["-march=x86_64_v4", "-mprefer-vector-width=512"],
    "avx2": ["-march=x86_64_v3"],
    "generic": ["-march=baseline"],
}
FLAGS = ["-std=c++17", "-O3", "-fPIC", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
SLOW = 5.0  # seconds of silence that a user is let to wait
TYPES = {torch.float32: "float", torch.float64: "double"}


class CompileError(Unavailable):
    """There is no compiler, or it refuses the source."""


@cache
def _widest() -> str:
    return {"AVX512": "avx512", "AVX2": "avx2"}.get(torch.backends.cpu.get_cpu_capability(), "generic")


def simd() -> str:
    """Return the vector extensions to use: $CAROUSEL_SIMD, or the widest that the processor has. Raises ValueError."""
    has = _widest()
    wanted = os.environ.get("CAROUSEL_SIMD") or has
    names = list(SIMD)
    if wanted not in names:
        raise ValueError(f"CAROUSEL_SIMD may be {' or '.join(names)}, not {wanted!r}")
    if names.index(wanted) < names.index(has):
        raise ValueError(f"CAROUSEL_SIMD is {wanted}, but this processor has {has} at most")
    return wanted


def compiler() -> list[str]:
    """Return the C++ compiler's command: $CXX, c++, g++, clang++, or that of the ziglang package. Raises CompileError."""
    if os.environ.get("CXX"):
        return shlex.split(os.environ["CXX"])
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            return [name]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "c++"]
    raise CompileError("no C++ compiler was found ($CXX, c++, g++, clang++); install one, or carousel-rnn[compiler]")


@cache
def _version(command: tuple[str, ...]) -> str:
    try:
        return _ask(command, "--version").stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise CompileError(f"{' '.join(command)} does not run: {error}") from None


@cache
def zig(command: tuple[str, ...]) -> bool:
    """Return whether the command is Zig's Clang, by whatever name: no other compiler knows a processor called baseline."""
    if "clang" not in _version(command):
        return False
    try:
        _ask(command, "-march=baseline", "-x", "c++", "-E", os.devnull)
    except subprocess.CalledProcessError:
        return False
    return True


def _ask(command: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as room:
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=True, env=environment(room))


def environment(room: str) -> dict[str, str]:
    """Return the environment in which all that a compiler leaves behind, also when interrupted, goes with the room.

    Zig keeps its own libraries beside our objects, since it may have no home.
    """
    return {"ZIG_GLOBAL_CACHE_DIR": str(folder() / "zig"), **os.environ, "ZIG_LOCAL_CACHE_DIR": room, "TMPDIR": room}


def folder() -> Path:
    """Return the folder of objects, $CAROUSEL_CACHE or the user's cache folder; a fresh one where others could write there."""
    path = Path(os.environ.get("CAROUSEL_CACHE") or platformdirs.user_cache_path("carousel", appauthor=False)) / "kernels"
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if _ours(path) and os.access(path, os.W_OK):
            return path
    except OSError:
        pass
    return _temporary()


@cache
def _temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="carousel-kernels-"))  # readable by this user alone


def _ours(path: Path) -> bool:
    """Return whether nobody else could have written it."""
    found = path.stat()
    return not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16, in the vectors that are used."""
    return simd() == "avx512" and torch.cpu._is_avx512_bf16_supported()


def _multiplying(products: torch.dtype | None) -> list[str]:
    """Return what the compiler is told of the types of products."""
    if products is torch.int8:
        vnni = simd() == "avx512" and torch.cpu._is_vnni_supported()
        return ["-DINT8", *(["-mavx512vnni"] if vnni else [])]
    return ["-DBFLOAT", "-mavx512bf16"] if products is torch.bfloat16 else []


class _Built(NamedTuple):
    """A file of the cache folder, the note beside it, and the text that it is compiled from."""

    path: Path
    note: Path
    text: str

    def whole(self) -> bool:
        """Return whether the file is there as it was built, and nobody else could have written it."""
        try:
            wanted = json.loads(self.note.read_text())["sha256"]
            return _ours(self.path) and hashlib.sha256(self.path.read_bytes()).hexdigest() == wanted
        except (OSError, ValueError, KeyError, TypeError):
            return False


@dataclass(frozen=True)
class Compiler:
    """A compiler's command and the flags of one type, by which all that it builds is known."""

    command: tuple[str, ...]
    flags: tuple[str, ...]

    def library(self, name: str, source: str) -> ctypes.CDLL:
        """Return the compiled source, built if the cache has no whole object of the same source, flags and compiler.

        Several processes may ask at once: each builds into a file of its own and renames it. Raises CompileError.
        """
        common = PRODUCTS.read_text()
        kernel = self.of(name, ".so", source, common)
        if not kernel.whole():
            self.build(kernel, self.of(PRODUCTS.stem, ".o", common))
        return ctypes.CDLL(str(kernel.path))

    def of(self, name: str, ending: str, *texts: str) -> _Built:
        """Return a file of the cache folder by all that it is built from; the first text is compiled."""
        identity = [*texts, *(header.read_text() for header in HEADERS), *self.flags, *self.command, _version(self.command)]
        key, place = hashlib.sha256("\0".join(identity).encode()).hexdigest()[:20], folder()
        return _Built(place / f"{name}-{key}{ending}", place / f"{name}-{key}.json", texts[0])

    def compile(self, built: _Built, room: str) -> Path:
        """Return an object in the room, compiled from the text of what is to be built."""
        named = Path(room, built.path.name)  # debuggers and profilers show a kernel's name
        text, made = named.with_suffix(".cpp"), named.with_suffix(".o")
        text.write_text(built.text)
        _run(self.command, [*self.flags, f"-I{HEADERS[0].parent}", "-c", str(text), "-o", str(made)], room)
        return made

    def keep(self, built: _Built, made: Path) -> None:
        """Put what was made in its place: several processes may build at once, each in a room of its own."""
        digest = hashlib.sha256(made.read_bytes()).hexdigest()
        noted = made.with_suffix(".json")
        noted.write_text(json.dumps({"sha256": digest, "compiler": _version(self.command), "flags": self.flags}) + "\n")
        os.replace(made, built.path)
        os.replace(noted, built.note)

    def build(self, kernel: _Built, products: _Built) -> None:
        """Build a kernel, and beside it the products where they are missing; on a terminal, what takes long says so."""
        patience = Timer(SLOW, self.say)
        patience.daemon = True
        patience.start()
        try:
            with tempfile.TemporaryDirectory(dir=kernel.path.parent, prefix=".build-") as room, ThreadPoolExecutor(1) as beside:
                common = None if products.whole() else beside.submit(self.compile, products, room)
                half = self.compile(kernel, room)
                if common is not None:
                    self.keep(products, common.result())
                made = half.with_suffix(".so")
                # To link, Zig first builds a C++ library for this processor: a minute, for nothing that a kernel calls. What a
                # kernel does call, the process has.
                without = ["-nostdlib"] if zig(self.command) and sys.platform == "linux" else []
                _run(self.command, [*self.flags, "-shared", *without, str(half), str(products.path), "-o", str(made)], room)
                self.keep(kernel, made)
        finally:
            patience.cancel()

    def say(self) -> None:
        """Say on a terminal that it takes its time."""
        said = f"carousel: {' '.join(self.command)} compiles a kernel, once, and takes its time"
        if sys.stderr.isatty():
            print(said, file=sys.stderr, flush=True)


def compiler_of(dtype: torch.dtype, products: torch.dtype | None = None) -> Compiler:
    """Return the compiler of kernels of a type, as the environment and the processor have it now. Raises CompileError.

    ``products``: bfloat16 rounds what is multiplied, for processors that ``bfloat16()`` names; int8 rounds weights, and makes
    no run backwards.
    """
    width, architecture = SIMD[simd()]
    command = tuple(compiler())
    if zig(command):
        architecture = ZIG[simd()]
    return Compiler(command, (*FLAGS, *architecture, f"-DT={TYPES[dtype]}", f"-DWIDTH={width}", *_multiplying(products)))


def _run(command: tuple[str, ...], arguments: list[str], room: str) -> None:
    said = subprocess.run(
        [*command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment(room)
    )
    if said.returncode:
        lines = [line for line in said.stderr.splitlines() if "error" in line] or said.stderr.splitlines() or ["no message"]
        raise CompileError(f"{' '.join(command)} refuses the kernel: {lines[0].strip()}")
