"""Cells whose steps follow several: of images the steps above and to the left, of trees the children."""

from functools import cache

from carousel.equations import Cell, cell, logistic, tanh, together, where


@cell(before=("up", "left"))
def mdlstm(e, m, h, W, w, b):
    """Multi-dimensional LSTM: a forget gate for each direction, u of the memory above and f of the one to the left.

    Graves, Fernández and Schmidhuber 2007, "Multi-dimensional recurrent neural networks".
    """
    i = logistic(W.ie @ e + W.iu @ m.up + W.il @ m.left + w.iu * h.up + w.il * h.left + b.i)
    u = logistic(W.ue @ e + W.uu @ m.up + W.ul @ m.left + w.uu * h.up + b.u)
    f = logistic(W.fe @ e + W.fu @ m.up + W.fl @ m.left + w.fl * h.left + b.f)
    h = i * tanh(W.he @ e + W.hu @ m.up + W.hl @ m.left + b.h) + u * h.up + f * h.left
    o = logistic(W.oe @ e + W.ou @ m.up + W.ol @ m.left + w.oh * h + b.o)
    m = o * tanh(h)
    return m, h


@cell(before=("front", "up", "left"), name="mdlstm-3")
def mdlstm_3(e, m, h, W, w, b):
    """Multi-dimensional LSTM of three dimensions, for volumes and films: k is the forget gate of the memory in front.

    Graves, Fernández and Schmidhuber 2007, "Multi-dimensional recurrent neural networks".
    """
    i = logistic(W.ie @ e + W.ik @ m.front + W.iu @ m.up + W.il @ m.left + w.ik * h.front + w.iu * h.up + w.il * h.left + b.i)
    k = logistic(W.ke @ e + W.kk @ m.front + W.ku @ m.up + W.kl @ m.left + w.kk * h.front + b.k)
    u = logistic(W.ue @ e + W.uk @ m.front + W.uu @ m.up + W.ul @ m.left + w.uu * h.up + b.u)
    f = logistic(W.fe @ e + W.fk @ m.front + W.fu @ m.up + W.fl @ m.left + w.fl * h.left + b.f)
    x = tanh(W.he @ e + W.hk @ m.front + W.hu @ m.up + W.hl @ m.left + b.h)
    h = i * x + k * h.front + u * h.up + f * h.left
    o = logistic(W.oe @ e + W.ok @ m.front + W.ou @ m.up + W.ol @ m.left + w.oh * h + b.o)
    m = o * tanh(h)
    return m, h


@cell(before=("up", "left"), name="stable-mdlstm")
def stable_mdlstm(e, m, h, W, b):
    """Stable multi-dimensional LSTM: a gate r weighs the memories above and to the left, so that their mean goes on.

    Leifert, Strauß, Grüning, Wustlich and Labahn 2016, "Cells in multidimensional recurrent neural networks"; no peepholes.
    """
    i = logistic(W.ie @ e + W.iu @ m.up + W.il @ m.left + b.i)
    f = logistic(W.fe @ e + W.fu @ m.up + W.fl @ m.left + b.f)
    r = logistic(W.re @ e + W.ru @ m.up + W.rl @ m.left + b.r)
    o = logistic(W.oe @ e + W.ou @ m.up + W.ol @ m.left + b.o)
    h = i * tanh(W.he @ e + W.hu @ m.up + W.hl @ m.left + b.h) + f * (r * h.up + (1 - r) * h.left)
    m = o * tanh(h)
    return m, h


@cell(before=("up", "left"), name="grid-lstm")
def grid_lstm(e, m, u, v, l, r, W, b):
    """Grid LSTM: an LSTM in each of three dimensions, down, to the right, and through the layer from the input to the output m.

    Kalchbrenner, Danihelka and Graves 2016, "Grid long short-term memory": all three see the hidden vectors of all, u from
    above and l from the left; each has a memory of its own: v, r, and the third h, which begins with a projection of the input.
    """

    def of_each(gate):
        return [
            W[f"{gate}{k}", "e"] @ e + W[f"{gate}{k}", "u"] @ u.up + W[f"{gate}{k}", "l"] @ l.left + b[f"{gate}{k}"]
            for k in range(3)
        ]

    i = [logistic(x) for x in of_each("i")]
    f = [logistic(x) for x in of_each("f")]
    o = [logistic(x) for x in of_each("o")]
    g = [tanh(x) for x in of_each("g")]
    h = f[2] * (W.he @ e) + i[2] * g[2]
    v = f[0] * v.up + i[0] * g[0]
    r = f[1] * r.left + i[1] * g[1]
    u, l, m = tanh(o[0] * v), tanh(o[1] * r), tanh(o[2] * h)
    return m, u, v, l, r


@cell(before=("left", "right"), input_size="h", inputs={"leaf": 1})
def recursive(e, h, W, b, leaf):
    """Recursive network: a phrase is made of its two parts, and a leaf (where ``leaf`` is 1) is its word.

    Socher, Lin, Ng and Manning 2011, "Parsing natural scenes and natural language with recursive neural networks".
    """
    h = where(leaf > 0, e, tanh(W.hl @ h.left + W.hr @ h.right + b.h))
    return h


@cache
def nary_tree_lstm(children: int) -> Cell:
    """Return the Tree-LSTM of so many children at most, ``tree-lstm-3``: each has a forget gate, which sees all of them.

    Raises:
        ValueError: for no children.
    """
    if children < 1:
        raise ValueError(f"a Tree-LSTM has at least one child, not {children}")
    places = [f"c{k}" for k in range(1, children + 1)]

    def tree_lstm(e, m, h, W, b):
        def from_children(gate):
            return sum((W[gate, place] @ getattr(m, place) for place in places[1:]), W[gate, places[0]] @ getattr(m, places[0]))

        i = logistic(W.ie @ e + from_children("i") + b.i)
        f = [logistic(W.fe @ e + from_children(f"f{k}") + b.f) for k in range(1, children + 1)]
        o = logistic(W.oe @ e + from_children("o") + b.o)
        kept = [each * getattr(h, place) for each, place in zip(f, places, strict=True)]
        h = sum(kept, i * tanh(W.he @ e + from_children("h") + b.h))
        m = o * tanh(h)
        return m, h

    tree_lstm.__doc__ = f"""N-ary Tree-LSTM of {children} children, each with a forget gate that sees all of them.

    Tai, Socher and Manning 2015, "Improved semantic representations from tree-structured long short-term memory networks".
    """
    return cell(before=tuple(places), name=f"tree-lstm-{children}")(tree_lstm)


@cell(before=("left", "right"), name="tree-lstm")
def tree_lstm(e, m, h, W, b):
    """Binary Tree-LSTM: a forget gate for each child, l and r, both of which see both children.

    Tai, Socher and Manning 2015, "Improved semantic representations from tree-structured long short-term memory networks".
    """
    i = logistic(W.ie @ e + W.il @ m.left + W.ir @ m.right + b.i)
    l = logistic(W.fe @ e + W.ll @ m.left + W.lr @ m.right + b.f)  # of the left child
    r = logistic(W.fe @ e + W.rl @ m.left + W.rr @ m.right + b.f)
    o = logistic(W.oe @ e + W.ol @ m.left + W["o", "r"] @ m.right + b.o)
    h = i * tanh(W.he @ e + W.hl @ m.left + W.hr @ m.right + b.h) + l * h.left + r * h.right
    m = o * tanh(h)
    return m, h


@cell(before="child", name="child-sum-lstm")
def child_sum_lstm(e, m, h, W, b):
    """Child-sum Tree-LSTM: gates see the sum of the children's messages, and each child has a forget gate of its own.

    Tai, Socher and Manning 2015, "Improved semantic representations from tree-structured long short-term memory networks".
    """
    s = together(m.child)
    i = logistic(W.ie @ e + W["i", "s"] @ s + b.i)
    f = logistic(W.fe @ e + W.fm @ m.child + b.f)
    o = logistic(W.oe @ e + W.os @ s + b.o)
    h = i * tanh(W.he @ e + W.hs @ s + b.h) + together(f * h.child)
    m = o * tanh(h)
    return m, h
