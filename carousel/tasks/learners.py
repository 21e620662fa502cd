"""Three ways to learn from a sequence: a Kalman filter over the weights, Adam, and plain gradient descent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from carousel.tasks.network import Network
from carousel.tasks.problem import Batch
from carousel.training.descent import Descent
from carousel.training.optimizers import optimizer

Loss = Callable[[Tensor, Tensor], Tensor]

LONGEST = 1.0  # norm of a gradient that is not clipped
LAG = 10
LOST = 0.8  # of the targets' variance that is left unexplained


def tensors(batch: Batch, each: bool) -> tuple[Tensor, Tensor | None, Tensor]:
    """Return inputs, lengths (None where every step is asked) and targets."""
    inputs, targets = (torch.from_numpy(np.ascontiguousarray(x)) for x in (batch.inputs, batch.targets))
    return inputs, None if each else torch.from_numpy(batch.lengths), targets


class Learner:
    """A network and how it learns. The problem's criteria look at ``outputs``."""

    def __init__(self, network: nn.Module, each: bool, squash: str):
        self.network, self.each, self.squash = network, each, squash

    def outputs(self, z: Tensor) -> np.ndarray:
        """Return the outputs of net inputs ``z``, as ``squash`` says: "none", "logistic" or "softmax"."""
        z = z.detach()
        z = z.sigmoid() if self.squash == "logistic" else z.softmax(-1) if self.squash == "softmax" else z
        return z.numpy()

    @torch.no_grad()
    def answer(self, batch: Batch) -> np.ndarray:
        """Return the outputs, without learning."""
        inputs, lengths, _ = tensors(batch, self.each)
        return self.outputs(self.network(inputs, lengths))

    def learn(self, batch: Batch) -> np.ndarray:
        """Learn from a batch; return the outputs as they were before that."""
        raise NotImplementedError

    def lost(self) -> bool:
        """Return whether it is better to begin anew than to go on: asked when a trial's patience is at an end."""
        return False


class Kalman(Learner):
    """The extended Kalman filter as a way to learn (Singhal and Wu 1989; Puskorius and Feldkamp 1994; with an LSTM:
    Pérez-Ortiz, Gers, Eck and Schmidhuber 2003): weights are the state, a sequence's outputs the measurement.

    P, the covariance of the weights' error, holds a knowledge that plain descent lacks: how far each weight, and each pair, is
    still uncertain. A sequence changes the weights by K·(target − output) with K = P·Jᵀ·(R + J·P·Jᵀ)⁻¹, J = ∂outputs/∂weights.
    R, the noise of the targets, is the running mean of the squared error. All weights have one P together, symbols' embeddings
    too: so long as the memory is linear this is recursive least squares, which finds the symbol that counts among a
    thousand. Weights that are too many are decoupled: where there are more outputs than units, each output's weights have a P
    of their own (and each output an R); each symbol's direct weights have one number for theirs.

    Where every step has a target, a sequence is measured at one step: the last if only the end counts, else the
    one that was answered worst.

    Args:
        uncertainty: P to begin with, times :meth:`Network.uncertainty` on the diagonal.
        drift: added to P's diagonal after each sequence, so that it never dies.
        least: R never falls below it.
        memory: of R's running mean.
        longest: no change of the weights is longer.
    """

    network: Network

    def __init__(
        self,
        network: Network,
        each: bool,
        *,
        uncertainty: float = 1.0,
        drift: float = 1e-5,
        least: float = 1e-4,
        memory: float = 0.99,
        longest: float = 1.0,
        only_end: bool = False,
    ):
        super().__init__(network, each, "none")
        self.drift, self.least, self.memory, self.longest, self.only_end = drift, least, memory, longest, only_end
        self.noise, self.squared = np.array(0.1), np.full(network.output.out_features, 0.1)
        self.seen: list[np.ndarray] = []
        self.inner = network.inner()
        out = network.output
        self.apart = out.out_features > out.in_features
        self.parameters = [*self.inner, *([] if self.apart else [out.weight, out.bias])]
        self.sizes = [p.numel() for p in self.parameters]
        self.weights = np.concatenate([p.detach().double().numpy().ravel() for p in self.parameters])
        before = np.concatenate([network.uncertainty(), np.ones(len(self.weights) - sum(p.numel() for p in self.inner))])
        self.covariance = np.diag(before * uncertainty)
        if self.apart:
            self.out = torch.cat([out.weight, out.bias[:, None]], 1).detach().double().numpy().copy()
            self.out_covariance = np.broadcast_to(
                np.eye(self.out.shape[1]) * uncertainty, (*self.out.shape, self.out.shape[1])
            ).copy()
        if network.direct is not None:
            self.direct_uncertainty = np.full(len(network.direct), uncertainty)

    def learn(self, batch: Batch) -> np.ndarray:
        return np.concatenate([self._learn(batch.rows(k, k + 1)) for k in range(len(batch))], axis=1 if self.each else 0)

    def _learn(self, one: Batch) -> np.ndarray:
        inputs, _, targets = tensors(one, self.each)
        messages = self.network.messages(inputs)
        if self.each:
            with torch.no_grad():
                z = self.network.read(messages, inputs)
            wanted = nn.functional.one_hot(targets[:, 0], z.shape[-1])
            errors = (wanted - z[:, 0]).double().numpy()
            at = len(errors) - 1 if self.only_end else int(np.abs(errors).max(axis=1).argmax())
            self.seen.append(wanted[at].double().numpy())
            innovation = errors[at]
        else:
            at = len(messages) - 1
            with torch.no_grad():
                z = self.network.read(messages[at], inputs[at])
            self.seen.append(targets[0].double().numpy())
            innovation = (targets - z)[0].double().numpy()
        self.squared = self.memory * self.squared + (1 - self.memory) * innovation**2
        self.noise = np.maximum(self.least, self.squared if self.apart else self.squared.mean())
        self._update(messages[at, 0], inputs[at, 0], innovation)
        return self.outputs(z)

    def lost(self) -> bool:
        """Return whether the weights explain next to nothing of the targets."""
        return bool(self.seen) and self.noise.mean() > LOST * float(np.stack(self.seen).var(axis=0).mean())

    def _update(self, message: Tensor, symbol: Tensor, innovation: np.ndarray) -> None:
        network = self.network
        of_weights = self._jacobian(message)
        if not np.isfinite(of_weights).all() or not np.isfinite(innovation).all():
            return  # the sequence counts, but says nothing
        spread = self.covariance @ of_weights.T
        total = of_weights @ spread + self.noise * np.eye(len(innovation))
        diagonal = total.reshape(-1)[:: len(total) + 1]  # a view
        if self.apart:
            heard = np.append(message.detach().double().numpy(), 1)
            spread_out = self.out_covariance @ heard
            diagonal += spread_out @ heard
        if network.direct is not None:
            uncertain = self.direct_uncertainty[symbol]
            diagonal += uncertain
        inverse = np.linalg.inv(total)
        answer = inverse @ innovation
        change = {"weights": spread @ answer}
        if self.apart:
            change["out"] = spread_out * answer[:, None]
        if network.direct is not None:
            change["direct"] = uncertain * answer
        length = sum(float((x**2).sum()) for x in change.values()) ** 0.5
        shorter = min(1.0, self.longest / max(length, 1e-30))
        self._write({name: shorter * x for name, x in change.items()}, symbol)

        # Joseph's form, (I − KJ)·P·(I − KJ)ᵀ + K·R·Kᵀ, multiplied out: P stays positive whatever is rounded away.
        gain = spread @ inverse
        half = spread - gain @ total / 2
        self.covariance -= np.concatenate([gain, half], 1) @ np.concatenate([half, gain], 1).T
        self.covariance.reshape(-1)[:: len(self.weights) + 1] += self.drift
        if self.apart:
            self.out_covariance -= np.einsum("ka,kb,k->kab", spread_out, spread_out, inverse.diagonal())
            self.out_covariance += self.drift * np.eye(len(heard))
        if network.direct is not None:
            self.direct_uncertainty[symbol] += self.drift - uncertain**2 * inverse.diagonal().mean()

    def _jacobian(self, message: Tensor) -> np.ndarray:
        """Return ∂outputs/∂weights, (outputs, weights).

        Outputs are linear in the message, so there is one run backwards for each of them or for each unit of the message,
        whichever are fewer.
        """
        out = self.network.output.weight.detach()
        runs = torch.eye(len(message)) if self.apart else out
        rows = [torch.autograd.grad(message, self.inner, d, retain_graph=k < len(runs) - 1) for k, d in enumerate(runs)]
        inner = np.stack([np.concatenate([g.numpy().ravel() for g in row]) for row in rows]).astype(float)
        if self.apart:
            return out.double().numpy() @ inner
        own = np.einsum("jk,h->jkh", np.eye(len(out)), message.detach().double().numpy()).reshape(len(out), -1)
        return np.concatenate([inner, own, np.eye(len(out))], axis=1)

    @torch.no_grad()
    def _write(self, change: dict[str, np.ndarray], symbol: Tensor) -> None:
        network = self.network
        self.weights += change["weights"]
        for p, x in zip(self.parameters, torch.from_numpy(self.weights.astype(np.float32)).split(self.sizes), strict=True):
            p.copy_(x.view_as(p))
        if self.apart:
            self.out += change["out"]
            network.output.weight.copy_(torch.from_numpy(self.out[:, :-1]))
            network.output.bias.copy_(torch.from_numpy(self.out[:, -1]))
        if network.direct is not None:
            network.direct[symbol] += torch.from_numpy(change["direct"])


class Gradient(Learner):
    """A learner that goes down the gradient of a loss.

    Args:
        loss: from net inputs of the outputs and targets, as ``network`` and ``tensors`` give them.
        descent: over the network's parameters.
        settles: whether its rate falls so far that in the end little will change.
    """

    def __init__(self, network: nn.Module, each: bool, squash: str, loss: Loss, descent: Descent, *, settles: bool):
        super().__init__(network, each, squash)
        self.loss, self.descent, self.settles = loss, descent, settles

    def lost(self) -> bool:
        return self.settles

    def learn(self, batch: Batch) -> np.ndarray:
        inputs, lengths, targets = tensors(batch, self.each)
        z = self.network(inputs, lengths)
        self.descent.step(self.loss(z, targets))
        return self.outputs(z)


def adam(network: nn.Module, each: bool, rate: float, half: float, lag: int) -> Gradient:
    """Return Adam (Kingma and Ba 2015), gradients clipped; squared error at the end, cross-entropy where every step is asked.

    The rate falls with the updates n, as rate / √(1 + n / half). A memory adds a change up over the lag, and so moves that many
    times as far: beyond ten steps all weights but the output's have a rate as many times smaller.
    """
    outside = [p for n, p in network.named_parameters() if n.startswith(("output", "direct"))]
    inside = [p for n, p in network.named_parameters() if not n.startswith(("output", "direct"))]
    rates = (rate, rate * min(1.0, LAG / lag))
    descent = Descent(
        network.parameters(),
        optimizer("adam", [{"params": outside}, {"params": inside}], rate),
        clip=LONGEST,
        rates=lambda updates: [r / (1 + updates / half) ** 0.5 for r in rates],
    )

    def squared(z: Tensor, targets: Tensor) -> Tensor:
        return ((z - targets) ** 2).sum() / 2 / len(targets)

    def entropy(z: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(z.flatten(0, 1), targets.flatten(), ignore_index=-1)

    return Gradient(network, each, *(("softmax", entropy) if each else ("none", squared)), descent, settles=True)


def plain(network: nn.Module, each: bool, rate: float) -> Gradient:
    """Return gradient descent on the squared error of logistic outputs, as in 1997; the whole gradient, unclipped."""
    descent = Descent(network.parameters(), optimizer("sgd", network.parameters(), rate, fused=False, foreach=False))

    def squared(z: Tensor, targets: Tensor) -> Tensor:
        y = z.sigmoid()
        if not each:
            return ((y - targets) ** 2).sum() / 2
        asked = (targets >= 0).unsqueeze(-1)
        return (((y - nn.functional.one_hot(targets.clamp(min=0), y.shape[-1])) ** 2) * asked).sum() / 2

    return Gradient(network, each, "logistic", squared, descent, settles=False)
