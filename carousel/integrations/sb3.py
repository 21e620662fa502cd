"""Any cell in the policies of RecurrentPPO (``sb3-contrib``): pip install carousel-rnn[rl]."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from carousel.cells import fed_alone
from carousel.equations import Cell
from carousel.layers import Recurrent

Pair = tuple[Tensor, Tensor]


class Memory(nn.Module):
    """A ``Recurrent`` whose states are two tensors of one size, as RecurrentPPO stores them.

    The states of a cell are laid beside each other and cut in the middle: those of an LSTM are its message and its memory, as
    they were; where they do not fill two halves, zeros do.

    Args:
        layer: any layer that reads forwards in time, with the time first.
    """

    def __init__(self, layer: Recurrent):
        super().__init__()
        layer.layout.check_even("stable-baselines3")
        self.layer = layer
        self.input_size, self.num_layers = layer.input_size, layer.num_layers
        with torch.no_grad():
            states = layer(torch.zeros(1, 1, layer.input_size))[1]
        self.single = isinstance(states, Tensor)
        self.widths = [s.shape[2] for s in ((states,) if isinstance(states, Tensor) else states)]
        self.hidden_size = -(-sum(self.widths) // 2)  # RecurrentPPO makes room for two of these

    def forward(self, x: Tensor, pair: Pair, starts: Tensor) -> tuple[Tensor, Pair]:
        """Run sequences, in one call whatever episodes begin in them.

        Args:
            x: (T, B, input_size).
            pair: the states before, two of (num_layers, B, hidden_size).
            starts: (T, B) boolean, where an episode begins.

        Returns:
            The outputs, (T, B, output_size), and the states after.
        """
        states = torch.cat(pair, 2)[..., : sum(self.widths)].split(self.widths, 2)
        hx = tuple(s.contiguous() for s in states)
        output, after = self.layer(x, hx[0] if self.single else hx, resets=starts)
        joined = torch.cat((after,) if self.single else after, 2)
        joined = nn.functional.pad(joined, (0, 2 * self.hidden_size - sum(self.widths)))
        first, second = joined.split(self.hidden_size, 2)
        return output, (first, second)


class RecurrentPolicy(RecurrentActorCriticPolicy):
    """The policy of RecurrentPPO with any cell in place of the LSTM.

    ``RecurrentPPO(RecurrentPolicy, env, policy_kwargs={"cell": "lstm-v3", "lstm_hidden_size": 64})``. Images and dictionaries
    need their extractor: ``features_extractor_class=NatureCNN`` or ``CombinedExtractor``.

    Args:
        observation_space, action_space, lr_schedule: as sb3-contrib gives them.
        cell: a cell, or the name of one.
        lstm_hidden_size: units of a layer.
        n_lstm_layers: layers on top of one another.
        shared_lstm: the critic reads the actor's outputs, and sends no gradient there.
        enable_critic_lstm: the critic has layers of its own.
        lstm_kwargs: further arguments of :class:`~carousel.layers.Recurrent`, such as ``proj_size`` or ``learned_initial``.
        how: all else that ``sb3_contrib``'s ``RecurrentActorCriticPolicy`` takes.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        *given: Any,
        cell: str | Cell = "lstm",
        lstm_hidden_size: int = 256,
        n_lstm_layers: int = 1,
        shared_lstm: bool = False,
        enable_critic_lstm: bool = True,
        lstm_kwargs: dict[str, Any] | None = None,
        **how: Any,
    ):
        def memory(inputs: int) -> Memory:
            return Memory(Recurrent(fed_alone(cell), inputs, lstm_hidden_size, n_lstm_layers, **(lstm_kwargs or {})))

        # The networks behind the layer are as wide as what it gives, so they are made with that size; the rest is made anew.
        output_size = memory(lstm_hidden_size).layer.output_size
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            *given,
            lstm_hidden_size=output_size,
            shared_lstm=shared_lstm,
            enable_critic_lstm=enable_critic_lstm,
            **how,
        )
        self.made_of = {
            "cell": cell,
            "lstm_hidden_size": lstm_hidden_size,
            "n_lstm_layers": n_lstm_layers,
            "shared_lstm": shared_lstm,
            "enable_critic_lstm": enable_critic_lstm,
            "lstm_kwargs": lstm_kwargs,
        }
        self.lstm_actor = memory(self.features_dim)
        if enable_critic_lstm:
            self.lstm_critic = memory(self.features_dim)
        self.lstm_hidden_state_shape = (n_lstm_layers, 1, self.lstm_actor.hidden_size)
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    @staticmethod
    def _process_sequence(features: Tensor, lstm_states: Pair, episode_starts: Tensor, lstm: Memory) -> tuple[Tensor, Pair]:
        """Do what the method does that it replaces, which takes a step at a time where an episode begins."""
        rows = lstm_states[0].shape[1]
        x = features.reshape(rows, -1, lstm.input_size).swapaxes(0, 1)
        starts = episode_starts.reshape(rows, -1).swapaxes(0, 1) > 0
        output, after = lstm(x, lstm_states, starts)
        return output.transpose(0, 1).flatten(0, 1), after

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | self.made_of
