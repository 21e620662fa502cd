"""A vocabulary in C: texts of tokens, what makes tokens of a text, and the program that writes and scores."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterator
from functools import cache

from tokenizers.pre_tokenizers import ByteLevel

from carousel.export.c99.file import HERE
from carousel.text.vocabulary import Vocabulary


def program(vocabulary: Vocabulary) -> str:
    """Return the texts of all tokens, and under ``#ifdef MAIN`` a program."""
    parts = [texts(vocabulary), tables(vocabulary), text_of("read"), tokens(vocabulary), text_of("program")]
    return f"#ifdef MAIN\n{''.join(parts)}#endif\n"


def texts(vocabulary: Vocabulary) -> str:
    """Return the texts of all tokens, and their lengths."""
    found = [_bytes(vocabulary, n) for n in range(vocabulary.size)]
    lines = "".join(f'  "{_escaped(text)}",\n' for text in found)
    head = f"static const char *const model_texts[MODEL_VOCABULARY] = {{\n{lines}}};\n"
    return head + _numbers("model_lengths[MODEL_VOCABULARY]", map(len, found))


def tables(vocabulary: Vocabulary) -> str:
    """Return the tables that ``tokens`` reads: the order of the texts, or the merges of byte pairs."""
    if vocabulary.kind == "bpe":
        return _pairs(vocabulary)
    ordered = sorted(range(vocabulary.size), key=lambda n: _bytes(vocabulary, n))
    return _numbers("model_sorted[MODEL_VOCABULARY]", ordered)


def tokens(vocabulary: Vocabulary) -> str:
    """Return the functions that turn a line into tokens; they call functions of ``read.c``."""
    return text_of("pairs" if vocabulary.kind == "bpe" else "tokens")


def text_of(name: str) -> str:
    """Return the text of a C file in this module's folder."""
    return (HERE / f"{name}.c").read_text()


def _bytes(vocabulary: Vocabulary, token: int) -> bytes:
    if vocabulary.kind == "bpe" and token != vocabulary.end:
        return bytes(_byte_of()[c] for c in vocabulary.tokenizer.id_to_token(token) or "")
    return vocabulary.token(token).encode()


def _pairs(vocabulary: Vocabulary) -> str:
    """Return the tokens of single bytes, the pairs that become one token, and the ranges of letters and numbers."""
    said = json.loads(vocabulary.tokenizer.to_str())["model"]
    ids = said["vocab"]
    single = {_byte_of()[text]: n for text, n in ids.items() if len(text) == 1}
    pairs = [pair if isinstance(pair, list) else pair.split(" ") for pair in said["merges"]]
    merges = sorted((ids[a], ids[b], rank, ids[a + b]) for rank, (a, b) in enumerate(pairs))
    rows = "".join(f"  {{{a}, {b}, {rank}, {made}}},\n" for a, b, rank, made in merges)
    ranges = "".join(f"  {{0x{first:x}, 0x{last:x}, {kind}}},\n" for first, last, kind in _ranges())
    return (
        _numbers("model_bytes[256]", (single[b] for b in range(256)))
        + f"#define MODEL_MERGES {len(merges)}\n"
        + f"static const struct {{ int left, right, rank, made; }} model_merges[] = {{\n{rows or '  {-1, -1, 0, 0},'}}};\n"
        + f"static const struct {{ unsigned long first, last; int kind; }} model_ranges[] = {{\n{ranges}}};\n"
    )


@cache
def _byte_of() -> dict[str, int]:
    """Return the byte that each letter of a byte-level token stands for (Radford et al. 2019)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in plain]
    found = {chr(b): b for b in plain} | {chr(256 + k): b for k, b in enumerate(others)}
    assert found.keys() == set(ByteLevel.alphabet())
    return found


def _ranges() -> Iterator[tuple[int, int, int]]:
    """Yield the first and last number in Unicode of all ranges of letters (1) and numbers (2)."""
    begin, before = 0, 0
    for code in range(sys.maxunicode + 2):
        kind = {"L": 1, "N": 2}.get(unicodedata.category(chr(code))[0], 0) if code <= sys.maxunicode else 0
        if kind != before:
            if before:
                yield begin, code - 1, before
            begin, before = code, kind


def _numbers(name: str, numbers: Iterator[int] | list[int] | map[int]) -> str:
    rows = "".join(f"{n},{chr(10) if k % 20 == 19 else ' '}" for k, n in enumerate(numbers))
    return f"static const int {name} = {{\n{rows}\n}};\n"


def _escaped(text: bytes) -> str:
    """Return a text as C has it: all but letters and digits as numbers, so that no two of them mean something else."""
    return "".join(chr(c) if c < 128 and chr(c).isalnum() else f"\\{c:03o}" for c in text)
