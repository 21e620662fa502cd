"""What agrees with a man, a boy, a woman or a girl is found and judged."""

import pytest

from carousel.translation.czech_genders import Genders, genders


@pytest.mark.parametrize(
    ("source", "output", "expected"),
    [
        ("A young man.", "Mladý muž.", (1, 1, 0, 0, 1, 0)),
        ("A young woman.", "Mladý žena.", (1, 1, 0, 0, 0, 1)),
        ("A little blond girl who sings.", "Malá blonďatá dívka, která zpívá.", (1, 1, 0, 0, 3, 0)),
        ("A boy dressed in red.", "Chlapec oblečená v červené.", (1, 1, 0, 0, 0, 1)),
        ("An older man sits.", "Starší muž sedí.", (1, 1, 0, 0, 0, 0)),
        ("A man sleeps.", "Žena spí.", (1, 0, 1, 0, 0, 0)),
        ("A man sleeps.", "Někdo spí.", (1, 0, 0, 1, 0, 0)),
        ("A man and a woman.", "Muž a žena.", (0, 0, 0, 0, 0, 0)),
        ("Two men.", "Dva muži.", (0, 0, 0, 0, 0, 0)),
    ],
)
def test_one_sentence(source, output, expected):
    assert genders([source], [output]) == Genders(*expected)
