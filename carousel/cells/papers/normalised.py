"""Cells whose sums are normalised over the units of a step."""

from carousel.equations import cell, layer_norm, logistic, tanh


@cell
def lstm_layer_norm(e, m, h, W, w, b):
    """LSTM with layer normalisation: each gate's sums are normalised apart, and the memory before it leaves.

    Ba, Kiros and Hinton 2016, "Layer normalization", supplementary material: each LN has a gain and a bias of its own.
    """
    i = logistic(layer_norm(W.im @ m, w.im, b.im) + layer_norm(W.ie @ e, w.ie, b.ie) + b.i)
    f = logistic(layer_norm(W.fm @ m, w.fm, b.fm) + layer_norm(W.fe @ e, w.fe, b.fe) + b.f)
    o = logistic(layer_norm(W.om @ m, w.om, b.om) + layer_norm(W.oe @ e, w.oe, b.oe) + b.o)
    h = f * h + i * tanh(layer_norm(W.hm @ m, w.hm, b.hm) + layer_norm(W.he @ e, w.he, b.he) + b.h)
    m = o * tanh(layer_norm(h, w.mh, b.mh))
    return m, h


@cell
def gru_layer_norm(e, h, W, w, b):
    """GRU with layer normalisation: each sum is normalised apart, the reset gate after the recurrent product.

    Ba, Kiros and Hinton 2016, "Layer normalization", supplementary material.
    """
    z = logistic(layer_norm(W.zh @ h, w.zh, b.zh) + layer_norm(W.ze @ e, w.ze, b.ze))
    r = logistic(layer_norm(W.rh @ h, w.rh, b.rh) + layer_norm(W.re @ e, w.re, b.re))
    n = tanh(layer_norm(W.ne @ e, w.ne, b.ne) + r * layer_norm(W.nh @ h, w.nh, b.nh))
    h = (1 - z) * h + z * n
    return h
