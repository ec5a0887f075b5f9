"""Contracts that every agent in the registry keeps, on every kind of task that it fits."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from agents.base import Task
from agents.registry import AGENTS, find_agent
from tests.helpers import build_agent, flat_state, random_step

TASKS = {
    "numbers": Task(
        observation_space=gym.spaces.Box(-1, 1, (3,), np.float32), action_space=gym.spaces.Discrete(4), idle_action=0
    ),
    "poses": Task(
        observation_space=gym.spaces.Box(-1000, 1000, (2, 2, 7), np.float32),
        action_space=gym.spaces.Discrete(5),
        idle_action=0,
    ),
    "poses, continuous": Task(
        observation_space=gym.spaces.Box(-1000, 1000, (2, 2, 7), np.float32),
        action_space=gym.spaces.Box(-1, 1, (2,), np.float32),
        idle_action=0,
    ),
    "pixels": Task(
        observation_space=gym.spaces.Box(0, 255, (40, 38, 3), np.uint8), action_space=gym.spaces.Discrete(3)
    ),
    "states": Task(observation_space=gym.spaces.Discrete(6), action_space=gym.spaces.Discrete(2, start=1)),
    "pairs": Task(observation_space=gym.spaces.MultiDiscrete([3, 2]), action_space=gym.spaces.Discrete(3)),
    "arms": Task(observation_space=gym.spaces.Discrete(1), action_space=gym.spaces.Discrete(4)),
    "classic pole": Task(
        observation_space=gym.make("CartPole-v1").observation_space,
        action_space=gym.spaces.Discrete(2),
        action_names=("left", "right"),
    ),
}
SMALL: dict[str, dict[str, Any]] = {
    "dqn": {"learning_starts": 12, "batch_size": 8, "memory_size": 200, "hidden": (8,), "target_interval": 3},
    "ddpg": {"learning_starts": 12, "batch_size": 8, "memory_size": 200, "hidden": (8,), "noise": "ornstein-uhlenbeck"},
    "naf": {"learning_starts": 12, "batch_size": 8, "memory_size": 200, "hidden": (8,), "noise": "ornstein-uhlenbeck"},
    "reinforce": {"hidden": (8,), "episode_limit": 6, "value_steps": 2},
    "reinforce, steps": {
        "hidden": (8,),
        "batch_steps": 6,
        "passes": 4,
        "minibatch": 2,
        "max_kl": 1e-5,
        "value_steps": 2,
    },
    "sb3-dqn": {"learning_starts": 12, "batch_size": 8, "memory_size": 200, "hidden": (8,), "target_interval": 6},
    "sb3-ddpg": {"learning_starts": 12, "batch_size": 8, "memory_size": 200, "hidden": (8,)},
    "sb3-ppo": {"rollout_steps": 26, "batch_size": 8, "epochs": 2, "hidden": (8,)},
    "sb3-sac": {"learning_starts": 12, "batch_size": 8, "memory_size": 200, "hidden": (8,)},
}
"""Settings that make an agent learn within a few steps; after a comma follows what is special about some."""


def agent_of(name: str) -> str:
    return name.partition(",")[0]


def make_small(name: str, task: Task, seeds: int) -> Any:
    """An agent with such settings."""
    return build_agent(agent_of(name), task, seeds, **SMALL.get(name, {}))


def fitting(names: Iterable[str] = AGENTS) -> list[Any]:
    """Agents, each with every task that it fits."""
    cases = []
    for name in names:
        for kind, task in TASKS.items():
            try:
                find_agent(agent_of(name)).check_task(task)
            except ValueError:
                continue
            cases.append(pytest.param(name, Task(**{**task.__dict__, "envs": 2}), id=f"{name} on {kind}"))
    return cases


CASES = fitting(dict.fromkeys([*AGENTS, *SMALL]))


def drive(name: str, task: Task, seeds: int, steps: int, spoil: bool = False) -> Any:
    """An agent that has lived through random steps; with `spoil`, seed 0 through other ones."""
    agent = make_small(name, task, seeds)
    _live(agent, task, seeds, steps, 0, spoil)
    return agent


def _live(agent: Any, task: Task, seeds: int, steps: int, start: int, spoil: bool = False) -> None:
    for index in range(start, start + steps):
        step = random_step(task, seeds, np.random.default_rng([7, index]))
        other = random_step(task, seeds, np.random.default_rng([8, index]))
        if spoil:
            for field in ("obs", "action", "reward", "next_obs"):
                getattr(step, field)[0] = getattr(other, field)[0]
        agent.act(step.obs, step.first, explore=True)
        agent.observe(step)
        agent.update()


@pytest.mark.parametrize(("name", "task"), CASES)
def test_actions_are_members_of_their_space(name: str, task: Task):
    agent = drive(name, task, 3, 12)
    step = random_step(task, 3, np.random.default_rng(1))
    for explore in (True, False):
        for _ in range(5):
            action = agent.act(step.obs, step.first, explore=explore)
            assert action.shape[:2] == (3, 2)
            for one in action.reshape(6, *action.shape[2:]):
                member = np.int64(one) if isinstance(task.action_space, gym.spaces.Discrete) else one
                assert task.action_space.contains(member)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_seeds_never_mix(name: str, task: Task):
    """What happens to seed 0 changes not one bit of seed 1."""
    plain, spoilt = (flat_state(drive(name, task, 2, 40, spoil=spoil).state_dict()) for spoil in (False, True))
    differs = False
    for key, value in plain.items():
        seeds = _seed_axis(key, value, task)
        if seeds is None:
            np.testing.assert_array_equal(value, spoilt[key], err_msg=key)
            continue
        np.testing.assert_array_equal(seeds(value)[1], seeds(spoilt[key])[1], err_msg=key)
        differs |= not np.array_equal(seeds(value)[0], seeds(spoilt[key])[0])
    assert differs or not find_agent(agent_of(name)).learns  # else the test would compare nothing


def _seed_axis(key: str, value: np.ndarray, task: Task) -> Any:
    """How to find the seeds of an entry of a state: by its first axis, or the columns of a replay memory."""
    columns = 2 * task.envs
    if "/ring/" in key:
        return lambda array: np.moveaxis(array, 1, 0).reshape(2, task.envs, *np.delete(array.shape, 1))
    if "/memory/" in key and value.shape == (columns,):
        return lambda array: array.reshape(2, task.envs)
    return (lambda array: array) if value.ndim and len(value) == 2 else None


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_restored_agent_goes_on_to_the_bit(name: str, task: Task):
    whole = drive(name, task, 2, 40)
    half = drive(name, task, 2, 20)
    fresh = make_small(name, task, 2)
    fresh.load_state_dict(half.state_dict())
    _live(fresh, task, 2, 20, 20)
    expected, found = flat_state(whole.state_dict()), flat_state(fresh.state_dict())
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(value, found[key], err_msg=key)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_poisoned_global_generators_change_nothing(name: str, task: Task):
    import random

    import torch

    states = []
    for poison in (1, 2):
        random.seed(poison)
        np.random.seed(poison)  # noqa: NPY002 - the poison
        torch.manual_seed(poison)
        states.append(flat_state(drive(name, task, 2, 25).state_dict()))
    for key, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][key], err_msg=key)


@pytest.mark.parametrize("name", AGENTS)
def test_agents_refuse_what_does_not_fit_in_one_line(name: str):
    impossible = Task(observation_space=gym.spaces.Text(3), action_space=gym.spaces.Text(3))
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        find_agent(name).check_task(impossible)


def test_an_unknown_agent_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'dqn'"):
        find_agent("dqnn")


@pytest.mark.parametrize("name", AGENTS)
def test_fields_that_are_true_or_false_are_nothing_else(name: str):
    config_class = find_agent(name).config_class()
    for field in dataclasses.fields(config_class):
        if isinstance(field.default, bool):
            with pytest.raises(ValueError, match=rf"^{field.name} is 'no'; expected true or false$"):
                config_class(**{field.name: "no"})
