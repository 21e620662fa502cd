"""Three ways to learn from a sequence: a Kalman filter over the weights, Adam, and plain gradient descent."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from carousel.tasks.problem import Batch

LONGEST = 1.0  # norm of a gradient that is not clipped
LAG = 10
LOST = 0.8  # of the targets' variance that is left unexplained


def tensors(batch: Batch, each: bool) -> tuple[Tensor, Tensor | None, Tensor]:
    """Inputs, lengths (None where every step is asked) and targets."""
    inputs, targets = (torch.from_numpy(np.ascontiguousarray(x)) for x in (batch.inputs, batch.targets))
    return inputs, None if each else torch.from_numpy(batch.lengths), targets


class Learner:
    """A network and how it learns. ``outputs`` are what the problem's criteria look at."""

    def __init__(self, network: nn.Module, each: bool, squash: str):
        self.network, self.each, self.squash = network, each, squash

    def outputs(self, z: Tensor) -> np.ndarray:
        """What the output units say: ``squash`` is "none", "logistic" or "softmax"."""
        z = z.detach()
        z = z.sigmoid() if self.squash == "logistic" else z.softmax(-1) if self.squash == "softmax" else z
        return z.numpy()

    @torch.no_grad()
    def answer(self, batch: Batch) -> np.ndarray:
        """Outputs without learning."""
        inputs, lengths, _ = tensors(batch, self.each)
        return self.outputs(self.network(inputs, lengths))

    def learn(self, batch: Batch) -> np.ndarray:
        """One update; gives the outputs as they were before it."""
        raise NotImplementedError

    def lost(self) -> bool:
        """Whether it is better to begin anew than to go on: asked when a trial's patience is at an end."""
        return False


class Kalman(Learner):
    """The extended Kalman filter as a way to learn (Singhal and Wu 1989; Puskorius and Feldkamp 1994; with an LSTM:
    Pérez-Ortiz, Gers, Eck and Schmidhuber 2003): weights are the state, a sequence's outputs the measurement.

    P, the covariance of the weights' error, holds what plain descent does not know: how far each weight, and each pair, is
    still uncertain. A sequence changes the weights by K·(target − output) with K = P·Jᵀ·(R + J·P·Jᵀ)⁻¹, J = ∂outputs/∂weights.
    R, the noise of the targets, is the running mean of the squared error. Each row of the embedding has a P of its own, all
    others have one together (the decoupled filter), so that a thousand symbols do not make a matrix of millions.

    Args:
        uncertainty: P to begin with, times the identity.
        drift: added to P's diagonal after each sequence, so that it never dies.
        least: R never falls below it. memory: of R's running mean.
    """

    def __init__(
        self,
        network: nn.Module,
        each: bool,
        *,
        uncertainty: float = 1.0,
        drift: float = 1e-5,
        least: float = 1e-4,
        memory: float = 0.99,
        longest: float = 1.0,
        only_end: bool = False,
    ):
        super().__init__(network, each, "softmax" if each else "none")
        self.drift, self.least, self.memory, self.longest, self.noise = drift, least, memory, longest, 0.1
        self.seen: list[np.ndarray] = []
        self.only_end = only_end
        symbols = getattr(network, "embedding", None)
        self.parameters = [p for p in network.parameters() if p is not symbols]
        self.sizes = [p.numel() for p in self.parameters]
        self.weights = np.concatenate([p.detach().double().numpy().ravel() for p in self.parameters])
        self.covariance = np.eye(len(self.weights)) * uncertainty
        self.symbols = symbols
        if symbols is not None:
            count, size = symbols.shape
            self.table = symbols.detach().double().numpy().copy()
            self.table_covariance = np.broadcast_to(np.eye(size) * uncertainty, (count, size, size)).copy()
            self.parameters.append(symbols)

    def learn(self, batch: Batch) -> np.ndarray:
        return np.concatenate([self._learn(batch.rows(k, k + 1)) for k in range(len(batch))], axis=1 if self.each else 0)

    def _learn(self, one: Batch) -> np.ndarray:
        inputs, lengths, targets = tensors(one, self.each)
        z = self.network(inputs, lengths)
        if self.each:
            last = -1 if self.only_end else 0
            surprise = nn.functional.cross_entropy(
                z[last:].flatten(0, 1), targets[last:].flatten(), ignore_index=-1, reduction="sum"
            )
            self._update(surprise.unsqueeze(0), -np.ones(1), 1.0)
        else:
            innovation = (targets - z.detach())[0].double().numpy()
            self.seen.append(targets[0].double().numpy())
            self.noise = max(self.least, self.memory * self.noise + (1 - self.memory) * float((innovation**2).mean()))
            self._update(z[0], innovation, self.noise)
        return self.outputs(z)

    def lost(self) -> bool:
        """What was learnt explains next to nothing of the targets."""
        return bool(self.seen) and self.noise > LOST * float(np.stack(self.seen).var(axis=0).mean())

    def _update(self, z: Tensor, innovation: np.ndarray, noise: float) -> None:
        count, split = len(z), len(self.sizes)
        rows = [torch.autograd.grad(z[k], self.parameters, retain_graph=k < count - 1) for k in range(count)]
        jacobian = np.stack([np.concatenate([g.numpy().ravel() for g in row[:split]]) for row in rows]).astype(np.float64)
        if not np.isfinite(jacobian).all() or not np.isfinite(innovation).all():
            return  # the sequence counts, but says nothing
        spread = self.covariance @ jacobian.T
        total = noise * np.eye(count) + jacobian @ spread
        if self.symbols is not None:
            of_table = np.stack([row[split].numpy() for row in rows], axis=2).astype(np.float64)  # symbols, size, outputs
            spread_table = self.table_covariance @ of_table
            total += np.tensordot(of_table, spread_table, ((0, 1), (0, 1)))
        inverse = np.linalg.inv(total)
        gain = spread @ inverse
        change = gain @ innovation
        length = float(change @ change)
        if self.symbols is not None:
            gain_table = spread_table @ inverse
            change_table = gain_table @ innovation
            length += float((change_table**2).sum())
        shorter = min(1.0, self.longest / max(length**0.5, 1e-30))
        self.weights += shorter * change
        # (I − KJ)·P·(I − KJ)ᵀ + K·R·Kᵀ (Joseph's form): P stays positive whatever is rounded away. What the table does not
        # know would belong to R as well; left out, P falls a little faster than it should.
        self.covariance -= gain @ spread.T
        self.covariance += (noise * gain - self.covariance @ jacobian.T) @ gain.T
        self.covariance.flat[:: len(self.weights) + 1] += self.drift
        if self.symbols is not None:
            self.table += shorter * change_table
            self.table_covariance -= gain_table @ spread_table.transpose(0, 2, 1)
            self.table_covariance += self.drift * np.eye(self.table.shape[1])
        self._write()

    @torch.no_grad()
    def _write(self) -> None:
        new = torch.from_numpy(self.weights.astype(np.float32))
        for p, x in zip(self.parameters, new.split(self.sizes), strict=False):
            p.copy_(x.view_as(p))
        if self.symbols is not None:
            self.symbols.copy_(torch.from_numpy(self.table))


class Adam(Learner):
    """Adam (Kingma and Ba 2015), gradients clipped; squared error after the end, cross-entropy where every step is asked.

    The rate falls with the updates n, as rate / √(1 + n / half). What a memory adds up over the lag moves it that many times
    over: beyond ten steps all weights but the output's have a rate as many times smaller.
    """

    def __init__(self, network: nn.Module, each: bool, rate: float, half: float, lag: int, only_end: bool = False):
        super().__init__(network, each, "softmax" if each else "none")
        self.parameters, self.half, self.updates, self.only_end = list(network.parameters()), half, 0, only_end
        outside = [p for n, p in network.named_parameters() if n.startswith(("output", "direct"))]
        inside = [p for n, p in network.named_parameters() if not n.startswith(("output", "direct"))]
        self.rates = (rate, rate * min(1.0, LAG / lag))
        self.optimizer = torch.optim.Adam([{"params": outside}, {"params": inside}], lr=rate, fused=True)

    def lost(self) -> bool:
        """The rate has fallen so far that little will change."""
        return True

    def learn(self, batch: Batch) -> np.ndarray:
        inputs, lengths, targets = tensors(batch, self.each)
        z = self.network(inputs, lengths)
        if self.each:
            last = -1 if self.only_end else 0  # sequences of 2b have one length
            loss = nn.functional.cross_entropy(z[last:].flatten(0, 1), targets[last:].flatten(), ignore_index=-1)
        else:
            loss = ((z - targets) ** 2).sum() / 2 / len(batch)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, LONGEST)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate / (1 + self.updates / self.half) ** 0.5
        self.updates += 1
        self.optimizer.step()
        return self.outputs(z)


class Descent(Learner):
    """Gradient descent on the squared error of logistic outputs, as in 1997; every sequence's whole gradient, unclipped."""

    def __init__(self, network: nn.Module, each: bool, rate: float):
        super().__init__(network, each, "logistic")
        self.rate, self.parameters = rate, list(network.parameters())

    def learn(self, batch: Batch) -> np.ndarray:
        inputs, lengths, targets = tensors(batch, self.each)
        z = self.network(inputs, lengths)
        y = z.sigmoid()
        wanted: Any = targets
        if self.each:
            asked = (targets >= 0).unsqueeze(-1)
            wanted = nn.functional.one_hot(targets.clamp(min=0), y.shape[-1])
            loss = (((y - wanted) ** 2) * asked).sum() / 2
        else:
            loss = ((y - wanted) ** 2).sum() / 2
        gradients = torch.autograd.grad(loss, self.parameters)
        with torch.no_grad():
            for p, g in zip(self.parameters, gradients, strict=True):
                p.add_(g, alpha=-self.rate)
        return self.outputs(z)
