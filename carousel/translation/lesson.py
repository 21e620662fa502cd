"""What a translator learns from."""

from __future__ import annotations

from pathlib import Path

from carousel.errors import InputError
from carousel.language.feeding import Share
from carousel.text.encoded import EncodedText
from carousel.translation.config import TranslationConfig
from carousel.translation.folder import SIDES, load_vocabularies
from carousel.translation.model import Translator
from carousel.translation.pairs import Pairs

TOKENS = 4096  # of a batch of held-out text


class Translating:
    """A translator and the pairs of its run folder, as the trainer wants them."""

    some_unused = False

    def __init__(self, folder: Path, config: TranslationConfig, share: Share):
        self.data, self.config, self.share = folder / "data", config, share
        self.vocabularies = load_vocabularies(folder, config.text)
        source, target = self.vocabularies
        self.model = Translator(source.size, target.size, config.model).to(config.training.device)

    def has(self, name: str) -> bool:
        """Whether the run folder has those pairs."""
        return all(EncodedText.exists(self.data, f"{name}.{side}") for side in SIDES)

    def feed(self, name: str, seed: int | None = None) -> Pairs:
        """Batches as the configuration says for training, of moderate size for held-out pairs."""
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
