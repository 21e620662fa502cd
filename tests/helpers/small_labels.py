"""Small data with labels: words whose tags are the word after them, series that rise or fall, trees of what is true."""

import numpy as np

OF_SERIES = {"sequence": "name", "label": "kind"}


def sentences(count, seed=1):
    """Words x or y; a word's tag is the next one, X or Y, or E at the end."""
    choose = np.random.default_rng(seed)
    for _ in range(count):
        words = choose.choice(["x", "y"], choose.integers(2, 7)).tolist()
        yield [(a, "E" if b is None else b.upper()) for a, b in zip(words, [*words[1:], None], strict=True)]


def trees(count, seed=1):
    """Trees of a, o (and, or), n (not) above t and f, whose nodes are labelled true or false: 1 or 0."""
    choose = np.random.default_rng(seed)

    def drawn(depth):
        kind = choose.choice(["a", "o", "n"]) if depth < 3 and choose.random() < 0.7 else "x"
        if kind == "x":
            return (value := bool(choose.integers(2))), f"({int(value)} {'ft'[value]})"
        parts = [drawn(depth + 1) for _ in range(1 if kind == "n" else 2)]
        values = [value for value, _ in parts]
        value = {"a": all(values), "o": any(values), "n": not values[0]}[kind]
        return value, f"({int(value)} {kind} {' '.join(text for _, text in parts)})"

    return [drawn(0)[1] for _ in range(count)]


def plain(given):
    """The same trees with one label each, and tokens in brackets alone."""
    return [f"{line[1]}\t{line.replace('(0 ', '( ').replace('(1 ', '( ')}" for line in given]


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
