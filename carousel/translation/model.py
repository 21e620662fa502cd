"""Translators over any cell: one recurrent network reads a sentence, a second writes it in the other language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from carousel.errors import InputError
from carousel.hierarchy import blocks_of
from carousel.language.softmax import FullSoftmax
from carousel.layers import Clamps, Recurrent, State, dropout
from carousel.training.config import NetworkConfig
from carousel.training.fields import LARGEST_SIZE, MOST_LAYERS, setting
from carousel.training.task import Trainable
from carousel.translation.attention import KINDS as ATTENTIONS
from carousel.translation.attention import Attention
from carousel.translation.bridge import Bridge
from carousel.translation.pyramid import Pyramid

MEMORY = "none"


@dataclass(frozen=True)
class TranslatorConfig(NetworkConfig):
    """The parts of a translator. ``layers``, ``subsample`` and ``bidirectional`` are the encoder's.

    ``subsample`` has for each layer, from the bottom up, how many steps of the layer beneath become one of its steps.

    Dropout is on the embedded words, between layers, on the values that attention looks at and on the outputs;
    ``dropout_words`` leaves out whole words, on either side (Gal and Ghahramani 2016). ``smoothing`` is label smoothing's ε, in
    training only.
    """

    hidden: int = setting(256, "Units of a layer.", least=1, most=LARGEST_SIZE)
    layers: int = setting(1, "Layers of the encoder.", least=1, most=MOST_LAYERS)
    dropout_words: float = setting(0.0, "Share of words whose embedding is zero in training.", least=0, below=1)
    smoothing: float = setting(0.0, "Label smoothing.", least=0, below=1)
    attention: str = setting(MEMORY, f"{MEMORY} (memory only), {', '.join(ATTENTIONS)}.", choices=(MEMORY, *ATTENTIONS))
    decoder_layers: int = setting(1, "Layers of the decoder.", least=1, most=MOST_LAYERS)
    bidirectional: bool = setting(False, "The encoder reads in both directions.")
    subsample: str = setting(
        "", "Steps of the layer beneath that become one of each layer of the encoder, from the bottom up: 1,2."
    )

    def check(self) -> None:
        """Raise InputError for a value that cannot be."""
        super().check()
        self.steps()

    def steps(self) -> list[int]:
        """Return how many steps of the layer beneath are one of each layer. Raises InputError for another form."""
        return [k for _, k in blocks_of(self.subsample, self.layers)]

    def encoder(self) -> Recurrent | Pyramid:
        """Return the layers that read. Raises ValueError for what they cannot be."""
        steps = self.steps()
        if set(steps) == {1}:
            return self.recurrent_layers(self.input_size, bidirectional=self.bidirectional)
        options = {"dropout": self.dropout, "bidirectional": self.bidirectional, **self.layer_options()}
        return Pyramid(self.own_cell(), self.input_size, self.hidden, steps, **options)


@dataclass(frozen=True)
class Read:
    """B sentences as the decoder gets them: its first ``states``, and where there is attention, the encoder's ``outputs``
    (B, S, size), the attention's ``keys`` made of them, and where they are ``padding`` (B, S). S counts the steps of the
    encoder's last layer: the tokens, or fewer where it is a pyramid."""

    states: tuple[State, ...]
    outputs: Tensor | None = None
    keys: Tensor | None = None
    padding: Tensor | None = None

    def rows(self, index: Tensor) -> Read:
        """Return these rows, in this order."""
        states = tuple(rows_of(s, index) for s in self.states)
        rest = (None if x is None else x.index_select(0, index) for x in (self.outputs, self.keys, self.padding))
        return Read(states, *rest)


class Translator(Trainable):
    """Encoder and decoder (Sutskever et al. 2014), with or without attention (Luong et al. 2015; Bahdanau et al. 2015).

    *Memory only*: the decoder starts from the encoder's states at each sentence's own end and sees nothing else; where
    shapes differ, a linear bridge joins them. *With attention* the decoder's first layer asks, after each step, where to look;
    the context that it finds goes with its output to the layers above and to the output. Attention is never fed back into the
    first layer ("input feeding"), so that every layer runs over whole sentences at once, in the compiled kernels.

    A *pyramidal* encoder (Chan et al. 2016) reads several steps of a layer as one of the next; attention then looks at the
    steps of the last layer, each of which stands at the last token that it reads.

    Args:
        source_size, target_size: tokens of the two vocabularies.
        config: of the model.

    Raises:
        InputError: the configuration cannot be.
    """

    kind = "translator"

    def __init__(self, source_size: int, target_size: int, config: TranslatorConfig):
        super().__init__()
        self.config, self.vocabulary_size = config, target_size
        config.check()
        looks = config.attention != MEMORY
        beneath = 1 if looks else config.decoder_layers
        try:
            self.encoder = config.encoder()
            self.decoder = config.recurrent_layers(config.input_size, beneath)
            own, seen = self.decoder.output_size, self.encoder.output_size * self.encoder.directions
            above = config.decoder_layers - beneath
            self.upper = config.recurrent_layers(own + seen, above) if above else None
            for layer in (self.encoder, self.decoder, self.upper):
                if isinstance(layer, Recurrent):
                    layer.layout.check_even("a translator")
        except ValueError as error:
            raise InputError(str(error)) from None
        self.attention = Attention(config.attention, own, seen) if looks else None
        self.bridge = Bridge(self.encoder, [d for d in (self.decoder, self.upper) if d is not None])
        size = config.input_size if config.tied else own
        top = own + seen if looks else own
        self.readout = nn.Linear(top, size) if looks or top != size else None
        self.source_embedding = nn.Embedding(source_size, config.input_size)
        self.embedding = nn.Embedding(target_size, config.input_size)
        for e in (self.source_embedding, self.embedding):
            nn.init.uniform_(e.weight, -0.1, 0.1)
        self.output = FullSoftmax(target_size, size, config.tied)

    @property
    def depth(self) -> int:
        """Return the number of layers of the encoder or of the decoder, whichever is larger."""
        return max(self.encoder.num_layers, self.config.decoder_layers)

    @property
    def factors(self) -> tuple[int, ...]:
        """Return the number of tokens in one step of each layer of the encoder."""
        return self.encoder.factors if isinstance(self.encoder, Pyramid) else (1,) * self.encoder.num_layers

    def encoder_layers(self) -> list[tuple[Recurrent, int]]:
        """Return each layer of the encoder, from the bottom up: layers, and its number in them."""
        if isinstance(self.encoder, Pyramid):
            return [(layer, 0) for layer in self.encoder.layers]
        return [(self.encoder, number) for number in range(self.encoder.num_layers)]

    def at_tokens(self, weights: Tensor, tokens: int) -> Tensor:
        """Return attention's weights (…, S) on the tokens of a sentence, (…, tokens), each where its step stands."""
        steps = -(-tokens // self.factors[-1])
        placed = weights.new_zeros(*weights.shape[:-1], tokens)
        placed[..., ends(steps, self.factors[-1], tokens)] = weights[..., :steps]
        return placed

    def forward(self, source: Tensor, lengths: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, None]:
        """Read sentences and foretell their translations.

        Args:
            source: token ids (S, B).
            lengths: how many of them count, from the first, in each row, (B,).
            x: token ids that the decoder is given, (T, B).
            y: the token ids that follow, (T, B), IGNORED where none counts.

        Returns:
            −Σ log p(y) in nats over all targets that count, smoothed while training; and None, as nothing is carried on.
        """
        h, _, _ = self.decode(x, self.read(source, lengths))
        flat, targets, shared = h.reshape(-1, h.shape[-1]), y.reshape(-1), self._shared()
        loss = self.output.loss(flat, targets, shared)
        if self.training and self.config.smoothing:
            loss = loss + self.config.smoothing * self.output.smoothed(flat, targets, shared)
        return loss, None

    def read(self, source: Tensor, lengths: Tensor, clamp: Clamps | None = None) -> Read:
        """Read sentences.

        Args:
            source: token ids (S, B).
            lengths: tokens of each sentence (B,).
            clamp: as Recurrent's, of the encoder; its steps are tokens.
        """
        packed = self.packed(source, lengths)
        output, hx = self.encoder(packed, clamp=clamp)
        states = self.bridge(hx)
        if self.attention is None:
            return Read(states)
        outputs, steps = pad_packed_sequence(output, batch_first=True)
        outputs = self._drop(outputs.transpose(0, 1)).transpose(0, 1)
        places = torch.arange(outputs.shape[1], device=outputs.device)
        padding = places >= steps.to(outputs.device).unsqueeze(1)
        return Read(states, outputs, self.attention.keys(outputs), padding)

    def packed(self, source: Tensor, lengths: Tensor) -> PackedSequence:
        """Return the input of the encoder, without padding."""
        e = self._drop_words(self._drop(self.source_embedding(source)))
        return pack_padded_sequence(e, lengths.cpu(), enforce_sorted=False)

    def decode(
        self, x: Tensor, read: Read, states: tuple[State, ...] | None = None
    ) -> tuple[Tensor, tuple[State, ...], Tensor | None]:
        """Write on after the sentences that were read.

        Args:
            x: target token ids (T, B).
            read: as :meth:`read` gives it.
            states: to go on from; by default ``read``'s.

        Returns:
            Outputs (T, B, size), the states after the last step, and where attention looked, (B, T, S), by the encoder's steps.
        """
        return self.decode_watched(x, read, states)[:3]

    def decode_watched(
        self,
        x: Tensor,
        read: Read,
        states: tuple[State, ...] | None = None,
        record: Sequence[str] = (),
        clamp: Sequence[Clamps] = ((), ()),
    ) -> tuple[Tensor, tuple[State, ...], Tensor | None, list[Mapping[str, Tensor]]]:
        """Write on, and record what happens on the way.

        Args:
            x: target token ids (T, B).
            read: as :meth:`read` gives it.
            states: to go on from; by default ``read``'s.
            record: as Recurrent's.
            clamp: as Recurrent's, of the layers below attention and of those above.

        Returns:
            What :meth:`decode` returns, and the recorded quantities by name of the layers below attention and of those above.
        """
        begin = read.states if states is None else states
        e = self._drop_words(self._drop(self.embedding(x)))
        h, after, seen = self.decoder(e, begin[0], record=record, clamp=clamp[0])
        if self.attention is None:
            h = self._drop(h)
            return h if self.readout is None else self.readout(h), (after,), None, [seen]
        assert read.outputs is not None and read.keys is not None and read.padding is not None  # read with attention
        context, weights = self.attention(h.transpose(0, 1), read.keys, read.outputs, read.padding)
        context = context.transpose(0, 1)
        states_after: tuple[State, ...] = (after,)
        recorded = [seen]
        if self.upper is not None:
            h, after, seen = self.upper(self._drop(torch.cat([h, context], -1)), begin[1], record=record, clamp=clamp[1])
            states_after += (after,)
            recorded.append(seen)
        assert self.readout is not None  # made where there is attention
        return self._drop(torch.tanh(self.readout(torch.cat([h, context], -1)))), states_after, weights, recorded

    def logits(self, h: Tensor) -> Tensor:
        """Return the logits of outputs (…, size), (…, vocabulary size)."""
        return self.output(h, self._shared())

    def _shared(self) -> Tensor | None:
        return self.embedding.weight if self.config.tied else None

    def _drop(self, x: Tensor) -> Tensor:
        """Apply dropout to (T, B, size)."""
        return dropout(x, self.config.dropout, self.training, self.config.variational_dropout)

    def _drop_words(self, e: Tensor) -> Tensor:
        p = self.config.dropout_words
        return e * (torch.rand(e.shape[:2], device=e.device) >= p).unsqueeze(-1) if self.training and p else e


def ends(steps: int, factor: int, tokens: int) -> list[int]:
    """Return the last token that each step reads, where ``factor`` tokens, the last ones maybe fewer, are one."""
    return [min((k + 1) * factor, tokens) - 1 for k in range(steps)]


def rows_of(state: State, index: Tensor) -> State:
    """Return these rows of a state, in this order."""
    if isinstance(state, Tensor):
        return state.index_select(1, index)
    return tuple(s.index_select(1, index) for s in state)
