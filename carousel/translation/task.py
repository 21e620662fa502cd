"""Translation as a task: aligned texts of a run folder, the target learnt to be foretold, judged by its perplexity."""

from __future__ import annotations

from pathlib import Path

from carousel.errors import InputError
from carousel.language.task import PERPLEXITY
from carousel.text.encoded import EncodedText
from carousel.training.processes import Share
from carousel.translation.config import TranslationConfig
from carousel.translation.folder import SIDES, load_vocabularies
from carousel.translation.model import Translator
from carousel.translation.pairs import Pairs

TOKENS = 4096  # of a batch of held-out text


class TranslationTask:
    """A translator that reads the pairs of its run folder."""

    metric = PERPLEXITY
    some_unused = False

    def __init__(self, folder: Path, config: TranslationConfig, share: Share):
        self.data, self.config, self.share = folder / "data", config, share
        self.vocabularies = load_vocabularies(folder, config.text)
        source, target = self.vocabularies
        self.model = Translator(source.size, target.size, config.model)

    def has(self, name: str) -> bool:
        """Return whether the run folder has pairs of that name."""
        return all(EncodedText.exists(self.data, f"{name}.{side}") for side in SIDES)

    def feed(self, name: str, seed: int | None = None) -> Pairs:
        """Return batches as the configuration says for training, of moderate size for held-out pairs.

        Raises:
            InputError: the two sides are not of one text.
        """
        training, longest = self.config.training, self.config.text.longest
        source, target = (
            EncodedText.open(self.data, f"{name}.{side}", vocabulary.size)
            for side, vocabulary in zip(SIDES, self.vocabularies, strict=True)
        )
        if len(source.ends) != len(target.ends):
            raise InputError(f"{self.data}: the sides of {name} are not of one text; remove the folder, and it is made anew")
        end = (self.vocabularies[0].end, self.vocabularies[1].end)
        tokens = training.batch_tokens if seed is not None else TOKENS
        return Pairs(source, target, end, training.batch_size, tokens, longest, self.share, seed)

    def carry(self, state: None) -> None:
        """Carry nothing on: each pair begins anew."""
