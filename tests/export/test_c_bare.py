"""C without ``math.h``: its own functions are as near as they say, also at their edges, and nothing of a library is left."""

import ctypes
import math
import re
import subprocess

import numpy as np
import pytest
import torch
from compiled_c import STRICT, library, needs_compiler

from carousel import export
from carousel.export.c99.file import BARE
from carousel.layers import Recurrent

pytestmark = needs_compiler

TINY = 1.2e-38
# Of each function: PyTorch's, the arguments, the largest error in last places, where the number is not below the smallest.
FUNCTIONS = {
    "expf": (torch.exp, (-87, 88.7), 3),
    "expm1f": (torch.expm1, (-20, 88), 4),
    "tanhf": (torch.tanh, (-12, 12), 6),
    "logf": (torch.log, (TINY, 1e38), 2),
    "log1pf": (torch.log1p, (-0.99, 100), 4),
    "sqrtf": (torch.sqrt, (0, 1e38), 1),
    "erff": (torch.erf, (-5, 5), 5),
    "erfcf": (torch.special.erfc, (-5, 9), 12),
    "floorf": (torch.floor, (-1e7, 1e7), 0),
    "ceilf": (torch.ceil, (-1e7, 1e7), 0),
}
PAIRS = {"fmodf": (torch.fmod, 0), "powf": (torch.pow, 16)}


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """All functions, over arrays."""
    names = [n for n in re.findall(r"^/\* own_(\w+) \*/$", BARE.read_text(), flags=re.MULTILINE) if n.endswith("f")]
    code = [BARE.read_text()]
    for name in names:
        second = ", b[k]" if name in PAIRS else ""
        begin = f"void all_{name}(const float *a, const float *b, float *y, int n)"
        code.append(f"{begin};\n{begin} {{\n  (void)b;\n  while (n-- > 0) {{\n    const int k = n;\n")
        code.append(f"    y[k] = own_{name}(a[k]{second});\n  }}\n}}\n")
    code.append("float endless(void);\nfloat endless(void) { return own_infinity(); }\n")
    made = library("".join(code), tmp_path_factory.mktemp("bare"))

    def call(name, a, b=None):
        a, b = (np.ascontiguousarray(a, dtype=np.float32) for a in (a, a if b is None else b))
        y = np.empty_like(a)
        pointers = (ctypes.c_void_p(x.ctypes.data) for x in (a, b, y))
        getattr(made, f"all_{name}")(*pointers, len(a))
        return y

    return call


def places(found, wanted):
    """The largest difference in last places of single precision."""
    wanted = wanted.numpy()
    kept = np.isfinite(wanted) & (np.abs(wanted) >= TINY) & (np.abs(wanted) < 3.4e38)
    return float(np.max(np.abs(found[kept] - wanted[kept]) / np.spacing(np.abs(wanted[kept]).astype(np.float32))))


def arguments(low, high):
    """Numbers of all sizes between two."""
    draw = np.random.default_rng(0)
    sizes = np.exp(draw.uniform(math.log(1e-30 if low <= 0 else low), math.log(high), 100_000))
    signs = np.where(draw.random(100_000) < 0.5, -1, 1) if low < 0 else 1
    both = np.concatenate([np.clip(sizes * signs, low, high), draw.uniform(low, min(high, 1e3), 100_000)])
    return both.astype(np.float32)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_as_near_as_they_say(name, bare):
    function, (low, high), most = FUNCTIONS[name]
    x = arguments(low, high)
    assert places(bare(name, x), function(torch.from_numpy(x).double())) <= most


@pytest.mark.parametrize("name", ["sinf", "cosf"])
def test_angles(name, bare):
    x = arguments(-1e6, 1e6)
    wanted = getattr(torch, name[:-1])(torch.from_numpy(x).double()).numpy()
    assert np.abs(bare(name, x) - wanted).max() < 2e-7


@pytest.mark.parametrize("name", PAIRS)
def test_functions_of_two(name, bare):
    draw = np.random.default_rng(1)
    function, most = PAIRS[name]
    a = np.exp(draw.uniform(-9, 9, 20_000)).astype(np.float32)
    b = draw.uniform(-9, 9, 20_000).astype(np.float32)
    assert places(bare(name, a, b), function(torch.from_numpy(a).double(), torch.from_numpy(b).double())) <= most


def test_edges(bare):
    edges = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-40, 3e38, -3e38, 0.5, -0.5, -87.9], dtype=np.float32)
    for name in ("expf", "expm1f", "tanhf", "logf", "log1pf", "sqrtf", "erff", "erfcf"):
        wanted = FUNCTIONS[name][0](torch.from_numpy(edges).double()).float().numpy()
        np.testing.assert_allclose(bare(name, edges), wanted, rtol=1e-6, atol=1e-45, err_msg=name)
    a, b = (
        x.ravel().astype(np.float32) for x in np.meshgrid([0, -0.0, 2, -2, 0.5, np.inf, -np.inf, np.nan], [*edges, 2, 3, -3])
    )
    wanted = torch.pow(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(bare("powf", a, b), wanted, rtol=1e-6)


def test_a_file_without_a_library_includes_nothing_and_calls_nothing(tmp_path):
    layer = Recurrent("lstm-v3", 3, 4)
    text = export.c(layer, "int8", libm=False)
    assert "#include" not in text and "#include <math.h>" in export.c(layer)
    (tmp_path / "model.c").write_text(text)
    made = tmp_path / "model.o"
    subprocess.run(["cc", *STRICT, "-O2", "-ffreestanding", "-c", tmp_path / "model.c", "-o", made], check=True)
    undefined = subprocess.run(["nm", "-u", made], capture_output=True, text=True).stdout.split()
    assert set(undefined) <= {"U", "memset", "memcpy", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}
