"""Cells with noise in the loop; a layer gives the rates: ``Recurrent("lstm-zoneout", 8, 16, rates={"h": 0.5, "m": 0.05})``."""

from carousel.cells.gru import gru
from carousel.cells.lstm import lstm_v2
from carousel.cells.papers.normalised import lstm_layer_norm
from carousel.equations import cell, dropout, logistic, tanh, zoneout


@cell
def lstm_zoneout(e, m, h, W, b, p):
    """LSTM with zoneout: units of the memory and of the message keep their old values by chance.

    Krueger et al. 2017, "Zoneout: regularizing RNNs by randomly preserving hidden activations", section 3.2.
    """
    m_new, h_new = lstm_v2.function(e, m, h, W, b)
    return zoneout(m_new, m, p.m), zoneout(h_new, h, p.h)


@cell
def lstm_layer_norm_zoneout(e, m, h, W, w, b, p):
    """LSTM with layer normalisation and zoneout.

    Ba, Kiros and Hinton 2016, "Layer normalization", supplementary material; Krueger et al. 2017, "Zoneout", section 3.2.
    """
    m_new, h_new = lstm_layer_norm.function(e, m, h, W, w, b)
    return zoneout(m_new, m, p.m), zoneout(h_new, h, p.h)


@cell
def gru_zoneout(e, h, W, b, p):
    """GRU with zoneout: units of the state keep their old values by chance.

    Krueger et al. 2017, "Zoneout: regularizing RNNs by randomly preserving hidden activations", section 3.2.
    """
    return zoneout(gru.function(e, h, W, b), h, p.h)


@cell
def lstm_recurrent_dropout(e, m, h, W, b, p):
    """LSTM with recurrent dropout: units of what is written into the memory are left out, the memory itself is not.

    Semeniuta, Severyn and Barth 2016, "Recurrent dropout without memory loss", section 3.
    """
    i = logistic(W.ie @ e + W.im @ m + b.i)
    f = logistic(W.fe @ e + W.fm @ m + b.f)
    o = logistic(W.oe @ e + W.om @ m + b.o)
    g = tanh(W.he @ e + W.hm @ m + b.h)
    h = f * h + i * dropout(g, p.g)
    m = o * tanh(h)
    return m, h


@cell
def gru_recurrent_dropout(e, h, W, b, p):
    """GRU with recurrent dropout: units of the candidate are left out.

    Semeniuta, Severyn and Barth 2016, "Recurrent dropout without memory loss", section 3.
    """
    z = logistic(W.ze @ e + W.zh @ h + b.z)
    r = logistic(W.re @ e + W.rh @ h + b.r)
    g = tanh(W.ge @ e + W.gh @ (r * h) + b.g)
    h = (1 - z) * h + z * dropout(g, p.g)
    return h


@cell
def lstm_variational(e, m, h, W, b, p):
    """Variational LSTM: one mask of the input and one of the message, the same at all steps of a sequence.

    Gal and Ghahramani 2016, "A theoretically grounded application of dropout in recurrent neural networks", section 4, with
    the masks tied over the gates.
    """
    x = dropout(e, p.e, once=True)
    n = dropout(m, p.m, once=True)
    return lstm_v2.function(x, n, h, W, b)
