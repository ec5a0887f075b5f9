"""What all agents have in common: the task they are told of, the steps they see, the methods they offer.

Letters of tensor shapes, everywhere in this package:

    S  seeds trained at once       E  environments (columns) per seed     B  batch of a seed
    A  actions to choose from      D  dimensions of a continuous action   F  features of an observation
    K  arms of a bandit            C  rows of a replay memory             N  S * E columns, seed-major
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.finite import Watched


@dataclass(frozen=True, kw_only=True)
class Task:
    """What an agent is told of its environment."""

    observation_space: gym.Space[Any]
    """Space of one observation."""
    action_space: gym.Space[Any]
    """Space of one action."""
    action_names: tuple[str, ...] = ()
    """Names of discrete actions or, for continuous ones, of the directions they are counted in."""
    state_names: tuple[str, ...] = ()
    """Names of the states of a Discrete observation space, where the environment tells them."""
    idle_action: int | None = None
    """The discrete action that does nothing; for continuous control any number says that zero does nothing."""
    envs: int = 1
    """Environments per seed that it will learn from."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of all columns. Arrays are [S, E, ...]."""

    obs: NDArray[Any]
    action: NDArray[Any]
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    next_obs: NDArray[Any]
    """What the action led to; where an episode ended, its true last observation."""
    first: NDArray[np.bool_]
    """Where `obs` opened an episode."""
    running: NDArray[np.bool_]
    """Which columns took part: all in training; in an evaluation not those that have run out of episodes."""
    info: dict[str, Any]
    """What the environments told of this step, in Gymnasium's form: arrays over the S * E columns."""
    reset_info: dict[str, NDArray[Any]]
    """What the resets told that opened the episodes this step belongs to, arrays over the S * E columns."""


class Agent(Protocol):
    """A learning rule or a fixed policy, for S seeds at once.

    One whose class says `learns_within_episodes = True` goes on learning while it is evaluated, and acts there as in
    training: exploring is how it does well. One whose class says `takes_tensors = True` is given observations as
    tensors, on whatever device they are, where a simulator has such; to the others they come as arrays. One whose class
    says `learns_before_acting = True` is told to `update` before it acts, so that a step is of the policy that it has
    become; to the others that is said after, while the environments step. One that has `most_threads` learns the same
    to the bit on that many threads of a CPU; the others learn on one.

    It knows nothing of files, clocks or environments. Everything that influences it later is in `state_dict`: nested
    dictionaries and lists of tensors, arrays and plain values.
    """

    metric_names: tuple[str, ...]
    """What `metrics` may tell."""

    def act(self, obs: NDArray[Any], first: NDArray[np.bool_], *, explore: bool) -> NDArray[Any]:
        """Actions [S, E, ...] for observations [S, E, ...]; `first` [S, E] is true where an episode opens.

        With `explore` it acts as in training, else as well as it can.
        """
        ...

    def observe(self, step: Step) -> None:
        """Takes in what a step of training led to."""
        ...

    def update(self) -> None:
        """Learns as much as is due after what it has observed."""
        ...

    def metrics(self) -> dict[str, NDArray[np.floating]]:
        """Figures of learning since the last call, each [S]; empty when nothing was learnt."""
        ...

    def watched(self) -> Watched:
        """What must stay finite: the agent's own tensors, not copies, of all that learning changes and tells."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Fixed:
    """The half of the interface that a policy without learning shares."""

    metric_names: tuple[str, ...] = ()

    def observe(self, step: Step) -> None:
        pass

    def update(self) -> None:
        pass

    def metrics(self) -> dict[str, NDArray[np.floating]]:
        return {}

    def watched(self) -> Watched:
        return {}


def check_bounds(config: Any, **bounds: tuple[float, float]) -> None:
    """Holds fields of a config against [low, high].

    Raises:
        ValueError: a field is outside, or not a number.
    """
    for name, (low, high) in bounds.items():
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"{name} is {value!r}; expected a number in [{low:g}, {high:g}]")


def check_choice(config: Any, **choices: Sequence[str]) -> None:
    """Holds fields of a config against the words they may be.

    Raises:
        ValueError: a field is none of them.
    """
    for name, allowed in choices.items():
        value = getattr(config, name)
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}; expected one of {', '.join(allowed)}")


def check_flags(config: Any, *names: str) -> None:
    """Holds fields of a config against being true or false.

    Raises:
        ValueError: a field is neither.
    """
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, bool):
            raise ValueError(f"{name} is {value!r}; expected true or false")
