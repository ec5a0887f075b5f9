"""Warnings of collapse: on real episodes of policies that have and that have not, and since when in training."""

import io
import re
from collections import Counter
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from agents.base import Fixed
from eval.collapse import collapse_check, collapse_history
from eval.episodes import Episode
from eval.evaluation import play
from eval.loop import EvaluationSeeds, Interaction
from eval.report import proportions
from eval.tasks import describe_task, make_envs
from tests.helpers import build_agent
from train.panel import RECENT, TrainingPanel

EPISODES = 60


class Drawing(Fixed):
    """Draws its actions with fixed chances [A]: columns, or the continuous actions [A, D] that stand for them."""

    def __init__(self, chances: list[float], actions: list[list[float]] | None = None):
        self.chances, self.actions, self.rng = chances, actions, np.random.default_rng(0)

    def act(self, obs: NDArray[Any], first: NDArray[np.bool_], *, explore: bool) -> NDArray[Any]:
        drawn = self.rng.choice(len(self.chances), size=first.shape, p=self.chances)
        return drawn if self.actions is None else np.array(self.actions, np.float32)[drawn]


def warnings_on_episodes(env_id: str, agent: Any) -> list[str]:
    """What is told of an agent, or of a baseline by its name, after real episodes."""
    venv = make_envs(env_id, 20, env_args={"world": "batched"} if "CartPole3D" in env_id else {}, workers=0)
    task, table = describe_task(env_id, venv)
    agent = build_agent(agent, task, 1) if isinstance(agent, str) else agent
    episodes = list(
        play(Interaction(venv, agent, 1, EvaluationSeeds(EPISODES, 1, 20), explore=True), table, 1.0, agent)
    )
    venv.close()
    assert len(episodes) == EPISODES
    return collapse_check(task, table.names)(proportions(episodes, len(table.names)))


def test_a_policy_that_does_nothing_in_80_percent_of_steps_is_told_of():
    (text,) = warnings_on_episodes("CartPole3D-v0", Drawing([0.8, 0.05, 0.05, 0.05, 0.05]))
    assert text.startswith("collapsed onto 'stop': ")
    soft = Drawing([0.8, 0.05, 0.05, 0.05, 0.05], [[0, 0], [-0.3, 0], [0.3, 0], [0, 0.3], [0, -0.3]])
    (text,) = warnings_on_episodes("CartPole3DContinuous-v0", soft)
    assert text.startswith("collapsed onto 'stop': ")


def test_a_policy_that_never_turns_left_is_told_of():
    (text,) = warnings_on_episodes("DriveBot-v0", Drawing([0.6, 0.0, 0.4]))
    assert text == "hardly ever takes 'left': 0.00% of all actions"
    (text,) = warnings_on_episodes("CartPole3D-v0", Drawing([0.25, 0.0, 0.25, 0.25, 0.25]))
    assert text.startswith("hardly ever takes 'left'")


@pytest.mark.parametrize("agent", ["linear", "random"])
@pytest.mark.parametrize("env_id", ["CartPole3D-v0", "CartPole3DContinuous-v0"])
def test_the_linear_controller_and_random_have_no_warning(env_id: str, agent: str):
    assert warnings_on_episodes(env_id, agent) == []


def test_a_bandit_may_collapse_onto_its_best_arm():
    venv = make_envs("BernoulliBandit-v0", 1, env_args={"arms": 3}, workers=0)
    task, table = describe_task("BernoulliBandit-v0", venv)
    assert collapse_check(task, table.names)([1.0, 0.0, 0.0]) == []


def test_history_tells_since_when():
    def check(shares: Any) -> list[str]:
        return [f"collapsed onto 'right': {shares[1]:.0%}"] if shares[1] > 0.9 else []

    shares = [[0.02, 0.98], [0.5, 0.5], [0.3, 0.7], [0.05, 0.95], [0.01, 0.99]]
    steps = [100, 200, 300, 400, 500]
    (text,) = collapse_history(check, shares, steps)
    assert text == "collapsed onto 'right': 99% lately; so it has been since about step 300"
    assert collapse_history(check, shares[:3], steps[:3]) == []
    assert collapse_history(check, shares[3:], steps[3:])[0].endswith("from the start")
    assert collapse_history(check, [], []) == []


def finished(seed: int, counts: tuple[int, int, int]) -> Episode:
    return Episode(
        seed=seed, number=0, end_step=9, length=sum(counts), total_reward=1.0, discounted_return=1.0, terminated=True,
        action_counts=counts, action_rewards=Counter(),
    )  # fmt: skip


@pytest.mark.parametrize("terminal", [False, True])
def test_training_warns_while_it_lasts_and_says_it_once(terminal: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("train.panel.LINE_EVERY", 0.0)
    monkeypatch.setattr("train.panel.REDRAW", 0.0)
    text = io.StringIO()
    task, table = describe_task("DriveBot-v0", venv := make_envs("DriveBot-v0", 1, env_args={}, workers=0))
    venv.close()
    assert isinstance(task.action_space, gym.spaces.Discrete)
    console = Console(file=text, width=200, force_terminal=terminal)
    with TrainingPanel(console, "title", 100, 0, table.names, 2, collapse_check(task, table.names)) as panel:
        panel.add([finished(0, (1, 1, 1))] * RECENT + [finished(1, (0, 1, 99))] * (RECENT - 1), 10, {}, 1)
        assert "collapsed" not in text.getvalue()  # too few episodes of seed 1 to say
        panel.add([finished(1, (0, 1, 99))], 20, {}, 1)
        panel.add([finished(1, (0, 1, 99))], 30, {}, 1)
    told = re.sub(r"\x1b\[[0-9;?]*\w", "", text.getvalue())  # without colours
    for text in ("seed 1, last 50 episodes at step ", "collapsed onto 'right': 99.0%"):
        assert text in told
    assert "seed 0, last" not in told
    if not terminal:
        assert told.count("collapsed onto 'right'") == 1
