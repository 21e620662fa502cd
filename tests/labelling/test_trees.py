"""Trees in brackets are read as they stand, and one line says where they cannot be."""

import random

import numpy as np
import pytest

from carousel.errors import InputError
from carousel.labelling.config import LabelsConfig
from carousel.labelling.model import LabellerConfig
from carousel.labelling.reading import in_brackets, of_children, ranks_of, read, shaped
from carousel.labelling.trees import LABELLED, PLAIN, in_plain, order_of_writing, trees, written

STANFORD = "(3 (2 It) (4 (4 works) (2 .)))"
LISTOPS = "9\t( ( ( [MAX 2 ) ( ( ( [SM 4 ) 5 ) ] ) ) ] )"


def one(line, form, **how):
    ((nodes, place),) = trees([line], "here", form, **how)
    assert place == "here, line 1"
    return nodes


def test_a_labelled_tree_as_the_stanford_treebank_has_them():
    nodes = one(STANFORD, LABELLED)
    assert nodes.tokens == ["", "It", "", "works", "."] and nodes.labels == ["3", "2", "4", "4", "2"]
    assert nodes.parents == [-1, 0, 0, 2, 2]


def test_a_node_may_have_a_token_and_nodes_below():
    nodes = one("(5 + (2 2)(3 3))", LABELLED)
    assert nodes.tokens == ["+", "2", "3"] and nodes.labels == ["5", "2", "3"] and nodes.parents == [-1, 0, 0]


def test_a_plain_tree_as_listops_has_them():
    nodes = one(LISTOPS, PLAIN)
    assert nodes.labels == ["9"] and [t for t in nodes.tokens if t] == ["[MAX", "2", "[SM", "4", "5", "]", "]"]
    assert nodes.parents == [-1, 0, 1, 2, 2, 1, 5, 6, 7, 7, 6, 5, 0]
    assert one("7\t7", PLAIN).tokens == ["7"]


@pytest.mark.parametrize("line", ["( a\tb )", "x\t( a b )", "( a b )"])
def test_a_plain_tree_without_a_label(line):
    nodes = one(line, PLAIN, known=False)
    assert nodes.labels == [] and nodes.tokens == ["", "a", "b"]


def test_empty_lines_are_passed_over_and_lines_are_counted():
    places = [place for _, place in trees(["", STANFORD, " ", STANFORD], "x.txt", LABELLED)]
    assert places == ["x.txt, line 2", "x.txt, line 4"]


@pytest.mark.parametrize(
    ("form", "line", "words"),
    [
        (LABELLED, "(3 (2 It) (4 .)", "line 1 leaves 1 bracket open"),
        (LABELLED, "(3 (2 It", "line 1 leaves 2 brackets open"),
        (LABELLED, "(3 (2 It)))", "line 1 closes a bracket that is not open"),
        (LABELLED, ")", "line 1 closes a bracket that is not open"),
        (LABELLED, "(3 It) (2 is)", r"goes on with '\(' where its tree has ended"),
        (LABELLED, "word (3 It)", "begins with 'word'; a labelled tree begins with a bracket"),
        (LABELLED, "((3 It) (2 is))", "a node without a label"),
        (LABELLED, "(3 ())", "empty brackets"),
        (LABELLED, "(3)", r"node \(3\) has neither a token nor nodes below it"),
        (LABELLED, "(3 New York)", "goes on with 'York'; each node has its own brackets"),
        (LABELLED, "(3 (2 It) is)", "goes on with 'is'; each node has its own brackets"),
        (PLAIN, "( a b )", "has no label; a line is a label, a tab and a tree"),
        (PLAIN, " \t( a b )", "has no label"),
        (PLAIN, "x\t", "has no tree"),
        (PLAIN, "x\t( a ( b )", "leaves 1 bracket open"),
        (PLAIN, "x\t( a b ) )", "closes a bracket that is not open"),
        (PLAIN, "x\t( a ( ) )", "empty brackets"),
        (PLAIN, "x\ta b", "goes on with 'b' where its tree has ended"),
    ],
)
def test_brackets_that_make_no_tree_are_refused(form, line, words):
    with pytest.raises(InputError, match=words):
        one(line, form)


def test_a_file_of_empty_lines_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("\n\n")
    with pytest.raises(InputError, match="only empty lines"):
        read([tmp_path / "a.txt"], LabelsConfig(trees=LABELLED))


def test_a_plain_tree_is_written_as_it_is_read():
    for line in ("( a ( b c ) )", "a", "( ( ( [MAX 2 ) 9 ) ] )", "( ( a ) )"):
        ((nodes, _),) = trees([line], "here", PLAIN, known=False)
        assert in_plain(nodes.tokens, nodes.parents) == line


def test_what_is_written_reads_the_same():
    choose = random.Random(1)

    def drawn(depth):
        below = [drawn(depth + 1) for _ in range(choose.randrange(4))] if depth < 4 else []
        token = choose.choice(["", " a"]) if below else " b"
        return f"({choose.randrange(3)}{token}{''.join(f' {b}' for b in below)})"

    for _ in range(100):
        line = drawn(0)
        nodes = one(line, LABELLED)
        assert written(nodes.tokens, nodes.labels, nodes.parents) == line
    deep = "(1 " * 5000 + "x" + ")" * 5000  # deeper than Python calls itself
    nodes = one(deep, LABELLED)
    assert written(nodes.tokens, nodes.labels, nodes.parents) == deep


def test_nodes_are_put_into_the_order_of_writing():
    parents, ranks = [2, 0, -1, 0, 2], [1, 0, 0, 1, 0]
    assert order_of_writing(parents, ranks) == [2, 4, 0, 1, 3]
    nodes = one(STANFORD, LABELLED)
    assert order_of_writing(nodes.parents, ranks_of(np.array(nodes.parents)).tolist()) == [*range(5)]


def test_children_are_ranked_in_order():
    assert ranks_of(np.array([-1, 0, 1, 1, 0, 4, 0])).tolist() == [0, 0, 0, 1, 1, 0, 2]


def tree(line, form=LABELLED):
    (found,) = in_brackets([line], "here", form)
    return found


def test_a_chain_reads_the_nodes_with_tokens():
    found = shaped(tree(STANFORD), LabellerConfig())
    assert found.steps == ["It", "works", "."] and found.labels == ["2", "4", "2"] and found.parents is None
    assert shaped(tree(STANFORD), LabellerConfig(whole=True)).labels == ["3"]
    found = shaped(tree(LISTOPS, PLAIN), LabellerConfig(whole=True))
    assert found.steps == ["[MAX", "2", "[SM", "4", "5", "]", "]"] and found.labels == ["9"]


def test_a_tree_is_read_with_all_its_nodes():
    found = shaped(tree(STANFORD), LabellerConfig(cell="tree-lstm"))
    assert found.labels == ["3", "2", "4", "4", "2"] and len(found.steps) == 5
    assert shaped(tree(STANFORD), LabellerConfig(cell="tree-lstm", whole=True)).labels == ["3"]


def test_a_node_has_no_more_children_than_the_cell_follows():
    wide = "(1 (0 a) (0 b) (0 c))"
    words = "a node has 3 children, and a step of cell tree-lstm follows 2; tree-lstm-3 follows so many, child-sum-lstm any"
    with pytest.raises(InputError, match=words):
        shaped(tree(wide), LabellerConfig(cell="tree-lstm"))
    for cell in ("tree-lstm-3", "child-sum-lstm"):
        assert len(shaped(tree(wide), LabellerConfig(cell=cell)).steps) == 4


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((["", "a"], [[1], [0]]), "its own ancestor"),
        ((["", "", "a"], [[1, 2], [2], []]), "node 2 is the child of node 0 and of node 1"),
        ((["", "a"], [[1, 3], []]), "has the child 3, but the nodes are 0 to 1"),
        ((["", "a", "b"], [[1], [], []]), "2 nodes that are nobody's children"),
        ((["", "a"], [[1], [], []]), "has 2 tokens, and the children of 3 nodes"),
        ((["", "a"], ["x", []]), "no whole number"),
        ((["", "a"], 3), "children are a list for each node"),
        ((["", 1], [[1], []]), "must be a list of tokens"),
        (["", "a"], "must be a line in brackets, or a pair"),
    ],
)
def test_nodes_that_make_no_tree_are_refused(given, words):
    with pytest.raises(InputError, match=f"^tree 1.*{words}"):
        of_children(given, "tree 1")
