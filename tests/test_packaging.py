"""The wheel does its work where nothing is installed but the packages that it requires, with a compiler and without."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import carousel

ROOT = Path(__file__).parent.parent
SOURCES = ("carousel", "docs", "tests", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md")
SOURCES = (*SOURCES, "CONTRIBUTING.md", "Makefile", "constraints.txt", "constraints-oldest.txt", "mkdocs.yml")

LAYER = """
import sys, warnings
import torch
import carousel
from carousel import kernels
from carousel.layers import Recurrent
assert carousel.__file__.startswith(sys.prefix), carousel.__file__
layer = Recurrent("gru", 3, 4)
x = torch.randn(5, 2, 3, requires_grad=True)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    layer(x)[0].sum().backward()
with kernels.use("reference"):
    expected = layer(x)[0]
torch.testing.assert_close(layer(x)[0], expected)
assert x.grad.shape == x.shape
print("ran with", len(said), "warnings", *(str(w.message) for w in said))
"""


def _copied(folder):
    """A copy of the sources, so that a build leaves nothing among them."""
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def _closure(names):
    """The packages that these need, without extras, by name."""
    found, ahead = {}, list(names)
    while ahead:
        name = canonicalize_name(ahead.pop())
        if name in found:
            continue
        found[name] = metadata.distribution(name)
        needed = (Requirement(text) for text in found[name].requires or ())
        ahead += [r.name for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def _clean(**more):
    """The variables of a person who has never heard of this checkout."""
    ours = ("PYTHON", "CAROUSEL", "CXX", "VIRTUAL_ENV", "PYTEST")
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)} | more


def test_the_oldest_versions_are_those_that_pyproject_allows():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    own = (text for name in ("dev", "docs", "onnx", "rl", "series", "labels", "tune") for text in extras[name])
    allowed = [Requirement(text) for text in (*project["dependencies"], *own)]
    lowest = {canonicalize_name(r.name): s.version for r in allowed for s in r.specifier if s.operator == ">="}
    lines = [line.split("==") for line in (ROOT / "constraints-oldest.txt").read_text().splitlines() if "==" in line]
    oldest = {canonicalize_name(name): version for name, version in lines}
    checkers = {"ruff", "mypy", "import-linter"}  # the suite does not call them
    assert set(oldest) == set(lowest) - checkers - {"torch"}
    for name, version in oldest.items():
        assert Version(version).release[: len(Version(lowest[name]).release)] == Version(lowest[name]).release, name


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with the wheel and the source distribution, and what their making said."""
    source, out = _copied(tmp_path_factory.mktemp("source")), tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, env=_clean(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out, done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The folder of an environment that holds the wheel and links to the packages that it requires, and no others.

    To download them anew would take minutes.
    """
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    binaries = environment / "bin"
    (wheel,) = built[0].glob("*.whl")
    install = ["install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", wheel]
    subprocess.run([sys.executable, "-m", "pip", "--python", binaries / "python", *install], env=_clean(), check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (own,) = packages.glob("carousel_rnn-*.dist-info")
    for distribution in _closure(
        r.name
        for r in map(Requirement, metadata.Distribution.at(own).requires or ())
        if r.marker is None or r.marker.evaluate({"extra": ""})
    ).values():
        for name in {path.parts[0] for path in distribution.files or ()} - {"..", "__pycache__"}:
            if not (packages / name).exists():
                (packages / name).symlink_to(Path(distribution.locate_file(name)).resolve())
    return environment


def test_builds_without_warnings(built):
    out, said = built
    assert sorted(path.name.partition("-")[0] for path in out.iterdir()) == ["carousel_rnn", "carousel_rnn"]
    assert {path.name for path in out.iterdir()} == {
        f"carousel_rnn-{carousel.__version__}.tar.gz",
        f"carousel_rnn-{carousel.__version__}-py3-none-any.whl",
    }
    assert [line for line in said.splitlines() if "warning" in line.lower()] == []


def test_metadata(built):
    (wheel,) = built[0].glob("*.whl")
    unpacked = built[0].parent / "metadata"
    shutil.unpack_archive(wheel, unpacked, "zip")
    (own,) = unpacked.glob("*.dist-info")
    facts = metadata.Distribution.at(own).metadata
    assert facts["License-Expression"] == "Apache-2.0"
    assert facts["Author"] == "The Carousel authors"
    assert (own / "licenses" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    ours = {path.relative_to(ROOT) for path in (ROOT / "carousel").rglob("*") if path.is_file()}
    ours = {path for path in ours if "__pycache__" not in path.parts}
    assert ours == {path.relative_to(unpacked) for path in (unpacked / "carousel").rglob("*") if path.is_file()}


@pytest.mark.parametrize("compiler", [True, False], ids=["compiler", "no compiler"])
def test_an_empty_environment(installed, tmp_path, compiler):
    """A layer, a tiny training and the page, from the wheel."""
    binaries = installed / "bin"
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}" if compiler else str(binaries)
    env = _clean(PATH=path, CAROUSEL_CACHE=str(tmp_path / "cache"), HOME=str(tmp_path))

    def run(*command):
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    said = run(binaries / "python", "-c", LAYER)
    compiled = list((tmp_path / "cache").rglob("*.so"))
    assert bool(compiled) == compiler, said
    assert ("ran with 0 warnings" in said) == compiler, said

    (tmp_path / "text.txt").write_text("the boy lost his hat\nthe girl lost her hat\n" * 20)
    options = ["--cell", "gru", "--hidden", "4", "--layers", "1", "--epochs", "1", "--batch-size", "2", "--length", "5"]
    run(binaries / "carousel", "train", "text.txt", *options, "--out", "trained")
    assert json.loads((tmp_path / "trained" / "config.json").read_text())["carousel"] == carousel.__version__
    assert (tmp_path / "trained" / "model.safetensors").exists()

    loaded = "import carousel; print('perplexity', carousel.load('trained').score('the boy lost her hat').perplexity)"
    assert float(re.search(r"perplexity (\S+)", run(binaries / "python", "-c", loaded))[1]) > 1

    command = [binaries / "carousel", "serve", "trained", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = next(word for word in server.stdout.readline().split() if word.startswith("http"))
            with urllib.request.urlopen(address, timeout=30) as page:
                assert "<script" in page.read().decode()
        finally:
            server.terminate()
