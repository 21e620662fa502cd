"""Networks that are told the time: when each input came, or how long after the last."""

from carousel.cells.lstm import lstm_v2
from carousel.equations import cell, exp, identity, log, logistic, relu, softplus, tanh, where

GAP = {"d": 1}  # the time since the step before, one number a row


@cell(inputs={"time": 1})
def phased_lstm(e, time, m, h, W, w, b):
    """Phased LSTM: a gate of each unit opens in a rhythm of its own; equations 1 to 10, r_on = 0.05, leak α = 0.001.

    Neil, Pfeiffer and Liu 2016, "Phased LSTM: accelerating recurrent network training for long or event-based sequences"; the
    period τ is exp(b.tau), so that it stays above zero.
    """
    p = (time - b.s) % exp(b.tau) / exp(b.tau)
    k = where(p < 0.025, p * 40, where(p < 0.05, 2 - p * 40, 0.001 * p))
    i = logistic(W.ie @ e + W.im @ m + w.ih * h + b.i)
    f = logistic(W.fe @ e + W.fm @ m + w.fh * h + b.f)
    n = f * h + i * tanh(W.he @ e + W.hm @ m + b.h)
    o = logistic(W.oe @ e + W.om @ m + w.on * n + b.o)
    h = k * n + (1 - k) * h
    m = k * (o * tanh(n)) + (1 - k) * m
    return m, h


@cell(inputs=GAP)
def time_lstm(e, d, m, h, W, w, b):
    """Time-LSTM 1: a gate that the time since the last input opens or closes.

    Zhu, Li, Liao, Wang, Guan, Liu and Cai 2017, "What to do next: modeling user behaviors by Time-LSTM", the first of three.
    """
    i = logistic(W.ie @ e + W.im @ m + w.ih * h + b.i)
    f = logistic(W.fe @ e + W.fm @ m + w.fh * h + b.f)
    g = logistic(W.ge @ e + logistic(w.gd * d) + b.g)
    h = f * h + i * g * tanh(W.he @ e + W.hm @ m + b.h)
    o = logistic(W.oe @ e + w.od * d + W.om @ m + w.oh * h + b.o)
    m = o * tanh(h)
    return m, h


@cell(inputs=GAP)
def t_lstm(e, d, m, h, W, b):
    """T-LSTM: the short-term part of the memory fades with the time that has gone by, by 1/log(e + Δt).

    Baytas, Xiao, Zhang, Wang, Jain and Zhou 2017, "Patient subtyping via time-aware LSTM networks".
    """
    s = tanh(W.sh @ h + b.s)
    n = h - s + s / log(2.718281828459045 + d)
    return lstm_v2.function(e, m, n, W, b)


@cell(inputs={"k": "e", "d": "e"})
def gru_d(e, k, d, h, l, W, w, b):  # l is the last
    """GRU-D: inputs that are missing (k = 0, else 1) decay from the last that was seen to their mean, and the state decays.

    Che, Purushotham, Cho, Sontag and Liu 2018, "Recurrent neural networks for multivariate time series with missing values".
    k and d, the time since each was seen, are as wide as e; the mean of each input is to be zero.
    """
    x = k * e + (1 - k) * (exp(-relu(w.ed * d + b.e)) * l)
    u = exp(-relu(W.ud @ d + b.u)) * h
    r = logistic(W.rx @ x + W.ru @ u + W.rk @ k + b.r)
    z = logistic(W.zx @ x + W.zu @ u + W.zk @ k + b.z)
    n = tanh(W.hx @ x + W.hu @ (r * u) + W.hk @ k + b.h)
    h = (1 - z) * u + z * n
    l = k * e + (1 - k) * l
    return h, l


@cell(inputs=GAP, name="neural-hawkes")
def neural_hawkes(e, d, m, h, n, v, o, W, b):
    """Neural Hawkes process, the continuous-time LSTM: between events the memory decays to a target; m is what came before e.

    Mei and Eisner 2017, "The neural Hawkes process: a neurally self-modulating multivariate point process", equations 4 to 7.
    """
    c = n + (h - n) * exp(-v * d)
    m = o * (2 * logistic(2 * c) - 1)
    i = logistic(W.ie @ e + W.im @ m + b.i)
    f = logistic(W.fe @ e + W.fm @ m + b.f)
    z = 2 * logistic(W.ze @ e + W.zm @ m + b.z) - 1
    o = logistic(W.oe @ e + W.om @ m + b.o)
    j = logistic(W.je @ e + W.jm @ m + b.j)
    g = logistic(W.ge @ e + W.gm @ m + b.g)
    h = f * c + i * z
    n = g * n + j * z
    v = softplus(W.ve @ e + W.vm @ m + b.v)
    return m, h, n, v, o


@cell(inputs={"a": 1})
def attention_gru(e, a, h, W, b):
    """Attention GRU: the weight a that an attention gives each input stands in place of the update gate.

    Xiong, Merity and Socher 2016, "Dynamic memory networks for visual and textual question answering", attention based GRU.
    """
    r = logistic(W.re @ e + W.rh @ h + b.r)
    n = tanh(W.ne @ e + r * identity(W.nh @ h) + b.n)
    h = a * n + (1 - a) * h
    return h


@cell(inputs={"a": 1})
def augru(e, a, h, W, b):
    """AUGRU: the weight a that an attention gives each input closes the update gate.

    Zhou, Mou, Fan, Pi, Bian, Zhou, Zhu and Gai 2019, "Deep interest evolution network for click-through rate prediction".
    """
    u = logistic(W.ue @ e + W.uh @ h + b.u)
    r = logistic(W.re @ e + W.rh @ h + b.r)
    n = tanh(W.ne @ e + r * identity(W.nh @ h) + b.n)
    g = a * u
    h = (1 - g) * h + g * n
    return h


@cell(inputs={"c": None})
def contextual_lstm(e, c, m, h, W, w, b):
    """Contextual LSTM: each gate hears a vector c besides, such as the topic of the text.

    Ghosh, Vinyals, Strope, Roy, Dean and Heck 2016, "Contextual LSTM (CLSTM) models for large scale NLP tasks".
    """
    i = logistic(W.ie @ e + W.im @ m + w.ih * h + W.ic @ c + b.i)
    f = logistic(W.fe @ e + W.fm @ m + w.fh * h + W.fc @ c + b.f)
    h = f * h + i * tanh(W.he @ e + W.hm @ m + W.hc @ c + b.h)
    o = logistic(W.oe @ e + W.om @ m + w.oh * h + W.oc @ c + b.o)
    m = o * tanh(h)
    return m, h
