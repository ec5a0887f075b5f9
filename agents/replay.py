"""Replay memory: what the columns went through, each observation stored once, on the training device.

A row of a column holds an observation and what was done there; the next row holds what came of it. An episode that is
cut off by a time limit gets one more row for its true last observation, which nothing was done at. One that terminates
needs none: nothing is bootstrapped there. Since columns are cut off at different times, each has a cursor of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import gymnasium as gym
import numpy as np

from agents.base import Step, Task
from agents.encoders import Encoder
from agents.lazy import torch
from agents.learning import compiled
from agents.saved import check_shape, check_shapes
from agents.streams import SeedStreams, as_integers


@dataclass(frozen=True)
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

    def split(self, size: int) -> list[Batch]:
        """Batches of `size` each, one after the other."""
        parts = [getattr(self, field.name).split(size, 1) for field in fields(self)]
        return [Batch(*part) for part in zip(*parts, strict=True)]


def latest_batch(step: Step, obs: torch.Tensor, next_obs: torch.Tensor, gamma: float) -> Batch:
    """The latest step of the E columns as a batch, with its observations as they are to be learnt from."""
    action, reward, goes_on = (
        torch.as_tensor(values, device=obs.device)
        for values in (step.action, step.reward.astype(np.float32), ~step.terminated)
    )
    return Batch(obs, action, reward, next_obs, gamma * goes_on, torch.ones_like(reward))


class ReplayMemory:
    """A ring of rows for each of S * E columns.

    Memory is claimed when the first step arrives, so a policy that is only evaluated costs none.

    Args:
        size: transitions kept per seed, over its columns.
        task: with the number of columns E of each seed.
        encoder: of S seeds; what it prepares of observations is kept, with its dtype (uint8 images stay uint8).
        device: where the rows are kept and drawn.

    Raises:
        ValueError: it would not fit into the device's free memory; the message has the numbers of bytes.
    """

    def __init__(self, size: int, task: Task, encoder: Encoder, device: torch.device):
        self.seeds, self.envs, self.device = encoder.seeds, task.envs, device
        self.rows = max(2, -(-size // self.envs))
        self._prepare = encoder.prepare
        self._obs_shape = tuple(encoder.kept_space.shape or ())
        self._action_shape = tuple(task.action_space.shape or ())
        self._obs_dtype = _stored_dtype(encoder.kept_space)
        self._action_dtype = _stored_dtype(task.action_space)
        needed, free = self.bytes_needed(), free_bytes(device)
        if needed > free:
            raise ValueError(
                f"replay memory of {size:,} transitions x {self.seeds} seeds needs {needed:,} bytes and {device} has "
                f"{free:,} free; lower memory_size or seeds"
            )
        self._ring: dict[str, torch.Tensor] = {}
        self._look_up = compiled(self._transitions, device)
        # Per column: where the next row goes, and how many rows there are.
        columns = self.seeds * self.envs
        self._cursor = np.zeros(columns, np.int64)
        self._filled = np.zeros(columns, np.int64)
        self._first_column = torch.arange(0, columns, self.envs, device=device)[:, None]  # of each seed, [S, 1]

    def bytes_needed(self) -> int:
        """What the full memory takes."""
        row = int(np.prod(self._obs_shape)) * self._obs_dtype.itemsize
        row += int(np.prod(self._action_shape)) * self._action_dtype.itemsize + 4 + 1
        return row * self.rows * self.seeds * self.envs

    def add(self, step: Step, kept: torch.Tensor) -> None:
        """Appends a step of all columns; `kept` is what the encoder has prepared of its observations."""
        if not self._ring:
            self._claim()
        outcome = np.where(step.terminated, TERMINATED, np.where(step.truncated, TRUNCATED, GOES_ON))
        action = self._tensor(step.action).flatten(0, 1)
        self._append(
            np.arange(len(action)),
            obs=kept.flatten(0, 1),
            action=action,
            reward=self._tensor(step.reward).flatten(),
            outcome=self._tensor(outcome).flatten(),
        )
        columns = np.flatnonzero(step.truncated & ~step.terminated)
        if len(columns):
            cut = self._tensor(columns)
            self._append(
                columns,
                obs=self._prepare(self._tensor(step.next_obs)).flatten(0, 1)[cut],
                # It was not done here; but what is never weighed must still be a member of the space.
                action=action[cut],
                reward=torch.zeros(len(cut), device=self.device),
                outcome=torch.full_like(cut, NOTHING_DONE),
            )

    def sample(self, batch_size: int, gamma: float, n_step: int, streams: SeedStreams) -> Batch:
        """Draws transitions of `n_step` steps, fewer where an episode ends; they never cross a reset.

        Every seed draws from its own columns. Needs more than `n_step` rows in every column.
        """
        cursor, filled = self._tensor(self._cursor), self._tensor(self._filled)
        ahead = torch.arange(n_step + 1, device=self.device)
        return self._look_up(streams.bits(2, batch_size), cursor, filled, ahead, gamma**ahead)

    def batches(self, count: int, batch_size: int, gamma: float, n_step: int, streams: SeedStreams) -> Iterator[Batch]:
        """`count` batches, as `sample` draws them; to be used up before the memory changes."""
        # A compiled program is made for one shape and stride, so it gets batches as they are drawn one by one.
        at_once = DRAWN_AT_ONCE if self.device.type == "cpu" else 1
        while count > 0:
            drawn = min(count, at_once)
            yield from self.sample(drawn * batch_size, gamma, n_step, streams).split(batch_size)
            count -= drawn

    def _transitions(
        self,
        bits: torch.Tensor,
        cursor: torch.Tensor,
        filled: torch.Tensor,
        ahead: torch.Tensor,
        discount: torch.Tensor,
    ) -> Batch:
        """The transitions that random bits [S, 2, B] point at, as a function of tensors that waits for none of them.

        `ahead` is 0 ... n_step, and `discount` gamma to these powers.
        """
        which, when = bits.unbind(1)  # [S, B]
        column = self._first_column + as_integers(which, self.envs)
        filled = filled.take(column)
        # The newest row's outcome is not known yet, nor what lies n_step rows after any of the last n_step.
        age = filled - as_integers(when, filled - (len(ahead) - 1))  # rows back from the cursor
        start = cursor.take(column) - age
        row = (start + ahead[:, None, None]) % self.rows  # [n + 1, S, B]
        place = row * len(cursor) + column
        outcome, reward = (self._ring[name].take(place[:-1]) for name in ("outcome", "reward"))  # [n, S, B]
        # The first step is always taken, a further one where all before it went on.
        steps = (outcome[:-1] == GOES_ON).cumprod(0).sum(0) + 1  # [S, B]
        taken = ahead[:-1, None, None] < steps  # [n, S, B]
        terminated = (taken & (outcome == TERMINATED)).any(0)
        end = (start + steps) % self.rows * len(cursor) + column
        return Batch(
            obs=self._rows("obs", place[0]),
            action=self._rows("action", place[0]),
            reward=(reward * taken * discount[:-1, None, None]).sum(0),
            next_obs=self._rows("obs", end),
            bootstrap=discount.take(steps) * ~terminated,
            weight=(outcome[0] != NOTHING_DONE).float(),
        )

    def state_dict(self) -> dict[str, Any]:
        rows = int(self._filled.max())  # those after it are empty
        ring = {name: tensor[:rows] for name, tensor in self._ring.items()}
        return {"cursor": self._cursor, "filled": self._filled, "ring": ring}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("cursor", "filled"):
            check_shape(name, state[name], self._cursor.shape)
        self._cursor, self._filled = np.array(state["cursor"]), np.array(state["filled"])
        if state["ring"]:
            self._claim()
            shapes = {name: (None, *tensor.shape[1:]) for name, tensor in self._ring.items()}
            check_shapes(state["ring"], shapes)
            for name, tensor in self._ring.items():
                saved = state["ring"][name]
                if not self._filled.max() <= len(saved) <= self.rows:
                    raise ValueError(f"{name} has {len(saved):,} rows in the saved state; expected {self.rows:,}")
                tensor[: len(saved)] = saved

    def _claim(self) -> None:
        columns = self.seeds * self.envs

        def ring(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
            shape = (self.rows, columns, *shape)
            if self.device.type != "cpu":
                return torch.zeros(shape, dtype=dtype, device=self.device)
            # NumPy asks the system for zeros, which come when they are first touched; torch would write them all now.
            return torch.from_numpy(np.zeros(shape, torch.empty(0, dtype=dtype).numpy().dtype))

        self._ring = {
            "obs": ring(self._obs_shape, self._obs_dtype),
            "action": ring(self._action_shape, self._action_dtype),
            "reward": ring((), torch.float32),
            "outcome": ring((), torch.uint8),
        }

    def _append(self, columns: np.ndarray, **values: torch.Tensor) -> None:
        """Writes a row of some columns, [columns, ...] each, and moves on there."""
        place = self._tensor(self._cursor[columns] * len(self._cursor) + columns)
        for name, value in values.items():
            self._ring[name].flatten(0, 1)[place] = value.to(self._ring[name].dtype)
        self._cursor[columns] = (self._cursor[columns] + 1) % self.rows
        self._filled[columns] = np.minimum(self._filled[columns] + 1, self.rows)

    def _rows(self, name: str, place: torch.Tensor) -> torch.Tensor:
        """What lies at some places, [S, B] -> [S, B, ...]."""
        # Four times as fast as indexing with [S, B], where the memory is larger than a processor's cache.
        return self._ring[name].flatten(0, 1).index_select(0, place.flatten()).unflatten(0, place.shape)

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, device=self.device)


DRAWN_AT_ONCE = 8
"""Batches that are drawn in one go, at most: several cost little more than one."""

GOES_ON, TERMINATED, TRUNCATED, NOTHING_DONE = range(4)
"""What became of the episode at a row; the last for the extra row at the end of an episode that was cut off."""


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
