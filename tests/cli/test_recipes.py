"""``carousel recipes``: every recipe with its command and result, or one as its file."""

import json

from carousel.cli.recipes import KINDS


def test_each_name_is_one_recipe_s():
    names = [name for kind in KINDS for name in kind.names()]
    assert len(names) == len(set(names)) > 6


def test_they_are_listed(carousel):
    status, out, _ = carousel("recipes")
    assert status == 0
    for kind in KINDS:
        for name in kind.names():
            assert f"\n{name} ({kind.command})\n" in f"\n{out}"
        assert f"\n  {kind.about}: " in out
    told = json.loads(carousel("recipes", "--json")[1])
    assert [each["name"] for each in told] == [name for kind in KINDS for name in kind.names()]


def test_one_is_printed_as_its_file(carousel, tmp_path):
    for kind in KINDS:
        name = kind.names()[0]
        source = (kind.folder / f"{name}.toml").read_text()
        assert carousel("recipes", name)[1] == source
        (tmp_path / "own.toml").write_text(source)
        told = json.loads(carousel("recipes", "own.toml", "--json")[1])
        assert (told["command"], told["settings"]) == (kind.command, kind.recipe(name).settings)


def test_refusals(carousel):
    assert "no recipe is called 'adw'; did you mean 'awd'?" in carousel("recipes", "adw")[2]
    assert "did you mean 'fast-translator'?" in carousel("recipes", "fast-translater")[2]
    status, out, err = carousel("recipes", "none.toml")
    assert (status, out, err.count("\n")) == (2, "", 1)
