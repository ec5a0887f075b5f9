"""GridWorld: walk on a square grid where two squares pay and carry you off (Sutton and Barto, 2nd ed., example 3.5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.gridworld_drawing import draw_grid
from envs.keywords import config_from
from envs.native import NativeVectorEnv, ScalarEnv, discrete_actions
from envs.streams import uniform

ACTION_NAMES = ("north", "south", "east", "west")
MOVES = np.array([[-1, 0], [1, 0], [0, 1], [0, -1]])
"""Rows and columns that each action moves by."""
DISCOUNT = 0.9
"""The discount that the example's tables are for. The environment itself does not discount."""

Square = Sequence[int]
"""(row, column) from the top left."""


@dataclass(frozen=True, kw_only=True)
class GridWorldConfig:
    """Every constant of the grid. All are keywords of `gymnasium.make`."""

    size: int = 5
    """Squares along an edge, in [1, 100]."""
    specials: Sequence[tuple[Square, Square, float]] = (((0, 1), (4, 1), 10.0), ((0, 3), (2, 3), 5.0))
    """Special squares as (square, where every action leads from there, reward); squares are (row, column)."""
    slip: float = 0.0
    """Probability, in [0, 1], that a step goes in a uniformly random direction instead of the one chosen."""
    bump_reward: float = -1.0
    """Reward of walking against the edge, which leads nowhere."""
    max_steps: int = 100
    """Steps at which an episode is truncated."""

    def __post_init__(self) -> None:
        for name, high in (("size", 100), ("max_steps", 10**9)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= high:
                raise ValueError(f"{name} is {value!r}; expected a whole number in [1, {high}]")
        if not _is_number(self.slip) or not 0.0 <= self.slip <= 1.0:
            raise ValueError(f"slip is {self.slip!r}; expected a number in [0, 1]")
        if not _is_number(self.bump_reward):
            raise ValueError(f"bump_reward is {self.bump_reward!r}; expected a finite number")
        if isinstance(self.specials, str) or not isinstance(self.specials, Sequence):
            raise ValueError(f"specials is {self.specials!r}; expected a list of (square, target, reward)")
        taken = set()
        for special in self.specials:
            try:
                square, target, reward = special
                (_, _), (_, _) = square, target
            except (TypeError, ValueError):
                raise ValueError(f"special {special!r}; expected ((row, column), (row, column), reward)") from None
            for row_column in (square, target):
                if not all(isinstance(value, int) and 0 <= value < self.size for value in row_column):
                    raise ValueError(
                        f"special square {tuple(row_column)} is not on the grid; expected rows and columns in "
                        f"[0, {self.size - 1}]: give specials, or another size"
                    )
            if not _is_number(reward):
                raise ValueError(f"reward of special square {tuple(square)} is {reward!r}; expected a finite number")
            if tuple(square) in taken:
                raise ValueError(f"special square {tuple(square)} is given twice; expected once")
            taken.add(tuple(square))


def moves_of(config: GridWorldConfig) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """What moving in each direction, without slipping, leads to: next state and reward, both [states, 4]."""
    size = config.size
    squares = np.stack(np.divmod(np.arange(size * size), size), axis=-1)  # [states, 2]
    target = squares[:, None] + MOVES  # [states, 4, 2]
    outside = np.any((target < 0) | (target >= size), axis=-1)  # [states, 4]
    target = np.where(outside[..., None], squares[:, None], target)
    next_state = target[..., 0] * size + target[..., 1]
    reward = np.where(outside, float(config.bump_reward), 0.0)
    for (row, column), (to_row, to_column), special_reward in config.specials:
        next_state[row * size + column] = to_row * size + to_column
        reward[row * size + column] = special_reward
    return next_state, reward


def exact_model(config: GridWorldConfig) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The Markov decision process behind the grid, for planners.

    Returns:
        Transition probabilities P [states, actions, next states], and expected rewards R [states, actions]. State
        row * size + column is that square; actions are in the order of `ACTION_NAMES`. There are no terminal states.
    """
    next_state, reward = moves_of(config)
    states, actions = next_state.shape
    certain = np.zeros((states, actions, states))
    certain[np.arange(states)[:, None], np.arange(actions), next_state] = 1.0
    # A slip may happen to go where it was meant to.
    stay, slip = 1.0 - config.slip, config.slip
    transition = stay * certain + slip * certain.mean(1, keepdims=True)
    return transition, stay * reward + slip * reward.mean(1, keepdims=True)


class GridWorldVectorEnv(NativeVectorEnv):
    """Columns of `GridWorld`."""

    metadata: ClassVar[dict[str, Any]] = {
        "render_modes": ["rgb_array"],
        "render_fps": 4,
        "action_names": ACTION_NAMES,
        "discount": DISCOUNT,
    }
    state_names = ("square", "last_square", "last_reward")

    def __init__(self, num_envs: int = 1, *, render_mode: str | None = None, **config: Any):
        self.config = config_from(GridWorldConfig, config)
        states = self.config.size**2
        super().__init__(num_envs, spaces.Discrete(states), spaces.Discrete(len(ACTION_NAMES)), render_mode)
        shape = (self.config.size, self.config.size)
        self.metadata = {**self.metadata, "state_names": state_names(self.config), "state_shape": shape}  # pyright: ignore[reportAttributeAccessIssue]
        self.square = np.zeros(num_envs, np.int64)
        """State of each column: row * size + column."""
        # The picture shows where a step came from and what it earned.
        self.last_square = np.zeros(num_envs, np.int64)
        self.last_reward = np.zeros(num_envs)
        self._next_state, self._reward = moves_of(self.config)

    def model(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """`exact_model` of this grid."""
        return exact_model(self.config)

    def draw_values(self, values: NDArray[np.floating], policy: NDArray[np.floating]) -> NDArray[np.uint8]:
        """The picture of values [states], with arrows for a policy [states, 4], uint8 [480, 480, 3]."""
        return draw_grid(self.config.size, self.config.specials, values=values, policy=policy)

    def _begin(self, columns: NDArray[np.intp], options: dict[str, Any]) -> dict[str, NDArray[Any]]:
        share = uniform(self.key[columns], self.draws[columns])
        self.square[columns] = (share * len(self._next_state)).astype(np.int64)
        self.draws[columns] += np.uint64(1)
        self.last_square[columns] = self.square[columns]
        self.last_reward[columns] = 0.0
        return {}

    def _advance(
        self, actions: NDArray[Any], active: NDArray[np.bool_]
    ) -> tuple[NDArray[np.floating], NDArray[np.bool_], NDArray[np.bool_], dict[str, NDArray[Any]]]:
        actions = discrete_actions(actions, active, len(ACTION_NAMES))
        slip = self.config.slip
        if slip:
            # One draw says whether it slips and, where it does, which way.
            share = uniform(self.key, self.draws)
            slipped = np.minimum(share / slip * len(ACTION_NAMES), len(ACTION_NAMES) - 1).astype(np.int64)
            actions = np.where(share < slip, slipped, actions)
            self.draws += active
        reward = self._reward[self.square, actions]
        reached = self._next_state[self.square, actions]
        self.last_square = np.where(active, self.square, self.last_square)
        self.last_reward = np.where(active, reward, self.last_reward)
        self.square = np.where(active, reached, self.square)
        truncated = self.episode_steps >= self.config.max_steps
        return reward, np.zeros(self.num_envs, bool), truncated, {}

    def _observe(self) -> NDArray[np.int64]:
        return self.square.copy()

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """A picture of each column, uint8 [480, 480, 3], in mode "rgb_array"."""
        if self.render_mode != "rgb_array":
            return None
        return tuple(self.render_column(column) for column in range(self.num_envs))

    def render_column(self, column: int) -> NDArray[np.uint8]:
        """The picture of one column, uint8 [480, 480, 3]."""
        return draw_grid(
            self.config.size,
            self.config.specials,
            square=int(self.square[column]),
            came_from=int(self.last_square[column]),
            reward=float(self.last_reward[column]),
        )


class GridWorld(ScalarEnv):
    """Walk on a 5 x 5 grid with two special squares. Example 3.5 of Sutton and Barto.

    **Actions.** Discrete(4): north (up), south, east (right), west. Against the edge one stays where one is.

    **Observations.** Discrete(size * size): the square, row * size + column, counted from the top left.

    **Reward.** -1 for walking against the edge, else 0. Any action on special square A (0, 1) earns 10 and leads to
    (4, 1); on B (0, 3) it earns 5 and leads to (2, 3).

    **End.** Starts on a uniformly random square; never terminated; truncated after `max_steps`, 100. The tables of the
    book are for a discount of 0.9, which is the agent's affair and named in `metadata["discount"]`.

    With `slip` a step goes in a random direction now and then. `model()` returns the exact transition probabilities and
    expected rewards. All fields of `GridWorldConfig` are keywords.

    Raises:
        ValueError: a keyword is out of its bounds, or an action is outside its space.
        gymnasium.error.ResetNeeded: `step` before `reset`, or after the end of an episode.
    """

    metadata: ClassVar[dict[str, Any]] = GridWorldVectorEnv.metadata  # pyright: ignore[reportIncompatibleVariableOverride]
    vector = GridWorldVectorEnv

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        told = {name: self.batch.metadata[name] for name in ("state_names", "state_shape")}
        self.metadata = {**self.metadata, **told}  # pyright: ignore[reportAttributeAccessIssue]

    def model(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """`exact_model` of this grid."""
        assert isinstance(self.batch, GridWorldVectorEnv)
        return self.batch.model()

    def draw_values(self, values: NDArray[np.floating], policy: NDArray[np.floating]) -> NDArray[np.uint8]:
        """`GridWorldVectorEnv.draw_values` of this grid."""
        assert isinstance(self.batch, GridWorldVectorEnv)
        return self.batch.draw_values(values, policy)


def state_names(config: GridWorldConfig) -> tuple[str, ...]:
    """The states by name, "(row, column)"."""
    return tuple(f"({row}, {column})" for row in range(config.size) for column in range(config.size))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
