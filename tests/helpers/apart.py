"""``calls.scratch`` where each array must end where its memory ends: in an emulator, and under AddressSanitizer."""

from collections.abc import Mapping

from torch import Tensor


def apart(like: Tensor, counts: Mapping[str, int]) -> tuple[Tensor, dict[str, Tensor]]:
    """Return each array as a tensor of its own."""
    return like, {name: like.new_empty(count) for name, count in counts.items()}
