"""What every agent is guarded against: numbers that are none, time limits taken for ends, memory that does not fit."""

from __future__ import annotations

import dataclasses
import json
import random
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
from eval.loop import Interaction, training_seeds
from eval.tasks import describe_task, make_envs
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
    watched = agent.watched()
    assert watched["figures"]
    assert all(len(values) == SEEDS for tensors in watched.values() for values in tensors.values())


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


gym.register("Rich-v0", cast(Any, Rich), max_episode_steps=7)


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


STILL = {"noise_start": 0.0, "noise_end": 0.0}
OFTEN = {"gamma": 0.5, "hidden": (16,), "learning_starts": 8, "steps_per_update": 4, "batch_size": 16, "n_step": 1}
CHAINS: dict[str, dict[str, Any]] = {
    "dqn": {**OFTEN, "lr": 0.01, "memory_size": 500, "target_tau": 0.2, "average_tau": 1.0},
    "naf": {**OFTEN, **STILL, "lr": 0.01, "memory_size": 500, "target_noise": 0.0, "target_tau": 0.2,
            "average_tau": 1.0},
    "ddpg": {**OFTEN, **STILL, "critic_lr": 0.01, "actor_lr": 1e-8, "last_scale": 0.0, "target_noise": 0.0,
             "target_tau": 0.2, "memory_size": 500, "average_tau": 1.0},
    "reinforce": {"gamma": 0.5, "hidden": (16,), "value_lr": 0.01},
    "qtable": {"gamma": 0.5, "lr": 0.5, "lr_power": 0.0},
    "sarsa": {"gamma": 0.5, "lr": 0.5, "lr_power": 0.0},
}  # fmt: skip
"""Settings for a chain of two states. Bandits look no step ahead, and Stable-Baselines3's rules are its own."""
WITHOUT_CHAIN = {"greedy", "egreedy", "ucb", "thompson", "sb3-dqn", "sb3-ddpg", "sb3-ppo", "sb3-sac"}


def test_every_agent_with_values_has_its_chain():
    assert set(CHAINS) | WITHOUT_CHAIN == {name for name, entry in AGENTS.items() if entry.learns}


@pytest.mark.parametrize("name", CHAINS)
def test_truncation_is_never_taken_for_termination(name: str):
    """gamma 0.5: Q(1) = 2, and Q(0) = 1 + 0.5 * 2 = 2, although no episode ever goes on from 0 to 1."""
    keywords = {"continuous": name in ("naf", "ddpg"), "numbered": name in ("qtable", "sarsa")}
    envs = make_envs("tests.chain_env:Chain-v0", 4, env_args=keywords, workers=0)
    task, _ = describe_task("tests.chain_env:Chain-v0", envs)
    agent: Any = build_agent(name, dataclasses.replace(task, envs=4), 1, **CHAINS[name])
    loop = Interaction(envs, agent, 1, lambda column, episode: column + episode, explore=True, meanwhile=agent.update)
    for step in islice(loop, 100 if name == "reinforce" else 700):
        agent.observe(step)
    states = np.array([[0, 1]]) if keywords["numbered"] else np.eye(2, dtype=np.float32)[None]
    np.testing.assert_allclose(agent.value(states), [[2.0, 2.0]], atol=1e-3)


HUGE: dict[str, dict[str, Any]] = {
    **{name: {"memory_size": 1_000_000_000} for name in ("dqn", "ddpg", "naf", "sb3-dqn", "sb3-ddpg", "sb3-sac")},
    "reinforce": {"episode_limit": 1_000_000_000},
    "sb3-ppo": {"rollout_steps": 1_000_000_000},
}


@pytest.mark.parametrize(("name", "task"), [case for case in LEARNERS if case.values[0] in HUGE])
def test_a_memory_that_cannot_fit_is_refused_with_the_number_of_bytes(name: str, task: Task):
    with pytest.raises(ValueError, match=r"needs? ([\d,]{14,}) bytes .* lower") as refusal:
        build_agent(name, task, 40, **HUGE[name])
    assert "\n" not in str(refusal.value)


def test_every_agent_with_a_memory_is_asked_for_too_much_of_it():
    fields = {"memory_size", "episode_limit", "rollout_steps"}
    for name, entry in AGENTS.items():
        has = fields & {field.name for field in dataclasses.fields(entry.config_class())}
        assert has == set(HUGE.get(name, {})), name


ENVS = ("CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "GaussianBandit-v0", "DriveBot-v0", "CartPole3D-v0")


@pytest.mark.parametrize("name", AGENTS)
def test_one_seed_decides_everything_and_global_generators_nothing(name: str):
    """Two runs in a real environment, before and during which the global generators are seeded otherwise."""

    def lived(poison: int) -> dict[str, np.ndarray]:
        for env_id in ENVS:
            world = {"world": "batched"} if env_id.startswith("CartPole3D") else {}
            envs = make_envs(env_id, 4, env_args=world, workers=0)
            task, _ = describe_task(env_id, envs)
            try:
                AGENTS[name].check_task(task)
            except ValueError:
                envs.close()
                continue
            agent = build_agent(name, dataclasses.replace(task, envs=2), 2, **SMALL.get(name, {}))
            loop = Interaction(envs, agent, 2, training_seeds(5, 2), explore=True, meanwhile=agent.update)
            seen = {}
            for number, step in enumerate(islice(loop, 30)):
                random.seed(poison + number)
                np.random.seed(poison + number)  # noqa: NPY002 - the poison
                torch.manual_seed(poison + number)
                agent.observe(step)
                seen |= {f"{number}/{part}": getattr(step, part) for part in ("obs", "action", "reward")}
            envs.close()
            return flat_state(agent.state_dict()) | seen
        raise AssertionError(f"no environment here fits {name}")

    one, two = lived(1), lived(1000)
    assert one.keys() == two.keys()
    for key, value in one.items():
        np.testing.assert_array_equal(value, two[key], err_msg=key)
