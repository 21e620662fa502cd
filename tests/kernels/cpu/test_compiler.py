"""Objects are built once, kept safely, and done without where there is no compiler."""

import importlib.util
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from forked import verdict

from carousel import kernels
from carousel.cells import CELLS, get
from carousel.kernels.cpu import compiler
from carousel.kernels.cpu.kernel import Kernel
from carousel.kernels.cpu.program import CppProgram
from carousel.kernels.cpu.source import source
from carousel.kernels.inputs import loop_of
from carousel.layers import Recurrent

SOURCE = 'extern "C" int answer() { return 42; }\n'

BUILD = f"""
import torch
from carousel.kernels.cpu import compiler
print(compiler.compiler_of(torch.float32).library("answer", {SOURCE!r}).answer())
"""


def library(name="answer", dtype=torch.float32):
    """The library, built where it must be."""
    return compiler.compiler_of(dtype).library(name, SOURCE)


def answer():
    """What the library says."""
    return str(library().answer())


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and little that kernels have in common."""
    products = tmp_path / "products.cpp"
    products.write_text('extern "C" int common() { return 6; }\n')
    monkeypatch.setattr(compiler, "PRODUCTS", products)
    monkeypatch.setenv("CAROUSEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kernels"


@pytest.fixture
def listening(tmp_path, monkeypatch):
    """The arguments of each call of the compiler that built something."""
    script, log = tmp_path / "listening-c++", tmp_path / "calls"
    script.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {shlex.join(compiler.compiler())} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    return lambda: [line.split() for line in log.read_text().splitlines() if " -o " in line]


def test_a_compiler_leaves_no_files_behind(cache, tmp_path, monkeypatch):
    fake, temporary = tmp_path / "fake", tmp_path / "temporary"
    temporary.mkdir()
    fake.write_text('#!/bin/sh\n[ "$1" = --version ] && exec echo 1\necho part > "$TMPDIR/cc.s"\necho error: no >&2; exit 1\n')
    fake.chmod(0o755)
    monkeypatch.setenv("CXX", str(fake))
    monkeypatch.setenv("TMPDIR", str(temporary))
    with pytest.raises(compiler.CompileError, match="error: no"):
        answer()
    assert not [*temporary.iterdir()]


def test_built_once_and_loaded_again(cache, monkeypatch):
    assert library().answer() == 42
    monkeypatch.setattr(compiler, "_run", lambda *_: pytest.fail("built again"))
    assert library().answer() == 42
    assert sorted(p.suffix for p in cache.iterdir()) == [".json", ".json", ".o", ".so"]


def compiled(calls):
    """The names of the files that were compiled, without their hashes."""
    return [Path(word).name.rpartition("-")[0] for call in calls if "-c" in call for word in call if word.endswith(".cpp")]


def test_products_are_compiled_once_for_all_kernels_of_a_type(cache, listening):
    kernels = [library(name) for name in ("answer", "again", "answer")]
    assert sorted(compiled(listening())) == ["again", "answer", "products"]
    library(dtype=torch.float64)
    assert sorted(compiled(listening())[3:]) == ["answer", "products"]
    assert [k.common() * k.answer() for k in kernels] == [6 * 42] * 3  # linked with each


def test_changed_products_are_another_kernel(cache):
    assert library().common() == 6
    compiler.PRODUCTS.write_text('extern "C" int common() { return 7; }\n')
    assert library().common() == 7


@pytest.mark.parametrize("damage", ["cut", "foreign", "no note"])
def test_damaged_products_are_built_again(cache, damage):
    library()
    (path,) = cache.glob("*.o")
    whole = path.read_bytes()
    if damage == "no note":
        path.with_suffix(".json").unlink()
    else:
        path.write_bytes(whole[:100] if damage == "cut" else b"something else")
    assert library("again").common() == 6
    assert path.read_bytes() == whole


@pytest.mark.parametrize("damage", ["cut", "foreign", "no note"])
def test_a_damaged_object_is_built_again(cache, damage):
    assert verdict(answer) == "42"
    (path,) = cache.glob("*.so")
    note, whole = path.with_suffix(".json"), path.read_bytes()
    if damage == "no note":
        note.unlink()
    else:
        path.unlink()
        path.write_bytes(whole[:100] if damage == "cut" else b"something else")
    assert verdict(answer) == "42"  # each in a process of its own: an object is loaded once
    assert path.read_bytes() == whole


@pytest.mark.parametrize(("ending", "name"), [(".o", "again"), (".so", "answer")])
def test_a_file_that_others_can_write_is_built_again(cache, ending, name):
    assert verdict(answer) == "42"
    (path,) = cache.glob(f"*{ending}")
    path.chmod(0o777)
    assert library(name).answer() == 42
    assert not path.stat().st_mode & 0o022


def test_a_folder_that_others_can_write_is_not_used(cache, tmp_path):
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    assert compiler.folder() != cache
    cache.chmod(0o700)
    assert compiler.folder() == cache


def test_several_processes_may_build_at_once(cache):
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(verdict, [answer] * 3)) == ["42"] * 3
    assert len(list(cache.iterdir())) == 4


def test_a_compiler_that_refuses_is_one_line(cache):
    with pytest.raises(compiler.CompileError, match=r"refuses the kernel: .*error"):
        compiler.compiler_of(torch.float32).library("wrong", "int f( {")
    assert list(cache.iterdir()) == []


ZIG = [sys.executable, "-m", "ziglang", "c++"]
needs_zig = pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="the package ziglang is not there")


@pytest.fixture
def fake_zig(tmp_path, monkeypatch):
    """A compiler that speaks as Zig's does, and writes down how it is called; it compiles with the system's."""
    script, log = tmp_path / "cc-of-zig", tmp_path / "calls"
    script.write_text(f"""#!{sys.executable}
import os, subprocess, sys
given = sys.argv[1:]
print(*given, file=open({str(log)!r}, "a"))
names = {{"-march=x86_64_v4": "-march=x86-64-v4", "-march=x86_64_v3": "-march=x86-64-v3", "-march=baseline": "-march=x86-64"}}
if given == ["--version"]:
    print("clang version 22.1.8")
elif wrong := [g for g in given if g.startswith("-march=") and g not in names]:
    sys.exit("info: available CPUs:\\nerror: unknown CPU: '" + wrong[0] + "'")
else:
    sys.exit(subprocess.call(["c++", *(names.get(g, g) for g in given)]))
""")
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    return lambda: [line.split() for line in log.read_text().splitlines()]


@pytest.mark.parametrize("simd", list(compiler.SIMD))
def test_zig_is_told_the_processor_by_its_own_name_and_links_without_its_library(cache, fake_zig, monkeypatch, simd):
    monkeypatch.setenv("CAROUSEL_SIMD", simd)
    try:
        compiler.simd()
    except ValueError as error:
        pytest.skip(str(error))
    assert library().answer() == 42
    *compiling, linking = fake_zig()[-3:]
    march = {"avx512": "-march=x86_64_v4", "avx2": "-march=x86_64_v3", "generic": "-march=baseline"}[simd]
    assert all({"-c", march} <= set(call) for call in compiling)
    assert {"-shared", "-nostdlib"} <= set(linking)  # else a minute goes into building a C++ library


@needs_zig
def test_zig_compiles_where_there_is_no_other_compiler_and_no_home(cache, tmp_path):
    (tmp_path / "empty").mkdir()
    environment = {k: v for k, v in os.environ.items() if k not in ("CXX", "HOME")} | {"PATH": str(tmp_path / "empty")}
    found = subprocess.run([sys.executable, "-c", BUILD], capture_output=True, text=True, check=True, env=environment)
    assert (found.stdout.strip(), found.stderr) == ("42", "")
    assert list(cache.rglob("libc++*")) == []  # which takes a minute to build


@needs_zig
@pytest.mark.parametrize("simd", list(compiler.SIMD))
@pytest.mark.parametrize("products", [None, torch.bfloat16, torch.int8], ids=["exact", "bfloat16", "int8"])
def test_zig_compiles_every_width(tmp_path, monkeypatch, simd, products):
    monkeypatch.setenv("CAROUSEL_CACHE", str(tmp_path))
    monkeypatch.setenv("CXX", shlex.join(ZIG))
    monkeypatch.setenv("CAROUSEL_SIMD", simd)
    try:
        if products is torch.bfloat16 and not compiler.bfloat16():
            pytest.skip("bfloat16 is not multiplied in these vectors")
        compiler.simd()
    except ValueError as error:
        pytest.skip(str(error))
    Kernel(loop_of(CELLS["rnn"]), torch.float32, products).compile("forward", *["backward"] * (products is not torch.int8))


def test_what_compiles_for_long_says_so_on_a_terminal(cache, tmp_path, monkeypatch, capsys):
    slow = tmp_path / "slow-c++"
    slow.write_text('#!/bin/sh\ncase "$*" in *kernel*) sleep 1;; esac\nexec c++ "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setenv("CXX", str(slow))
    monkeypatch.setattr(compiler, "SLOW", 0.2)
    library()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    library(dtype=torch.float64)
    assert capsys.readouterr().err == f"carousel: {slow} compiles a kernel, once, and takes its time\n"


def test_without_a_compiler_the_reference_works_and_says_so_once(cache, tmp_path):
    code = """
import warnings, torch
from carousel.layers import Recurrent
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    layer = Recurrent("rnn", 3, 4)
    for _ in range(3):
        layer(torch.randn(5, 2, 3))
print(len(said), said[0].message)
"""
    (tmp_path / "empty").mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "CXX"} | {"PATH": str(tmp_path / "empty")}
    code = "import sys; sys.modules['ziglang'] = None" + code  # even where the package is installed
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.startswith("1 no C++ compiler was found")


def test_asked_for_by_name_kernels_that_cannot_be_are_an_error(cache, monkeypatch):
    monkeypatch.setenv("CXX", "/nowhere/c++")
    compiler._version.cache_clear()
    with kernels.use("cpu"), pytest.raises(compiler.CompileError, match="does not run"):
        Kernel(loop_of(CELLS["rnn"]), torch.float32)
    compiler._version.cache_clear()


def test_kernels_of_the_lectures_cells_are_tested_as_users_have_them(cache, tmp_path, monkeypatch):
    """What ``tests/conftest.py`` puts before the compiler leaves their flags alone, and takes the optimization from others."""
    before = shlex.split(os.environ.get("CXX", ""))
    if "unoptimized.sh" not in " ".join(before):
        pytest.skip("kernels are compiled in another way")
    script, log = tmp_path / "logging-c++", tmp_path / "calls"
    script.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {before[-1]} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CXX", shlex.join([*before[:-1], str(script)]))
    optimized = {}
    names = ("lstm-v3-forward", "lstm-v3-forward-backward", "lstm-v3-recorded-forward")
    for name in names:
        library(name)
    for call in (line.split() for line in log.read_text().splitlines()):
        if "-c" in call:
            optimized[compiled([call])[0]] = [word for word in call if word.startswith("-O")]
    users = ["-O3"]
    *ours, recorded = names
    assert optimized == {**dict.fromkeys([*ours, "products"], users), recorded: ["-O3", "-O0"]}  # the last one counts


@pytest.mark.parametrize("simd", list(compiler.SIMD))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["lstm-v4", "lstm-layer-norm"])
def test_every_width_of_vectors(agree, monkeypatch, simd, dtype, name):
    monkeypatch.setenv("CAROUSEL_SIMD", simd)
    try:
        compiler.simd()
    except ValueError as error:
        pytest.skip(str(error))
    agree(get(name), 1e-4 if dtype == torch.float32 else 1e-9, sizes=(5, 21, 9), batch_sizes=(9, 9, 4, 1), dtype=dtype)


def test_the_cells_equations_can_be_recognised_in_the_source():
    text = source(CppProgram(loop_of(CELLS["lstm-v3"])))
    assert "hₜ = fₜ ⊙ hₜ₋₁ + iₜ ⊙ tanh" in text
    assert "h_t = all(f_t*h_tm1 + i_t*x0);" in text
    assert "i_t = all(logistic(all(a1 + h_tm1*w_ih)));" in text


def test_environment_variables_are_checked(monkeypatch):
    monkeypatch.setenv("CAROUSEL_SIMD", "mmx")
    with pytest.raises(ValueError, match="CAROUSEL_SIMD may be avx512 or avx2 or generic"):
        Recurrent("rnn", 2, 3)(torch.randn(4, 1, 2))
