"""DDPG's rules by hand-worked numbers, who follows whom, and that it learns."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.base import Agent, Task
from agents.ddpg import DDPG, DDPGConfig, td_target
from agents.networks import clone
from tests.helpers import build_agent, control_task, make_step, random_step


def built(task: Task, seeds: int = 1, **fields: Any) -> DDPG:
    small = {"hidden": (16,), "batch_size": 8, "learning_starts": 8, "steps_per_update": 1, "n_step": 1}
    agent = build_agent("ddpg", task, seeds, **{**small, **fields})
    assert isinstance(agent, DDPG)
    return agent


def live(agent: Agent, task: Task, seeds: int, steps: int) -> None:
    for index in range(steps):
        agent.observe(random_step(task, seeds, np.random.default_rng(index)))
        agent.update()


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(before[name], after[name]) for name in before)


def point_return(agent: Agent, seeds: int = 2, envs: int = 4, episodes: int = 30) -> np.ndarray:
    """Learns to bring a point to 0 within episodes of 15 steps that time limits cut off; returns of greedy ones, [S].

    x goes on by 0.3 a, where a reaches from -2 to 2, between walls at -2 and 2, and each step costs x^2. Starts between
    -1 and 1.
    """
    rng = np.random.default_rng(0)

    def episode(explore: bool) -> np.ndarray:
        x, total = rng.uniform(-1, 1, (seeds, envs, 1)).astype(np.float32), np.zeros((seeds, envs))
        for t in range(15):
            action = agent.act(x, np.full((seeds, envs), t == 0), explore=explore)
            reward, next_x = -(x[..., 0] ** 2.0), (x + np.float32(0.3) * action).clip(-2, 2)
            if explore:
                agent.observe(make_step(x, action, reward, next_x, truncated=np.full((seeds, envs), t == 14)))
                agent.update()
            x, total = next_x, total + reward
        return total.mean(1)

    for _ in range(episodes):
        episode(explore=True)
    return np.mean([episode(explore=False) for _ in range(10)], 0)


def test_td_target_believes_the_lowest_critic_and_is_cut_by_termination_only():
    reward = torch.tensor([[1.0, 1.0, 1.0]])  # [S=1, B=3]
    next_q = [torch.tensor([[4.0, 8.0, 4.0]]), torch.tensor([[6.0, 2.0, 4.0]])]
    bootstrap = torch.tensor([[0.5, 0.25, 0.0]])  # the last one terminated
    assert td_target(reward, next_q, bootstrap).tolist() == [[3.0, 1.5, 1.0]]
    assert td_target(reward, next_q[:1], bootstrap).tolist() == [[3.0, 3.0, 1.0]]


@pytest.mark.parametrize("twin", [False, True])
def test_truncation_still_bootstraps_on_a_chain_with_known_values(twin: bool):
    """State 0 -> 1 -> terminal, rewards 1 and 2; every episode is cut off or ends after one step. gamma 0.5.

    Q(1, 0) = 2, and Q(0, 0) = 1 + 0.5 * 2 = 2, although no episode ever went on from 0 to 1. The actor stands still.
    """
    task = control_task(features=2, dimensions=1, envs=2)
    agent = built(
        task, gamma=0.5, critic_lr=0.01, actor_lr=1e-8, last_scale=0.0, target_noise=0.0, target_tau=1.0,
        average_tau=1.0, twin_critics=twin, steps_per_update=2,
    )  # fmt: skip
    zero, one, end = np.eye(2)[0], np.eye(2)[1], np.zeros(2)
    step = make_step(
        [[zero, one]], [[[0.0], [0.0]]], [[1.0, 2.0]], [[one, end]],
        terminated=[[False, True]], truncated=[[True, False]],
    )  # fmt: skip
    for _ in range(1000):
        agent.observe(step)
        agent.update()
    np.testing.assert_allclose(agent.value(np.array([[zero, one]], np.float32)), [[2.0, 2.0]], atol=1e-3)


def test_the_actor_climbs_its_critic_and_leaves_it_as_it_is():
    task = control_task(envs=2)
    agent = built(task, 2, saturation_penalty=0.0)
    live(agent, task, 2, 30)
    batch = agent.memory.sample(64, 0.99, 1, agent._replay_streams)
    features = agent.encoder(agent.critic, batch.obs)
    critic = clone(agent.critic)

    def climbed() -> torch.Tensor:
        return agent.q_values(agent.critic, features, agent.policies(agent.actor, features)[0])[0].mean(-1)  # [S]

    before = climbed()
    for _ in range(5):
        agent._improve_actor(batch, features, 1e-3)
    assert (climbed() > before).all()
    assert not changed(critic, agent.critic)


def test_each_of_two_actors_climbs_its_own_critic_and_greedy_is_what_both_critics_value_most():
    task = control_task(dimensions=2, envs=2)
    agent = built(task, 2, saturation_penalty=0.0, twin_critics=True, twin_actors=True)
    live(agent, task, 2, 30)
    batch = agent.memory.sample(64, 0.99, 1, agent._replay_streams)
    features = agent.encoder(agent.critic, batch.obs)

    def climbed() -> list[torch.Tensor]:
        actions = agent.policies(agent.actor, features)
        return [agent.q_values(agent.critic, features, a)[of].mean(-1) for of, a in enumerate(actions)]  # [S] each

    before = climbed()
    for _ in range(5):
        agent._improve_actor(batch, features, 1e-3)
    assert all((now > then).all() for now, then in zip(climbed(), before, strict=True))
    first, second = agent.policies(agent.actor, features)
    assert not torch.equal(first, second)
    worth_first, worth_second = (
        torch.stack(agent.q_values(agent.critic, features, action)).sum(0) for action in (first, second)
    )
    best = agent.best(agent.critic, features, torch.stack([first, second]))
    torch.testing.assert_close(best, torch.where((worth_first >= worth_second).unsqueeze(-1), first, second))
    assert 0 < (worth_first > worth_second).float().mean() < 1


def test_a_saturated_actor_comes_back():
    """Where a tanh is at its end it has no gradient left; the penalty has."""
    task = control_task(envs=2)
    agent = built(task)
    live(agent, task, 1, 20)
    with torch.no_grad():
        agent.actor["actor.1.bias"].fill_(20.0)
    batch = agent.memory.sample(8, 0.99, 1, agent._replay_streams)
    for _ in range(3):
        agent._improve_actor(batch, agent.encoder(agent.critic, batch.obs), 1e-3)
    assert (agent.actor["actor.1.bias"] < 20.0).all()


def test_the_actor_moves_when_its_turn_comes():
    task = control_task(envs=2)
    agent = built(task, policy_delay=3, steps_per_update=2)
    moved = []
    for index in range(16):
        actor, critic = clone(agent.actor), clone(agent.critic)
        agent.observe(random_step(task, 1, np.random.default_rng(index)))
        agent.update()
        moved.append(changed(actor, agent.actor))
        assert changed(critic, agent.critic) == (index >= 4)
    assert moved == [index in (6, 9, 12, 15) for index in range(16)]


def test_targets_follow_slowly():
    task = control_task(envs=2)
    agent = built(task, target_tau=0.25, steps_per_update=2)
    live(agent, task, 1, 9)
    for ours, target in ((agent.actor, agent.target_actor), (agent.critic, agent.target_critic)):
        before = clone(target)
        agent._learn(agent.memory.sample(8, 0.99, 1, agent._replay_streams))
        for name, tensor in target.items():
            torch.testing.assert_close(tensor, 0.75 * before[name] + 0.25 * ours[name].detach())


def test_updates_keep_a_fixed_schedule():
    task = control_task(envs=4)
    agent = built(task, 2, learning_starts=40, steps_per_update=3)
    for index in range(40):
        agent.observe(random_step(task, 2, np.random.default_rng(index)))
        agent.update()
        assert agent.updates == max(0, (index + 1) * 4 - 40) // 3


def test_exploration_fills_the_space_and_ends_small():
    task = control_task(dimensions=2, envs=5, low=-3.0, high=3.0)
    agent = built(task, noise_start=1.0, noise_end=0.01, ramp_steps=10, last_scale=0.0, learning_starts=1000)
    obs, first = np.zeros((1, 5, 3), np.float32), np.zeros((1, 5), bool)
    early = np.concatenate([agent.act(obs, first, explore=True) for _ in range(40)])
    assert np.abs(early).max() == 3.0  # clipped at the bounds
    assert early.min() == -3.0
    assert 1.5 < early.std() < 2.5
    live(agent, task, 1, 4)
    late = np.concatenate([agent.act(obs, first, explore=True) for _ in range(40)])
    assert late.std() == pytest.approx(0.03, rel=0.2)
    assert (agent.act(obs, first, explore=False) == 0).all()


@pytest.mark.parametrize(
    "fields",
    [
        {"gamma": 1.5}, {"critic_lr": 0.0}, {"actor_lr": 2.0}, {"hidden": ()}, {"memory_size": 5}, {"n_step": 0},
        {"noise": "pink"}, {"noise_theta": 0.0}, {"policy_delay": 0}, {"target_tau": 0.0}, {"twin_critics": 1},
        {"twin_actors": True},
    ],
)  # fmt: skip
def test_absurd_settings_are_refused(fields: dict[str, Any]):
    with pytest.raises(ValueError, match="expected"):
        DDPGConfig(**fields)


@pytest.mark.parametrize("name", ["ddpg", "naf"])
def test_images_and_boxes_of_other_sizes_are_learnt_from(name: str):
    low, high = np.array([[0.0, -5.0]], np.float32), np.array([[1.0, 50.0]], np.float32)  # [1, 2]
    task = Task(
        observation_space=gym.spaces.Box(0, 255, (40, 38, 3), np.uint8),
        action_space=gym.spaces.Box(low, high),
        envs=2,
    )
    agent: Any = build_agent(name, task, 2, learning_starts=8, batch_size=4, memory_size=50, hidden=(8,))
    before = clone(agent.state_dict()["params"])
    live(agent, task, 2, 12)
    after = agent.state_dict()["params"]
    assert not torch.equal(before["conv.0.weight"], after["conv.0.weight"])
    step = random_step(task, 2, np.random.default_rng(0))
    for explore in (True, False):
        for action in agent.act(step.obs, step.first, explore=explore).reshape(4, 1, 2):
            assert task.action_space.contains(action)
    assert agent.value(step.obs).shape == (2, 2)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"twin_critics": True, "policy_delay": 2},
        {"twin_critics": True, "twin_actors": True, "policy_delay": 2},
        {"noise": "ornstein-uhlenbeck"},
    ],
)
def test_it_learns_to_bring_a_point_home(options: dict[str, Any]):
    """Doing nothing costs 5 on average, and the best that can be done 0.35: 1/3 at once, and what is left of starts
    beyond 0.6."""
    agent = build_agent(
        "ddpg", control_task(1, 1, 4, low=-2.0, high=2.0), 2, hidden=(32,), learning_starts=100, ramp_steps=1000,
        average_tau=0.02, gamma=0.9, steps_per_update=2, **options,
    )  # fmt: skip
    assert point_return(agent, episodes=45).min() > -1
