"""Networks without gates: the MLP over three words, the RNN, the constant error carousel."""

from carousel.equations import cell, logistic, relu, tanh


@cell
def mlp(e, h, p, q, W, b):
    """Multi-layer perceptron over the last three words; its states only hold the words.

    Renshaw 2014, slide "Multi-Layer Perceptron (MLP)"; Bengio et al. 2003, equation (1).
    """
    h = tanh(W.he @ e + W.hp @ p + W.hq @ q + b.h)
    q = p
    p = e
    return h, p, q


@cell
def rnn(e, h, W, b):
    """Simple recurrent network (Elman), σ = tanh; the same as torch.nn.RNN.

    Renshaw 2014, slide "Recurrent Neural Network (RNN)"; Elman 1990.
    """
    h = tanh(W.he @ e + W.hh @ h + b.h)
    return h


@cell
def rnn_logistic(e, h, W, b):
    """Simple recurrent network (Elman), σ = logistic.

    Renshaw 2014, slide "Recurrent Neural Network (RNN)"; Elman 1990.
    """
    h = logistic(W.he @ e + W.hh @ h + b.h)
    return h


@cell
def relu_rnn(e, h, W, b):
    """Simple recurrent network with rectified units: constant gradient when active.

    Renshaw 2014, slide "Further thoughts"; Le, Jaitly and Hinton 2015 (with an identity start).
    """
    h = relu(W.he @ e + W.hh @ h + b.h)
    return h


@cell
def cec(e, m, h, W, b):
    """Constant error carousel: no nonlinearity in the recursion of the memory.

    Renshaw 2014, slide "Constant Error Carousel"; Hochreiter and Schmidhuber 1997, section 3.2.
    """
    h = h + tanh(W.he @ e + W.hm @ m + b.h)
    m = tanh(h)
    return m, h
