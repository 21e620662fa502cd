"""An exported run on other compilers and processors: ``python tests/helpers/elsewhere.py RUN TEXT`` prints a table.

Each program is compiled with warnings as errors, scores the text and writes on greedily. Zig (package ziglang) compiles for
all; ``qemu-aarch64`` and ``qemu-arm`` run what this processor cannot.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from carousel import LanguageRun

STRICT = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
SANITIZED = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
ZIG = [sys.executable, "-m", "ziglang", "cc"]
WAYS = {
    "gcc, x86-64, this processor's vectors": (["gcc", "-O3", "-march=native"], []),
    "gcc, x86-64, sanitizers": (["gcc", *SANITIZED], []),
    "zig (Clang), x86-64": ([*ZIG, "-target", "x86_64-linux-musl", "-O2"], []),
    "gcc, AArch64": (["aarch64-linux-gnu-gcc", "-O2", "-static"], ["qemu-aarch64"]),
    "zig (Clang), AArch64": ([*ZIG, "-target", "aarch64-linux-musl", "-O2"], ["qemu-aarch64"]),
    "zig (Clang), 32-bit ARM": ([*ZIG, "-target", "arm-linux-musleabihf", "-O2"], ["qemu-arm"]),
}


def main(folder: str, text: str) -> None:
    """Print for each compiler and precision the perplexity, and whether the text that it writes is the first one's."""
    run = LanguageRun(folder)
    first: dict[str, str] = {}
    for precision in ("float32", "int8"):
        print(f"\n{precision}: carousel score {run.rounded(precision).score(Path(text)).perplexity:.4f}")
        with TemporaryDirectory() as place:
            source, made = Path(place, "model.c"), Path(place, "model")
            run.export(source, precision=precision)
            for name, (command, before) in WAYS.items():
                if not all(shutil.which(c[0]) for c in (command, before) if c):
                    print(f"{name}: not here")
                    continue
                subprocess.run([*command, *STRICT, "-DMAIN", source, "-lm", "-o", made], check=True)
                with Path(text).open() as lines:
                    said = subprocess.run([*before, made, "-p"], stdin=lines, capture_output=True, text=True, check=True).stdout
                written = subprocess.run([*before, made, "-n", "200", "-t", "0", "The"], capture_output=True, check=True).stdout
                digest = hashlib.sha256(written).hexdigest()[:8]
                same = "the same" if first.setdefault(precision, digest) == digest else "ANOTHER"
                print(f"{name}: {said.split(',')[0]}, writes {same} text ({digest})", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
