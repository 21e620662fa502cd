"""The gated recurrent unit, in its two forms."""

from carousel.equations import cell, logistic, tanh


@cell
def gru_original(e, h, W, b):
    """GRU as first published: the reset gate acts before the recurrent product.

    SuperDataScience reading list; Olah 2015, third variant; Cho et al. 2014, equations (5) to (8).
    """
    r = logistic(W.re @ e + W.rh @ h + b.r)
    z = logistic(W.ze @ e + W.zh @ h + b.z)
    n = tanh(W.ne @ e + W.nh @ (r * h) + b.n)
    h = (1 - z) * n + z * h
    return h


@cell
def gru(e, h, W, b):
    """GRU with the reset gate after the recurrent product; the same as torch.nn.GRU.

    SuperDataScience reading list; Cho et al. 2014 (arXiv version 1); torch.nn.GRU's documentation.
    """
    r = logistic(W.re @ e + W.rh @ h + b.r)
    z = logistic(W.ze @ e + W.zh @ h + b.z)
    n = tanh(W.ne @ e + b.n + r * (W.nh @ h + b.nh))
    h = (1 - z) * n + z * h
    return h
