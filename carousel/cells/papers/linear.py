"""Networks whose state is a weighted mean over time, without a dense product in the recurrence."""

from carousel.equations import cell, identity, logistic, tanh


@cell
def t_rnn(e, h, W, b):
    """Strongly-typed RNN: the state is a mean of the inputs in one coordinate system.

    Balduzzi and Ghifary 2016, "Strongly-typed recurrent neural networks".
    """
    n = identity(W.ne @ e)
    f = logistic(W.fe @ e + b.f)
    h = f * h + (1 - f) * n
    return h


@cell
def qrnn(e, m, h, W):
    """Quasi-recurrent network: convolution over two inputs, and pooling with forget and output gates (fo-pooling).

    Bradbury, Merity, Xiong and Socher 2017, "Quasi-recurrent neural networks".
    """
    n = tanh(W.np @ e.ago(1) + W.ne @ e)
    f = logistic(W.fp @ e.ago(1) + W.fe @ e)
    o = logistic(W.op @ e.ago(1) + W.oe @ e)
    h = f * h + (1 - f) * n
    m = o * h
    return m, h


@cell
def gilr(e, h, W, b):
    """Gated impulse linear recurrence: gates that see the input alone, to be computed for all steps at once.

    Martin and Cundy 2018, "Parallelizing linear recurrent neural nets over sequence length".
    """
    g = logistic(W.ge @ e + b.g)
    i = tanh(W.ie @ e + b.i)
    h = g * h + (1 - g) * i
    return h


@cell(input_size="m")
def sru(e, m, h, W, w, b):
    """Simple recurrent unit: light recurrence, and a highway past it.

    Lei, Zhang, Wang, Dai and Artzi 2018, "Simple recurrent units for highly parallelizable recurrence".
    """
    f = logistic(W.fe @ e + w.fh * h + b.f)
    r = logistic(W.re @ e + w.rh * h + b.r)
    h = f * h + (1 - f) * identity(W.he @ e)
    m = r * h + (1 - r) * e
    return m, h


@cell
def min_gru(e, h, W, b):
    """minGRU: the GRU without what its gates hear of the state.

    Feng, Tung, Ahmed, Bengio and Hajimirsadeghi 2024, "Were RNNs all we needed?", section 3.1.
    """
    z = logistic(W.ze @ e + b.z)
    h = (1 - z) * h + z * identity(W.he @ e + b.h)
    return h


@cell
def min_lstm(e, h, W, b):
    """minLSTM: the LSTM without what its gates hear of the state; forgetting and taking in are shares of one.

    Feng, Tung, Ahmed, Bengio and Hajimirsadeghi 2024, "Were RNNs all we needed?", section 3.2.
    """
    f = logistic(W.fe @ e + b.f)
    i = logistic(W.ie @ e + b.i)
    h = f / (f + i) * h + i / (f + i) * identity(W.he @ e + b.h)
    return h
