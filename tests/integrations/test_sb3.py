"""RecurrentPPO with our layers: the same numbers as with nn.LSTM, and any cell."""

import copy

import numpy as np
import pytest
import torch

REASON = "REINFORCEMENT LEARNING IS NOT TESTED: sb3-contrib is not installed (pip install -e .[rl])"
pytest.importorskip("sb3_contrib", reason=REASON)

# ruff: noqa: E402
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3.common.torch_layers import FlattenExtractor

from carousel.equations import cell, tanh
from carousel.integrations.sb3 import Memory, RecurrentPolicy
from carousel.layers import Recurrent, from_torch

SIZE, ROWS, STEPS = 12, 5, 7
SMALL = {"n_steps": 16, "batch_size": 32, "n_epochs": 2, "seed": 3, "device": "cpu"}


def ppo(policy, **kwargs):
    return RecurrentPPO(policy, "CartPole-v1", policy_kwargs={"lstm_hidden_size": SIZE, **kwargs}, **SMALL)


@pytest.fixture(params=["own", "shared", "none"])
def critic(request):
    """How the critic remembers."""
    return {"shared_lstm": request.param == "shared", "enable_critic_lstm": request.param == "own"}


@pytest.fixture
def both(critic):
    """Theirs, and ours with its weights."""
    theirs, ours = ppo("MlpLstmPolicy", **critic), ppo(RecurrentPolicy, cell="lstm", **critic)
    state = {k: v for k, v in theirs.policy.state_dict().items() if not k.startswith("lstm_")}
    assert not ours.policy.load_state_dict(state, strict=False).unexpected_keys
    for name in ("lstm_actor", "lstm_critic"):
        if (lstm := getattr(theirs.policy, name)) is not None:
            getattr(ours.policy, name).layer.load_state_dict(from_torch(lstm).state_dict())
    return theirs.policy, ours.policy


@pytest.fixture
def batch():
    """Observations, actions, states and episodes that begin in the middle; rows are padded as in training, row by row."""
    torch.manual_seed(0)
    states = [torch.randn(1, ROWS, SIZE) for _ in range(4)]
    starts = (torch.rand(ROWS, STEPS) < 0.25).float()
    assert starts[:, 1:].any()
    return (
        torch.randn(ROWS * STEPS, 4),
        torch.randint(2, (ROWS * STEPS,)),
        RNNStates(tuple(states[:2]), tuple(states[2:])),
        starts.flatten(),
    )


def test_in_training_values_probabilities_and_gradients_are_theirs(both, batch):
    gradients = []
    results = [policy.evaluate_actions(*batch) for policy in both]
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-6)
    for policy, (values, log_prob, entropy) in zip(both, results, strict=True):
        (values.square().sum() + (log_prob * values.detach().flatten().cos()).sum() + entropy.sum()).backward()
        gradients.append({n: p.grad for n, p in policy.named_parameters() if not n.startswith("lstm_")})
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, rtol=1e-4, atol=1e-5, msg=name)
    for name in ("lstm_actor", "lstm_critic"):
        if (lstm := getattr(both[0], name)) is not None:
            as_ours = copy.deepcopy(lstm)  # gradients go where the weights went
            with torch.no_grad():
                for p, q in zip(as_ours.parameters(), lstm.parameters(), strict=True):
                    p.copy_(torch.zeros_like(q) if q.grad is None else q.grad)
            expected = dict(from_torch(as_ours).named_parameters())
            for parameter, p in getattr(both[1], name).layer.named_parameters():
                if not parameter.startswith("b."):  # nn.LSTM has two biases, each with the gradient of ours
                    torch.testing.assert_close(p.grad, expected[parameter].data, rtol=1e-4, atol=1e-5, msg=parameter)


def test_while_acting_actions_values_and_states_are_theirs(both):
    torch.manual_seed(0)
    states = [RNNStates(*[(torch.zeros(1, 3, SIZE), torch.zeros(1, 3, SIZE))] * 2)] * 2
    for step in range(6):
        obs, starts = torch.randn(3, 4), torch.tensor([step in (0, 4), step == 2, False]).float()
        theirs, ours = (p(obs, s, starts, deterministic=True) for p, s in zip(both, states, strict=True))
        assert torch.equal(ours[0], theirs[0])
        torch.testing.assert_close(ours[1:3], theirs[1:3], rtol=1e-5, atol=1e-6)
        for a, b in zip([*ours[3].pi, *ours[3].vf], [*theirs[3].pi, *theirs[3].vf], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
        states = [theirs[3], ours[3]]
    values = [p.predict_values(obs, s.vf, starts) for p, s in zip(both, states, strict=True)]
    torch.testing.assert_close(values[1], values[0], rtol=1e-5, atol=1e-6)


def test_predictions_carry_their_state(both):
    state, told = [None, None], np.ones(1, bool)
    for _ in range(4):
        found = [p.predict(np.full((1, 4), 0.3), s, told, deterministic=True) for p, s in zip(both, state, strict=True)]
        state, told = [s for _, s in found], np.zeros(1, bool)
        assert np.array_equal(found[0][0], found[1][0])
        np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-4, atol=1e-6)


class Wide(FlattenExtractor):
    """As many features as units: the cell of three words has no weights of its own."""

    def __init__(self, space):
        super().__init__(space)
        self.project = torch.nn.Linear(4, 64)
        self._features_dim = 64

    def forward(self, observations):
        return self.project(super().forward(observations))


@cell
def three(e, m, h, n, W, b):
    """Three states of two sizes, which do not fill two halves."""
    h = tanh(W.he @ e + W.hh @ h + b.h)
    n = tanh(W.ne @ e + W.nn @ n + b.n)
    m = W.mh @ h + b.m
    return m, h, n


@pytest.mark.parametrize("given", ["lstm-v3", "lstm-v4", "gru", "clockwork", "mlp", three], ids=lambda c: getattr(c, "name", c))
def test_any_cell_learns_and_comes_back_from_a_file(given, tmp_path):
    size = 64 if given == "mlp" else SIZE
    kwargs = {"lstm_hidden_size": size}
    if given == "mlp":
        kwargs["features_extractor_class"] = Wide
    model = ppo(RecurrentPolicy, cell=given, **kwargs)
    before = [p.clone() for p in model.policy.parameters()]
    model.learn(32)
    assert any(not torch.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True))
    model.save(tmp_path / "model")
    again = RecurrentPPO.load(tmp_path / "model", device="cpu")
    obs = np.full((1, 4), 0.1, dtype=np.float32)
    a, b = (m.predict(obs, deterministic=True) for m in (model, again))
    assert np.array_equal(a[0], b[0]) and all(np.array_equal(x, y) for x, y in zip(a[1], b[1], strict=True))


def test_states_are_cut_in_two_and_joined_again():
    torch.manual_seed(0)
    layer = Recurrent(three, 3, 4, 2)
    memory = Memory(layer)
    assert memory.hidden_size * 2 >= sum(memory.widths)
    x, starts = torch.randn(6, 2, 3), torch.zeros(6, 2, dtype=torch.bool)
    pair = (torch.zeros(2, 2, memory.hidden_size),) * 2
    expected, _ = layer(x)
    first, pair = memory(x[:2], pair, starts[:2])
    second, _ = memory(x[2:], pair, starts[2:])
    torch.testing.assert_close(torch.cat([first, second]), expected)
