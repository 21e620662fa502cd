"""Networks with gates and one state: relatives of the GRU."""

from carousel.equations import cell, identity, logistic, relu, tanh


@cell
def mgu(e, h, W, b):
    """Minimal gated unit: one gate, which forgets and resets.

    Zhou, Wu, Zhang and Zhou 2016, "Minimal gated unit for recurrent neural networks".
    """
    f = logistic(W.fe @ e + W.fh @ h + b.f)
    n = tanh(W.ne @ e + W.nh @ (f * h) + b.n)
    h = (1 - f) * h + f * n
    return h


@cell
def ugrnn(e, h, W, b):
    """Update gate RNN: a gate between the old state and a simple network's new one.

    Collins, Sohl-Dickstein and Sussillo 2017, "Capacity and trainability in recurrent neural networks".
    """
    n = tanh(W.ne @ e + W.nh @ h + b.n)
    g = logistic(W.ge @ e + W.gh @ h + b.g)
    h = g * h + (1 - g) * n
    return h


@cell(input_size="m", same=("m", "h"))
def intersection_rnn(e, m, h, W, b):
    """Intersection RNN (+RNN): one gate for what goes on in time, one for what goes up past the layer.

    Collins, Sohl-Dickstein and Sussillo 2017, "Capacity and trainability in recurrent neural networks".
    """
    y = relu(W.ye @ e + W.yh @ h + b.y)
    n = tanh(W.ne @ e + W.nh @ h + b.n)
    u = logistic(W.ue @ e + W.uh @ h + b.u)
    g = logistic(W.ge @ e + W.gh @ h + b.g)
    m = u * e + (1 - u) * y
    h = g * h + (1 - g) * n
    return m, h


@cell(input_size="h")
def mut1(e, h, W, b):
    """MUT1: the best of ten thousand architectures on several problems; its update gate sees the input alone.

    Jozefowicz, Zaremba and Sutskever 2015, "An empirical exploration of recurrent network architectures".
    """
    z = logistic(W.ze @ e + b.z)
    r = logistic(W.re @ e + W.rh @ h + b.r)
    h = tanh(W.hh @ (r * h) + tanh(e) + b.h) * z + h * (1 - z)
    return h


@cell(input_size="h")
def mut2(e, h, W, b):
    """MUT2: its reset gate adds the input as it is.

    Jozefowicz, Zaremba and Sutskever 2015, "An empirical exploration of recurrent network architectures".
    """
    z = logistic(W.ze @ e + W.zh @ h + b.z)
    r = logistic(e + W.rh @ h + b.r)
    h = tanh(W.hh @ (r * h) + W.he @ e + b.h) * z + h * (1 - z)
    return h


@cell
def mut3(e, h, W, b):
    """MUT3: its update gate sees a squashed state.

    Jozefowicz, Zaremba and Sutskever 2015, "An empirical exploration of recurrent network architectures".
    """
    z = logistic(W.ze @ e + W.zh @ tanh(h) + b.z)
    r = logistic(W.re @ e + W.rh @ h + b.r)
    h = tanh(W.hh @ (r * h) + W.he @ e + b.h) * z + h * (1 - z)
    return h


@cell
def cfn(e, h, W, b):
    """Chaos-free network: without input its state decays to zero.

    Laurent and von Brecht 2017, "A recurrent neural network without chaos".
    """
    f = logistic(W.fe @ e + W.fh @ h + b.f)
    i = logistic(W.ie @ e + W.ih @ h + b.i)
    h = f * tanh(h) + i * tanh(W.he @ e)
    return h


@cell
def minimal_rnn(e, h, W, b):
    """MinimalRNN: the state is a running mean of squashed inputs.

    Chen 2017, "MinimalRNN: toward more interpretable and trainable recurrent neural networks".
    """
    n = tanh(W.ne @ e + b.n)
    u = logistic(W.uh @ h + W.un @ n + b.u)
    h = u * h + (1 - u) * n
    return h


@cell
def star(e, h, W, b):
    """STAR, the stackable recurrent cell: one gate, few parameters, gradients that survive many layers.

    Turkoglu, D'Aronco, Wegner and Schindler 2021, "Gating revisited: deep multi-layer RNNs that can be trained".
    """
    n = tanh(W.ne @ e + b.n)
    k = logistic(W.ke @ e + W.kh @ h + b.k)
    h = tanh((1 - k) * h + k * n)
    return h


@cell
def atr(e, h, W, b):
    """ATR, the addition-subtraction twin-gated network: two products give both gates.

    Zhang, Xiong, Su, Lin and Zhang 2018, "Simplifying neural machine translation with addition-subtraction twin-gated recurrent
    networks".
    """
    p = identity(W.pe @ e + b.p)
    q = identity(W.qh @ h)
    i = logistic(p + q)
    f = logistic(p - q)
    h = i * p + f * h
    return h


@cell
def brc(e, h, W, w):
    """Bistable recurrent cell: each unit remembers by itself, as a neuron with two stable states does.

    Vecoven, Ernst and Drion 2021, "A bio-inspired bistable recurrent cell allows for long-lasting memory".
    """
    a = 1 + tanh(W.ae @ e + w.ah * h)
    c = logistic(W.ce @ e + w.ch * h)
    h = c * h + (1 - c) * tanh(W.he @ e + a * h)
    return h


@cell
def nbrc(e, h, W):
    """Recurrently neuromodulated bistable cell: all units decide how each of them remembers.

    Vecoven, Ernst and Drion 2021, "A bio-inspired bistable recurrent cell allows for long-lasting memory".
    """
    a = 1 + tanh(W.ae @ e + W.ah @ h)
    c = logistic(W.ce @ e + W.ch @ h)
    h = c * h + (1 - c) * tanh(W.he @ e + a * h)
    return h
