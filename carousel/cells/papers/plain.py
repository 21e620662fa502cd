"""Networks that keep the simple recurrence and change how it is weighed."""

from carousel.equations import Cell, cell, identity, logistic, relu, tanh


@cell
def multiplicative_rnn(e, h, W, b):
    """Multiplicative RNN: each input has recurrent weights of its own, through a factored product.

    Sutskever, Martens and Hinton 2011, "Generating text with recurrent neural networks".
    """
    f = (W.fe @ e) * identity(W.fh @ h)
    h = tanh(W.hf @ f + W.he @ e + b.h)
    return h


@cell
def scrn(e, h, s, W):
    """Structurally constrained network: slow units s beside the hidden ones, with α = 0.95; h has ``proj_size`` units.

    Mikolov, Joulin, Chopra, Mathieu and Ranzato 2015, "Learning longer memory in recurrent neural networks".
    """
    s = 0.05 * (W.se @ e) + 0.95 * s
    h = logistic(W.hs @ s + W.he @ e + W.hh @ h)
    return h, s


@cell
def ind_rnn(e, h, W, w, b):
    """Independently recurrent network: a unit hears of its layer's last step itself alone.

    Li, Li, Cook, Zhu and Gao 2018, "Independently recurrent neural network (IndRNN)".
    """
    h = relu(W.he @ e + w.hh * h + b.h)
    return h


@cell
def fast_rnn(e, h, W, b):
    """FastRNN: a residual connection with learned weights α and β, of each unit here, one for all in the paper.

    Kusupati, Singh, Bhatia, Kumar, Jain and Varma 2018, "FastGRNN".
    """
    n = tanh(W.he @ e + W.hh @ h + b.h)
    h = logistic(b.alpha) * n + logistic(b.beta) * h
    return h


@cell
def fast_grnn(e, h, W, b):
    """FastGRNN: gate and new state share their weights; ζ and ν are of each unit here, one for all in the paper.

    Kusupati, Singh, Bhatia, Kumar, Jain and Varma 2018, "FastGRNN".
    """
    z = logistic(W.he @ e + W.hh @ h + b.z)
    n = tanh(W.he @ e + W.hh @ h + b.h)
    h = (logistic(b.zeta) * (1 - z) + logistic(b.nu)) * n + z * h
    return h


def recurrent_highway(depth: int = 5, name: str | None = None) -> Cell:
    """Return the recurrent highway network with that many layers within a step; carry gates are 1 minus transform gates."""

    @cell(name=name or f"rhn-{depth}")
    def rhn(e, s, W, b):
        """Recurrent highway network: several layers within a step, each with a way past it.

        Zilly, Srivastava, Koutník and Schmidhuber 2017, "Recurrent highway networks", c = 1 − t.
        """
        r = [s]  # a list gives its quantities the names r1, r2, …
        for k in range(1, depth + 1):
            h, g = W[f"h{k}"] @ r[-1] + b[f"h{k}"], W[f"g{k}"] @ r[-1] + b[f"g{k}"]
            if k == 1:
                h, g = W.he @ e + h, W.ge @ e + g
            r.append(tanh(h) * logistic(g) + r[-1] * (1 - logistic(g)))
        s = r.pop()
        del h, g  # each gate is named by its bias
        return s

    return rhn


rhn = recurrent_highway(5, "rhn")
rhn.function.__qualname__ = "rhn"  # where pickle finds it
