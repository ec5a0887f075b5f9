"""Planning against hand-worked numbers and the tables of Sutton and Barto, example 3.5 and exercise 4."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.planning import (
    action_values,
    epsilon_soft,
    epsilon_soft_optimum,
    evaluate_policy,
    evaluate_policy_by_sweeps,
    greedy_policy,
    policy_iteration,
    td0,
    td0_update,
    uniform_policy,
    value_iteration,
)
from envs.gridworld import GridWorldConfig, GridWorldVectorEnv, exact_model

RANDOM_VALUES = [
    [3.3, 8.8, 4.4, 5.3, 1.5],
    [1.5, 3.0, 2.3, 1.9, 0.5],
    [0.1, 0.7, 0.7, 0.4, -0.4],
    [-1.0, -0.4, -0.4, -0.6, -1.2],
    [-1.9, -1.3, -1.2, -1.4, -2.0],
]
BEST_VALUES = [
    [22.0, 24.4, 22.0, 19.4, 17.5],
    [19.8, 22.0, 19.8, 17.8, 16.0],
    [17.8, 19.8, 17.8, 16.0, 14.4],
    [16.0, 17.8, 16.0, 14.4, 13.0],
    [14.4, 16.0, 14.4, 13.0, 11.7],
]
GRID = exact_model(GridWorldConfig())
GAMMA = 0.9


def two_states() -> tuple[np.ndarray, np.ndarray]:
    """State 0: action 0 stays for 1; action 1 pays nothing and leads to state 1, which pays 3 and terminates."""
    transition = np.zeros((2, 2, 2))
    transition[0, 0, 0] = 1.0
    transition[0, 1, 1] = 1.0
    return transition, np.array([[1.0, 0.0], [3.0, 3.0]])


def printed(values: np.ndarray) -> list[list[float]]:
    """As the book prints a table: one digit."""
    return (np.round(values.reshape(5, 5), 1) + 0.0).tolist()


def test_the_random_policys_table_is_the_books():
    random = uniform_policy(25, 4)
    assert printed(evaluate_policy(*GRID, random, GAMMA)) == RANDOM_VALUES
    values, sweeps = evaluate_policy_by_sweeps(*GRID, random, GAMMA)
    assert printed(values) == RANDOM_VALUES
    assert 100 < sweeps < 300


def test_policy_iteration_and_value_iteration_give_the_books_optimum():
    values, policy, evaluations = policy_iteration(*GRID, GAMMA)
    assert printed(values) == BEST_VALUES
    assert evaluations < 10
    swept, swept_policy, _ = value_iteration(*GRID, GAMMA)
    assert printed(swept) == BEST_VALUES
    np.testing.assert_allclose(swept, values, atol=1e-8)
    np.testing.assert_array_equal(swept_policy, policy)
    # Figure 3.5: east in the corner, anything on A, north or east below the corner.
    np.testing.assert_array_equal(policy[0], [0, 0, 1, 0])
    np.testing.assert_array_equal(policy[1], [0.25] * 4)
    np.testing.assert_array_equal(policy[5], [0.5, 0, 0.5, 0])


def test_evaluation_of_two_states_by_hand():
    transition, reward = two_states()
    # Half and half: v1 = 3, v0 = 1/2 (1 + v0/2) + 1/2 (0 + 3/2), so v0 = 5/3.
    random = uniform_policy(2, 2)
    np.testing.assert_allclose(evaluate_policy(transition, reward, random, 0.5), [5 / 3, 3.0])
    values, _ = evaluate_policy_by_sweeps(transition, reward, random, 0.5)
    np.testing.assert_allclose(values, [5 / 3, 3.0], atol=1e-9)


def test_the_discount_decides_between_staying_and_leaving():
    transition, reward = two_states()
    values, policy, _ = policy_iteration(transition, reward, 0.5)  # staying: 2; leaving: 1.5
    np.testing.assert_allclose(values, [2.0, 3.0])
    assert policy[0].tolist() == [1.0, 0.0]
    values, policy, _ = value_iteration(transition, reward, 0.5)
    np.testing.assert_allclose(values, [2.0, 3.0], atol=1e-9)
    reward[0, 0] = 0.5  # staying: 1; leaving: 1.5
    values, policy, _ = policy_iteration(transition, reward, 0.5)
    np.testing.assert_allclose(values, [1.5, 3.0])
    assert policy[0].tolist() == [0.0, 1.0]
    # In state 1 both actions are the same, and share.
    assert policy[1].tolist() == [0.5, 0.5]


def test_the_epsilon_soft_optimum_by_hand():
    transition, reward = two_states()
    # epsilon 0.5: leaves in a quarter of steps. v0 = 3/4 (1 + v0/2) + 1/4 (3/2), so v0 = 9/5.
    q, v = epsilon_soft_optimum(transition, reward, 0.5, 0.5)
    np.testing.assert_allclose(v, [1.8, 3.0])
    np.testing.assert_allclose(q, [[1.9, 1.5], [3.0, 3.0]])


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.37, 1.0])
def test_the_epsilon_soft_optimum_is_its_own_bellman_equation(epsilon: float):
    q, v = epsilon_soft_optimum(*GRID, GAMMA, epsilon)
    np.testing.assert_allclose(v, (1 - epsilon) * q.max(1) + epsilon * q.mean(1), atol=1e-9)
    np.testing.assert_allclose(q, action_values(*GRID, v, GAMMA), atol=1e-9)
    # No other epsilon-soft policy does better anywhere.
    rng = np.random.default_rng(0)
    for policy in rng.dirichlet(np.ones(4), size=(20, 25)):
        assert (evaluate_policy(*GRID, epsilon_soft(policy, epsilon), GAMMA) <= v + 1e-9).all()


def test_the_ends_of_epsilon_are_the_optimum_and_the_random_policy():
    np.testing.assert_allclose(epsilon_soft_optimum(*GRID, GAMMA, 0.0)[1], policy_iteration(*GRID, GAMMA)[0])
    np.testing.assert_allclose(
        epsilon_soft_optimum(*GRID, GAMMA, 1.0)[1], evaluate_policy(*GRID, uniform_policy(25, 4), GAMMA)
    )
    distance = policy_iteration(*GRID, GAMMA)[0] - epsilon_soft_optimum(*GRID, GAMMA, 0.1)[1]
    assert distance.min() > 1.5 and distance.max() < 2.5


def test_the_epsilon_soft_optimum_is_the_optimum_of_a_slipping_grid():
    """Section 5.4: acting at random now and then, or an environment that does, is the same."""
    _, v = epsilon_soft_optimum(*GRID, GAMMA, 0.2)
    np.testing.assert_allclose(v, policy_iteration(*exact_model(GridWorldConfig(slip=0.2)), GAMMA)[0])


def test_greedy_shares_between_equals_in_spite_of_rounding():
    q = np.array([[0.3, 0.1 + 0.2, 0.0], [1.0, 2.0, 3.0]])
    assert greedy_policy(q).tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]


def test_td0_update_is_cut_by_termination_only():
    value, reward, following = np.array([1.0, 1.0]), np.array([2.0, 2.0]), np.array([4.0, 4.0])
    after = td0_update(value, reward, following, np.array([False, True]), gamma=0.5, step_size=0.1)
    np.testing.assert_allclose(after, [1.3, 1.1])
    assert td0_update(1.0, 2.0, 4.0, False, gamma=0.5, step_size=0.1) == pytest.approx(1.3)


def test_td0_takes_transitions_one_after_the_other():
    # v1 = 0.5 * 3 = 1.5 at the end of the first episode; then v0 = 0.5 * (1 + 0.5 * 1.5) = 0.875.
    begin = np.array([0.0, 0.0, 7.0])
    v = td0(
        np.array([1, 0]),
        np.array([3.0, 1.0]),
        np.array([2, 1]),
        np.array([True, False]),
        states=3,
        gamma=0.5,
        step_size=lambda visit: 0.5,
        values=begin,
    )
    assert v.tolist() == [0.875, 1.5, 7.0]
    assert begin.tolist() == [0.0, 0.0, 7.0]


def test_td0_step_sizes_count_each_states_visits():
    seen = []
    td0(
        np.array([0, 1, 0]),
        np.zeros(3),
        np.array([1, 0, 1]),
        np.zeros(3, bool),
        states=2,
        gamma=0.5,
        step_size=lambda visit: seen.append(visit) or 0.1,
    )
    assert seen == [1, 1, 2]


def test_td0_learns_the_random_policys_table():
    """From the environment's own transitions, truncated episodes included; within 0.1 of every square."""
    columns, steps = 200, 10_000
    envs = GridWorldVectorEnv(columns)
    rng = np.random.default_rng(0)
    obs, _ = envs.reset(seed=0)
    states, rewards, following = [], [], []
    for step in range(steps):
        next_obs, reward, terminated, truncated, _ = envs.step(rng.integers(4, size=columns))
        assert not terminated.any()
        states.append(obs)
        rewards.append(reward)
        following.append(next_obs)
        obs = envs.reset(seed=columns * (step + 1))[0] if truncated.all() else next_obs
    state, reward, next_state = (np.concatenate(parts) for parts in (states, rewards, following))
    v = td0(state, reward, next_state, np.zeros(columns * steps, bool), states=25, gamma=GAMMA)
    exact = evaluate_policy(*GRID, uniform_policy(25, 4), GAMMA)
    assert np.abs(v - exact).max() < 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transition": np.zeros((2, 2, 3))}, "transitions are"),
        ({"transition": np.full((2, 2, 2), 0.6)}, "not probabilities"),
        ({"transition": np.full((2, 2, 2), -0.1)}, "not probabilities"),
        ({"transition": np.full((2, 2, 2), np.nan)}, "not probabilities"),
        ({"reward": np.zeros((2, 3))}, "rewards are"),
        ({"reward": np.full((2, 2), np.nan)}, "not all finite"),
        ({"gamma": 1.1}, "gamma is 1.1"),
        ({"gamma": float("nan")}, "gamma is nan"),
    ],
)
def test_what_is_no_decision_process_is_refused_in_one_line(change: dict[str, Any], message: str):
    transition, reward = two_states()
    model = {"transition": transition, "reward": reward, "gamma": 0.9, **change}
    for plan in (policy_iteration, value_iteration):
        with pytest.raises(ValueError, match=rf"^[^\n]*{message}[^\n]*$"):
            plan(**model)


def test_policies_and_transitions_that_do_not_fit_are_refused():
    transition, reward = two_states()
    with pytest.raises(ValueError, match="policy is"):
        evaluate_policy(transition, reward, np.ones((2, 3)) / 3, 0.9)
    with pytest.raises(ValueError, match="not made of probabilities"):
        evaluate_policy(transition, reward, np.ones((2, 2)), 0.9)
    with pytest.raises(ValueError, match="expected gamma below 1"):
        evaluate_policy(transition, reward, np.array([[1.0, 0.0], [1.0, 0.0]]), 1.0)
    with pytest.raises(ValueError, match="no convergence"):
        value_iteration(transition, reward, 1.0, max_sweeps=50)
    with pytest.raises(ValueError, match=r"epsilon is 1\.2"):
        epsilon_soft_optimum(transition, reward, 0.9, 1.2)
    with pytest.raises(ValueError, match="equal length"):
        td0(np.zeros(3, int), np.zeros(2), np.zeros(3, int), np.zeros(3, bool), states=2, gamma=0.9)
    with pytest.raises(ValueError, match="expected 0 to 1"):
        td0(np.array([2]), np.zeros(1), np.array([0]), np.zeros(1, bool), states=2, gamma=0.9)


def test_undiscounted_episodes_that_end_have_values():
    transition, reward = two_states()
    leaves = np.array([[0.0, 1.0], [0.5, 0.5]])
    np.testing.assert_allclose(evaluate_policy(transition, reward, leaves, 1.0), [3.0, 3.0])
