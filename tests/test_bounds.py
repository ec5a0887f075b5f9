"""What is within reach: actions and values."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.base import Task
from agents.bounds import ActionBounds, ValueBounds
from agents.registry import find_agent
from tests.helpers import CPU

SPACE = gym.spaces.Box(np.array([[-2.0, 0.0]], np.float32), np.array([[2.0, 10.0]], np.float32))


def test_actions_fill_their_space():
    bounds = ActionBounds(SPACE, CPU)
    action = torch.tensor([[[-1.0, -1.0], [0.5, 0.5], [1.0, 1.0]]])  # [S=1, E=3, D=2]
    scaled = bounds.to_space(action)
    assert scaled.tolist() == [[[[-2.0, 0.0]], [[1.0, 7.5]], [[2.0, 10.0]]]]
    assert torch.equal(bounds.from_space(torch.as_tensor(scaled)), action)


def test_rounding_never_leaves_the_space():
    rng = np.random.default_rng(0)
    low = rng.normal(size=50).astype(np.float32)
    space = gym.spaces.Box(low, low + rng.exponential(size=50).astype(np.float32))
    for edge in (-1.0, 1.0):
        assert space.contains(ActionBounds(space, CPU).to_space(torch.full((1, 1, 50), edge))[0, 0])


def test_doubles_stay_doubles():
    space = gym.spaces.Box(-3.0, 3.0, (1,), np.float64)
    assert space.contains(ActionBounds(space, CPU).to_space(torch.ones(1, 1, 1))[0, 0])


@pytest.mark.parametrize("agent", ["ddpg", "naf"])
@pytest.mark.parametrize(
    ("space", "told"),
    [
        (gym.spaces.Box(-np.inf, np.inf, (2,), np.float32), "has no bounds"),
        (gym.spaces.Box(np.array([0.0, -np.inf]), np.ones(2), dtype=np.float64), "has no bounds"),
        (gym.spaces.Box(np.array([0.0, 1.0]), np.ones(2), dtype=np.float64), "expected low < high"),
        (gym.spaces.Box(0, 9, (2,), np.int64), "expected a Box of real numbers"),
        (gym.spaces.Discrete(3), "expected a Box of real numbers"),
    ],
)
def test_other_action_spaces_are_refused_in_one_line(agent: str, space: gym.Space, told: str):
    task = Task(observation_space=gym.spaces.Box(-1, 1, (3,)), action_space=space)
    with pytest.raises(ValueError, match=rf"^[^\n]*{told}[^\n]*$"):
        find_agent(agent).check_task(task)


def test_values_are_held_within_what_rewards_allow_for_each_seed():
    bounds = ValueBounds(0.75, 2, CPU)
    bounds.observe(np.array([[1.0, 2.0, 0.5], [-1.0, 0.0, 0.0]]))  # [S=2, E=3]
    bounds.observe(np.array([[1.5, 1.0, 0.5], [-3.0, 0.0, -1.0]]))
    value = torch.tensor([[-1.0, 3.0, 7.0, 9.0]] * 2)
    # Seed 0: 0 to 2 / (1 - 0.75); seed 1: -3 / (1 - 0.75) to 0.
    assert bounds.clamp(value).tolist() == [[0.0, 3.0, 7.0, 8.0], [-1.0, 0.0, 0.0, 0.0]]


def test_values_are_counted_in_the_size_of_a_return_of_independent_rewards():
    bounds = ValueBounds(0.75, 2, CPU)
    bounds.observe(np.array([[2.0, -2.0, 0.0], [0.0, 0.0, 0.0]]))  # [S=2, E=3]
    bounds.observe(np.array([[4.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    # Mean square 24 / 6, horizon 4; the other seed has not seen a reward.
    np.testing.assert_allclose(bounds.unit, [[4.0], [1.0]])


def test_without_discount_values_have_no_bound_but_a_unit():
    bounds = ValueBounds(1.0, 1, CPU)
    assert bounds.unit.item() == 1  # before any reward
    bounds.observe(np.array([[0.5, -0.25]]))
    assert bounds.clamp(torch.tensor([[1e6]])).item() == 1e6
    assert 0.5 < bounds.unit.item() < np.inf
