"""From the encoder's last states to the decoder's first."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from carousel.layers import Recurrent, State
from carousel.translation.pyramid import Pyramid


class Bridge(nn.Module):
    """The encoder's states as they are, where decoders have layers of the same number and sizes; else a linear map of all
    layers and directions together, one for each state. A step number (Clockwork) goes on counting.

    ``decoders``: with as many layers together as the decoder has, from the bottom up.
    """

    def __init__(self, encoder: Recurrent | Pyramid, decoders: Sequence[Recurrent]):
        super().__init__()
        self.layers = [d.num_layers for d in decoders]
        self.clocks = [s.size is None for s in encoder.cell.trace.states]
        begin, *starts = (_shapes(layer) for layer in (encoder, *decoders))
        self.maps = nn.ModuleList()
        for k, clock in enumerate(self.clocks):
            rows, size = begin[k]
            to = [s[k] for s in starts]
            same = encoder.directions == 1 and rows == sum(self.layers) and all(n == size for _, n in to)
            self.maps.append(nn.Identity() if same or clock else nn.ModuleList(nn.Linear(rows * size, r * n) for r, n in to))

    def forward(self, hx: State) -> tuple[State, ...]:
        """Return the states of each decoder, from the encoder's, (layers · directions, B, size) each."""
        states = (hx,) if isinstance(hx, Tensor) else hx
        bridged: list[list[Tensor]] = [[] for _ in self.layers]
        for s, clock, maps in zip(states, self.clocks, self.maps, strict=True):
            if isinstance(maps, nn.ModuleList):
                flat = s.transpose(0, 1).flatten(1)
                pieces = [
                    m(flat).to(s.dtype).unflatten(1, (n, -1)).transpose(0, 1) for m, n in zip(maps, self.layers, strict=True)
                ]
            else:
                pieces = list((s[:1].expand(sum(self.layers), -1, -1) if clock else s).split(self.layers))
            for part, piece in zip(bridged, pieces, strict=True):
                part.append(piece.contiguous())
        return tuple(m[0] if len(m) == 1 else tuple(m) for m in bridged)


def _shapes(layer: Recurrent | Pyramid) -> list[tuple[int, int]]:
    """Return of each state its rows (layers and directions) and size."""
    states = layer.initial_state(1)
    return [(s.shape[0], s.shape[2]) for s in ((states,) if isinstance(states, Tensor) else states)]
