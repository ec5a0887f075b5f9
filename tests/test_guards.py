"""What every agent is guarded against: numbers that are none, time limits taken for ends, memory that does not fit."""

from __future__ import annotations

import dataclasses
import json
from itertools import islice
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import VectorEnv

from agents.base import Agent, Task
from agents.exploration import NO_ACTION, epsilon_greedy, greedy, sample
from agents.finite import NonFiniteError, check_finite
from agents.registry import AGENTS
from agents.streams import SeedStreams
from eval.checkpoint import list_checkpoints, load_checkpoint
from eval.loop import Interaction
from tests.helpers import CPU, build_agent, flat_state, random_step, seeds_of
from tests.test_agents import SMALL, fitting
from train.__main__ import main

LEARNERS = [case for case in fitting() if AGENTS[case.values[0]].learns]
SEEDS = 2


class Scenes:
    """Made-up steps of a task that never depend on what is done, and what is then known of the agent."""

    def __init__(self, task: Task, agent: Agent):
        self.task, self.agent, self.sent = task, agent, 0
        self.num_envs = SEEDS * task.envs
        self.single_action_space = task.action_space

    def reset(self, *, seed: Any, options: Any) -> tuple[np.ndarray, dict[str, Any]]:
        return self._next().obs.reshape(self.num_envs, *self.task.observation_space.shape or ()), {}

    def step_async(self, actions: np.ndarray) -> None:
        self.sent += 1
        for tensors in self.agent.watched().values():
            for values in tensors.values():
                assert all(part.isfinite().all() for part in values), "an action was sent after the fault"

    def step_wait(self) -> tuple[Any, ...]:
        step = self._next()
        flat = [getattr(step, name) for name in ("next_obs", "reward", "terminated", "truncated")]
        return (*(array.reshape(self.num_envs, *array.shape[2:]) for array in flat), {})

    def _next(self) -> Any:
        return random_step(self.task, SEEDS, np.random.default_rng([3, self.sent]))


def learn(name: str, task: Task) -> tuple[Agent, Scenes, Any]:
    """An agent in training among made-up scenes."""
    agent = build_agent(name, task, SEEDS, **SMALL.get(name, {}))
    scenes = Scenes(task, agent)
    loop = Interaction(
        cast(VectorEnv, scenes), agent, SEEDS, lambda column, number: number, explore=True, meanwhile=agent.update
    )
    return agent, scenes, loop


@pytest.mark.parametrize(("name", "task"), LEARNERS)
def test_what_is_learnt_from_a_nan_stops_the_run_before_another_action(name: str, task: Task):
    """The loop lets no NaN through, so it is given to the agent behind the loop's back."""
    agent, scenes, loop = learn(name, task)
    with pytest.raises(NonFiniteError, match=r"^(figures|weights|statistics|estimates): .* of seed 1 is not finite"):
        for number, step in enumerate(islice(loop, 60)):
            if number >= 30:
                reward = step.reward.copy()
                reward[1] = np.nan
                step = dataclasses.replace(step, reward=reward)
            agent.observe(step)
    assert scenes.sent >= 31


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("name", "task"), LEARNERS)
def test_weights_that_are_not_finite_stop_the_run_at_once(name: str, task: Task, value: float):
    agent, scenes, loop = learn(name, task)
    steps = iter(loop)
    for step in islice(steps, 20):
        agent.observe(step)
    watched = agent.watched()
    for kind in ("weights", "estimates"):
        for tensor_name, values in list(watched.get(kind, {}).items())[::3]:
            last = tensor_name.split(".")[-1]  # the library has some under two names
            one = values[1].detach().view(-1)[:1]
            kept = one.clone()
            one.fill_(value)
            with pytest.raises(NonFiniteError, match=rf"^{kind}: \S*{last} of seed 1 is not finite"):
                check_finite(agent.watched())
            one.copy_(kept)
    sent, where = scenes.sent, next(iter(watched.get("weights", watched.get("estimates", {})).values()), None)
    if where is None:
        return  # a table: what it learns is in its figures
    where[1].detach().view(-1)[0] = value
    with pytest.raises(NonFiniteError, match="of seed 1"):
        next(steps)
    assert scenes.sent == sent


def test_every_agent_that_learns_says_what_to_watch():
    for case in LEARNERS:
        agent, _, loop = learn(*case.values)
        for step in islice(loop, 40):
            agent.observe(step)
        watched = agent.watched()
        assert watched["figures"], case.id
        for tensors in watched.values():
            for values in tensors.values():
                assert len(values) == SEEDS, case.id


def test_values_that_are_not_finite_choose_no_action():
    q = torch.tensor([[[1.0, 3.0, 2.0], [0.0, torch.nan, 1.0]], [[torch.inf, 0.0, 0.0], [2.0, 1.0, 0.0]]])  # [2, 2, 3]
    streams = SeedStreams(seeds_of(2), CPU)
    assert greedy(q).tolist() == [[1, NO_ACTION], [NO_ACTION, 0]]
    for epsilon in (0.0, 1.0):
        assert (epsilon_greedy(q, epsilon, streams) < 0).tolist() == [[False, True], [True, False]]
    probabilities = torch.tensor([[[0.0, 1.0], [torch.nan, 1.0]]]).repeat(2, 1, 1)  # [2, 2, 2]
    assert sample(probabilities, streams).tolist() == [[1, NO_ACTION]] * 2


@pytest.mark.parametrize("seed_of_fault", [0, 1])
def test_no_action_is_none_that_is_sent(seed_of_fault: int):
    task = Task(observation_space=gym.spaces.Box(-1, 1, (3,)), action_space=gym.spaces.Discrete(4, start=2), envs=2)
    agent, scenes, loop = learn("random", task)
    act = agent.act

    def spoilt(*args: Any, **options: Any) -> np.ndarray:
        action = act(*args, **options)
        if scenes.sent == 3:
            action[seed_of_fault, 1] = NO_ACTION + 2
        return action

    agent.act = spoilt
    with pytest.raises(NonFiniteError, match=f"actions of seed {seed_of_fault}, column 1 are not finite"):
        list(islice(loop, 10))
    assert scenes.sent == 3


class Rich(gym.Env[np.ndarray, Any]):
    """It pays so much, from its 40th step on, that no network can count it."""

    steps = 0

    def __init__(self, continuous: bool = False):
        self.observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32) if continuous else gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        return np.zeros(2, np.float32), 3e38 if self.steps >= 40 else 0.5, False, False, {}


gym.register("Rich-v0", Rich, max_episode_steps=7)


@pytest.mark.parametrize("name", ["dqn", "naf", "ddpg", "reinforce", "sb3-dqn", "sb3-ddpg", "sb3-sac"])
def test_a_run_whose_values_leave_all_bounds_stops_without_a_bad_checkpoint(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    continuous = "sb3-dqn dqn reinforce".find(name) < 0
    settings = {"env": "tests.test_guards:Rich-v0", "seeds": 2, "envs": 2, "workers": 0, "device": "cpu", "steps": 9999}
    small = {**SMALL.get(name, {}), **settings, "run": "r", "checkpoint-interval": 20, "check": False}
    toml = [f"{key} = {json.dumps(value)}" for key, value in small.items()]
    Path("c.toml").write_text("\n".join([*toml, f"env_args = {{continuous = {json.dumps(continuous)}}}"]))
    assert main(["train", name, "--config", "c.toml"]) == 1
    told = capfd.readouterr().err
    assert told.count("\n") == 1 and "not finite" in told, told
    saved = list_checkpoints(Path("r/checkpoints"))
    assert saved
    for path in saved:
        for key, values in flat_state(load_checkpoint(path)["agent"]["params"]).items():
            assert np.isfinite(values).all(), key
