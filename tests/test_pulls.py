"""What bandit agents did with their arms: regret by hand, bandits in evaluations, the testbed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.base import Task
from eval.evaluation import modes_of, play
from eval.loop import EvaluationSeeds, Interaction
from eval.pull_plots import asymptotic_slope
from eval.pulls import PullWatch, watch_pulls
from eval.tasks import describe_task, make_envs
from eval.testbed import STUDY, TESTBED, play_policies, policies_grid, study_grid
from tests.helpers import build_agent


def watched(
    name: str, env_id: str, env_args: dict[str, Any], seeds: int = 1, episodes: int = 2, **fields: Any
) -> tuple[PullWatch, list[Any]]:
    """An evaluation of an agent that has learnt nothing before."""
    venv = make_envs(env_id, seeds * 2, env_args=env_args, workers=0)
    task, table = describe_task(env_id, venv)
    agent = build_agent(name, task, seeds, **fields)
    watch = watch_pulls(venv)
    assert watch is not None
    interaction = Interaction(
        venv, agent, seeds, EvaluationSeeds(episodes, seeds, 2), explore=modes_of(agent)["greedy"]
    )
    return watch, list(play(interaction, table, 1.0, agent, (watch,)))


@pytest.mark.parametrize("drift", [0.0, 0.3])
@pytest.mark.parametrize("env_id", ["BernoulliBandit-v0", "GaussianBandit-v0"])
def test_curves_end_in_the_regret_that_the_environment_tells(env_id: str, drift: float):
    watch, episodes = watched("ucb", env_id, {"horizon": 130, "arms": 3, "drift": drift}, seeds=2, episodes=5)
    curves = watch.curves()
    assert curves.regret.shape == (10, len(curves.steps)) and curves.means.shape == (10, 3)
    assert curves.steps[0] == 1 and curves.steps[-1] == 130
    np.testing.assert_allclose(curves.regret[:, -1], [episode.info["regret"] for episode in episodes])
    shares = curves.optimal @ np.diff(curves.steps, prepend=0) / 130
    np.testing.assert_allclose(shares, [episode.info["optimal_share"] for episode in episodes])
    np.testing.assert_allclose(curves.means, [episode.info["arm_means"] for episode in episodes])
    assert (np.diff(curves.regret, axis=1) >= -1e-12).all()


def test_bandits_learn_within_the_episodes_of_an_evaluation():
    """They find the arm that pays, although they never saw it in training."""
    for name in ("greedy", "egreedy", "ucb", "thompson"):
        _, episodes = watched(name, "BernoulliBandit-v0", {"probabilities": [0.0, 1.0], "horizon": 300})
        assert len(episodes) == 2
        assert all(episode.info["optimal_share"] > 0.8 for episode in episodes), name


def test_tables_and_fixed_policies_do_not_learn_while_they_are_evaluated():
    task = Task(**describe_task("GridWorld-v0", make_envs("GridWorld-v0", 1, env_args={}))[0].__dict__)
    for name in ("qtable", "sarsa", "random"):
        assert modes_of(build_agent(name, task, 1)) == {"greedy": False, "stochastic": True}
    venv = make_envs("GridWorld-v0", 2, env_args={}, workers=0)
    _, table = describe_task("GridWorld-v0", venv)
    agent: Any = build_agent("qtable", task, 1)
    list(play(Interaction(venv, agent, 1, EvaluationSeeds(2, 1, 2), explore=True), table, 1.0, agent))
    assert int(agent.visits.sum()) == 0
    assert watch_pulls(venv) is None


def test_the_asymptotic_slope_is_that_of_the_arms_or_the_median_of_several():
    watch, _ = watched("random", "BernoulliBandit-v0", {"probabilities": [0.9, 0.4], "horizon": 3})
    found = asymptotic_slope(watch.curves())
    assert found is not None
    divergence = 0.4 * np.log(0.4 / 0.9) + 0.6 * np.log(0.6 / 0.1)
    assert found[0] == pytest.approx(0.5 / divergence) and "median" not in found[1]
    watch, _ = watched("random", "BernoulliBandit-v0", {"horizon": 3})
    assert "median" in (asymptotic_slope(watch.curves()) or (0, ""))[1]
    watch, _ = watched("random", "BernoulliBandit-v0", {"horizon": 3, "drift": 0.1})
    assert asymptotic_slope(watch.curves()) is None


def test_the_testbed_is_the_books():
    """300 runs: average rewards of figure 2.2 after 1,000 steps within 0.12, shares of the best arm within 0.1."""
    policies = {label: TESTBED[label] for label in ("epsilon 0", "epsilon 0.1", "random")}
    played = play_policies(policies, "GaussianBandit-v0", {}, runs=300, steps=1000, seed=0)
    for label, reward, share in (("epsilon 0", 1.0, 0.36), ("epsilon 0.1", 1.37, 0.8), ("random", 0.0, 0.1)):
        assert abs(played[label].reward[-100:].mean() - reward) < 0.12, label
        assert abs(played[label].optimal[-100:].mean() - share) < 0.1, label
    grid = policies_grid(played)
    assert [row[0] for row in grid.rows] == list(policies)


def test_all_policies_of_the_testbed_have_the_same_arms():
    played = play_policies(
        {label: TESTBED[label] for label in ("UCB c = 2", "Thompson")}, "GaussianBandit-v0", {}, 5, 20, seed=3
    )
    one, two = played.values()
    np.testing.assert_array_equal(one.pulls.means, two.pulls.means)
    assert len(np.unique(one.pulls.means[:, 0])) == 5


def test_regret_grows_like_log_t_for_thompson_and_like_t_for_epsilon():
    policies = {label: STUDY[label] for label in ("Thompson", "epsilon 0.1")}
    played = play_policies(
        policies, "BernoulliBandit-v0", {"probabilities": (0.9, 0.4, 0.4, 0.4, 0.4)}, runs=60, steps=3000, seed=0
    )
    growth = {row[0]: row[6] for row in study_grid("favourable", played).rows}
    assert growth == {"Thompson": "log T", "epsilon 0.1": "T"}
