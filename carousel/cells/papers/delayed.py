"""Networks that look further back than one step: a short way for the error past the steps between."""

from carousel.cells.lstm import lstm_v2
from carousel.equations import Cell, cell, tanh


@cell
def narx(e, m, W, b):
    """NARX network: a hidden layer sees inputs and outputs of several steps.

    Lin, Horne, Tiňo and Giles 1996, "Learning long-term dependencies in NARX recurrent neural networks", with two inputs and
    three outputs.
    """
    h = tanh(W.he @ e + W.hx @ e.ago(1) + W.hm @ m + W.hn @ m.ago(2) + W.ho @ m.ago(3) + b.h)
    m = W.mh @ h + b.m
    return m


def higher_order(order: int = 3, name: str | None = None) -> Cell:
    """Return the recurrent network that sees its state of the last ``order`` steps."""

    @cell(name=name or f"horn-{order}")
    def horn(e, h, W, b):
        """Higher order recurrent network: the states of several steps, each through weights of its own.

        Soltani and Jiang 2016, "Higher order recurrent neural networks", eq. 2.
        """
        h = tanh(W.he @ e + sum((W[f"h{n}"] @ h.ago(n) for n in range(2, order + 1)), W.h1 @ h) + b.h)
        return h

    return horn


def dilated_lstm(steps: int = 2, name: str | None = None) -> Cell:
    """Return the LSTM that follows on the state of so many steps ago, not on the last one."""

    @cell(name=name or f"lstm-dilated-{steps}")
    def dilated(e, m, h, W, b):
        """LSTM with a dilated skip connection: states are those of some steps ago.

        Chang, Zhang, Han, Yu, Guo, Tan, Cui, Witbrock, Hasegawa-Johnson and Huang 2017, "Dilated recurrent neural networks",
        eq. 1; a stack takes 1, 2, 4, … steps from layer to layer.
        """
        return lstm_v2.function(e, m.ago(steps), h.ago(steps), W, b)

    return dilated


horn = higher_order(3, "horn")
horn.function.__qualname__ = "horn"  # where pickle finds it
lstm_dilated = dilated_lstm(2, "lstm-dilated")
lstm_dilated.function.__qualname__ = "lstm_dilated"
