"""Sets of the UEA archive, of an installed sktime or aeon, as tables; skipped where neither is installed."""

import pytest

from carousel.corpora import uea
from carousel.errors import InputError
from carousel.series import columns


def test_without_a_package_one_line_says_how(tmp_path, monkeypatch):
    monkeypatch.setattr(uea, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install --no-deps sktime"):
        uea.write("basic-motions", tmp_path)


def test_a_step_has_a_number_of_each_dimension(tmp_path):
    dimensions = ":".join(f"{k},{k + 0.5}" for k in range(12))
    (tmp_path / "x.ts").write_text(f"@problemName x\n@data\n{dimensions}:3\n{dimensions}:4\n")
    (steps, label), (_, other) = uea.sequences(tmp_path / "x.ts")
    assert (label, other) == ("3", "4") and len(steps) == 2
    assert steps[1] == [f"{k + 0.5}" for k in range(12)]


@pytest.mark.parametrize("package", ["sktime", "aeon"])
def test_either_package_carries_a_set(tmp_path, monkeypatch, package):
    """A package of that name whose data are one sequence a part, of two steps."""
    data = tmp_path / package / "datasets" / "data" / "BasicMotions"
    data.mkdir(parents=True)
    for part in ("TRAIN", "TEST"):
        lines = ["@data", ":".join(["1,2"] * 6 + ["Running"])]
        (data / f"BasicMotions_{part}.ts").write_text("\n".join(lines) + "\n")
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path / package)]})
    monkeypatch.setattr(uea, "find_spec", lambda name: spec if name == package else None)
    assert uea.write("basic-motions", tmp_path / "out") == {"train": (1, 2), "test": (1, 2)}
    assert (tmp_path / "out" / "test.csv").read_text().splitlines() == [
        "recording,motion,ax,ay,az,gx,gy,gz",
        "1,Running,1,1,1,1,1,1",
        "1,Running,2,2,2,2,2,2",
    ]


@pytest.mark.parametrize(("name", "labels"), [("japanese-vowels", 9), ("basic-motions", 4)])
def test_the_usual_split(tmp_path, name, labels):
    of = uea.SETS[name]
    try:
        uea.source(of.name)
    except InputError as error:
        pytest.skip(str(error))
    written = uea.write(name, tmp_path)
    assert {part: n for part, (n, _) in written.items()} == of.counts
    table = columns.read(tmp_path / "test.csv")
    assert list(table) == [of.sequence, of.label, *of.columns] and len({*table[of.label].tolist()}) == labels
    assert len({*table[of.sequence].tolist()}) == of.counts["test"]
