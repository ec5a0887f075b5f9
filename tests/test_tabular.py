"""Q-learning and SARSA with tables: rules by hand-worked numbers, collisions of columns, and that they learn."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.base import Task
from agents.planning import epsilon_soft_optimum, policy_iteration
from agents.registry import find_agent
from agents.tabular import BLOCK, TableConfig, Tabular, moved, q_learning_target, sarsa_target
from envs.gridworld import GridWorldConfig, exact_model
from eval.evaluation import play
from eval.loop import EvaluationSeeds, Interaction, agent_seeds, training_seeds
from eval.tasks import describe_task, make_envs
from tests.helpers import CPU, build_agent, flat_state, make_step, random_step

RULES = ("qtable", "sarsa")


def states_task(states: int, actions: int, envs: int = 1) -> Task:
    return Task(observation_space=gym.spaces.Discrete(states), action_space=gym.spaces.Discrete(actions), envs=envs)


def tabular(name: str, task: Task, seeds: int = 1, **fields: Any) -> Tabular:
    agent = build_agent(name, task, seeds, **fields)
    assert isinstance(agent, Tabular)
    return agent


def trained(
    name: str, env_id: str, steps: int, seeds: int, envs: int, env_args: dict[str, Any] | None = None, **fields: Any
) -> Tabular:
    venv = make_envs(env_id, seeds * envs, env_args=env_args or {}, workers=0)
    task, _ = describe_task(env_id, venv)
    entry = find_agent(name)
    config = entry.config_class()(**fields)
    agent = entry.build(config, dataclasses.replace(task, envs=envs), agent_seeds(0, seeds), CPU)
    assert isinstance(agent, Tabular)
    for number, step in enumerate(Interaction(venv, agent, seeds, training_seeds(0, envs), explore=True), 1):
        agent.observe(step)
        if number * envs >= steps:
            break
    venv.close()
    return agent


def mean_returns(agent: Tabular, env_id: str, episodes: int) -> np.ndarray:
    """Of greedy episodes, for each seed."""
    columns = 20
    venv = make_envs(env_id, agent.seeds * columns, env_args={}, workers=0)
    _, table = describe_task(env_id, venv)
    returns: list[list[float]] = [[] for _ in range(agent.seeds)]
    seeds = EvaluationSeeds(episodes, agent.seeds, columns)
    for episode in play(Interaction(venv, agent, agent.seeds, seeds, explore=False), table, 1.0, agent):
        returns[episode.seed].append(episode.total_reward)
    venv.close()
    return np.array(returns).mean(1)


def test_targets_are_cut_by_termination_only():
    reward = torch.tensor([[1.0, 1.0]])
    next_q = torch.tensor([[[2.0, 4.0, 3.0], [2.0, 4.0, 3.0]]])
    terminated = torch.tensor([[False, True]])
    assert q_learning_target(reward, next_q, terminated, 0.5).tolist() == [[3.0, 1.0]]
    assert sarsa_target(reward, next_q[..., 2], terminated, 0.5).tolist() == [[2.5, 1.0]]


def by_loop(
    value: np.ndarray, visits: np.ndarray, entry: np.ndarray, target: np.ndarray, counts: np.ndarray, size: Any
) -> tuple[np.ndarray, np.ndarray]:
    """What one table becomes when its columns move it one after the other."""
    value, visits = value.copy(), visits.copy()
    for at, goal, counted in zip(entry, target, counts, strict=True):
        if counted:
            value[at] += size(torch.tensor(float(visits[at]))).item() * (goal - value[at])
            visits[at] += 1
    return value, visits


@pytest.mark.parametrize("columns", [1, 2, 7, BLOCK + 9])
def test_columns_about_the_same_entry_move_it_one_after_the_other(columns: int):
    rng = np.random.default_rng(columns)
    agent = tabular("qtable", states_task(3, 2, columns), seeds=2, lr=0.9, lr_visits=2.0, gamma=0.0, initial_value=0.3)
    expected = [(np.full(6, 0.3), np.zeros(6)) for _ in range(2)]
    for _ in range(5):
        entry, target = rng.integers(6, size=(2, columns)), rng.normal(size=(2, columns))
        counts = rng.random((2, columns)) < 0.8
        step = make_step(entry // 2, entry % 2, target, entry // 2)
        agent.observe(dataclasses.replace(step, running=counts))
        expected = [
            by_loop(*expected[seed], entry[seed], target[seed], counts[seed], agent._step_size) for seed in range(2)
        ]
    for seed in range(2):
        np.testing.assert_allclose(agent.q[seed].flatten(), expected[seed][0], rtol=1e-12)
        np.testing.assert_array_equal(agent.visits[seed].flatten(), expected[seed][1])


def test_columns_about_the_same_entry_agree_to_the_bit():
    """So that it does not matter which of them a device writes last."""
    rng = np.random.default_rng(0)
    entry = torch.from_numpy(rng.integers(5, size=(3, 64)))
    held = torch.from_numpy(rng.normal(size=5))
    same = entry.unsqueeze(-1) == entry.unsqueeze(-2)
    target = torch.from_numpy(rng.normal(size=(3, 64)))
    value, visits = moved(held[entry], torch.zeros_like(entry), target, same, lambda n: 1 / (n + 1.5))
    for seed in range(3):
        for one in range(5):
            about = entry[seed] == one
            assert len(value[seed][about].unique()) == len(visits[seed][about].unique()) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", RULES)
def test_a_table_on_cuda_learns_the_same_to_the_bit_each_time(name: str):
    task, entry = states_task(3, 2, 40), find_agent(name)
    states = []
    for _ in range(2):
        agent = entry.build(entry.config_class()(), task, agent_seeds(0, 2), torch.device("cuda"))
        for index in range(50):
            step = random_step(task, 2, np.random.default_rng(index))
            agent.act(step.obs, step.first, explore=True)
            agent.observe(step)
        states.append(flat_state(agent.state_dict()))
    for key, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][key], err_msg=key)


@pytest.mark.parametrize("name", RULES)
def test_truncation_still_bootstraps_on_a_chain_with_known_values(name: str):
    """State 0 -> 1 -> terminal, rewards 1 and 2; every episode is cut off or ends after one step. gamma 0.5.

    Q(1) = 2, and Q(0) = 1 + 0.5 * 2 = 2, although no episode ever went on from 0 to 1.
    """
    agent = tabular(name, states_task(3, 1, envs=2), gamma=0.5, lr=0.5, lr_power=0.0)
    step = make_step(
        [[0, 1]], [[0, 0]], [[1.0, 2.0]], [[1, 2]],
        terminated=[[False, True]], truncated=[[True, False]], first=[[True, True]],
    )  # fmt: skip
    for _ in range(60):
        agent.observe(step)
    np.testing.assert_allclose(agent.value(np.array([[0, 1]])), [[2.0, 2.0]], atol=1e-3)
    assert agent.q[0, 2].item() == 0.0


def test_sarsa_learns_from_the_action_that_was_taken_next():
    agent = tabular("sarsa", states_task(3, 2), gamma=0.5, lr=1.0, lr_power=0.0)
    agent.q[0, 1] = torch.tensor([10.0, 4.0])
    agent.observe(make_step([[0]], [[0]], [[1.0]], [[1]], first=[[True]]))
    assert agent.q[0, 0, 0].item() == 0.0  # what comes next is not known yet
    agent.observe(make_step([[1]], [[1]], [[0.0]], [[2]], terminated=[[True]]))
    assert agent.q[0, 0, 0].item() == 1.0 + 0.5 * 4.0  # not 10, the best
    assert agent.q[0, 1].tolist() == [10.0, 0.0]
    assert agent.visits[0].tolist() == [[1, 0], [0, 1], [0, 0]]


def test_sarsa_carries_nothing_over_the_end_of_an_episode():
    agent = tabular("sarsa", states_task(3, 2), gamma=0.5, lr=1.0, lr_power=0.0, epsilon_start=0.5, epsilon_end=0.5)
    agent.q[0, 2] = torch.tensor([8.0, 0.0])
    agent.observe(make_step([[0]], [[0]], [[1.0]], [[2]], truncated=[[True]], first=[[True]]))
    # Cut off in state 2, whose policy expects 0.5 * 8 + 0.5 * (8 + 0) / 2 = 6.
    assert agent.q[0, 0, 0].item() == 1.0 + 0.5 * 6.0
    before = agent.q.clone()
    agent.observe(make_step([[1]], [[1]], [[5.0]], [[0]], first=[[True]]))
    assert torch.equal(agent.q, before)  # the new episode's first step waits, the old one's last is done
    assert int(agent.visits.sum()) == 1


def test_the_learning_rate_falls_with_visits_as_it_says():
    agent = tabular("qtable", states_task(1, 1), lr=0.8, lr_power=0.5, lr_visits=10.0)
    visits = torch.tensor([0.0, 30.0, 990.0])
    np.testing.assert_allclose(agent._step_size(visits), [0.8, 0.4, 0.08])
    constant = tabular("qtable", states_task(1, 1), lr=0.3, lr_power=0.0)
    np.testing.assert_allclose(constant._step_size(visits), [0.3] * 3)


def test_an_empty_table_explores_its_equals_and_acts_greedily_by_the_first():
    agent = tabular("qtable", states_task(1, 4, envs=4000), epsilon_start=0.0, epsilon_end=0.0)
    obs, first = np.zeros((1, 4000), int), np.zeros((1, 4000), bool)
    counts = np.bincount(agent.act(obs, first, explore=True)[0], minlength=4)
    assert counts.min() > 800
    assert (agent.act(obs, first, explore=False) == 0).all()


@pytest.mark.parametrize("name", RULES)
def test_rho_exploration_holds_its_burn_in_and_then_exploits(name: str):
    agent = tabular(
        name, states_task(1, 2, envs=2000), exploration="rho", rho_start=0.0, rho_end=500.0, burn_in=4000,
        ramp_steps=2000,
    )  # fmt: skip
    obs, first = np.zeros((1, 2000), int), np.zeros((1, 2000), bool)
    shares = []
    for _ in range(4):
        agent.q[0, 0] = torch.tensor([0.0, 1.0])
        shares.append(agent.act(obs, first, explore=True).mean())
        agent.observe(make_step(obs, np.ones((1, 2000), int), np.zeros((1, 2000)), obs, first=~first))
    assert agent.rho == 500.0
    assert abs(shares[0] - 0.5) < 0.05 and abs(shares[2] - 0.5) < 0.05 and shares[3] == 1.0


def test_the_table_names_its_states_and_actions():
    agent = trained("qtable", "GridWorld-v0", 2000, seeds=2, envs=20)
    table = agent.table()
    assert table.action_names == ("north", "south", "east", "west")
    assert table.state_names[7] == "(1, 2)" and len(table.state_names) == 25
    assert table.q_values.shape == (2, 25, 4) and table.values.shape == (2, 25)
    assert table.visits.sum() == 2 * 2000
    np.testing.assert_array_equal(table.values, table.q_values.max(-1))
    binned = trained("sarsa", "CartPole-v1", 200, seeds=1, envs=5).table()
    assert 1 < len(binned.states) < 100
    assert "inf)" not in binned.state_names[0] and binned.state_names[0].count("[") == 4


def test_a_table_that_cannot_fit_is_refused_with_its_size():
    with pytest.raises(ValueError, match=r"^tables of 1 x 1,000,000,000 x 2 [^\n]*fewer bins"):
        task = Task(observation_space=gym.spaces.Box(-1, 1, (3,)), action_space=gym.spaces.Discrete(2))
        tabular("qtable", task, bins=(1000,))
    with pytest.raises(ValueError, match="at most 16 numbers"):
        tabular("qtable", dataclasses.replace(task, observation_space=gym.spaces.Box(-1, 1, (17,))))


@pytest.mark.parametrize(
    "fields", [{"gamma": 1.1}, {"lr": 0.0}, {"lr": 1.5}, {"lr_power": 2.0}, {"epsilon_end": -0.1}, {"exploration": "x"}]
)
def test_absurd_settings_are_refused(fields: dict[str, Any]):
    with pytest.raises(ValueError, match="expected"):
        TableConfig(**fields)


def test_q_learning_converges_to_the_optimum_of_the_gridworld():
    """Within 0.1 of every square for both seeds."""
    agent = trained("qtable", "GridWorld-v0", 100_000, seeds=2, envs=32, gamma=0.9)
    values, _, _ = policy_iteration(*exact_model(GridWorldConfig()), 0.9)
    assert np.abs(agent.state_values() - values).max() < 0.1


def test_sarsa_converges_to_the_epsilon_soft_optimum_of_the_gridworld():
    """Within 0.1 of every square for both seeds; short episodes, so that it sees all squares."""
    agent = trained("sarsa", "GridWorld-v0", 1_000_000, seeds=2, envs=256, env_args={"max_steps": 4}, gamma=0.9)
    _, values = epsilon_soft_optimum(*exact_model(GridWorldConfig()), 0.9, 0.1)
    assert np.abs(agent.state_values() - values).max() < 0.1


@pytest.mark.parametrize("name", RULES)
def test_the_frozen_lake_is_crossed(name: str):
    """The best policy reaches the goal in 0.74 of all tries, random actions in 0.015."""
    agent = trained(name, "FrozenLake-v1", 50_000, seeds=2, envs=32)
    assert mean_returns(agent, "FrozenLake-v1", 200).min() > 0.4


@pytest.mark.parametrize("name", RULES)
def test_the_classic_pole_is_balanced_in_bins(name: str):
    """Random actions keep it up for 22 steps, pushing to the side it leans to for 42."""
    agent = trained(name, "CartPole-v1", 60_000, seeds=2, envs=16)
    assert mean_returns(agent, "CartPole-v1", 60).min() > 100
