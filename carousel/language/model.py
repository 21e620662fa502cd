"""Language models over any cell: y_{t+1} = softmax(W.yh h_t + b.y), the words embedded as e_t = W.ex x_t."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from carousel.errors import InputError
from carousel.language.softmax import KINDS, softmax
from carousel.layers import Clamps, Recurrent, State, Streaming, dropout
from carousel.layers.clamp import listed
from carousel.training.config import NetworkConfig
from carousel.training.fields import setting
from carousel.training.task import Trainable


@dataclass(frozen=True)
class ModelConfig(NetworkConfig):
    """The parts of a language model. Dropout is on the embedded words, between layers and on the outputs."""

    dropout_input: float | None = setting(None, "Dropout on inputs, if other.", least=0, below=1)
    dropout_output: float | None = setting(None, "Dropout on outputs, if other.", least=0, below=1)
    softmax: str = setting(
        "full", "Output layer: full, adaptive (rare words cheaper), sampled (cheaper to train).", choices=KINDS
    )
    learned_initial: bool = setting(False, "Learn the states before the first word.")


class LanguageModel(Trainable):
    """Embedding, recurrent layers, output layer. Renshaw 2014, slide "Context and notation" and the slides of each model.

    Args:
        vocabulary_size: number of tokens.
        config: of the model.

    Raises:
        InputError: the configuration cannot be (an unknown cell, sizes that weight tying cannot join).
    """

    kind = "language model"
    fresh_at: int | None = None  # the token that begins with new states: of a model that learnt from sentences, <eos>

    def __init__(self, vocabulary_size: int, config: ModelConfig):
        super().__init__()
        self.vocabulary_size, self.config = vocabulary_size, config
        config.check()
        try:
            self.recurrent = Recurrent(
                config.own_cell(),
                config.input_size,
                config.hidden,
                config.layers,
                proj_size=config.projection,
                dropout=config.dropout if config.layers > 1 else 0.0,
                variational_dropout=config.variational_dropout,
                recurrent_init=config.recurrent_init,
                forget_bias=config.forget_bias,
                learned_initial=config.learned_initial,
                rates=config.noise_rates(),
                weight_noise=config.weight_noise,
            )
        except ValueError as error:
            raise InputError(str(error)) from None
        size = self.recurrent.output_size
        if config.tied and size != config.input_size:
            raise InputError(
                f"tied weights need an embedding of the output's size, {size}, not {config.input_size}; set `embedding` {size}"
            )
        self.embedding = nn.Embedding(vocabulary_size, config.input_size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        # A tied output layer is the embedding itself, so it has no weight of its own to save.
        self.output = softmax(config.softmax, vocabulary_size, size, config.tied)

    def forward(
        self, x: Tensor, hx: State | None = None, y: Tensor | None = None, clamp: Clamps | None = None
    ) -> tuple[Tensor, State]:
        """Read token ids and foretell the next ones.

        Args:
            x: token ids (T, B).
            hx: the states to begin with, as Recurrent's.
            y: the token ids that follow, (T, B), IGNORED where none counts.
            clamp: as Recurrent's.

        Returns:
            Logits (T, B, vocabulary size), or with targets ``y`` the loss J = −Σ log y_{t+1}[x_{t+1}] in nats, summed over
            all that count; and the states after the last step.
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
        return self.output(flat, shared).reshape(*h.shape[:-1], self.vocabulary_size), hx

    def resets(self, x: Tensor) -> Tensor | None:
        """Return where the states begin anew before token ids ``x`` are read, (T, B); None: nowhere."""
        return None if self.fresh_at is None else x == self.fresh_at

    @torch.no_grad()
    def stream(self, hx: State, clamp: Clamps | None = None) -> Callable[[int], Tensor]:
        """Return a function from a token id to the logits of the next, (vocabulary size,).

        Args:
            hx: the states of one row, from which it goes on.
            clamp: as Recurrent's, step 0 the first token that the function is given.
        """
        layers, steps = Streaming(self.recurrent, hx, clamp=clamp), 0
        shared = self.embedding.weight if self.config.tied else None

        @torch.no_grad()
        def step(token: int) -> Tensor:
            nonlocal layers, steps
            if token == self.fresh_at:
                layers = Streaming(self.recurrent, clamp=[c.later(steps) for c in listed(clamp)])
            steps += 1
            return self.output(layers(self.embedding.weight[token : token + 1]), shared)[0]

        return step

    def _drop(self, x: Tensor, p: float) -> Tensor:
        return dropout(x, p, self.training, self.config.variational_dropout)


def detach(hx: State) -> State:
    """Return the state without its history, to be carried to the next batch."""
    return hx.detach() if isinstance(hx, Tensor) else tuple(s.detach() for s in hx)
