"""The LSTM step by step, v1 to v4, as on Renshaw's slides, and as Olah draws it."""

from carousel.equations import cell, concat, logistic, tanh


@cell
def lstm_v1(e, m, h, W, b):
    """LSTM v1: input and output gates attenuate the memory's input and output.

    Renshaw 2014, slide "LSTM v1: input and output gates"; Hochreiter and Schmidhuber 1997, section 4.
    """
    i = logistic(W.ie @ e + W.im @ m + b.i)
    h = h + i * tanh(W.he @ e + W.hm @ m + b.h)
    o = logistic(W.oe @ e + W.om @ m + b.o)
    m = o * tanh(h)
    return m, h


@cell
def lstm_v2(e, m, h, W, b):
    """LSTM v2: a forget gate (better: a remember gate) controls when memory is reduced.

    Renshaw 2014, slide "LSTM v2: forget (remember) gate"; Gers, Schmidhuber and Cummins 2000.
    """
    i = logistic(W.ie @ e + W.im @ m + b.i)
    f = logistic(W.fe @ e + W.fm @ m + b.f)
    h = f * h + i * tanh(W.he @ e + W.hm @ m + b.h)
    o = logistic(W.oe @ e + W.om @ m + b.o)
    m = o * tanh(h)
    return m, h


@cell
def lstm_v3(e, m, h, W, w, b):
    """LSTM v3: gates that also see the memory, through diagonal peepholes.

    Renshaw 2014, slide "LSTM v3: peepholes"; Gers, Schraudolph and Schmidhuber 2002.
    """
    i = logistic(W.ie @ e + W.im @ m + w.ih * h + b.i)
    f = logistic(W.fe @ e + W.fm @ m + w.fh * h + b.f)
    h = f * h + i * tanh(W.he @ e + W.hm @ m + b.h)
    o = logistic(W.oe @ e + W.om @ m + w.oh * h + b.o)
    m = o * tanh(h)
    return m, h


@cell
def lstm_v4(e, m, h, W, w, b):
    """LSTM v4: an output projection makes the recursive message smaller than the memory.

    Renshaw 2014, slide "LSTM v4: output projection layer"; Sak, Senior and Beaufays 2014, equations (7) to (12).
    """
    i = logistic(W.ie @ e + W.im @ m + w.ih * h + b.i)
    f = logistic(W.fe @ e + W.fm @ m + w.fh * h + b.f)
    h = f * h + i * tanh(W.he @ e + W.hm @ m + b.h)
    o = logistic(W.oe @ e + W.om @ m + w.oh * h + b.o)
    m = W.mm @ (o * tanh(h))
    return m, h


@cell
def lstm(e, m, h, W, b):
    """LSTM as Olah draws it: two states, concatenated input, three valves; the same as torch.nn.LSTM.

    SuperDataScience, slides from colah.github.io; Olah 2015 (his C is h here, his h is m).
    """
    f = logistic(W.f @ concat(m, e) + b.f)
    i = logistic(W.i @ concat(m, e) + b.i)
    g = tanh(W.h @ concat(m, e) + b.h)
    h = f * h + i * g
    o = logistic(W.o @ concat(m, e) + b.o)
    m = o * tanh(h)
    return m, h


@cell
def lstm_coupled(e, m, h, W, b):
    """Olah's variant with coupled gates: forget only where something new goes in.

    SuperDataScience reading list; Olah 2015, "Variants on Long Short Term Memory", second figure.
    """
    f = logistic(W.f @ concat(m, e) + b.f)
    g = tanh(W.h @ concat(m, e) + b.h)
    h = f * h + (1 - f) * g
    o = logistic(W.o @ concat(m, e) + b.o)
    m = o * tanh(h)
    return m, h
