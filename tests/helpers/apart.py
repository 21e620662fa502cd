"""``calls.scratch`` where each array must end where its memory ends: in an emulator, and under AddressSanitizer."""

from torch import Tensor

from carousel.kernels.cpu.layout import Room


def apart(like: Tensor, room: Room) -> tuple[Tensor, dict[str, Tensor]]:
    """Return each array as a tensor of its own."""
    return like, {name: like.new_empty(count) for name, count in room.counts.items()}
