"""Whole episodes: what a seed's columns went through under one policy, for learners that are on-policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.base import Step, Task
from agents.lazy import torch
from agents.networks import load_params
from agents.replay import free_bytes
from agents.saved import check_shape


@dataclass(frozen=True, kw_only=True)
class Episodes:
    """One seed's batch: M whole episodes, the longest of T steps, B steps in all."""

    obs: torch.Tensor
    """[1, B, ...]."""
    action: torch.Tensor
    """[1, B], or [1, B, D] as sampled."""
    reward: torch.Tensor
    """[T, M]."""
    steps: torch.Tensor
    """Which places of [T, M] are steps: in their order they are the B of `obs`."""
    length: torch.Tensor
    """[M]."""
    last_obs: torch.Tensor
    """What each episode ended with, [1, M, ...]."""
    bootstrap: torch.Tensor
    """1 where it was cut off and would have gone on, 0 where it terminated, [M]."""


class EpisodeMemory:
    """The first episodes that N columns begin under a policy, until all of a seed's have ended.

    Memory is claimed when the first step arrives, so a policy that is only evaluated costs none.

    Args:
        episodes: of each column.
        limit: steps of an episode that are kept.
        task: for its spaces and columns.
        seeds: S.
        device: where the steps are kept.

    Raises:
        ValueError: it would not fit into the device's free memory; the message has the numbers of bytes.
    """

    def __init__(self, episodes: int, limit: int, task: Task, seeds: int, device: torch.device):
        self.episodes, self.limit, self.seeds, self.envs, self.device = episodes, limit, seeds, task.envs, device
        space = task.observation_space
        discrete = isinstance(task.action_space, gym.spaces.Discrete)
        dtype = np.dtype(space.dtype or np.float32)
        stored = torch.uint8 if dtype == np.uint8 else torch.float32 if dtype.kind == "f" else torch.int64
        action_shape = () if discrete else (int(np.prod(task.action_space.shape or ())),)
        columns, rows = seeds * task.envs, episodes * limit
        self._parts: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
            "obs": ((rows, columns, *(space.shape or ())), stored),
            "action": ((rows, columns, *action_shape), torch.int64 if discrete else torch.float32),
            "reward": ((rows, columns), torch.float32),
            "last_obs": ((episodes, columns, *(space.shape or ())), stored),
            "length": ((episodes, columns), torch.int64),
            "bootstrap": ((episodes, columns), torch.float32),
        }
        needed, free = self.bytes_needed(), free_bytes(device)
        if needed > free:
            raise ValueError(
                f"{episodes} episodes of {limit:,} steps in {columns:,} columns need {needed:,} bytes and {device} has "
                f"{free:,} free; lower episode_limit, batch_episodes, envs or seeds"
            )
        self._ring: dict[str, torch.Tensor] = {}
        self._done = np.zeros(columns, np.int64)
        self._length = np.zeros(columns, np.int64)
        self._begins = np.ones(columns, bool)
        self._idle = np.zeros(columns, bool)
        """Per column: whole episodes kept, steps kept of the running one, whether the next step begins an episode, and
        whether the running one is not learnt from."""

    def bytes_needed(self) -> int:
        """What a full batch of every seed takes."""
        return sum(int(np.prod(shape, dtype=object)) * dtype.itemsize for shape, dtype in self._parts.values())

    def add(self, step: Step, action: torch.Tensor) -> None:
        """Keeps a step of the columns that still want it; `action` [S, E, ...] is what was sampled."""
        if not self._ring:
            self._claim()
        ring = self._ring
        self._idle = np.where(self._begins, self._done >= self.episodes, self._idle)
        terminated, ended = step.terminated.ravel(), (step.terminated | step.truncated).ravel()
        self._begins = ended
        columns = np.flatnonzero(~self._idle)
        if not len(columns):
            return
        rows = self._done[columns] * self.limit + self._length[columns]
        at = tuple(torch.as_tensor(np.stack([rows, columns]), device=self.device))
        ring["obs"][at] = self._tensor(step.obs, columns, ring["obs"])
        ring["action"][at] = action.flatten(0, 1)[at[1]]
        ring["reward"][at] = self._tensor(step.reward, columns, ring["reward"])
        self._length[columns] += 1
        cut = ~self._idle & ~ended & (self._length == self.limit)
        over = np.flatnonzero(~self._idle & (ended | cut))
        at = tuple(torch.as_tensor(np.stack([self._done[over], over]), device=self.device))
        ring["last_obs"][at] = self._tensor(step.next_obs, over, ring["last_obs"])
        ring["length"][at] = torch.as_tensor(self._length[over], device=self.device)
        ring["bootstrap"][at] = self._tensor(~terminated.reshape(step.reward.shape), over, ring["bootstrap"])
        self._done[over] += 1
        self._length[over] = 0
        self._idle |= cut

    def full_seeds(self) -> list[int]:
        """The seeds all of whose columns have their share."""
        return np.flatnonzero(self._done.reshape(self.seeds, -1).min(1) >= self.episodes).tolist()

    def take(self, seed: int) -> Episodes:
        """Hands out a full seed's batch, and begins its next: with the next episode that each column begins."""
        batch, own = self.look(seed), slice(seed * self.envs, (seed + 1) * self.envs)
        self._done[own] = 0
        self._idle[own] = True
        return batch

    def look(self, seed: int) -> Episodes:
        """A full seed's batch, which stays where it is."""
        own = slice(seed * self.envs, (seed + 1) * self.envs)
        length = self._ring["length"][:, own].flatten()  # [M]
        longest = int(length.max())

        def by_time(name: str) -> torch.Tensor:
            """[rows, N, ...] -> [T, M, ...]."""
            kept = self._ring[name][:, own].unflatten(0, (self.episodes, self.limit))[:, :longest]
            return kept.transpose(0, 1).flatten(1, 2)

        steps = torch.arange(longest, device=self.device)[:, None] < length  # [T, M]
        return Episodes(
            obs=by_time("obs")[steps][None],
            action=by_time("action")[steps][None],
            reward=by_time("reward"),
            steps=steps,
            length=length,
            last_obs=self._ring["last_obs"][:, own].flatten(0, 1)[None],
            bootstrap=self._ring["bootstrap"][:, own].flatten(),
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "ring": dict(self._ring),
            "done": self._done,
            "length": self._length,
            "begins": self._begins,
            "idle": self._idle,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("done", "length", "begins", "idle"):
            check_shape(name, state[name], self._done.shape)
        self._done, self._length = np.array(state["done"]), np.array(state["length"])
        self._begins, self._idle = np.array(state["begins"]), np.array(state["idle"])
        if state["ring"]:
            self._claim()
            load_params(self._ring, state["ring"])

    def _claim(self) -> None:
        self._ring = {
            name: torch.zeros(shape, dtype=dtype, device=self.device) for name, (shape, dtype) in self._parts.items()
        }

    def _tensor(self, values: NDArray[Any], columns: NDArray[np.intp], like: torch.Tensor) -> torch.Tensor:
        """Of [S, E, ...] some columns, [columns, ...]."""
        flat = values.reshape(self.seeds * self.envs, *values.shape[2:])[columns]
        return torch.as_tensor(flat, dtype=like.dtype, device=self.device)
