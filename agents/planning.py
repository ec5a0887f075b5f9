"""Planning in a known Markov decision process, and TD(0), which needs only transitions.

Richard S. Sutton and Andrew G. Barto, Reinforcement Learning: An Introduction, 2nd ed., 2018, chapters 3, 4 and 6.

A process is three things: transition probabilities P [states, actions, next states], expected rewards R [states,
actions] and a discount gamma. A row of P may sum to less than 1: with the rest of the probability the process
terminates, and nothing more is earned. A policy is an array [states, actions] of probabilities.

Everything here is a pure function of NumPy arrays and raises ValueError where those do not fit together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

TIE = 1e-9
"""Action values closer than this, relative to the largest, count as equal: rounding must not break ties."""


def check_model(transition: Array, reward: Array, gamma: float) -> None:
    """Raises ValueError, in one line, unless the arrays are a Markov decision process with bounded values."""
    if transition.ndim != 3 or transition.shape[0] != transition.shape[2] or transition.size == 0:
        raise ValueError(f"transitions are {transition.shape}; expected [states, actions, states]")
    if reward.shape != transition.shape[:2]:
        raise ValueError(f"rewards are {reward.shape}; expected [states, actions] {transition.shape[:2]}")
    if not np.isfinite(reward).all():
        raise ValueError("rewards are not all finite; expected numbers")
    total = transition.sum(-1)
    if not (transition >= 0).all() or not (total <= 1 + 1e-9).all():
        raise ValueError("transitions are not probabilities; expected rows of numbers >= 0 that sum to at most 1")
    if not 0.0 <= gamma <= 1.0:
        raise ValueError(f"gamma is {gamma}; expected a number in [0, 1]")


def uniform_policy(states: int, actions: int) -> Array:
    """The random policy, [states, actions]."""
    return np.full((states, actions), 1.0 / actions)


def action_values(transition: Array, reward: Array, values: Array, gamma: float) -> Array:
    """q(s, a) = R(s, a) + gamma * sum over s' of P(s, a, s') v(s'), [states, actions] (eq. 4.6)."""
    return reward + gamma * transition @ values


def greedy_policy(q_values: Array) -> Array:
    """All that is best in each state with equal probabilities, [states, actions]."""
    slack = TIE * max(1.0, float(np.abs(q_values).max()))
    best = q_values >= q_values.max(-1, keepdims=True) - slack
    return best / best.sum(-1, keepdims=True)


def epsilon_soft(policy: Array, epsilon: float) -> Array:
    """`policy` with a uniformly random action in a share `epsilon` of steps, [states, actions]."""
    return (1.0 - epsilon) * policy + epsilon / policy.shape[1]


def evaluate_policy(transition: Array, reward: Array, policy: Array, gamma: float) -> Array:
    """The policy's value v [states], exactly: solves v = R_pi + gamma P_pi v (eq. 4.4, a linear system).

    Raises:
        ValueError: the arrays do not fit, or a discount of 1 goes with a policy that never terminates.
    """
    check_model(transition, reward, gamma)
    _check_policy(policy, reward)
    chain = np.einsum("sa,sat->st", policy, transition)  # [states, states]
    earned = (policy * reward).sum(-1)  # [states]
    try:
        values = np.linalg.solve(np.eye(len(chain)) - gamma * chain, earned)
    except np.linalg.LinAlgError:
        values = np.full(len(chain), np.inf)
    # Rounding may hide that the system is singular; then the values are beyond all reason.
    if not np.isfinite(values).all() or np.abs(values).max() > 1e12 * max(1.0, float(np.abs(reward).max())):
        raise ValueError(f"gamma is {gamma} and the policy need not terminate; expected gamma below 1")
    return values


def evaluate_policy_by_sweeps(
    transition: Array,
    reward: Array,
    policy: Array,
    gamma: float,
    *,
    tolerance: float = 1e-10,
    max_sweeps: int = 100_000,
) -> tuple[Array, int]:
    """The policy's value by iterative policy evaluation (section 4.1), from 0, all states at once.

    Stops when a sweep changes no state by more than `tolerance`. Returns v [states] and the number of sweeps.

    Raises:
        ValueError: the arrays do not fit, or `max_sweeps` were not enough.
    """
    check_model(transition, reward, gamma)
    _check_policy(policy, reward)
    values = np.zeros(len(reward))
    for sweep in range(1, max_sweeps + 1):
        improved = (policy * action_values(transition, reward, values, gamma)).sum(-1)  # eq. 4.5
        change = np.abs(improved - values).max()
        values = improved
        if change <= tolerance:
            return values, sweep
    raise ValueError(f"no convergence within {max_sweeps} sweeps; expected gamma below 1, or a larger tolerance")


def policy_iteration(transition: Array, reward: Array, gamma: float) -> tuple[Array, Array, int]:
    """The optimum by policy iteration (section 4.3), from the random policy.

    Returns:
        v* [states]; the optimal policy [states, actions], with equal probabilities where several actions are best;
        how many policies were evaluated.
    """
    check_model(transition, reward, gamma)
    return _improve(transition, reward, gamma, epsilon=0.0)


def value_iteration(
    transition: Array, reward: Array, gamma: float, *, tolerance: float = 1e-10, max_sweeps: int = 100_000
) -> tuple[Array, Array, int]:
    """The optimum by value iteration (section 4.4), from 0, all states at once.

    Stops when a sweep changes no state by more than `tolerance`; then v is within tolerance * gamma / (1 - gamma) of
    v*.

    Returns:
        v [states]; the policy that is greedy for it, as in `policy_iteration`; the number of sweeps.

    Raises:
        ValueError: the arrays do not fit, or `max_sweeps` were not enough.
    """
    check_model(transition, reward, gamma)
    values = np.zeros(len(reward))
    for sweep in range(1, max_sweeps + 1):
        q_values = action_values(transition, reward, values, gamma)
        change = np.abs(q_values.max(-1) - values).max()
        values = q_values.max(-1)  # eq. 4.10
        if change <= tolerance:
            return values, greedy_policy(action_values(transition, reward, values, gamma)), sweep
    raise ValueError(f"no convergence within {max_sweeps} sweeps; expected gamma below 1, or a larger tolerance")


def epsilon_soft_optimum(transition: Array, reward: Array, gamma: float, epsilon: float) -> tuple[Array, Array]:
    """The best that a policy can do which acts at random in a share `epsilon` of its steps.

    It is what SARSA with a constant epsilon converges to. It equals the optimum of an environment that itself takes a
    random action with probability epsilon (section 5.4), found here by policy iteration among epsilon-soft policies.

    Returns:
        q [states, actions] and v [states] of that policy: v = (1 - epsilon) max q + epsilon mean q.
    """
    check_model(transition, reward, gamma)
    if not 0.0 <= epsilon <= 1.0:
        raise ValueError(f"epsilon is {epsilon}; expected a number in [0, 1]")
    values, _, _ = _improve(transition, reward, gamma, epsilon)
    return action_values(transition, reward, values, gamma), values


def _improve(transition: Array, reward: Array, gamma: float, epsilon: float) -> tuple[Array, Array, int]:
    """Policy iteration among epsilon-soft policies: values, the greedy part of the policy, evaluations."""
    states, actions = reward.shape
    values = evaluate_policy(transition, reward, uniform_policy(states, actions), gamma)
    evaluations = 1
    while True:
        policy = greedy_policy(action_values(transition, reward, values, gamma))
        improved = evaluate_policy(transition, reward, epsilon_soft(policy, epsilon), gamma)
        evaluations += 1
        # An improvement is never below; where it is not above either (Bellman optimality) both are the optimum.
        if np.abs(improved - values).max() <= TIE * max(1.0, float(np.abs(improved).max())):
            return improved, policy, evaluations
        values = improved


def td0_update(value: Any, reward: Any, next_value: Any, terminated: Any, *, gamma: float, step_size: float) -> Any:
    """v(s) moved towards r + gamma v(s') (eq. 6.2). Numbers, or arrays of one shape.

    Termination cuts the value of what follows; truncation is no reason to, and so is not asked for.
    """
    return value + step_size * (reward + gamma * next_value * (1 - terminated) - value)


def td0(
    state: NDArray[np.integer],
    reward: Array,
    next_state: NDArray[np.integer],
    terminated: NDArray[np.bool_],
    *,
    states: int,
    gamma: float,
    step_size: Callable[[int], float] = lambda visit: visit**-0.8,
    values: Array | None = None,
) -> Array:
    """TD(0) prediction (section 6.1): learns a policy's values from transitions that it made, one after the other.

    Args:
        state: where each step began, [T], in {0 ... states - 1}.
        reward: what it earned, [T].
        next_state: where it led, [T]; after a truncation the true last state.
        terminated: whether the episode terminated there, [T]. Truncation is not termination.
        states: how many there are.
        gamma: discount.
        step_size: share of the error to correct by, for the n-th update of a state, n from 1. The default satisfies
            the conditions of stochastic approximation (eq. 2.7), without the slowness of 1 / n.
        values: where to begin, [states]; 0 by default. Not changed.

    Returns:
        v [states].

    Raises:
        ValueError: the arrays do not fit together.
    """
    shapes = {np.shape(array) for array in (state, reward, next_state, terminated)}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise ValueError(f"transitions have shapes {sorted(shapes)}; expected one-dimensional arrays of equal length")
    for name, array in (("state", state), ("next_state", next_state)):
        if len(array) and not 0 <= np.min(array) <= np.max(array) < states:
            raise ValueError(f"{name} goes from {np.min(array)} to {np.max(array)}; expected 0 to {states - 1}")
    # Plain lists: in a loop over single numbers they are many times faster than arrays.
    v = [0.0] * states if values is None else np.asarray(values, np.float64).tolist()
    visits = [0] * states
    columns = (np.asarray(column).tolist() for column in (state, reward, next_state, terminated))
    for s, r, following, end in zip(*columns, strict=True):
        visits[s] += 1
        v[s] = td0_update(v[s], r, v[following], end, gamma=gamma, step_size=step_size(visits[s]))
    return np.array(v)


def _check_policy(policy: Array, reward: Array) -> None:
    if policy.shape != reward.shape:
        raise ValueError(f"policy is {policy.shape}; expected [states, actions] {reward.shape}")
    if not (policy >= 0).all() or not np.allclose(policy.sum(-1), 1.0):
        raise ValueError("policy is not made of probabilities; expected rows of numbers >= 0 that sum to 1")
