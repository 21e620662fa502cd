"""Language models over any cell: y_{t+1} = softmax(W.yh h_t + b.y), the words embedded as e_t = W.ex x_t."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from carousel.errors import InputError
from carousel.language.softmax import softmax
from carousel.layers import Clamps, Recurrent, State, Streaming, dropout
from carousel.layers.clamp import listed
from carousel.training.task import Trainable


@dataclass(frozen=True)
class ModelConfig:
    """What a language model is made of; ``words`` is the vocabulary's size.

    Dropout is on the embedded words, between layers and on the outputs; each may be set apart.
    """

    cell: str = "lstm"
    embedding: int = 200
    hidden: int = 200
    layers: int = 1
    projection: int = 0
    dropout: float = 0.0
    dropout_input: float | None = None
    dropout_output: float | None = None
    same_mask: bool = False
    tied: bool = False
    softmax: str = "full"
    recurrent: str = "uniform"
    forget_bias: float | None = None
    learned_initial: bool = False


class LanguageModel(Trainable):
    """Embedding, recurrent layers, output layer. Renshaw 2014, slides "Context and notation" and those of each model.

    Raises InputError for a configuration that cannot be (an unknown cell, sizes that weight tying cannot join).
    """

    kind = "language model"
    fresh_at: int | None = None  # the word that begins with new states: of a model that learnt from sentences, <eos>

    def __init__(self, words: int, config: ModelConfig):
        super().__init__()
        self.words, self.config = words, config
        for name in ("dropout", "dropout_input", "dropout_output"):
            p = getattr(config, name)
            if p is not None and not 0 <= p < 1:
                raise InputError(f"{name} is a probability in [0, 1), not {p}")
        try:
            self.recurrent = Recurrent(
                config.cell,
                config.embedding,
                config.hidden,
                config.layers,
                proj_size=config.projection,
                dropout=config.dropout if config.layers > 1 else 0.0,
                same_mask=config.same_mask,
                recurrent=config.recurrent,
                forget_bias=config.forget_bias,
                learned_initial=config.learned_initial,
            )
        except ValueError as error:
            raise InputError(str(error)) from None
        size = self.recurrent.output_size
        if config.tied and size != config.embedding:
            raise InputError(
                f"tied weights need an embedding of the output's size, {size}, not {config.embedding}; set `embedding` {size}"
            )
        self.embedding = nn.Embedding(words, config.embedding)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        # A tied output layer is the embedding itself, so it has no weight of its own to save.
        self.output = softmax(config.softmax, words, size, config.tied)

    def forward(
        self, x: Tensor, hx: State | None = None, y: Tensor | None = None, clamp: Clamps | None = None
    ) -> tuple[Tensor, State]:
        """Logits (T, B, words) and the states after the last step; with targets ``y``, instead of the logits
        J = −Σ log y_{t+1}[x_{t+1}] in nats, summed over all targets that count.

        ``x``: words (T, B); ``hx``, ``clamp``: as Recurrent's.
        """
        config = self.config
        p_in = config.dropout if config.dropout_input is None else config.dropout_input
        p_out = config.dropout if config.dropout_output is None else config.dropout_output
        e = self._drop(self.embedding(x), p_in)
        h, hx = self.recurrent(e, hx, resets=self.resets(x), clamp=clamp)
        h = self._drop(h, p_out)
        shared = self.embedding.weight if config.tied else None
        flat = h.reshape(-1, h.shape[-1])
        if y is not None:
            return self.output.loss(flat, y.reshape(-1), shared), hx
        return self.output(flat, shared).reshape(*h.shape[:-1], self.words), hx

    def resets(self, x: Tensor) -> Tensor | None:
        """Where the states begin anew before words ``x`` are read; None: nowhere."""
        return None if self.fresh_at is None else x == self.fresh_at

    @torch.no_grad()
    def stream(self, hx: State, clamp: Clamps | None = None) -> Callable[[int], Tensor]:
        """From the states ``hx`` of one row on, a function from a word to the logits of the next, (words,)."""
        layers, steps = Streaming(self.recurrent, hx, clamp=clamp), 0
        shared = self.embedding.weight if self.config.tied else None

        @torch.no_grad()
        def step(word: int) -> Tensor:
            nonlocal layers, steps
            if word == self.fresh_at:
                layers = Streaming(self.recurrent, clamp=[c.later(steps) for c in listed(clamp)])
            steps += 1
            return self.output(layers(self.embedding.weight[word : word + 1]), shared)[0]

        return step

    def _drop(self, x: Tensor, p: float) -> Tensor:
        flat = dropout(x.reshape(-1, x.shape[-1]), [x.shape[1]] * x.shape[0], p, self.training, self.config.same_mask)
        return flat.reshape(x.shape)


def detach(hx: State) -> State:
    """The state without its history, to be carried to the next batch."""
    return hx.detach() if isinstance(hx, Tensor) else tuple(s.detach() for s in hx)
