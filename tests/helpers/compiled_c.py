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


def outputs(text, folder, steps, size, name="model", further=()):
    """The outputs of ``model_step`` for inputs (T, input_size), (T, ``size``), as lists.

    ``further``: the other inputs in order, (T, units), or (T,) of numbers.
    """
    library = ctypes.CDLL(str(built(text, folder, "-O0", "-shared", "-fPIC", name=name)))
    state, y = ctypes.create_string_buffer(1 << 16), (ctypes.c_float * size)()
    library.model_init(state)
    found = []
    for x, *others in zip(steps.tolist(), *(each.tolist() for each in further), strict=True):
        library.model_step(state, _array(x), *(_array(each) for each in others), y)
        found.append(list(y))
    return found


def _array(x):
    return (ctypes.c_float * len(x))(*x) if isinstance(x, list) else ctypes.c_float(x)
