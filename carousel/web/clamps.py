"""Clamps as the page asks for them: at a number, or at the values that a reading without clamps has at one of its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from carousel.errors import InputError
from carousel.layers import Clamp
from carousel.web.models import ModelRequest, Models

Values = Mapping[str, np.ndarray]


class WordRequest(ModelRequest):
    """A word of a text that one of the models reads; the end of line before the text is word 0."""

    text: str
    word: int = Field(ge=0, le=1_000_000)


class ClampRequest(BaseModel):
    """A valve to hold, in steps [``from``, ``to``) of the text; the end of line before the text is step 0."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: str = Field(max_length=100)
    value: float | None = Field(None, ge=-1000, le=1000, allow_inf_nan=False)
    of: WordRequest | None = None
    units: list[int] | None = Field(None, max_length=10_000)
    begin: int = Field(0, alias="from", ge=0, le=1_000_000)
    end: int | None = Field(None, alias="to", ge=0, le=1_000_000)
    layer: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def has_one_value(self) -> ClampRequest:
        """Raise ValueError for two values, or none."""
        if (self.value is None) == (self.of is None):
            raise ValueError("it takes a number, or the values of a word")
        return self

    def at(self, value: float | torch.Tensor, layer: int | None) -> Clamp:
        """Return the clamp at a value as the layers take it."""
        return Clamp(self.name, value, None if self.units is None else tuple(self.units), self.begin, self.end, layer)

    def of_word(self, word: int, values: Values) -> list[Clamp]:
        """Return the clamps at the values of a word, one for each layer. Raises InputError where there is no such word."""
        layers = values.get(self.name, np.empty((0, 0, 0)))
        if layers.size and word >= layers.shape[1]:
            raise InputError(f"there is no word {word} to take {self.name} from; words are 0 to {layers.shape[1] - 1}")
        try:
            chosen = range(len(layers)) if self.layer is None else [self.layer]
            found = [torch.tensor(layers[k, word] if self.units is None else layers[k, word, self.units]) for k in chosen]
        except IndexError:
            found = []
        if any(x.isnan().any() for x in found):
            raise InputError(f"not every layer that is to be clamped has {self.name} at word {word}")
        # What the cell does not have the layers refuse, as they refuse it of any clamp.
        return [self.at(x, k) for k, x in zip(chosen, found, strict=True)] if found else [self.at(0.0, self.layer)]


def made(asked: Sequence[ClampRequest], models: Models) -> list[Clamp]:
    """Return clamps as the layers take them.

    Args:
        asked: by the page.
        models: that read the texts whose values are asked for.

    Raises:
        InputError: such a text is empty or too long, or has no such word; or there are several.
    """
    texts = {(c.of.model, c.of.text) for c in asked if c.of}
    if len(texts) > 1:
        raise InputError("clamps take values of one reading")
    read = {(model, text): models.view(model).values(text) for model, text in texts}
    found: list[Clamp] = []
    for c in asked:
        if c.of is None:
            assert c.value is not None
            found.append(c.at(c.value, c.layer))
        else:
            found += c.of_word(c.of.word, read[c.of.model, c.of.text])
    return found
