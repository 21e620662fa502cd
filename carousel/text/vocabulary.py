"""Vocabularies: words, characters or byte pairs, by the ``tokenizers`` library."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from carousel import files
from carousel.errors import InputError

UNKNOWN, END = "<unk>", "<eos>"
KINDS = ("word", "char", "bpe")
LONGEST_WORD = 1000
LONG_WORD = re.compile(rf"\S{{{LONGEST_WORD + 1},}}|\s{{{LONGEST_WORD + 1},}}")


class Vocabulary:
    """Text ↔ token ids, a line at a time; every line ends in ``<eos>``, which stands for its newline.

    ``kind`` is "word" (split at white space, as the Penn Treebank comes), "char" or "bpe" (byte-level byte pairs, which
    know every text). Padding is no word: whoever pads says which targets do not count.
    """

    def __init__(self, kind: str, tokenizer: Tokenizer):
        self.kind, self.tokenizer = kind, tokenizer
        self.size: int = tokenizer.get_vocab_size()
        end = tokenizer.token_to_id(END)
        assert end is not None  # train puts it there, load refuses a vocabulary without
        self.end: int = end
        self.unknown: int | None = tokenizer.token_to_id(UNKNOWN)
        # In text, "<eos>" is five characters.
        tokenizer.encode_special_tokens = True

    @classmethod
    def train(cls, kind: str, lines: Iterable[str], size: int | None = None) -> Vocabulary:
        """Learn a vocabulary of at most ``size`` tokens (all words, all characters, or 8 000 byte pairs by default).

        Raises InputError where the text gives fewer than two tokens besides ``<unk>`` and ``<eos>``.
        """
        if kind not in KINDS:
            raise InputError(f"no vocabulary is called {kind!r}; there are {', '.join(KINDS)}")
        if size is not None and size < 4:
            raise InputError(f"a vocabulary needs at least 4 tokens, not {size}")
        tokenizer = _byte_pairs(lines, size or 8000) if kind == "bpe" else _whole(kind, lines, size)
        vocabulary = cls(kind, tokenizer)
        tokens = vocabulary.size - (1 if kind == "bpe" else 2)
        if tokens < 2:
            what = {"word": "word", "char": "character", "bpe": "byte pair"}[kind]
            raise InputError(f"the text has a vocabulary of {tokens} {what}; nothing can be learnt from it")
        return vocabulary

    def encode(self, line: str) -> list[int]:
        """Return the line's token ids; the last is that of ``<eos>``."""
        return [*self._encoded(line).ids, self.end]

    def encode_many(self, lines: list[str]) -> list[list[int]]:
        """Do as ``encode`` for many lines at once, in parallel."""
        return [[*e.ids, self.end] for e in self.tokenizer.encode_batch_fast(lines, add_special_tokens=False)]

    def pieces(self, line: str) -> list[tuple[str, int]]:
        """Return the line's tokens as they stand in it (an unknown word as itself), each with its id; then ``<eos>``."""
        encoded = self._encoded(line)
        if self.kind == "bpe":
            texts = [self.token(n) for n in encoded.ids]
        else:
            texts = [line[begin:stop] for begin, stop in encoded.offsets]
        return [*zip(texts, encoded.ids, strict=True), (END, self.end)]

    def spans(self, line: str) -> list[tuple[int, int]]:
        """Return where each of the line's tokens begins and ends in it, in characters."""
        return [*self._encoded(line).offsets]

    def _encoded(self, line: str) -> Any:
        try:
            return self.tokenizer.encode(line, add_special_tokens=False)
        except TypeError:
            raise InputError("the text holds bytes that are not UTF-8") from None

    def token(self, token: int) -> str:
        """Return the text of a token id, as one would print it."""
        if token == self.end:
            return END
        if self.kind == "bpe":
            return self.tokenizer.decode([token], skip_special_tokens=False)
        return self.tokenizer.id_to_token(token) or UNKNOWN

    def decode(self, ids: list[int]) -> str:
        """Return the text of token ids; ``<eos>`` becomes a newline."""
        pieces: list[list[int]] = [[]]
        for n in ids:
            if n == self.end:
                pieces.append([])
            else:
                pieces[-1].append(n)
        return "\n".join(self.tokenizer.decode(p, skip_special_tokens=False) for p in pieces)

    def save(self, path: Path) -> None:
        """Write the tokenizer's JSON."""
        files.write(path, self.tokenizer.to_str(pretty=True))

    @classmethod
    def load(cls, path: Path, kind: str) -> Vocabulary:
        """Read a vocabulary that ``save`` wrote.

        Raises:
            InputError: the file holds none.
        """
        try:
            tokenizer = Tokenizer.from_str(files.read(path))
            if tokenizer.token_to_id(END) is None:
                raise ValueError(f"it has no {END}")
        except FileNotFoundError:
            raise InputError(f"{path} is missing; the run folder is not complete") from None
        except (InputError, OSError):
            raise
        except Exception as error:  # the library raises bare Exception
            raise InputError(f"{path} is not a vocabulary: {str(error).splitlines()[0]}") from None
        return cls(kind, tokenizer)


def _byte_pairs(lines: Iterable[str], size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())  # all bytes, so that no text is unknown
    tokenizer.train_from_iterator(
        (piece for line in lines for piece in _in_pieces(line)),
        trainers.BpeTrainer(
            vocab_size=max(size, len(alphabet) + 1), special_tokens=[END], initial_alphabet=alphabet, show_progress=False
        ),
    )
    return tokenizer


def _in_pieces(line: str) -> Iterator[str]:
    """Yield the line, cut where a word, or a gap, is longer than any: learning byte pairs takes the square of its length."""
    begin = 0
    for run in LONG_WORD.finditer(line):
        for cut in range(run.start() + LONGEST_WORD, run.end(), LONGEST_WORD):
            yield line[begin:cut]
            begin = cut
    yield line[begin:]


def _whole(kind: str, lines: Iterable[str], size: int | None) -> Tokenizer:
    """Learn words or characters, the most frequent first; "<unk>" in a text is the unknown word, as in the Penn Treebank."""
    splitter = pre_tokenizers.WhitespaceSplit() if kind == "word" else pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    counter = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    counter.pre_tokenizer = splitter
    counter.train_from_iterator(lines, trainers.WordLevelTrainer(vocab_size=size or 2**31, show_progress=False))
    ranked = sorted(counter.get_vocab().items(), key=lambda item: item[1])
    tokens = [UNKNOWN, END, *(word for word, _ in ranked if word not in (UNKNOWN, END))][:size]
    tokenizer = Tokenizer(models.WordLevel({token: k for k, token in enumerate(tokens)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = splitter
    if kind == "char":
        tokenizer.decoder = decoders.Fuse()
    return tokenizer
