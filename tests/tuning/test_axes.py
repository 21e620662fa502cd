"""Settings that a search varies."""

import pytest

from carousel.errors import InputError
from carousel.tuning.axes import Axis, axes, axis


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("lr=0.0001:0.1:log", Axis("lr", low=0.0001, high=0.1, log=True)),
        ("--lr=1e-4:1e-1", Axis("lr", low=0.0001, high=0.1)),
        ("layers=1:3", Axis("layers", low=1, high=3, whole=True)),
        ("dropout_words = 0.0:0.5", Axis("dropout-words", low=0, high=0.5)),
        ("cell=lstm, gru,lstm", Axis("cell", ("lstm", "gru"))),
        ("tied=on,off", Axis("tied", ("on", "off"))),
    ],
)
def test_what_an_axis_is(text, wanted):
    assert axis(text) == wanted


@pytest.mark.parametrize(
    "text", ["lr", "lr=", "=1:2", "lr=1:1", "lr=2:1", "lr=0:1:log", "lr=1e:2", "cell=lstm", "lr=1:inf", "lr=-1:1:log"]
)
def test_what_is_refused(text):
    with pytest.raises(InputError):
        axis(text)


def test_a_setting_comes_once():
    with pytest.raises(InputError, match="lr is given twice"):
        axes(["lr=1:2", "lr=a,b"])
    with pytest.raises(InputError, match="nothing is searched"):
        axes([])


def test_words_of_a_command_line():
    assert axis("lr=0.001:0.1").words("0.01") == ["--lr=0.01"]
    assert axis("tied=off,on").words("on") == ["--tied"] and axis("tied=off,on").words("off") == ["--no-tied"]
    assert axis("no-spelling=off,on").words("off") == ["--spelling"]
    assert axis("lr=0.0:1.0").text(1 / 3) == "0.333333" and axis("layers=1:3").text(2.0) == "2"
