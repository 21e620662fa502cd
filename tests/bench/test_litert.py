"""What the comparison with LiteRT does by itself: the converter is not needed for these tests."""

import pytest
import torch

from carousel.bench import litert
from carousel.layers import Recurrent


@pytest.mark.parametrize("dim", [0, 1])
def test_a_split_in_slices_is_pytorchs(dim):
    x = torch.randn(6, 6)
    for ours, theirs in zip(litert._split(x, [1, 3, 2], dim), x.split([1, 3, 2], dim), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", ["serving_default_args_{}:0", "StatefulPartitionedCall_output_{}"])
def test_inputs_and_outputs_stand_in_the_order_of_their_numbers(name):
    found = litert._in_order([{"name": name.format(k)} for k in (10, 0, 2)])
    assert [d["name"] for d in found] == [name.format(k) for k in (0, 2, 10)]


@torch.no_grad()
def test_a_step_after_another_is_the_layer():
    layer, x = Recurrent("lstm-v2", 3, 4, 2), torch.randn(5, 1, 3)
    step, states = litert._Step(layer), tuple(torch.zeros(2, 1, 4) for _ in layer.cell.states)
    for row, expected in zip(x, layer(x)[0], strict=True):
        output, *states = step(row.unsqueeze(0), *states)
        torch.testing.assert_close(output[0], expected)
