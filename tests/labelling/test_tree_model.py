"""Labellers of trees give each node, or the root, its label, whatever stands beside a tree in a batch."""

import numpy as np
import pytest
import torch

from carousel.errors import InputError
from carousel.labelling.model import Labeller, LabellerConfig
from carousel.labelling.tree_model import TreeLabeller, labeller
from carousel.layers import Forest, Tree

SMALL = {"embedding": 6, "hidden": 6, "dropout": 0.0}
ONE, OTHER = Forest([[1, 2], [], [3, 4], [], []]), Forest([[1], []])
CELLS = ["tree-lstm", "tree-lstm-3", "child-sum-lstm", "recursive"]


def made(inputs=(4, 3), **options):
    torch.manual_seed(1)
    return labeller(3, list(inputs), LabellerConfig(**({"cell": "tree-lstm"} | SMALL | options))).eval()


def ids(*words):
    return torch.tensor([[w, min(w, 2)] for w in words])


def test_the_cell_says_which_model_it_is():
    assert type(made()) is TreeLabeller and type(made(cell="lstm-v2")) is Labeller


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_a_tree_is_labelled_alone_as_in_a_batch(cell, whole):
    model, first, second = made(cell=cell, whole=whole, layers=2), ids(-1, 3, -1, 1, 0), ids(2, 1)
    together, chances = model.found(torch.cat([first, second]), Forest.joined([ONE, OTHER]))
    alone = [model.found(x, f) for x, f in ((first, ONE), (second, OTHER))]
    assert torch.equal(together, torch.cat([best for best, _ in alone]))
    torch.testing.assert_close(chances, torch.cat([own for _, own in alone]))
    assert len(together) == (2 if whole else 7)


def test_a_node_without_a_token_has_no_input():
    model, x = made(), ids(-1, 3, -1, 1, 0)
    e = torch.zeros(5, 6)
    for node in (1, 3, 4):
        e[node] = model.embeddings[0].weight[x[node, 0]] + model.embeddings[1].weight[x[node, 1]]
    expected = model.output(model.recurrent.layers[0](e, ONE))
    torch.testing.assert_close(model.scores(x, ONE), expected)


def test_with_whole_the_root_is_classified():
    model, x = made(whole=True), ids(-1, 3, -1, 1, 0)
    forest = Forest([[], [], [0, 1], [], [2, 3]])  # here the root stands last
    h, _ = model.recurrent(model._embedded(x), forest)
    torch.testing.assert_close(model.scores(x, forest), model.output(h[4:]))


@pytest.mark.parametrize("whole", [False, True])
def test_every_node_is_looked_into(whole):
    model, x = made(whole=whole, layers=2, dropout=0.3), ids(-1, 3, -1, 1, 0)
    chances, recorded = model.at_nodes(x, ONE, ["h", "l"])
    first, last = model.recurrent.layers
    h, expected = last(first(model._embedded(x), ONE), ONE, record=["h", "l"])
    torch.testing.assert_close(chances, model.output(h).softmax(-1))
    assert recorded.keys() == expected.keys()
    torch.testing.assert_close(recorded, expected)
    root = model.found(x, ONE)[1]
    torch.testing.assert_close(chances[:1] if whole else chances, root)


def test_any_layer_is_looked_into():
    model, x = made(layers=2), ids(-1, 3, -1, 1, 0)
    chances, recorded = model.at_nodes(x, ONE, ["h"], 0)
    _, expected = model.recurrent.layers[0](model._embedded(x), ONE, record=["h"])
    torch.testing.assert_close(recorded, expected)
    torch.testing.assert_close(chances, model.at_nodes(x, ONE)[0])
    with pytest.raises(IndexError):
        model.at_nodes(x, ONE, ["h"], 2)


def test_the_loss_is_that_of_all_nodes():
    model, x, y = made(), ids(-1, 3, -1, 1, 0), torch.tensor([0, 2, 1, 1, 0])
    loss, state = model(x, ONE, y)
    _, chances = model.found(x, ONE)
    assert state is None
    torch.testing.assert_close(loss, -chances[torch.arange(5), y].log().sum())


def test_a_leaf_of_a_recursive_network_is_its_word():
    model, x = made(cell="recursive"), ids(-1, 3, -1, 1, 0)
    h, _ = model.recurrent(model._embedded(x), ONE)
    torch.testing.assert_close(h[[1, 3, 4]], model._embedded(x)[[1, 3, 4]])
    assert not torch.allclose(h[0], model._embedded(x)[0])


def test_numbers_are_scaled_as_those_of_training():
    torch.manual_seed(1)
    model = labeller(3, 2, LabellerConfig(cell="tree-lstm", **SMALL)).eval()
    model.learn_scale(torch.from_numpy(np.array([[1.0, 10], [3, 30]], np.float32)))
    torch.testing.assert_close(model._embedded(torch.tensor([[1.0, 30.0]])), torch.tensor([[-1.0, 1.0]]))


def test_layers_begin_as_they_are_asked_to():
    how = {"forget_bias": 3.0, "recurrent_init": "orthogonal"}
    layer = made(**how).recurrent.layers[0]
    torch.manual_seed(1)
    expected = Tree(layer.cell, 6, 6, **how).state_dict()
    assert all(value.equal(expected[name]) for name, value in layer.state_dict().items())


def test_layers_are_stacked_and_told():
    model = made(layers=2)
    first, second = model.recurrent.layers
    assert isinstance(first, Tree) and (first.input_size, second.input_size) == (6, 6)
    x, e = ids(-1, 3, -1, 1, 0), None
    e = model._embedded(x)
    torch.testing.assert_close(model.recurrent(e, ONE)[0], second(first(e, ONE), ONE))
    assert repr(model.recurrent) == "Tree(tree-lstm, 6, 6) × 2"
    dropped = made(layers=2, dropout=0.5).train()
    assert not torch.equal(dropped.recurrent(e, ONE)[0], dropped.recurrent(e, ONE)[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bidirectional": True}, "`bidirectional` is for sequences, and cell tree-lstm reads trees"),
        ({"crf": True}, "`crf` is for sequences"),
        ({"weight_noise": 0.1}, "`weight_noise` is for sequences"),
        ({"variational_dropout": True}, "`variational_dropout` is for sequences"),
        ({"pooling": "max", "whole": True}, "reads trees, of which the root is classified"),
        ({"cell": "tree-lstm-0"}, "no cell is called 'tree-lstm-0'"),
        ({"projection": 3}, "has no projection"),
        ({"cell": "recursive", "hidden": 5}, "recursive"),
    ],
)
def test_what_trees_lack_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        made(**options)
