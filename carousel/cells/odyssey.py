"""The block as Greff et al. draw it, and their eight variants: "LSTM: A Search Space Odyssey", 2017, sections II and III.

Their letters z, c, y are the block input g, the memory h and the message m here; W is W.·e, R is W.·m, p is w.·h.
The SuperDataScience slide "What usually shown in other sources" shows the first.
"""

from carousel.equations import cell, identity, logistic, tanh


@cell
def vanilla(e, m, h, W, w, b):
    """Vanilla LSTM: three gates, block input, output activation, full peepholes.

    SuperDataScience, slide from arxiv.org/pdf/1503.04069; Greff et al. 2017, section II-A.
    """
    g = tanh(W.ge @ e + W.gm @ m + b.g)
    i = logistic(W.ie @ e + W.im @ m + w.ih * h + b.i)
    f = logistic(W.fe @ e + W.fm @ m + w.fh * h + b.f)
    h = g * i + h * f
    o = logistic(W.oe @ e + W.om @ m + w.oh * h + b.o)
    m = tanh(h) * o
    return m, h


@cell
def nig(e, m, h, W, w, b):
    """NIG: no input gate, i = 1.

    Greff et al. 2017, section III-C.
    """
    g = tanh(W.ge @ e + W.gm @ m + b.g)
    f = logistic(W.fe @ e + W.fm @ m + w.fh * h + b.f)
    h = g + h * f
    o = logistic(W.oe @ e + W.om @ m + w.oh * h + b.o)
    m = tanh(h) * o
    return m, h


@cell
def nfg(e, m, h, W, w, b):
    """NFG: no forget gate, f = 1.

    Greff et al. 2017, section III-C.
    """
    g = tanh(W.ge @ e + W.gm @ m + b.g)
    i = logistic(W.ie @ e + W.im @ m + w.ih * h + b.i)
    h = g * i + h
    o = logistic(W.oe @ e + W.om @ m + w.oh * h + b.o)
    m = tanh(h) * o
    return m, h


@cell
def nog(e, m, h, W, w, b):
    """NOG: no output gate, o = 1.

    Greff et al. 2017, section III-C.
    """
    g = tanh(W.ge @ e + W.gm @ m + b.g)
    i = logistic(W.ie @ e + W.im @ m + w.ih * h + b.i)
    f = logistic(W.fe @ e + W.fm @ m + w.fh * h + b.f)
    h = g * i + h * f
    m = tanh(h)
    return m, h


@cell
def niaf(e, m, h, W, w, b):
    """NIAF: no input activation function, the block input is linear.

    Greff et al. 2017, section III-C.
    """
    g = identity(W.ge @ e + W.gm @ m + b.g)
    i = logistic(W.ie @ e + W.im @ m + w.ih * h + b.i)
    f = logistic(W.fe @ e + W.fm @ m + w.fh * h + b.f)
    h = g * i + h * f
    o = logistic(W.oe @ e + W.om @ m + w.oh * h + b.o)
    m = tanh(h) * o
    return m, h


@cell
def noaf(e, m, h, W, w, b):
    """NOAF: no output activation function, the memory leaves as it is.

    Greff et al. 2017, section III-C.
    """
    g = tanh(W.ge @ e + W.gm @ m + b.g)
    i = logistic(W.ie @ e + W.im @ m + w.ih * h + b.i)
    f = logistic(W.fe @ e + W.fm @ m + w.fh * h + b.f)
    h = g * i + h * f
    o = logistic(W.oe @ e + W.om @ m + w.oh * h + b.o)
    m = identity(h) * o
    return m, h


@cell
def cifg(e, m, h, W, w, b):
    """CIFG: coupled input and forget gate, f = 1 − i.

    Greff et al. 2017, section III-C; ONNX calls it input_forget.
    """
    g = tanh(W.ge @ e + W.gm @ m + b.g)
    i = logistic(W.ie @ e + W.im @ m + w.ih * h + b.i)
    f = 1 - i
    h = g * i + h * f
    o = logistic(W.oe @ e + W.om @ m + w.oh * h + b.o)
    m = tanh(h) * o
    return m, h


@cell(name="np")
def no_peepholes(e, m, h, W, b):
    """NP: no peepholes.

    Greff et al. 2017, section III-C.
    """
    g = tanh(W.ge @ e + W.gm @ m + b.g)
    i = logistic(W.ie @ e + W.im @ m + b.i)
    f = logistic(W.fe @ e + W.fm @ m + b.f)
    h = g * i + h * f
    o = logistic(W.oe @ e + W.om @ m + b.o)
    m = tanh(h) * o
    return m, h


@cell
def fgr(e, m, h, i, f, o, W, w, b):
    """FGR: full gate recurrence, every gate sees all three gates of the step before.

    Greff et al. 2017, section III-C (the recurrences of the 1997 paper's own code).
    """
    g = tanh(W.ge @ e + W.gm @ m + b.g)
    i_new = logistic(W.ie @ e + W.im @ m + W.ii @ i + W["i", "f"] @ f + W.io @ o + w.ih * h + b.i)
    f_new = logistic(W.fe @ e + W.fm @ m + W.fi @ i + W.ff @ f + W.fo @ o + w.fh * h + b.f)
    h = g * i_new + h * f_new
    o = logistic(W.oe @ e + W.om @ m + W.oi @ i + W["o", "f"] @ f + W.oo @ o + w.oh * h + b.o)
    m = tanh(h) * o
    return m, h, i_new, f_new, o
