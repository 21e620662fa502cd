"""The measurement of reinforcement learning runs, and counts what it says."""

import pytest

pytest.importorskip("sb3_contrib", reason="REINFORCEMENT LEARNING IS NOT TESTED: sb3-contrib is not installed")

from carousel.bench import rl


def test_every_way_learns_the_same_frames():
    rows = rl.measure(["gru"], steps=1, seeds=1)
    assert [r["way"] for r in rows] == [rl.THEIRS, "gru"]
    for r in rows:
        assert r["frames"] == 4 * rl.SETTINGS["n_steps"] * rl.ENVIRONMENTS
        assert r["update"] > r["overall"] > 0 and r["curve"][-1][0] == r["frames"]
    assert rl.draw(rows).axes[0].get_title(loc="left")


def test_a_learning_rate_falls_over_the_whole_run_and_not_over_each_piece():
    learner = rl._Learner("gru", 2048, 0)
    rates = []
    for _ in range(2):
        learner.learn(1024)
        rates.append(learner.model.policy.optimizer.param_groups[0]["lr"])
    assert 0.5e-3 <= rates[0] < 0.7e-3 and rates[1] < 0.2e-3


def test_velocities_are_not_seen():
    env = rl._environment()
    assert env.reset(seed=0)[0].shape == (2,) == env.observation_space.shape
