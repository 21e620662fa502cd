"""BLEU and chrF are sacrebleu's; agreement is counted word by word."""

import pytest
import sacrebleu
from small_runs import train

from carousel.corpora import czech
from carousel.errors import InputError
from carousel.translation.score import agreement, read_aligned, score, translate_all
from carousel.translation.translate import Interpreter

OUTPUTS = ["the cat sat on the mat .", "A dog", "it rains"]
REFERENCES = ["The cat sat on the mat.", "A dog", "it rains today"]


def test_scores_are_sacrebleu_s():
    found = score(OUTPUTS, REFERENCES)
    assert found.bleu == pytest.approx(sacrebleu.corpus_bleu(OUTPUTS, [REFERENCES]).score)
    assert found.chrf == pytest.approx(sacrebleu.corpus_chrf(OUTPUTS, [REFERENCES]).score)
    assert found.exact == pytest.approx(1 / 3)
    assert "tok:13a" in found.signatures[0]
    assert "case:mixed" in found.signatures[0]


def test_agreement_is_right_wrong_or_missing():
    boy, girl = czech.lecture("boy"), czech.lecture("girl")
    found = agreement([boy] * 4, ["Jsem kluk, který se rád učí", girl.translation, "Jsem kluk, který se ráda učí.", "Nic"])
    assert vars(found["rád"]) == {"right": 1, "wrong": 2, "missing": 1}
    assert vars(found["relative"]) == {"right": 2, "wrong": 1, "missing": 1}
    assert found["all"].share == pytest.approx(3 / 8)


def test_files_must_be_aligned(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("x\ny\n")
    b.write_text("x\n")
    with pytest.raises(InputError, match=r"2 lines and .* 1"):
        read_aligned(a, b)


def test_all_lines_come_back_in_their_order(make_run):
    folder, config = make_run(epochs=1)
    train(folder, config)
    from carousel.translation.folder import load_translator

    model, source, target, _ = load_translator(folder)
    told = []
    given = ["abcd", "", "a", "bca", "abcdabcd", "d"]
    interpreter = Interpreter(model, source, target, beam=2, longest=5, told=lambda *what: told.append(what))
    alone = [found[0].text for found in interpreter.lines(given)]
    assert told == [(5, 9)]
    assert translate_all(interpreter, given, rows=4) == alone
    assert [found[0].text for found in interpreter.lines(given, rows=3)] == alone
    assert alone[1] == ""
