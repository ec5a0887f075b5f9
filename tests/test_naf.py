"""NAF's quadratic by hand-worked numbers and on random states, and that it learns."""

from typing import Any

import numpy as np
import pytest
import torch

from agents.base import Task
from agents.naf import LOG_DIAGONAL, NAF, NAFConfig, Parts, advantage, noisy_value, parts, td_target
from tests.helpers import build_agent, control_task, make_step, random_step
from tests.test_ddpg import point_return

HAND = Parts(
    value=torch.tensor([[7.0]]),  # [S=1, B=1]
    mu=torch.tensor([[[0.5, -0.5]]]),  # [1, 1, D=2]
    lower=torch.tensor([[[[2.0, 0.0], [1.0, 3.0]]]]),
)


def built(task: Task, seeds: int = 1, **fields: Any) -> NAF:
    small = {"hidden": (16,), "batch_size": 8, "learning_starts": 8, "steps_per_update": 1, "n_step": 1}
    agent = build_agent("naf", task, seeds, **{**small, **fields})
    assert isinstance(agent, NAF)
    return agent


def trained(dimensions: int = 3) -> NAF:
    """An agent of two seeds whose V, mu and L are no longer what they began with."""
    task = control_task(dimensions=dimensions, envs=2)
    agent = built(task, 2, lr=0.01, last_scale=1.0)
    for index in range(40):
        agent.observe(random_step(task, 2, np.random.default_rng(index)))
        agent.update()
    return agent


def test_the_advantage_is_the_quadratic_of_the_paper():
    """P = L L' = [[4, 2], [2, 10]]; a - mu = (1, -1): (4 - 2 - 2 + 10) / 2."""
    assert advantage(HAND, torch.tensor([[[1.5, -1.5]]])).item() == -5.0
    assert advantage(HAND, HAND.mu).item() == 0.0


def test_the_network_output_is_laid_out_as_v_mu_and_l():
    output = torch.zeros(1, 1, 1 + 3 + 3 + 3)
    output[..., 0] = 5.0
    output[..., 1] = 9.0  # mu of the first dimension, far beyond 1 before its tanh
    output[..., 7:] = torch.tensor([1.0, 2.0, 3.0])
    found = parts(output, 3)
    assert found.value.item() == 5.0
    np.testing.assert_allclose(found.mu[0, 0], [1, 0, 0], atol=1e-6)
    assert found.lower[0, 0].tolist() == [[1, 0, 0], [1, 1, 0], [2, 3, 1]]


@pytest.mark.parametrize("pushed", [-1e6, 1e6])
def test_neither_mu_nor_the_diagonal_leaves_its_bounds(pushed: float):
    found = parts(torch.full((2, 4, 6), pushed), 2)
    assert found.mu.abs().max() <= 1
    diagonal = found.lower.diagonal(dim1=-2, dim2=-1)
    np.testing.assert_allclose(diagonal, np.exp(np.sign(pushed) * LOG_DIAGONAL), rtol=1e-5)


@pytest.mark.parametrize("dimensions", [1, 3])
def test_the_best_value_is_v_at_mu_on_random_states(dimensions: int):
    agent = trained(dimensions)
    obs = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0)) * 3
    with torch.no_grad():
        found = agent.parts(agent.params, obs)[0]
        at_mu = found.value + advantage(found, found.mu)
        assert torch.equal(at_mu, found.value)
        for seed in range(20):
            action = torch.rand(found.mu.shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1
            below = advantage(found, action)
            assert (below <= 0).all()
            assert (below < 0).float().mean() > 0.99  # so that the maximum is at mu alone
    assert found.value.std() > 0.1  # of states that differ


def test_v_mu_and_l_do_not_depend_on_the_action():
    """Q(s, a) along a line of actions has the same second difference everywhere: it is quadratic, with P of s alone."""
    agent = trained(2)
    with torch.no_grad():
        found = agent.parts(agent.params, torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(1)))[0]
        q = torch.stack([advantage(found, torch.full((2, 9, 2), a)) for a in np.linspace(-1, 1, 6)])
    bend = q[2:] - 2 * q[1:-1] + q[:-2]
    np.testing.assert_allclose(bend, bend[:1].expand_as(bend), rtol=1e-3, atol=1e-4)


def test_noise_costs_half_its_variance_times_the_trace():
    """trace(L L') = 4 + 1 + 9: 7 - 0.5 * 0.25 * 14."""
    assert noisy_value(HAND, 0.5).item() == 7 - 1.75
    noise = 0.5 * torch.randn(1, 200_000, 2, generator=torch.Generator().manual_seed(0))
    q = HAND.value + advantage(HAND, HAND.mu + noise)
    assert q.mean().item() == pytest.approx(7 - 1.75, abs=0.03)


def test_td_target_is_cut_by_termination_only():
    bootstrap = torch.tensor([[0.5, 0.0]])  # the second one terminated
    assert td_target(torch.ones(1, 2), [torch.full((1, 2), 4.0)], bootstrap).tolist() == [[3.0, 1.0]]


def test_of_two_networks_the_lower_value_is_believed():
    value = [torch.tensor([[4.0, 1.0]]), torch.tensor([[2.0, 3.0]])]
    assert td_target(torch.ones(1, 2), value, torch.full((1, 2), 0.5)).tolist() == [[2.0, 1.5]]


def test_two_networks_learn_the_same_from_other_beginnings():
    task = control_task(dimensions=2, envs=2)
    agent = built(task, 2, twin_networks=True)
    for index in range(20):
        agent.observe(random_step(task, 2, np.random.default_rng(index)))
        agent.update()
    first, second = agent.parts(agent.params, torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(1)))
    assert not torch.equal(first.value, second.value)
    step = random_step(task, 2, np.random.default_rng(0))
    first, second = agent.parts(agent.average, agent._standardised(step.obs))
    acted = agent.actions.from_space(torch.as_tensor(agent.act(step.obs, step.first, explore=False)))
    torch.testing.assert_close(acted, (first.mu + second.mu) / 2)  # halfway between what either would do
    assert set(agent.params) > {"q1.0.weight", "q2.0.weight"}


@pytest.mark.parametrize("twin", [False, True])
def test_truncation_still_bootstraps_on_a_chain_with_known_values(twin: bool):
    """State 0 -> 1 -> terminal, rewards 1 - (a + 0.25)^2 and 2 - (a - 0.5)^2; every episode is cut off or ends after
    one step. gamma 0.5.

    V(1) = 2 at mu = 0.5, and V(0) = 1 + 0.5 * 2 at mu = -0.25, although no episode ever went on from 0 to 1.
    """
    agent = built(
        control_task(features=2, dimensions=1, envs=8), gamma=0.5, lr=0.01, batch_size=16, target_noise=0.0,
        target_tau=0.1, average_tau=0.02, steps_per_update=8, twin_networks=twin,
    )  # fmt: skip
    zero, one, end = np.eye(2)[0], np.eye(2)[1], np.zeros(2)
    action = np.array([-1, -0.5, 0.25, 1] * 2)  # in state 0, and in state 1
    reward = np.repeat([1, 2], 4) - (action - np.repeat([-0.25, 0.5], 4)) ** 2
    last = np.repeat([False, True], 4)
    step = make_step(
        [[zero] * 4 + [one] * 4], action[None, :, None], reward[None], [[one] * 4 + [end] * 4],
        terminated=[last], truncated=[~last],
    )  # fmt: skip
    for _ in range(1000):
        agent.observe(step)
        agent.update()
    obs = np.array([[zero, one]], np.float32)
    np.testing.assert_allclose(agent.value(obs), [[2.0, 2.0]], atol=1e-3)
    best = agent.act(obs, np.ones((1, 2), bool), explore=False)
    np.testing.assert_allclose(best, [[[-0.25], [0.5]]], atol=1e-3)


def test_updates_keep_a_fixed_schedule():
    task = control_task(envs=4)
    agent = built(task, 2, learning_starts=40, steps_per_update=3)
    for index in range(40):
        agent.observe(random_step(task, 2, np.random.default_rng(index)))
        agent.update()
        assert agent.updates == max(0, (index + 1) * 4 - 40) // 3


@pytest.mark.parametrize(
    "fields",
    [
        {"gamma": 1.5}, {"lr": 0.0}, {"hidden": ()}, {"memory_size": 5}, {"n_step": 0}, {"noise": "pink"},
        {"noise_theta": 0.0}, {"target_tau": 0.0}, {"last_scale": -1.0},
    ],
)  # fmt: skip
def test_absurd_settings_are_refused(fields: dict[str, Any]):
    with pytest.raises(ValueError, match="expected"):
        NAFConfig(**fields)


@pytest.mark.parametrize("noise", ["gaussian", "ornstein-uhlenbeck"])
def test_it_learns_to_bring_a_point_home(noise: str):
    """Doing nothing costs 5 on average, and the best that can be done 0.35."""
    agent = build_agent(
        "naf", control_task(1, 1, 4, low=-2.0, high=2.0), 2, hidden=(32,), learning_starts=100, ramp_steps=1000,
        average_tau=0.02, gamma=0.9, steps_per_update=2, noise=noise,
    )  # fmt: skip
    assert point_return(agent).min() > -1
