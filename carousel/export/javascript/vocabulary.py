"""Vocabularies as data that ``tokens.js`` reads."""

from __future__ import annotations

import json
from typing import Any

from carousel.text.vocabulary import UNKNOWN, Vocabulary


def data(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return a vocabulary as data: its kind, its tokens in order, and for byte pairs the ids of the tokens that are merged."""
    tokens = [vocabulary.tokenizer.id_to_token(n) or UNKNOWN for n in range(vocabulary.size)]
    found = {"kind": vocabulary.kind, "tokens": tokens, "end": vocabulary.end, "unknown": vocabulary.unknown}
    if vocabulary.kind != "bpe":
        return found
    said = json.loads(vocabulary.tokenizer.to_str())["model"]
    pairs = [pair if isinstance(pair, list) else pair.split(" ") for pair in said["merges"]]
    return found | {"merges": [said["vocab"][half] for pair in pairs for half in pair]}
