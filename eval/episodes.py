"""Episodes, put together from the steps of the loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.base import Step
from eval.actions import at_bound
from eval.tasks import ActionTable


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One finished episode."""

    seed: int
    """Which of the S seeds played it."""
    number: int
    """Episodes of its seed that had ended before it."""
    end_step: int
    """Environment steps of its seed when it ended."""
    length: int
    """Steps."""
    total_reward: float
    discounted_return: float
    """Rewards discounted from the start."""
    terminated: bool
    """False where it was cut off."""
    action_counts: tuple[int, ...]
    """How often each action of the table was taken."""
    action_rewards: Counter[tuple[int, float]] = field(default_factory=Counter)
    """How often each (action, reward) occurred; rewards to two decimals."""
    start_value: float | None = None
    """What the agent predicted for its first observation, where it predicts."""
    end_value: float = 0.0
    """What it predicted for the last observation of an episode that was cut off."""
    saturated: float | None = None
    """Continuous control: the share of action components at a bound, or within a hundredth of the range of it."""
    info: dict[str, Any] = field(default_factory=dict)
    """`reset_seed`, and what the environment told at its reset and at its end."""

    @property
    def success(self) -> bool | None:
        """What the environment calls success, where it does."""
        value = self.info.get("is_success")
        return None if value is None else bool(value)


class EpisodeRecorder:
    """Takes steps and gives the episodes that they finish.

    Args:
        table: how actions are counted.
        gamma: discount of `discounted_return`.
        action_bounds: (low, high) of a bounded Box, to tell saturation.
    """

    def __init__(
        self,
        table: ActionTable,
        *,
        gamma: float = 1.0,
        action_bounds: tuple[NDArray[np.floating], NDArray[np.floating]] | None = None,
    ):
        self.table, self.gamma, self.bounds = table, gamma, action_bounds
        self._actions = np.zeros((0, 0), np.int32)  # [T, N] of the episodes in progress
        self._rewards = np.zeros((0, 0))
        self._saturated = np.zeros(0)
        self._length = np.zeros(0, np.int64)
        self._finished = np.zeros(0, np.int64)
        self._start_value: NDArray[np.floating] | None = None
        self._steps = 0

    def add(
        self,
        step: Step,
        *,
        values: NDArray[np.floating] | None = None,
        last_values: NDArray[np.floating] | None = None,
    ) -> list[Episode]:
        """Takes one step; returns the episodes that it ended.

        Args:
            step: from the loop.
            values: predicted values of `step.obs`, [S, E].
            last_values: predicted values of `step.next_obs`, [S, E].
        """
        seeds, envs = step.reward.shape
        columns = seeds * envs
        if not len(self._length):
            self._actions = np.zeros((64, columns), np.int32)
            self._rewards = np.zeros((64, columns))
            self._saturated = np.zeros(columns)
            self._length = np.zeros(columns, np.int64)
            self._finished = np.zeros(seeds, np.int64)
            self._start_value = None if values is None else np.zeros(columns)
        self._steps += envs
        running = step.running.reshape(-1)
        if self._length.max() + 1 >= len(self._actions):
            self._actions = np.concatenate([self._actions, np.zeros_like(self._actions)])
            self._rewards = np.concatenate([self._rewards, np.zeros_like(self._rewards)])
        here = np.arange(columns)
        self._actions[self._length, here] = self.table.index(step.action).reshape(-1)
        self._rewards[self._length, here] = step.reward.reshape(-1)
        if self.bounds is not None:
            self._saturated += at_bound(step.action, *self.bounds).reshape(columns, -1).mean(-1) * running
        if values is not None and self._start_value is not None:
            first = step.first.reshape(-1)
            self._start_value[first] = values.reshape(-1)[first]
        self._length += running
        ended = (step.terminated | step.truncated).reshape(-1) & running
        return [self._finish(int(column), step, last_values) for column in np.flatnonzero(ended)]

    def _finish(self, column: int, step: Step, last_values: NDArray[np.floating] | None) -> Episode:
        envs = step.reward.shape[1]
        seed, length = column // envs, int(self._length[column])
        actions, rewards = self._actions[:length, column], self._rewards[:length, column]
        terminated = bool(step.terminated.reshape(-1)[column])
        info = {name: _plain(values[column]) for name, values in step.reset_info.items()}
        for name, values in step.info.items():
            told = not name.startswith("_") and isinstance(values, np.ndarray) and values.dtype != object
            if told and step.info[f"_{name}"][column]:
                info[name] = _plain(values[column])
        episode = Episode(
            seed=seed,
            number=int(self._finished[seed]),
            end_step=self._steps,
            length=length,
            total_reward=float(rewards.sum()),
            discounted_return=float(rewards @ self.gamma ** np.arange(length)),
            terminated=terminated,
            action_counts=tuple(np.bincount(actions, minlength=len(self.table.names)).tolist()),
            action_rewards=Counter(zip(actions.tolist(), (np.round(rewards, 2) + 0.0).tolist(), strict=True)),
            start_value=None if self._start_value is None else float(self._start_value[column]),
            end_value=0.0 if last_values is None or terminated else float(last_values.reshape(-1)[column]),
            saturated=None if self.bounds is None else float(self._saturated[column] / length),
            info=info,
        )
        self._finished[seed] += 1
        self._length[column] = 0
        self._saturated[column] = 0.0
        return episode

    def state_dict(self) -> dict[str, Any]:
        """The episodes in progress."""
        longest = int(self._length.max(initial=0))
        # Below a column's length there are rows of its earlier episodes, which are nobody's state.
        within = np.arange(longest)[:, None] < self._length
        return {
            "actions": self._actions[:longest] * within,
            "rewards": np.where(within, self._rewards[:longest], 0.0),
            "saturated": self._saturated.copy(),
            "length": self._length.copy(),
            "finished": self._finished.copy(),
            "steps": self._steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        longest, columns = state["actions"].shape
        self._actions = np.zeros((max(64, 2 * longest), columns), np.int32)
        self._rewards = np.zeros((max(64, 2 * longest), columns))
        self._actions[:longest], self._rewards[:longest] = state["actions"], state["rewards"]
        self._saturated, self._length = state["saturated"].copy(), state["length"].copy()
        self._finished = state["finished"].copy()
        self._steps = int(state["steps"])


def format_pairs(pairs: Counter[tuple[int, float]], names: Sequence[str]) -> str:
    """[action, reward] counts as a cell of a CSV file: `forward +1 x 23; left +0 x 4`; empty if there are too many."""
    if len(pairs) > 4 * len(names):
        return ""
    return "; ".join(f"{names[action]} {reward:+g} x {count}" for (action, reward), count in sorted(pairs.items()))


def parse_pairs(text: str) -> Counter[tuple[str, float]]:
    """What `format_pairs` wrote; damaged parts are passed over."""
    counts: Counter[tuple[str, float]] = Counter()
    for part in text.split("; "):
        words = part.rsplit(" ", 3)
        try:
            action, reward, times, count = words
            if times == "x":
                counts[action, float(reward)] += int(count)
        except ValueError:
            continue
    return counts


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value.tolist()
