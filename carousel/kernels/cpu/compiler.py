"""From C++ to a loaded library: find a compiler, build once, keep the object in the user's cache folder."""

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
from functools import cache
from pathlib import Path

import platformdirs
import torch

from carousel.kernels.backend import Unavailable

HEADERS = tuple(Path(__file__).with_name(name) for name in ("runtime.h", "functions.h", "noise.h", "int8.h"))
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


def library(name: str, source: str, dtype: torch.dtype, products: torch.dtype | None = None) -> ctypes.CDLL:
    """Return the compiled source, built if the cache has no whole object of the same source, flags, compiler and processor.

    ``products``: bfloat16 rounds what is multiplied, for processors that ``bfloat16()`` names; int8 rounds weights, and makes
    no run backwards.
    Several processes may ask at once: each builds into a file of its own and renames it. Raises CompileError.
    """
    width, architecture = SIMD[simd()]
    command = compiler()
    if zig(tuple(command)):
        architecture = ZIG[simd()]
    flags = [*FLAGS, *architecture, f"-DT={TYPES[dtype]}", f"-DWIDTH={width}", *_multiplying(products)]
    identity = [source, *(header.read_text() for header in HEADERS), *flags, *command, _version(tuple(command))]
    key = hashlib.sha256("\0".join(identity).encode()).hexdigest()[:20]
    place = folder()
    path, note = place / f"{name}-{key}.so", place / f"{name}-{key}.json"
    if not _whole(path, note):
        _build(command, flags, source, path, note)
    return ctypes.CDLL(str(path))


def _whole(path: Path, note: Path) -> bool:
    try:
        wanted = json.loads(note.read_text())["sha256"]
        return _ours(path) and hashlib.sha256(path.read_bytes()).hexdigest() == wanted
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _build(command: list[str], flags: list[str], source: str, path: Path, note: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".build-") as room:
        named = Path(room, path.name)  # debuggers and profilers show a kernel's name
        text, made, noted = (named.with_suffix(ending) for ending in (".cpp", ".so", ".json"))
        text.write_text(source)
        compiling = [*flags, f"-I{HEADERS[0].parent}", str(text)]
        if zig(tuple(command)) and sys.platform == "linux":
            # To link, Zig first builds a C++ library for this processor: a minute, for nothing that a kernel calls. What a
            # kernel does call, the process has.
            half = text.with_suffix(".o")
            steps = [[*compiling, "-c", "-o", str(half)], ["-shared", "-nostdlib", str(half), "-o", str(made)]]
        else:
            steps = [[*compiling, "-shared", "-o", str(made)]]
        for arguments in steps:
            _run(command, arguments, room)
        digest = hashlib.sha256(made.read_bytes()).hexdigest()
        noted.write_text(json.dumps({"sha256": digest, "compiler": _version(tuple(command)), "flags": flags}) + "\n")
        os.replace(made, path)  # several processes may build at once, each in its own room
        os.replace(noted, note)


def _run(command: list[str], arguments: list[str], room: str) -> None:
    """Run the compiler; on a terminal, what takes long says so."""
    running = subprocess.Popen(
        [*command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment(room)
    )
    try:
        try:
            _, said = running.communicate(timeout=SLOW)
        except subprocess.TimeoutExpired:
            if sys.stderr.isatty():
                print(f"carousel: {' '.join(command)} compiles a kernel, once, and takes its time", file=sys.stderr, flush=True)
            _, said = running.communicate()
    except BaseException:
        running.kill()
        running.wait()
        raise
    if running.returncode:
        lines = [line for line in said.splitlines() if "error" in line] or said.splitlines() or ["no message"]
        raise CompileError(f"{' '.join(command)} refuses the kernel: {lines[0].strip()}")
