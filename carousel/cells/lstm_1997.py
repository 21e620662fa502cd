"""The LSTM as it was published: Hochreiter and Schmidhuber 1997. Its gates hear one another, and nothing forgets."""

from carousel.equations import cell, detach, logistic, tanh


@cell
def lstm_1997(e, m, i, o, h, W, b):
    """LSTM as its authors ran it: gates and cells hear all gates and cells of the step before.

    Hochreiter and Schmidhuber 1997, appendix A.1.
    """
    # The paper's g is 2·tanh(x/2), in [−2, 2], its h is tanh(x/2), in [−1, 1].
    i_new = logistic(W.ie @ e + W.im @ m + W.ii @ i + W.io @ o + b.i)
    o_new = logistic(W.oe @ e + W.om @ m + W.oi @ i + W.oo @ o + b.o)
    g = 2 * tanh((W.he @ e + W.hm @ m + W.hi @ i + W.ho @ o + b.h) / 2)
    h = h + i_new * g
    m = o_new * tanh(h / 2)
    return m, i_new, o_new, h


@cell
def lstm_1997_truncated(e, m, i, o, h, W, b):
    """LSTM of 1997 with the gradient of its authors: error flows back through the memory alone.

    Hochreiter and Schmidhuber 1997, appendix A.1.
    """
    m_new, i_new, o_new, h = lstm_1997.function(e, detach(m), detach(i), detach(o), h, W, b)
    return m_new, i_new, o_new, h


@cell
def lstm_1997_bare(e, h, W):
    """The cell of experiments 2a and 2b: an input gate, no output gate, g logistic, h the identity.

    Hochreiter and Schmidhuber 1997, section 5.2.
    """
    i = logistic(W.ie @ e)
    h = h + i * logistic(W.he @ e)
    return h
