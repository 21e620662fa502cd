"""What is shown is shown whole, and as it is."""

import io

from rich.console import Console

from carousel.cli import screen


def shown(rows):
    with screen.out.capture() as found:
        screen.out.print(screen.table("", dict.fromkeys(rows[0], "left"), rows))
    return found.get()


def test_brackets_and_colons_are_text():
    for word in ("[b]", "[/b]", ":smile:", "[red]x[/red]"):
        assert word in shown([{"word": word}])


def test_a_name_with_brackets_is_shown_as_it_is(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(screen, "err", Console(**screen.PLAIN, file=written, force_terminal=True, width=80))
    with screen.busy("writing a{b}[red]c"):
        pass
    assert "writing a{b}[red]c" in written.getvalue()


def test_a_perplexity_of_any_size_leaves_room_in_its_table():
    assert [screen.perplexity(x) for x in (9.999, 1234567.0, 1e7, 2.0**1000)] == ["10.00", "1234567.00", "1.0e+07", "1.1e+301"]


def test_lines_of_a_log_stay_whole(capsys):
    line = "stopped at step 5; continue with: carousel translate train --resume runs/" + "a long name " * 9
    screen.err.print(line)
    assert capsys.readouterr().err == f"{line}\n"


def test_a_long_translation_takes_several_lines():
    text = " ".join(f"w{k}" for k in range(200))
    found = shown([{"held": "f = 0 at who", "translation": text}])
    assert [w for w in found.split() if w[1:].isdigit()] == text.split()
