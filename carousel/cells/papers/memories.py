"""Networks with a memory beside the message: relatives of the LSTM."""

from carousel.equations import Cell, cell, exp, identity, log, logistic, maximum, relu, tanh


@cell
def multiplicative_lstm(e, m, h, W, b):
    """Multiplicative LSTM: each input has recurrent weights of its own, through a factored product.

    Krause, Lu, Murray and Renals 2016, "Multiplicative LSTM for sequence modelling"; with biases.
    """
    n = (W.ne @ e) * identity(W.nm @ m)
    i = logistic(W.ie @ e + W["in"] @ n + b.i)
    f = logistic(W.fe @ e + W.fn @ n + b.f)
    o = logistic(W.oe @ e + W.on @ n + b.o)
    h = f * h + i * tanh(W.he @ e + W.hn @ n + b.h)
    m = tanh(h) * o
    return m, h


@cell
def janet(e, h, W, b):
    """JANET, just another network: the LSTM with its forget gate alone, which takes in a little more than it forgets (β = 1).

    van der Westhuizen and Lasenby 2018, "The unreasonable effectiveness of the forget gate".
    """
    s = identity(W.fe @ e + W.fh @ h + b.f)
    f = logistic(s)
    n = tanh(W.he @ e + W.hh @ h + b.h)
    h = f * h + (1 - logistic(s - 1)) * n
    return h


@cell
def sub_lstm(e, m, h, W, b):
    """subLSTM: gates subtract, as inhibition does in cortical circuits.

    Costa, Assael, Shillingford, de Freitas and Vogels 2017, "Cortical microcircuits as gated-recurrent neural networks".
    """
    z = logistic(W.ze @ e + W.zm @ m + b.z)
    i = logistic(W.ie @ e + W.im @ m + b.i)
    f = logistic(W.fe @ e + W.fm @ m + b.f)
    o = logistic(W.oe @ e + W.om @ m + b.o)
    h = f * h + z - i
    m = logistic(h) - o
    return m, h


@cell
def ran(e, m, h, W, b):
    """Recurrent additive network: the memory is a weighted sum of linear functions of the inputs.

    Lee, Levy and Zettlemoyer 2017, "Recurrent additive networks"; g = tanh.
    """
    n = identity(W.ne @ e)
    i = logistic(W.ie @ e + W.im @ m + b.i)
    f = logistic(W.fe @ e + W.fm @ m + b.f)
    h = i * n + f * h
    m = tanh(h)
    return m, h


@cell
def nas(e, m, h, W, b):
    """NAS cell: found by a network that was trained to design networks.

    Zoph and Le 2017, "Neural architecture search with reinforcement learning"; as TensorFlow's NASCell computes it.
    """
    p = logistic(W.pe @ e + W.pm @ m + b.p)
    q = relu(W.qe @ e + W.qm @ m + b.q)
    r = logistic(W.re @ e + W.rm @ m + b.r)
    s = relu((W.se @ e) * identity(W.sm @ m + b.s))
    u = tanh(W.ue @ e + W.um @ m + b.u)
    v = logistic(W.ve @ e + W.vm @ m + b.v)
    x = tanh(W.xe @ e + W.xm @ m + b.x)
    y = logistic(W.ye @ e + W.ym @ m + b.y)
    h = tanh(tanh(p * q) + h) * tanh(r + s)
    m = tanh(tanh(h) * tanh(tanh(u * v) + logistic(x + y)))
    return m, h


@cell
def slstm(e, m, h, n, s, W, b):
    """sLSTM: exponential gates, with a normaliser n and a stabiliser s.

    Beck, Pöppel, Spanring, Auer et al. 2024, "xLSTM: extended long short-term memory", equations (8) to (17); with the paper's
    four heads it is slstm-4-heads.
    """
    k = identity(W.ie @ e + W.im @ m + b.i)
    l = log(logistic(W.fe @ e + W.fm @ m + b.f))
    s_new = maximum(l + s, k)
    i = exp(k - s_new)
    f = exp(l + s - s_new)
    h = f * h + i * tanh(W.he @ e + W.hm @ m + b.h)
    n = f * n + i
    o = logistic(W.oe @ e + W.om @ m + b.o)
    m = o * h / n
    return m, h, n, s_new


def mogrifier_lstm(rounds: int = 5, name: str | None = None) -> Cell:
    """Return the Mogrifier LSTM, in which input and message gate each other so many times before the gates see them."""

    @cell(name=name or f"mogrifier-{rounds}")
    def mogrifier(e, m, h, W, b):
        """Mogrifier LSTM: input and message gate each other, in turns, before the gates see them.

        Melis, Kočiský and Blunsom 2020, "Mogrifier LSTM".
        """
        x, y = [e], [m]  # a list gives its quantities the names x1, x2, …
        for k in range(1, rounds + 1):
            if k % 2:
                x.append(2 * logistic(W[f"e{k}"] @ y[-1]) * x[-1])
            else:
                y.append(2 * logistic(W[f"m{k}"] @ x[-1]) * y[-1])
        i = logistic(W.ie @ x[-1] + W.im @ y[-1] + b.i)
        f = logistic(W.fe @ x[-1] + W.fm @ y[-1] + b.f)
        o = logistic(W.oe @ x[-1] + W.om @ y[-1] + b.o)
        h = f * h + i * tanh(W.he @ x[-1] + W.hm @ y[-1] + b.h)
        m = o * tanh(h)
        return m, h

    return mogrifier


mogrifier = mogrifier_lstm(5, "mogrifier")
mogrifier.function.__qualname__ = "mogrifier"  # where pickle finds it
