"""Environments whose Markov decision process is known: what a planner finds in them, and what a table should hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents import planning
from agents.baselines import RandomConfig
from agents.lazy import torch
from agents.registry import find_agent
from agents.tabular import Tabular
from envs.catalog import action_facts
from eval.loop import Interaction, agent_seeds, training_seeds
from eval.tables import Grid
from eval.tasks import describe_task, make_envs

ARROWS = {"north": "↑", "south": "↓", "east": "→", "west": "←", "up": "↑", "down": "↓", "right": "→", "left": "←"}
LISTED_STATES = 64
"""States of a table that is printed, at most."""
TD_COLUMNS = 200
"""Environments that make transitions for TD(0) at once."""
TIE = 1e-6
"""Learned values closer than this count as equally good when arrows are drawn."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """A Markov decision process as `agents.planning` takes it, with its names."""

    transition: NDArray[np.float64]
    """[states, actions, states]; with what is missing to 1 the episode terminates."""
    reward: NDArray[np.float64]
    """[states, actions]."""
    discount: float | None
    """What the environment suggests."""
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    shape: tuple[int, int] | None
    """Rows and columns, where states lie on a grid."""
    draw: Callable[[NDArray[Any], NDArray[Any]], NDArray[np.uint8]] | None
    """The environment's picture of values [states] and a policy [states, actions]."""


def process_of(env_id: str, env_args: dict[str, Any]) -> Process | None:
    """The process behind an environment: from its `model()`, or from the `P` of Gymnasium's toy texts. Else None.

    Time limits are no part of it.

    Raises:
        ValueError: the environment refuses its keywords.
    """
    try:
        env: Any = gym.make(env_id, disable_env_checker=True, **env_args).unwrapped
    except gym.error.Error as error:
        raise ValueError(f"environment {env_id!r}: {' '.join(str(error).split())}") from None
    if hasattr(env, "model"):
        transition, reward = env.model()
    elif isinstance(getattr(env, "P", None), dict):
        transition, reward = _from_toy_text(env.P)
    else:
        return None
    states, actions = reward.shape
    facts = action_facts(env_id, env.metadata)
    shape = env.metadata.get("state_shape") or np.shape(getattr(env, "desc", ()))
    process = Process(
        transition=transition,
        reward=reward,
        discount=env.metadata.get("discount"),
        state_names=_names(facts["state_names"], states),
        action_names=_names(facts["action_names"], actions),
        shape=(shape[0], shape[1]) if len(shape) == 2 and np.prod(shape) == states else None,
        draw=getattr(env, "draw_values", None),
    )
    env.close()
    return process


def td0_values(
    env_id: str, env_args: dict[str, Any], process: Process, gamma: float, transitions: int, seed: int
) -> NDArray[np.floating]:
    """The random policy's values [states] by TD(0), from transitions that it makes in the environment itself."""
    columns = min(transitions, TD_COLUMNS)
    venv = make_envs(env_id, columns, env_args=env_args, workers=0)
    task, _ = describe_task(env_id, venv)
    agent = find_agent("random").build(RandomConfig(), task, agent_seeds(seed, 1), torch.device("cpu"))
    # Of a step of training all that TD(0) needs: truncation is no reason to cut what follows.
    kept: list[tuple[NDArray[Any], ...]] = []
    for step in Interaction(venv, agent, 1, training_seeds(seed, columns), explore=True):
        kept.append((step.obs[0], step.reward[0], step.next_obs[0], step.terminated[0]))
        if len(kept) * columns >= transitions:
            break
    venv.close()
    state, reward, next_state, terminated = (np.concatenate(part) for part in zip(*kept, strict=True))
    return planning.td0(state, reward, next_state, terminated, states=len(process.reward), gamma=gamma)


def value_grid(process: Process, title: str, values: NDArray[Any], policy: NDArray[Any], note: str = "") -> Grid:
    """Values [states] and the actions of a policy [states, actions], laid out as the states lie."""
    marks = [_actions_of(chances, process.action_names) for chances in policy]
    if process.shape is None:
        rows = [
            [name, f"{value:.3f}", mark] for name, value, mark in zip(process.state_names, values, marks, strict=True)
        ]
        if len(rows) > LISTED_STATES:
            rows, note = rows[:LISTED_STATES], f"The first {LISTED_STATES} of {len(values):,} states. {note}".strip()
        return Grid(title, ["state", "value", "actions"], rows, note)
    height, width = process.shape
    digits = 1 if np.abs(values).max() >= 10 or process.draw is not None else 3
    cells = [
        # Adding 0 takes the minus off what rounds to zero.
        f"{np.round(value, digits) + 0.0:.{digits}f}" + ("" if len(set(mark)) > 3 else f" {mark}")
        for value, mark in zip(values, marks, strict=True)
    ]
    rows = [[f"row {row}", *cells[row * width : (row + 1) * width]] for row in range(height)]
    return Grid(title, ["", *(f"column {column}" for column in range(width))], rows, note)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Learned values beside exact ones."""

    what: str
    """What the exact ones are."""
    exact: NDArray[np.floating]
    """[states]."""
    learned: NDArray[np.float64]
    """[S, states]."""

    def grid(self) -> Grid:
        """The differences, a row per seed."""
        error = np.abs(self.learned - self.exact)
        rows = [[f"seed {seed}", f"{one.max():.4f}", f"{one.mean():.4f}"] for seed, one in enumerate(error)]
        rows.append(["all", f"{error.max():.4f}", f"{error.mean():.4f}"])
        return Grid(f"Learned values against {self.what}", ["", "largest error", "mean error"], rows)


def compare_with_exact(agent: Tabular, process: Process, gamma: float) -> Comparison | None:
    """A table's values against those that its rule should converge to; None where they cannot be had.

    Q-learning's is the optimum; SARSA's, with a constant epsilon, the best epsilon-soft policy.
    """
    if process.reward.shape != tuple(agent.q.shape[1:]):
        return None  # the agent's states are not the process's: they were binned
    try:
        if not agent.on_policy:
            exact, what = planning.policy_iteration(process.transition, process.reward, gamma)[0], "policy iteration"
        elif agent.config.exploration == "epsilon":
            epsilon = agent.epsilon
            exact = planning.epsilon_soft_optimum(process.transition, process.reward, gamma, epsilon)[1]
            what = f"the exact optimum of policies that act at random in {epsilon:.0%} of their steps"
        else:
            return None
    except ValueError:
        return None  # a discount of 1 with policies that never terminate
    return Comparison(what=what, exact=exact, learned=agent.state_values())


def greedy_arrows(q_values: NDArray[np.floating]) -> NDArray[np.float64]:
    """The greedy policy of a learned table [states, actions], the best of each state shared by those about as good."""
    best = q_values >= q_values.max(-1, keepdims=True) - TIE * max(1.0, float(np.abs(q_values).max()))
    return best / best.sum(-1, keepdims=True)


def greedy_policy(
    agent: Any, seeds: int, states: int, actions: int
) -> tuple[NDArray[np.floating] | None, NDArray[np.float64]]:
    """What any agent would do in each state of a Discrete space, and how good it thinks they are.

    Args:
        agent: with S seeds.
        seeds: S.
        states: of the space.
        actions: that there are, A.

    Returns:
        Values [states], means over seeds, None where the agent has none; and the chances [states, A] with which its
        seeds take an action, tables sharing them among the best.
    """
    if isinstance(agent, Tabular):
        return agent.state_values().mean(0), greedy_arrows(agent.q.mean(0).cpu().numpy())
    obs = np.broadcast_to(np.arange(states), (seeds, states)).copy()
    action = agent.act(obs, np.ones(obs.shape, bool), explore=False)  # [S, states]
    values = agent.value(obs).mean(0) if hasattr(agent, "value") else None
    return values, np.eye(actions)[action].mean(0)


def table_grid(agent: Tabular) -> Grid:
    """The learned table with states and actions named: means over seeds, and each seed's greedy action."""
    table = agent.table()
    q = table.q_values.mean(0)  # [L, A]
    rows = []
    for at, name in enumerate(table.state_names):
        choices = " ".join(_actions_of(greedy_arrows(one[at][None])[0], table.action_names) for one in table.q_values)
        visits = int(table.visits[:, at].sum(-1).mean())
        rows.append([name, f"{table.values[:, at].mean():.2f}", *(f"{x:.2f}" for x in q[at]), choices, f"{visits:,}"])
    headings = ["state", "value", *table.action_names, "greedy, by seed", "visits"]
    return Grid("Learned table", headings, rows, "Means over seeds. States in which nobody has acted are left out.")


def _actions_of(chances: NDArray[Any], names: Sequence[str]) -> str:
    """The actions that a policy takes in a state."""
    taken = [ARROWS.get(name, name) for name, chance in zip(names, chances, strict=True) if chance > 0]
    return ("" if all(len(name) == 1 for name in taken) else "/").join(taken)


def _names(known: Sequence[str] | None, count: int) -> tuple[str, ...]:
    return tuple(known) if known is not None and len(known) == count else tuple(map(str, range(count)))


def _from_toy_text(outcomes: dict[int, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gymnasium's `P[state][action] = [(probability, next state, reward, terminated), ...]` as arrays."""
    states, actions = len(outcomes), len(outcomes[0])
    transition, reward = np.zeros((states, actions, states)), np.zeros((states, actions))
    for state, choices in outcomes.items():
        for action, branches in choices.items():
            for probability, following, earned, terminated in branches:
                reward[state, action] += probability * earned
                transition[state, action, following] += probability * (not terminated)
    return transition, reward
