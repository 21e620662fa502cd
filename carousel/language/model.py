"""Language models over any cell: y_{t+1} = softmax(W.yh h_t + b.y), the words embedded as e_t = W.ex x_t."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from carousel.errors import InputError
from carousel.language.feeding import IGNORED
from carousel.language.softmax import KINDS, SAMPLES, FullSoftmax, softmax
from carousel.layers import Clamps, State, Streaming, dropout
from carousel.layers.clamp import listed
from carousel.layers.layout import SKIPS
from carousel.training.config import NetworkConfig
from carousel.training.fields import setting
from carousel.training.task import Trainable


@dataclass(frozen=True)
class ModelConfig(NetworkConfig):
    """The parts of a language model. Dropout is on the embedded words, between layers and on the outputs.

    ``dropout_words`` drops a word's whole embedding, with one draw a batch (Gal and Ghahramani 2016). ``ar`` and ``tar``
    weigh the activation regularizers of Merity, McCann and Socher (2017). The regularizers and ``smoothing`` (Szegedy et al.
    2016) shape the gradient; training reports the loss J without them.
    """

    dropout_input: float | None = setting(None, "Dropout on inputs; by default `dropout`.", least=0, below=1)
    dropout_output: float | None = setting(None, "Dropout on outputs; by default `dropout`.", least=0, below=1)
    softmax: str = setting(
        "full",
        "Output layer: full, adaptive (rare words cheaper), sampled (cheaper to train), mixture (of `mixtures` full ones).",
        choices=KINDS,
    )
    mixtures: int = setting(10, "Softmaxes of a mixture.", least=2, most=1000)
    samples: int = setting(SAMPLES, "Tokens that a sampled softmax draws for each batch.", least=1)
    dropout_words: float = setting(
        0.0, "Dropout of words: all occurrences of a dropped word in a batch have a zero embedding.", least=0, below=1
    )
    ar: float = setting(
        0.0, "Activation regularization: weight α of the outputs' mean square, after dropout.", least=0, below=1e6
    )
    tar: float = setting(
        0.0, "Temporal activation regularization: weight β of the mean square of the outputs' change.", least=0, below=1e6
    )
    smoothing: float = setting(0.0, "Label smoothing.", least=0, below=1)
    learned_initial: bool = setting(False, "Train the states before the first word.")
    skip: str = setting(
        "none",
        "Connections past a layer: none, residual (layers above the first add their input to their output).",
        choices=SKIPS,
    )


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
            self.recurrent = config.recurrent_layers(
                config.input_size, learned_initial=config.learned_initial, skip=config.skip
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
        self.output = softmax(config.softmax, vocabulary_size, size, config.tied, config.mixtures, config.samples)
        if config.smoothing and not isinstance(self.output, FullSoftmax):
            raise InputError(f"`smoothing` needs logits that are linear, and `softmax` {config.softmax} has none; take full")

    def forward(
        self, x: Tensor, hx: State | None = None, y: Tensor | None = None, clamp: Clamps | None = None
    ) -> tuple[Tensor, State]:
        """Read token ids and foretell the next ones.

        Args:
            x: token ids (T, B).
            hx: the states to begin with, as ``Recurrent`` takes them.
            y: the token ids that follow, (T, B), IGNORED where none counts.
            clamp: gates or states to hold, as ``Recurrent`` takes them.

        Returns:
            Logits (T, B, vocabulary size), or with targets ``y`` the loss J = −Σ log y_{t+1}[x_{t+1}] in nats, summed over
            all that count; and the states after the last step.
        """
        plain, hx = self._run(x, hx, clamp)
        h = self._drop(plain, self.config.dropout_output)
        flat = h.reshape(-1, h.shape[-1])
        if y is not None:
            loss = self.output.loss(flat, y.reshape(-1), self.shared)
            return with_gradient_of(loss, self._penalties(plain, h, y)) if self.training else loss, hx
        return self.output(flat, self.shared).reshape(*h.shape[:-1], self.vocabulary_size), hx

    def read(self, x: Tensor, hx: State | None = None, clamp: Clamps | None = None) -> tuple[Tensor, State]:
        """Read token ids and return the inputs of the output layer, (T, B, size), and the states after the last step.

        Args:
            x: token ids (T, B).
            hx: the states to begin with, as ``Recurrent`` takes them.
            clamp: gates or states to hold, as ``Recurrent`` takes them.
        """
        h, hx = self._run(x, hx, clamp)
        return self._drop(h, self.config.dropout_output), hx

    def _run(self, x: Tensor, hx: State | None, clamp: Clamps | None) -> tuple[Tensor, State]:
        e, p = self.embedding(x), self.config.dropout_words
        if self.training and p:
            e = e * dropout(e.new_ones(self.vocabulary_size), p, True, False)[x].unsqueeze(-1)
        e = self._drop(e, self.config.dropout_input)
        return self.recurrent(e, hx, resets=self.resets(x), clamp=clamp)

    def _penalties(self, plain: Tensor, dropped: Tensor, y: Tensor) -> list[Tensor]:
        """Return the penalties of the loss, each summed over the targets that count, as the loss is.

        Args:
            plain: the last layer's outputs, (T, B, size).
            dropped: the outputs after dropout, (T, B, size).
            y: targets, (T, B).
        """
        config, counts = self.config, y != IGNORED
        found = []
        if config.ar:
            found.append(config.ar * (dropped.square().mean(-1) * counts).sum())
        if config.tar:
            both = counts[1:] & counts[:-1]
            change = ((plain[1:] - plain[:-1]).square().mean(-1) * both).sum() / both.sum().clamp(min=1)
            found.append(config.tar * change * counts.sum())
        if config.smoothing:
            assert isinstance(self.output, FullSoftmax)  # refused where the model was made
            flat = dropped.reshape(-1, dropped.shape[-1])
            found.append(config.smoothing * self.output.smoothed(flat, y.reshape(-1), self.shared))
        return found

    def log_probabilities(self, h: Tensor, y: Tensor) -> Tensor:
        """Return log p(y), (N,), of token ids ``y``, (N,), from outputs ``h`` of ``read``, (N, size)."""
        return log_softmax(self.output(h, self.shared), -1).gather(1, y.unsqueeze(1)).squeeze(1)

    @property
    def shared(self) -> Tensor | None:
        """The embedding where it is the output layer's weight too, else None."""
        return self.embedding.weight if self.config.tied else None

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
        shared = self.shared

        @torch.no_grad()
        def step(token: int) -> Tensor:
            nonlocal layers, steps
            if token == self.fresh_at:
                layers = Streaming(self.recurrent, clamp=[c.later(steps) for c in listed(clamp)])
            steps += 1
            return self.output(layers(self.embedding.weight[token : token + 1]), shared)[0]

        return step

    def _drop(self, x: Tensor, p: float | None) -> Tensor:
        """Apply dropout with a probability, by default the configuration's."""
        return dropout(x, self.config.dropout if p is None else p, self.training, self.config.variational_dropout)


def with_gradient_of(loss: Tensor, penalties: list[Tensor]) -> Tensor:
    """Return the value of the loss with the gradient of loss and penalties together."""
    return loss + sum((p - p.detach() for p in penalties), loss.new_zeros(())) if penalties else loss


def detach(hx: State) -> State:
    """Return the state without its history, to be carried to the next batch."""
    return hx.detach() if isinstance(hx, Tensor) else tuple(s.detach() for s in hx)
