"""Hand-made rules do what they say."""

import gymnasium as gym
import numpy as np
import pytest

from agents.base import Task
from agents.registry import find_agent
from tests.helpers import build_agent

POLE = Task(
    observation_space=gym.make("CartPole-v1").observation_space,
    action_space=gym.spaces.Discrete(2),
    action_names=("left", "right"),
)


def test_left_right_pushes_to_the_side_that_the_pole_falls_to():
    obs = np.array([[[0, 0, 0.1, -1.0], [0, 0, -0.1, 1.0]]], np.float32)  # leaning, but rising
    first = np.zeros((1, 2), bool)
    assert build_agent("left-right", POLE, 1).act(obs, first, explore=False).tolist() == [[1, 0]]
    ahead = build_agent("left-right", POLE, 1, lookahead=0.2)
    assert ahead.act(obs, first, explore=False).tolist() == [[0, 1]]


@pytest.mark.parametrize(("env_id", "names"), [("Acrobot-v1", ("left", "right")), ("CartPole-v1", ("up", "down"))])
def test_left_right_is_for_the_classic_pole_only(env_id: str, names: tuple[str, ...]):
    task = Task(
        observation_space=gym.make(env_id).observation_space,
        action_space=gym.spaces.Discrete(2),
        action_names=names,
    )
    with pytest.raises(ValueError, match="expected Gymnasium's CartPole"):
        find_agent("left-right").check_task(task)
