"""JapaneseVowels of an installed sktime, as tables; skipped where it is not installed."""

import pytest

from carousel.corpora import vowels
from carousel.errors import InputError
from carousel.series import columns


def test_without_sktime_one_line_says_how(tmp_path, monkeypatch):
    monkeypatch.setattr(vowels, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install --no-deps sktime"):
        vowels.write(tmp_path)


def test_an_utterance_has_twelve_numbers_a_step(tmp_path):
    dimensions = ":".join(f"{k},{k + 0.5}" for k in range(12))
    (tmp_path / "x.ts").write_text(f"@problemName x\n@data\n{dimensions}:3\n{dimensions}:4\n")
    (steps, speaker), (_, other) = vowels.utterances(tmp_path / "x.ts")
    assert (speaker, other) == ("3", "4") and len(steps) == 2
    assert steps[1] == [f"{k + 0.5}" for k in range(12)]


def test_the_usual_split(tmp_path):
    try:
        vowels.source()
    except InputError as error:
        pytest.skip(str(error))
    written = vowels.write(tmp_path)
    assert {part: n for part, (n, _) in written.items()} == vowels.COUNTS
    table = columns.read(tmp_path / "test.csv")
    assert len(table) == 14 and len({*table["utterance"].tolist()}) == 370 and {*table["speaker"].tolist()} == {*range(1, 10)}
