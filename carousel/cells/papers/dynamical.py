"""Networks that are differential equations, a step of time at once."""

from carousel.equations import Cell, cell, logistic, tanh


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
