"""What is within reach: actions, as their space says, and values, as the rewards seen so far say."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.base import Task
from agents.encoders import check_observation_space
from agents.lazy import torch
from agents.saved import check_shape

LONGEST = 1_000
"""Steps that the unit of values reckons with at most, where the discount looks further ahead than any episode goes."""


def check_task(task: Task) -> None:
    """Raises ValueError unless observations can be encoded and actions are a Box with bounds."""
    check_observation_space(task.observation_space)
    space = task.action_space
    if not isinstance(space, gym.spaces.Box) or space.dtype is None or space.dtype.kind != "f":
        raise ValueError(f"action space {space}; expected a Box of real numbers")
    if not space.is_bounded():
        raise ValueError(f"action space {space} has no bounds; expected a bounded Box: wrap it in RescaleAction")
    if not (space.low < space.high).all():
        raise ValueError(f"action space {space} leaves no choice in some dimension; expected low < high")


class ActionBounds:
    """The way between actions as agents see them, [-1, 1] in each of D dimensions, and members of a bounded Box."""

    def __init__(self, space: gym.spaces.Box, device: torch.device):
        self.space = space
        self.dimensions = int(np.prod(space.shape))
        low, high = (torch.as_tensor(bound.reshape(-1).astype(np.float32)) for bound in (space.low, space.high))
        self._middle, self._reach = ((high + low) / 2).to(device), ((high - low) / 2).to(device)  # [D]

    def to_space(self, action: torch.Tensor) -> NDArray[Any]:
        """[S, E, D] -> [S, E, *action]."""
        scaled = (self._middle + self._reach * action).cpu().numpy().reshape(*action.shape[:2], *self.space.shape)
        return scaled.astype(self.space.dtype).clip(self.space.low, self.space.high)

    def from_space(self, action: torch.Tensor) -> torch.Tensor:
        """[S, B, *action] -> [S, B, D]."""
        return (action.flatten(2) - self._middle) / self._reach


class ValueBounds:
    """Least and greatest value that the rewards seen so far could add up to, for each seed, and a unit to count in.

    Values grow by learning from each other; where they have grown beyond what the best reward for ever would be worth,
    they are certainly wrong, and would go on growing.

    Args:
        gamma: discount per step; at 1 there is no bound.
        seeds: S.
        device: where values are.
    """

    def __init__(self, gamma: float, seeds: int, device: torch.device):
        self.horizon = np.inf if gamma == 1 else 1 / (1 - gamma)
        self._low = torch.zeros(seeds, 1, device=device)  # 0 is what follows a termination
        self._high = torch.zeros(seeds, 1, device=device)
        self._square = torch.zeros(seeds, 1, device=device)
        self._seen = 0
        """Of the rewards seen: least, greatest, mean square, and how many of each seed."""

    def observe(self, reward: NDArray[np.floating]) -> None:
        """Takes rewards [S, E] into account."""
        reward_ = torch.as_tensor(reward.astype(np.float32), device=self._low.device)
        self._low = torch.minimum(self._low, reward_.amin(1, keepdim=True))
        self._high = torch.maximum(self._high, reward_.amax(1, keepdim=True))
        self._seen += reward.shape[1]
        self._square = self._square.lerp(reward_.square().mean(1, keepdim=True), reward.shape[1] / self._seen)

    def clamp(self, value: torch.Tensor) -> torch.Tensor:
        """Values [S, B], none of them out of reach."""
        if self.horizon == np.inf:
            return value
        return value.clamp(self._low * self.horizon, self._high * self.horizon)

    @property
    def unit(self) -> torch.Tensor:
        """What networks count values in, so that they tell numbers of order one whatever the rewards are: [S, 1].

        The size of rewards (root of their mean square) times the root of the horizon: about the deviation of a
        return if rewards were independent. 1 before there is any reward.
        """
        unit = (self._square * min(self.horizon, LONGEST)).sqrt()
        return torch.where(unit > 0, unit, torch.ones_like(unit))

    def state_dict(self) -> dict[str, Any]:
        return {"low": self._low, "high": self._high, "square": self._square, "seen": self._seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("low", "high", "square"):
            check_shape(name, state[name], self._low.shape)
        self._low, self._high, self._square = (state[name].to(self._low.device) for name in ("low", "high", "square"))
        self._seen = int(state["seen"])
