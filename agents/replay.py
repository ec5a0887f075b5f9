"""Replay memory: what the columns went through, each observation stored once, on the training device.

A row of a column holds an observation and what was done there; the next row holds what came of it. An episode that is
cut off by a time limit gets one more row for its true last observation, which nothing was done at. One that terminates
needs none: nothing is bootstrapped there. Since columns are cut off at different times, each has a cursor of its own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from agents.base import Step
from agents.lazy import torch
from agents.streams import SeedStreams


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Transitions drawn from memory. All tensors are [S, B, ...]."""

    obs: torch.Tensor
    action: torch.Tensor
    reward: torch.Tensor
    """Discounted sum of the rewards of up to `n_step` steps."""
    next_obs: torch.Tensor
    """The observation after those steps; arbitrary where `bootstrap` is 0."""
    bootstrap: torch.Tensor
    """gamma ^ steps, what the value of `next_obs` counts for; 0 where the episode terminated."""
    weight: torch.Tensor
    """1, or 0 for a row that is no transition; use `mean` to average."""

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over each seed's transitions, [S, B] -> [S]."""
        return (values * self.weight).sum(-1) / self.weight.sum(-1).clamp(min=1.0)


class ReplayMemory:
    """A ring of rows for each of S * E columns.

    Memory is claimed when the first step arrives, so a policy that is only evaluated costs none.

    Args:
        size: transitions kept per seed, over its columns.
        observation_space: space of one observation; its dtype is kept (uint8 images stay uint8).
        action_space: space of one action.
        seeds: S.
        envs: E.
        device: where the rows are kept and drawn.

    Raises:
        ValueError: it would not fit into the device's free memory; the message has the numbers of bytes.
    """

    def __init__(
        self,
        size: int,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        seeds: int,
        envs: int,
        device: torch.device,
    ):
        self.rows = max(2, -(-size // envs))
        self.seeds, self.envs, self.device = seeds, envs, device
        self._obs_shape = tuple(observation_space.shape or ())
        self._action_shape = tuple(action_space.shape or ())
        self._obs_dtype = _stored_dtype(observation_space)
        self._action_dtype = _stored_dtype(action_space)
        needed, free = self.bytes_needed(), free_bytes(device)
        if needed > free:
            raise ValueError(
                f"replay memory of {size:,} transitions x {seeds} seeds needs {needed:,} bytes and {device} has "
                f"{free:,} free; lower memory_size or seeds"
            )
        self._ring: dict[str, torch.Tensor] = {}
        # Per column: where the next row goes, and how many rows there are.
        self._cursor = torch.zeros(seeds * envs, dtype=torch.int64, device=device)
        self._filled = torch.zeros(seeds * envs, dtype=torch.int64, device=device)
        self._columns = torch.arange(seeds * envs, device=device)

    def bytes_needed(self) -> int:
        """What the full memory takes."""
        row = int(np.prod(self._obs_shape)) * self._obs_dtype.itemsize
        row += int(np.prod(self._action_shape)) * self._action_dtype.itemsize + 4 + 2
        return row * self.rows * self.seeds * self.envs

    def add(self, step: Step) -> None:
        """Appends a step of all columns."""
        if not self._ring:
            self._claim()
        columns = self._columns
        to = self.device
        ending = np.where(step.terminated, TERMINATED, np.where(step.truncated, TRUNCATED, GOES_ON)).astype(np.uint8)
        rows = self._cursor
        self._ring["obs"][rows, columns] = self._stored(step.obs, self._obs_dtype)
        self._ring["action"][rows, columns] = self._stored(step.action, self._action_dtype)
        self._ring["reward"][rows, columns] = torch.as_tensor(step.reward.reshape(-1), dtype=torch.float32, device=to)
        self._ring["ending"][rows, columns] = torch.as_tensor(ending.reshape(-1), device=to)
        self._ring["last"][rows, columns] = False
        self._advance(columns)
        cut = np.flatnonzero(step.truncated & ~step.terminated)
        if len(cut):
            ended = torch.as_tensor(cut, device=to)
            last = step.next_obs.reshape(-1, *self._obs_shape)[cut]
            rows = self._cursor[ended]
            self._ring["obs"][rows, ended] = torch.as_tensor(last, dtype=self._obs_dtype, device=to)
            # Nothing was done here; but what is never weighed must still be a member of the space.
            self._ring["action"][rows, ended] = self._stored(step.action, self._action_dtype)[ended]
            self._ring["last"][rows, ended] = True
            self._ring["ending"][rows, ended] = TRUNCATED
            self._advance(ended)

    def sample(self, batch_size: int, gamma: float, n_step: int, streams: SeedStreams) -> Batch:
        """Draws transitions of `n_step` steps, fewer where an episode ends; they never cross a reset.

        Every seed draws from its own columns. Needs more than `n_step` rows in every column.
        """
        seeds = torch.arange(self.seeds, device=self.device)[:, None]
        column = seeds * self.envs + streams.integers(self.envs, batch_size)  # [S, B]
        filled = self._filled[column]
        # The newest row's outcome is not known yet, nor what lies n_step rows after any of the last n_step.
        age = filled - streams.integers(filled - n_step, batch_size)  # rows back from the cursor
        start = (self._cursor[column] - age) % self.rows
        reward = torch.zeros(start.shape, device=self.device)
        discount = torch.ones(start.shape, device=self.device)
        goes_on = torch.ones(start.shape, dtype=torch.bool, device=self.device)
        terminated = torch.zeros_like(goes_on)
        row = start
        for _ in range(n_step):
            ending = self._ring["ending"][row, column]
            reward = reward + discount * goes_on * self._ring["reward"][row, column]
            discount = torch.where(goes_on, discount * gamma, discount)
            terminated = terminated | (goes_on & (ending == TERMINATED))
            row = torch.where(goes_on, (row + 1) % self.rows, row)
            goes_on = goes_on & (ending == GOES_ON)
        return Batch(
            obs=self._ring["obs"][start, column],
            action=self._ring["action"][start, column],
            reward=reward,
            next_obs=self._ring["obs"][row, column],
            bootstrap=discount * ~terminated,
            weight=(~self._ring["last"][start, column]).float(),
        )

    def state_dict(self) -> dict[str, Any]:
        return {"cursor": self._cursor, "filled": self._filled, "ring": dict(self._ring)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._cursor.copy_(state["cursor"])
        self._filled.copy_(state["filled"])
        if state["ring"]:
            self._claim()
            for name, tensor in self._ring.items():
                tensor.copy_(state["ring"][name])

    def _claim(self) -> None:
        columns = self.seeds * self.envs

        def ring(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
            return torch.zeros((self.rows, columns, *shape), dtype=dtype, device=self.device)

        self._ring = {
            "obs": ring(self._obs_shape, self._obs_dtype),
            "action": ring(self._action_shape, self._action_dtype),
            "reward": ring((), torch.float32),
            "ending": ring((), torch.uint8),
            "last": ring((), torch.bool),
        }

    def _stored(self, values: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
        return torch.as_tensor(
            values.reshape(self.seeds * self.envs, *values.shape[2:]), dtype=dtype, device=self.device
        )

    def _advance(self, columns: torch.Tensor) -> None:
        self._cursor[columns] = (self._cursor[columns] + 1) % self.rows
        self._filled[columns] = (self._filled[columns] + 1).clamp(max=self.rows)


GOES_ON, TERMINATED, TRUNCATED = 0, 1, 2
"""How a row's step left its episode."""


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device, as the system tells; very much where it does not."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo") as lines:
            figures = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        return figures["MemAvailable"]
    except (OSError, KeyError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 2**62


def _stored_dtype(space: gym.Space[Any]) -> torch.dtype:
    """The dtype kept for a space: its own, but 64-bit floats as 32-bit ones, which is what networks compute in."""
    dtype = np.dtype(space.dtype or np.float32)
    if dtype == np.uint8:
        return torch.uint8
    return torch.float32 if dtype.kind == "f" else torch.int64
