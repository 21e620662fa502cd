"""A language model of ``carousel train`` that foretells the labels of a transcription."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from carousel.errors import InputError
from carousel.language.folder import load_run
from carousel.language.model import LanguageModel
from carousel.layers import State
from carousel.text.vocabulary import Vocabulary
from carousel.training.kept import placed

Prefix = tuple[int, ...]


class Foreteller:
    """A language model's probabilities of the next label; a transcription is a line of its text.

    The states after each prefix are stored, so that a longer prefix takes one step.

    Args:
        model: the language model.
        vocabulary: the language model's vocabulary.
        labels: the transcriber's labels, in order.

    Raises:
        InputError: a label is no token of the vocabulary.
    """

    def __init__(self, model: LanguageModel, vocabulary: Vocabulary, labels: Sequence[str]):
        self.model, self.end = model.eval(), vocabulary.end
        self.tokens = [self.end]
        for label in labels:
            ids = vocabulary.encode(label)[:-1]
            if len(ids) != 1 or ids[0] == vocabulary.unknown:
                raise InputError(f"the language model has no token {label!r}; train one on them, with `vocabulary` char")
            self.tokens += ids
        self.forget()

    @classmethod
    def of_run(cls, folder: str | Path, labels: Sequence[str]) -> Foreteller:
        """Return the foreteller of a run folder of ``carousel train``. Raises InputError where the folder is none."""
        model, vocabulary, _ = load_run(*placed(folder))
        return cls(model, vocabulary, labels)

    def forget(self) -> None:
        """Forget all prefixes."""
        self.known: dict[Prefix, tuple[np.ndarray, tuple[Tensor, ...]]] = {}

    @torch.no_grad()
    def ahead(self, prefixes: Sequence[Prefix]) -> list[np.ndarray]:
        """Return for each prefix the log-probabilities of the end, which stands first, and of each next label, (labels + 1,).

        Args:
            prefixes: labels, from 1, each empty or a label longer than a prefix of an earlier call.
        """
        missing = [p for p in dict.fromkeys(prefixes) if p not in self.known]
        if () in missing:
            self._read([()], None)
            missing.remove(())
        if missing:
            before = [self.known[p[:-1]][1] for p in missing]
            self._read(missing, tuple(torch.cat(parts, 1) for parts in zip(*before, strict=True)))
        return [self.known[p][0] for p in prefixes]

    def _read(self, prefixes: list[Prefix], states: tuple[Tensor, ...] | None) -> None:
        x = torch.tensor([[self.tokens[p[-1]] if p else self.end for p in prefixes]], device=self.model.device)
        logits, after = self.model(x, _state(states))
        logs = logits[0].float().log_softmax(-1)[:, self.tokens].cpu().numpy()
        each = (after,) if isinstance(after, Tensor) else after
        for k, prefix in enumerate(prefixes):
            self.known[prefix] = logs[k], tuple(s[:, k : k + 1] for s in each)


def _state(states: tuple[Tensor, ...] | None) -> State | None:
    return states if states is None or len(states) > 1 else states[0]
