"""Data that can be learnt from, and one line for those that cannot."""

import numpy as np
import pytest
from small_examples import examples, stored

from carousel.errors import InputError
from carousel.transcription.examples import inputs_of
from carousel.transcription.folder import Alphabet, examples_path


def test_labels_are_in_order_and_the_last_tenth_is_held_out(make_run):
    folder, _ = make_run()
    assert Alphabet.load(folder) == Alphabet(("a", "b", "c"), 3)
    train, valid = (stored(folder, part) for part in ("train", "valid"))
    given = examples(120)
    assert (len(train), len(valid)) == (108, 12) and not examples_path(folder, "test").exists()
    texts = [Alphabet.load(folder).text(e.ids(k)) for e in (train, valid) for k in range(len(e))]
    assert texts == given["targets"].tolist()
    assert np.array_equal(valid.inputs.row(3), given["inputs"][111, : given["lengths"][111]])


def test_whole_numbers_are_labels_by_value(make_run, tmp_path):
    given = examples(30)
    given["targets"] = np.array([[10, 2, -1]] * 20 + [[2, -1, -1]] * 10)
    given["inputs"], given["lengths"] = given["inputs"][:, :, :], np.full(30, 20)
    np.savez(tmp_path / "numbers.npz", **given)
    folder, _ = make_run(files={"train": str(tmp_path / "numbers.npz")})
    alphabet = Alphabet.load(folder)
    assert alphabet.labels == ("2", "10") and alphabet.text([2, 1]) == "10 2"
    assert stored(folder, "train").targets[[0, 25]].tolist() == [[2, 1], [1, 0]]


def test_images_are_read_by_columns_or_as_they_are():
    image = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    columns = inputs_of({"inputs": image, "lengths": np.array([4, 2])}, "columns", "x")
    assert columns.row(1).tolist() == [[12, 16, 20], [13, 17, 21]] and columns.size == 3
    grid = inputs_of({"inputs": image, "lengths": np.array([[3, 4], [1, 2]])}, "grid", "x")
    assert grid.row(1).tolist() == [[[12], [13]]] and grid.size == 1


def test_images_of_one_transcriber_are_read_by_another():
    images = np.arange(2 * 5 * 4 * 3).reshape(2, 5, 4, 3)  # of height 3, padded
    given = {"inputs": images, "lengths": np.array([[3, 4], [3, 2]])}
    grid, columns = inputs_of(given, "grid", "x"), inputs_of(given | {"inputs": images[:, :3]}, "columns", "x")
    for other, reads, size, wanted in ((grid, "columns", 9, columns), (columns, "grid", 3, grid)):
        found = other.rearranged(reads, size)
        assert found.sizes.tolist() == wanted.sizes.tolist() and found.size == wanted.size == size
        assert all(np.array_equal(found.row(k), wanted.row(k)) for k in range(2))
        assert other.rearranged("grid" if other is grid else "columns", other.size) is other
    with pytest.raises(InputError, match="images that are read by columns have one height, and here they differ"):
        inputs_of(given | {"lengths": np.array([[3, 4], [2, 2]])}, "grid", "x").rearranged("columns", 9)


def test_the_built_in_corpus(make_run):
    folder, _ = make_run(model={"reads": "columns"}, files={"train": "digits", "strings": 30})
    sizes = [len(stored(folder, part)) for part in ("train", "valid", "test")]
    assert sizes == [30, 500, 1000] and Alphabet.load(folder) == Alphabet(tuple("0123456789"), 12)


BAD = {
    "empty": (lambda d: d["targets"].__setitem__(5, ""), "the transcription of example 5 is empty"),
    "short": (lambda d: d["lengths"].__setitem__(7, 1), "example 7 needs 2 steps, and its input has 1 after subsampling"),
    "doubled": (
        lambda d: (d["targets"].__setitem__(7, "aa"), d["lengths"].__setitem__(7, 2)),
        "example 7 needs 3 steps, and its input has 2",  # a blank between equal labels
    ),
    "long": (lambda d: d["lengths"].__setitem__(7, 21), "input 7 is said to be 21 long, and the array has 1 to 20"),
    "not finite": (lambda d: d["inputs"].__setitem__((4, 0, 0), np.nan), "input 4 is not finite"),
    "missing": (lambda d: d.pop("targets"), "no array 'targets'; it needs inputs, targets"),
    "words": (lambda d: d.update(inputs=d["targets"]), "inputs must be numbers"),
    "flat": (lambda d: d.update(inputs=d["inputs"][0]), r"expected \(N, steps, numbers\)"),
    "unequal": (lambda d: d.update(targets=d["targets"][:-1]), "there are 120 inputs and 119 targets"),
    "few lengths": (lambda d: d.update(lengths=d["lengths"][:-1]), "lengths are 120 whole numbers"),
    "real targets": (lambda d: d.update(targets=np.zeros((120, 2))), "targets are float64"),
    "objects": (lambda d: d.update(targets=np.array([["a"], "b"], object)), "is no .npz file of plain arrays"),
}


@pytest.mark.parametrize("name", BAD)
def test_refusals(make_run, tmp_path, name):
    change, part = BAD[name]
    given = examples(120)
    given["targets"] = given["targets"].copy()
    given["targets"][7] = "ab"
    change(given)
    np.savez(tmp_path / "bad.npz", **given)
    with pytest.raises(InputError, match=part) as told:
        make_run(files={"train": str(tmp_path / "bad.npz")})
    assert "\n" not in str(told.value)
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"config.json"}


def test_labels_of_the_test_alone(make_run, tmp_path):
    np.savez(tmp_path / "test.npz", **examples(10, letters="abd"))
    with pytest.raises(InputError, match=r"test\.npz: label 'd' of example \d is in no example to train on"):
        make_run(files={"test": str(tmp_path / "test.npz")})


def test_images_smaller_than_a_block(make_run, tmp_path):
    np.savez(tmp_path / "small.npz", inputs=np.ones((20, 6, 3)), targets=np.array(["a"] * 20))
    with pytest.raises(InputError, match=r"small\.npz: image 0 is 3 × 2 there, smaller than a block of 2 × 3"):
        make_run(model={"reads": "grid", "layers": 2, "subsample": "2x2,2x3"}, files={"train": str(tmp_path / "small.npz")})
    with pytest.raises(InputError, match="sequence 0 has 3 steps, fewer than the 4"):
        make_run("other", model={"reads": "columns", "subsample": "4"}, files={"train": str(tmp_path / "small.npz")})


def test_what_is_no_archive(make_run, tmp_path):
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "text.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"is one array; an \.npz file has arrays by name"):
        make_run(files={"train": str(tmp_path / "one.npy")})
    with pytest.raises(InputError, match=r"is no \.npz file, such as np\.savez writes"):
        make_run(files={"train": str(tmp_path / "text.npz")})
    with pytest.raises(InputError, match="no such file"):
        make_run(files={"train": str(tmp_path / "none.npz")})
