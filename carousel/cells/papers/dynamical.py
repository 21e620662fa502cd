"""Networks that are differential equations, a step of time at once."""

from collections.abc import Callable

import numpy as np

from carousel.equations import Cell, cell, identity, logistic, softplus, tanh, total


def coupled_oscillators(dt: float = 0.042, gamma: float = 2.7, epsilon: float = 4.7, name: str | None = None) -> Cell:
    """Return coRNN with that step of time, frequency γ and damping ε; without them, those of the paper for sequential MNIST."""

    @cell(name=name or f"cornn-{dt:g}-{gamma:g}-{epsilon:g}")
    def cornn(e, y, z, W, b):
        """coRNN: coupled oscillators, driven and damped; γ = 2.7, ε = 4.7, Δt = 0.042 but where another is made.

        Rusch and Mishra 2021, "Coupled oscillatory recurrent neural network (coRNN)", damped by the last z.
        """
        z = z + dt * (tanh(W.zy @ y + W.zz @ z + W.ze @ e + b.z) - gamma * y - epsilon * z)
        y = y + dt * z
        return y, z

    return cornn


cornn = coupled_oscillators(name="cornn")
cornn.function.__qualname__ = "cornn"  # where pickle finds it


@cell
def antisymmetric_rnn(e, h, W, b):
    """AntisymmetricRNN: the error neither grows nor fades along the stable flow; ε = 0.1, γ = 0.01.

    Chang, Chen, Haber and Chi 2019, "AntisymmetricRNN: a dynamical system view on recurrent neural networks", eq. 10.
    """
    h = h + 0.1 * tanh(W.hh @ h - W.hh.T @ h - 0.01 * h + W.he @ e + b.h)
    return h


@cell
def antisymmetric_gated(e, h, W, b):
    """AntisymmetricRNN with a gate that shares the antisymmetric weights; ε = 0.1, γ = 0.01.

    Chang, Chen, Haber and Chi 2019, "AntisymmetricRNN: a dynamical system view on recurrent neural networks", eq. 12.
    """
    s = identity(W.hh @ h - W.hh.T @ h - 0.01 * h)
    z = logistic(s + W.ze @ e + b.z)
    h = h + 0.1 * z * tanh(s + W.he @ e + b.h)
    return h


def lipschitz(dt: float = 0.1, beta: float = 0.75, gamma: float = 0.001, name: str | None = None) -> Cell:
    """Return the Lipschitz RNN with that step of time, share β of the antisymmetric part, and damping γ."""

    @cell(name=name or f"lipschitz-rnn-{dt:g}-{beta:g}-{gamma:g}")
    def lipschitz_rnn(e, h, W, b):
        """Lipschitz RNN: linear parts whose symmetric share is tuned, and tanh; β = 0.75, γ = 0.001, ε = 0.1.

        Erichson, Azencot, Queiruga, Hodgkinson and Mahoney 2021, "Lipschitz recurrent neural networks", eq. 4 and 7: A and W
        are (1 − β)(M + Mᵀ) + β(M − Mᵀ) − γI.
        """
        a = (1 - beta) * (W.ah @ h + W.ah.T @ h) + beta * (W.ah @ h - W.ah.T @ h) - gamma * h
        s = (1 - beta) * (W.sh @ h + W.sh.T @ h) + beta * (W.sh @ h - W.sh.T @ h) - gamma * h
        h = h + dt * (a + tanh(s + W.he @ e + b.h))
        return h

    return lipschitz_rnn


lipschitz_rnn = lipschitz(name="lipschitz-rnn")
lipschitz_rnn.function.__qualname__ = "lipschitz_rnn"


def legendre(window: float) -> tuple[Callable[[int, int], np.ndarray], Callable[[int], np.ndarray]]:
    """Return Ā and B̄ of the Legendre memory unit as functions of the order, held constant over a step (zero-order hold)."""

    def both(order: int) -> np.ndarray:
        from scipy.linalg import expm  # here: no command that lists cells needs it

        i, j = np.mgrid[:order, :order]
        system = np.zeros((order + 1, order + 1))
        system[:order, :order] = (2 * i + 1) * np.where(i < j, -1.0, (-1.0) ** (i - j + 1))
        system[:order, order] = (2 * i[:, 0] + 1) * (-1.0) ** i[:, 0]
        made: np.ndarray = expm(system / window)
        return made

    return lambda rows, columns: both(rows)[:rows, :columns], lambda order: both(order)[:order, order]


def legendre_memory(window: float = 100.0, name: str | None = None) -> Cell:
    """Return the Legendre memory unit that remembers so many steps."""
    a, b = legendre(window)

    @cell(name=name or f"lmu-{window:g}", matrices={"A": a}, constants={"B": b})
    def lmu(e, h, m, W, w, c):
        """Legendre memory unit: m holds the last θ = 100 steps of u, as coefficients of Legendre polynomials.

        Voelker, Kajić and Eliasmith 2019, "Legendre memory units: continuous-time representation in recurrent neural
        networks", eq. 1 to 8; the order of the memory is ``hidden_size``, the number of units of h ``proj_size``.
        """
        u = total(w.e * e) + total(w.h * h) + total(w.m * m)
        m = c.A @ m + c.B * u
        h = tanh(W.he @ e + W.hh @ h + W.hm @ m)
        return h, m

    return lmu


lmu = legendre_memory(name="lmu")
lmu.function.__qualname__ = "lmu"


@cell(same=("y", "z"))
def lem(e, y, z, W, b):
    """Long expressive memory: two states with steps of time that are learned, Δt = 1.

    Rusch, Mishra, Erichson and Mahoney 2022, "Long expressive memory for sequence modeling".
    """
    d = logistic(W.dy @ y + W.de @ e + b.d)
    u = logistic(W.uy @ y + W.ue @ e + b.u)
    z = (1 - d) * z + d * tanh(W.zy @ y + W.ze @ e + b.z)
    y = (1 - u) * y + u * tanh(W.yz @ z + W.ye @ e + b.y)
    return y, z


def liquid(steps: int = 6, name: str | None = None) -> Cell:
    """Return the liquid time-constant network whose solver takes that many steps from input to input; the paper's takes six."""

    @cell(inputs={"d": 1}, name=name or f"ltc-{steps}")
    def ltc(e, d, h, W, b):
        """Liquid time constants: a leak whose speed the network decides, d the time from input to input; algorithm 1, L = 6.

        Hasani, Lechner, Amini, Rus and Grosu 2021, "Liquid time-constant networks", equation 3: f is logistic, so that no
        denominator vanishes, and 1/τ is softplus(b.tau); A is b.a.
        """
        s, f, x = softplus(b.tau), [], [h]
        for k in range(steps):
            f.append(logistic(W.fe @ e + W.fh @ x[k] + b.f))
            x.append((x[k] + d / steps * f[k] * b.a) / (1 + d / steps * (s + f[k])))
        h = x[-1]
        return h

    return ltc


ltc = liquid(name="ltc")
ltc.function.__qualname__ = "ltc"


@cell(inputs={"d": 1})
def cfc(e, d, h, W, b):
    """CfC: the liquid network's state after the time d in closed form; a sigmoid of time goes from one target to another.

    Hasani, Lechner, Amini, Liebenwein, Ray, Tschaikowski, Teschl and Rus 2022, "Closed-form continuous-time neural networks",
    as the authors' package has it: a first layer that all share, as wide as the state.
    """
    x = 1.7159 * tanh(0.666 * (W.xe @ e + W.xh @ h + b.x))
    f = tanh(W.fx @ x + b.f)
    g = tanh(W.gx @ x + b.g)
    k = logistic((W.ax @ x + b.a) * d + W.kx @ x + b.k)
    h = (1 - k) * f + k * g
    return h
