"""C files that were exported: compiled without a warning, and run."""

import ctypes
import shutil
import subprocess

import pytest

STRICT = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror")
SANITIZED = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
needs_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")


def built(text, folder, *flags, compiler="cc", name="model"):
    """Compile the text of a file; return the path of what was made."""
    source, made = folder / f"{name}.c", folder / name
    source.write_text(text)
    done = subprocess.run([compiler, *STRICT, *flags, source, "-o", made, "-lm"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return made


def outputs(text, folder, steps, size, name="model"):
    """The outputs of ``model_step`` for inputs (T, input_size), (T, ``size``), as lists."""
    library = ctypes.CDLL(str(built(text, folder, "-O0", "-shared", "-fPIC", name=name)))
    state, y = ctypes.create_string_buffer(1 << 16), (ctypes.c_float * size)()
    library.model_init(state)
    found = []
    for x in steps.tolist():
        library.model_step(state, (ctypes.c_float * len(x))(*x), y)
        found.append(list(y))
    return found
