"""C files that were exported: compiled without a warning, and run."""

import ctypes
import re
import shutil
import subprocess

import pytest

STRICT = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror")
SANITIZED = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
needs_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")


def built(text, folder, *flags, compiler=("cc",), name="model"):
    """Compile the text of a file; return the path of what was made."""
    source, made = folder / f"{name}.c", folder / name
    source.write_text(text)
    done = subprocess.run([*compiler, *STRICT, *flags, source, "-o", made, "-lm"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return made


def together(texts):
    """Several exported layers as one file, which compiles in a fraction of the time: the functions of number k end in _k."""
    found = ["typedef int not_empty;\n"]
    for k, text in enumerate(texts):
        code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
        names = re.findall(
            r"^(?:static )?(?:const )?(?:[a-z]+ )+(?:const )?\*?(\w+)(?:\[\d+\] = |\()", code, flags=re.MULTILINE
        )
        names += re.findall(r"^typedef \w+ (\w+);", code, flags=re.MULTILINE)
        names += [*re.findall(r"^ADD\((\w+)", code, flags=re.MULTILINE), "model_state"]
        macros = re.findall(r"^ *# *define (\w+)", code, flags=re.MULTILINE)
        found += [f"#define {name} {name}_{k}\n" for name in dict.fromkeys(names)]
        found += [text, *(f"#undef {name}\n" for name in dict.fromkeys([*names, *macros]))]
    return "".join(found)


def outputs(text, folder, steps, size, name="model", further=()):
    """The outputs of ``model_step`` for inputs (T, input_size), (T, ``size``), as lists.

    ``further``: the other inputs in order, (T, units), or (T,) of numbers.
    """
    return run(library(text, folder, name), steps, size, further)


def library(text, folder, name="model", *flags):
    """The compiled functions of a file."""
    return ctypes.CDLL(str(built(text, folder, "-O0", "-shared", "-fPIC", *flags, name=name)))


def run(functions, steps, size, further=(), number=None):
    """The outputs of one of the layers that ``together`` has joined, or of the only one; arguments as those of ``outputs``."""
    end = "" if number is None else f"_{number}"
    init, step = (getattr(functions, f"model_{name}{end}") for name in ("init", "step"))
    state, y = ctypes.create_string_buffer(1 << 16), (ctypes.c_float * size)()
    init(state)
    found = []
    for x, *others in zip(steps.tolist(), *(each.tolist() for each in further), strict=True):
        step(state, _array(x), *(_array(each) for each in others), y)
        found.append(list(y))
    return found


def _array(x):
    return (ctypes.c_float * len(x))(*x) if isinstance(x, list) else ctypes.c_float(x)
