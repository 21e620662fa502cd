"""Hierarchies against plain reshapes and layers put on one another by hand: values, lengths, gradients, refusals."""

import pytest
import torch

from carousel import Grid, GridHierarchy, Recurrent, SequenceHierarchy
from carousel.hierarchy import joined


def test_joined_sequences_are_a_plain_reshape():
    x = torch.randn(1, 12, 3, 5)
    found, after = joined(x, [(1, 12)] * 3, (1, 4))
    assert torch.equal(found[0], x[0].view(3, 4, 3, 5).permute(0, 2, 1, 3).reshape(3, 3, 20))
    assert after == [(1, 3)] * 3


def test_joined_images_are_blocks_row_by_row():
    x = torch.arange(4 * 6.0).view(4, 6, 1, 1)
    found, after = joined(x, [(4, 6)], (2, 3))
    assert found.shape == (2, 2, 1, 6) and after == [(2, 2)]
    assert found[0, 0, 0].tolist() == [0, 1, 2, 6, 7, 8]
    assert found[1, 1, 0].tolist() == [15, 16, 17, 21, 22, 23]


def test_what_lies_beside_an_image_is_zero_in_its_blocks():
    x = torch.ones(5, 5, 2, 1)
    found, after = joined(x, [(5, 5), (3, 2)], (2, 2))
    assert after == [(3, 3), (2, 1)]
    assert found.sum((0, 1, 3)).tolist() == [25, 6]
    assert found[2, 2, 0].tolist() == [1, 0, 0, 0]


def test_blocks_are_those_of_a_grid():
    grid = Grid("mdlstm", 2, 3, block=(2, 3), directions=4)
    plain = Grid("mdlstm", 12, 3, directions=4)
    plain.load_state_dict(grid.state_dict())
    x, sizes = torch.randn(5, 7, 2, 2), [(5, 7), (2, 4)]
    blocks, after = joined(x, sizes, (2, 3))
    torch.testing.assert_close(plain(blocks, after), grid(x, sizes))


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("between", [0, 6])
def test_a_hierarchy_of_sequences_is_its_layers_by_hand(bidirectional, between):
    """Each sequence on its own, its steps put together by a plain view, and through the same layers."""
    made = SequenceHierarchy("lstm-v3", 3, 4, (2, 3), bidirectional=bidirectional, between=between).double()
    lengths = [13, 6, 5]
    x = torch.randn(13, 3, 3, dtype=torch.float64, requires_grad=True)
    output, after = made(x, torch.tensor(lengths))
    assert after.tolist() == [3, 1, 1]  # of 13 steps 7, of which three are one
    for k, n in enumerate(lengths):
        h = x[:n, k]
        for number, steps in enumerate((2, 3)):
            h = torch.cat([h, h.new_zeros(-len(h) % steps, h.shape[1])]).view(-1, steps * h.shape[1])
            if number and between:
                h = torch.tanh(made.squeezed[0](h))
            h, _ = made.layers[number](h.unsqueeze(1))
            h = h[:, 0]
        torch.testing.assert_close(output[: len(h), k], h)
        assert not output[len(h) :, k].any()
    (gradient,) = torch.autograd.grad(output.square().sum(), x)
    assert gradient[:13, 0].abs().sum(-1).min() > 0 and not gradient[6:, 1].any()


def test_a_hierarchy_of_grids_is_grids_by_hand():
    made = GridHierarchy("mdlstm", 1, 3, [(2, 2), (1, 2)], directions=4, between=5).double()
    x, size = torch.randn(4, 7, 1, 1, dtype=torch.float64), (4, 6)
    output, after = made(x, [size])
    first = made.layers[0](x[:4, :6].view(2, 2, 3, 2, 1, 1).permute(0, 2, 4, 1, 3, 5).reshape(2, 3, 1, 4))
    first = torch.cat([first, torch.zeros_like(first[:, :1])], 1).view(2, 2, 2, 12)  # a fourth column, of zeros
    second = made.layers[1](torch.tanh(made.squeezed[0](first.reshape(2, 2, 1, 24))))
    assert after.tolist() == [[2, 2]]
    torch.testing.assert_close(output[:2, :2], second)


@pytest.mark.parametrize("layer", [0, 1])
def test_a_layer_of_sequences_is_recorded_as_it_is_read(layer):
    torch.manual_seed(1)
    made = SequenceHierarchy("lstm-v3", 5, 4, [2, 3], between=3)
    x = torch.randn(11, 2, 5)
    outputs = []
    made.layers[layer].register_forward_hook(lambda _, __, found: outputs.append(found[0]))
    made(x)
    found = made.recorded(x, ["m", "f"], layer)
    (forwards, backwards), steps = found["m"], [6, 2][layer]
    torch.testing.assert_close(torch.cat([forwards, backwards], -1), outputs[0])
    assert found["f"].shape == (2, steps, 2, 4) and bool(((found["f"] > 0) & (found["f"] < 1)).all())


@pytest.mark.parametrize("layer", [0, -1])
def test_a_layer_of_grids_is_recorded_as_it_is_read(layer):
    torch.manual_seed(1)
    made = GridHierarchy("mdlstm", 2, 3, [(1, 2), (2, 2)], between=4)
    x = torch.randn(6, 8, 2, 2)
    outputs = []
    made.layers[layer].register_forward_hook(lambda _, __, found: outputs.append(found))
    made(x)
    found = made.recorded(x, ["m", "u"], layer)
    torch.testing.assert_close(torch.cat([*found["m"]], -1), outputs[0])
    assert found["u"].shape == (4, *[(6, 4), (3, 2)][layer], 2, 3)


def test_only_what_is_there_is_recorded():
    made = SequenceHierarchy("gru", 5, 4, [1, 2])
    with pytest.raises(ValueError, match="no quantity 'q'"):
        made.recorded(torch.randn(4, 1, 5), ["q"])
    with pytest.raises(IndexError):
        made.recorded(torch.randn(4, 1, 5), ["m"], 2)


def test_one_step_each_is_a_stack():
    torch.manual_seed(1)
    made = SequenceHierarchy("gru", 3, 4, (1, 1))
    stack = Recurrent("gru", 3, 4, 2, bidirectional=True)
    for number, layer in enumerate(made.layers):
        for name, value in layer.named_parameters():
            stack.get_parameter(name.replace("_l0", f"_l{number}")).data.copy_(value)
    x = torch.randn(6, 2, 3)
    torch.testing.assert_close(made(x)[0], stack(x)[0])
    assert made.factor == (1, 1) and GridHierarchy("mdlstm", 1, 2, [(2, 3), (2, 2)]).factor == (4, 6)


def test_dropout_is_between_layers_in_training_alone():
    torch.manual_seed(1)
    x = torch.randn(6, 2, 3)
    for steps in ((1,), (1, 2)):
        made = SequenceHierarchy("gru", 3, 4, steps, dropout=0.5)
        plain = made.eval()(x)[0]
        assert torch.equal(made(x)[0], plain)
        assert torch.equal(made.train()(x)[0], plain) is (len(steps) == 1)


def test_gradcheck():
    made = SequenceHierarchy("lstm-v2", 2, 2, (2, 2), between=3).double()
    x = torch.randn(7, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: made(x, [7, 4])[0], x)


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: SequenceHierarchy("gru", 3, 4, ()), "at least one layer"),
        (lambda: SequenceHierarchy("gru", 3, 4, (0,)), "at least 1 × 1, not 1 × 0"),
        (lambda: SequenceHierarchy("mdlstm", 3, 4), "so a layer of it is a Grid"),
        (lambda: GridHierarchy("gru", 3, 4), "a layer of it is a Recurrent"),
        (
            lambda: SequenceHierarchy("gru", 3, 4, (2, 3))(torch.zeros(9, 2, 3), [9, 4]),
            "sequence 1 has 2 steps, fewer",
        ),
        (lambda: SequenceHierarchy("gru", 3, 4)(torch.zeros(5, 2, 3), [5, 6]), "sequence 1 has 6 steps, but the input has 5"),
        (lambda: SequenceHierarchy("gru", 3, 4)(torch.zeros(5, 2, 3), [5]), "there are 2 inputs, and sizes of 1"),
        (
            lambda: GridHierarchy("mdlstm", 1, 2)(torch.zeros(5, 6, 1, 1), [[6, 6]]),
            "image 0 is 6 × 6, but the input has 5 × 6",
        ),
        (
            lambda: GridHierarchy("mdlstm", 1, 2)(torch.zeros(3, 2, 1, 1)),
            "image 0 is 2 × 1 there, smaller than a block of 2 × 2",
        ),
    ],
)
def test_refusals(make, part):
    with pytest.raises(ValueError, match=part):
        make()
