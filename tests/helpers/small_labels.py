"""Small data with labels: words whose tags are the word after them, series that rise or fall."""

import numpy as np

OF_SERIES = {"sequence": "name", "label": "kind"}


def sentences(count, seed=1):
    """Words x or y; a word's tag is the next one, X or Y, or E at the end."""
    choose = np.random.default_rng(seed)
    for _ in range(count):
        words = choose.choice(["x", "y"], choose.integers(2, 7)).tolist()
        yield [(a, "E" if b is None else b.upper()) for a, b in zip(words, [*words[1:], None], strict=True)]


def as_text(given):
    return "\n".join("".join(f"{w} {t}\n" for w, t in sentence) for sentence in given)


def table(count, seed=1):
    """A CSV of series of two columns, of which the first rises or falls."""
    choose = np.random.default_rng(seed)
    lines = ["name,kind,a,b"]
    for k in range(count):
        up = bool(choose.integers(2))
        for t in range(choose.integers(3, 8)):
            a = 100 + (t if up else -t) * choose.uniform(0.5, 1)
            lines.append(f"s{k},{'up' if up else 'down'},{a:.3f},{choose.normal():.3f}")
    return "\n".join(lines) + "\n"
