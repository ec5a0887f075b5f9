"""DriveBot on torch tensors, so that robots, networks and learning can stay on one device, a GPU for instance.

It is `envs.drivebot_world` with torch for NumPy: the same seeds and actions give the same episodes. Importing this
module imports torch; nothing else in `envs` does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from envs import drivebot_world as world_of
from envs.drivebot import DriveBotConfig, DriveBotVector, make_world
from envs.drivebot_world import Arrays, State, World
from envs.streams_torch import keys_of, uniform

TORCH = Arrays(torch, uniform, lambda values: values.long())


def on_device(world: World, device: torch.device) -> World:
    """The world with its arrays as tensors; indices as int64."""
    moved = {}
    for name, value in world._asdict().items():
        if isinstance(value, np.ndarray):
            whole = value.dtype.kind in "iu"
            value = torch.as_tensor(value.astype(np.int64 if whole else np.float64), device=device)
        moved[name] = value
    return World(**moved)


class TorchDriveBot:
    """Robots whose state, observations and rewards are tensors on `device`.

    It keeps the contract of `envs.native` with tensors for arrays: resets by mask with a seed per column; robots whose
    episode ended and which were not reset are passed over. Nothing here waits for the device, so steps can be queued or
    captured as a graph.

    Args:
        num_envs: robots, N.
        device: "cpu", "cuda", ...
        continuous: whether actions are [N, 2] in [-1, 1], or [N] whole numbers. They are not checked, which would wait.
        config: fields of `DriveBotConfig`; observations are "sonars" or "standardised".

    Raises:
        ValueError: a keyword is out of its bounds, or the observation is another.
    """

    def __init__(self, num_envs: int, *, device: str | torch.device = "cpu", continuous: bool = False, **config: Any):
        # The arrays' own form checks what can be wrong, once.
        checked = DriveBotVector(1, continuous=continuous, **{**config, "form": "arrays"})
        self.config: DriveBotConfig = checked.config
        if self.config.observation not in ("sonars", "standardised"):
            raise ValueError(f"observation is {self.config.observation!r}; expected sonars or standardised on tensors")
        self.num_envs = num_envs
        self.continuous = continuous
        self.device = torch.device(device)
        _, world = make_world(self.config, continuous)
        self.world = on_device(world, self.device)
        self.single_observation_space = checked.single_observation_space
        self.single_action_space = checked.single_action_space
        self.commands = torch.tensor([[1, 0], [0, 1], [0, -1], [-1, 0]], dtype=torch.float64, device=self.device)
        self.key = torch.zeros(num_envs, dtype=torch.int64, device=self.device)
        self.active = torch.zeros(num_envs, dtype=torch.bool, device=self.device)
        self.episode_steps = torch.zeros(num_envs, dtype=torch.int64, device=self.device)
        with torch.no_grad():
            self.state = world_of.begin(TORCH, self.world, self.key)
        sonars = self.world.sonars.shape[0]
        self.past = torch.zeros((num_envs, self.config.history, sonars), dtype=torch.float64, device=self.device)

    @torch.no_grad()
    def reset(self, seeds: Tensor, mask: Tensor | None = None) -> Tensor:
        """Begins episodes from `seeds` int64 [N] in the columns of `mask` [N], or all; returns all observations."""
        mask = torch.ones_like(self.active) if mask is None else mask
        self.key = torch.where(mask, keys_of(seeds.to(self.device)), self.key)
        self.state = _chosen(mask, world_of.begin(TORCH, self.world, self.key), self.state)
        self.active = self.active | mask
        self.episode_steps = torch.where(mask, torch.zeros_like(self.episode_steps), self.episode_steps)
        filled = self.state.readings[:, None].expand_as(self.past)
        self.past = torch.where(mask[:, None, None], filled, self.past)
        return self.observe()

    @torch.no_grad()
    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """Observations [N, history * S] float32, reward [N] float64, terminated and truncated [N], and infos [N]."""
        command = actions.double() if self.continuous else self.commands[actions]
        after, reward = world_of.step(TORCH, self.world, self.state, self.key, command)
        self.state = _chosen(self.active, after, self.state)
        shifted = torch.cat([self.past[:, 1:], self.state.readings[:, None]], 1)  # [N, n, S]
        self.past = torch.where(self.active[:, None, None], shifted, self.past)
        self.episode_steps = self.episode_steps + self.active
        over = (self.state.idle >= self.config.patience) | (self.episode_steps >= self.config.max_steps)
        truncated = over & self.active
        reward = torch.where(self.active, reward, torch.zeros_like(reward))
        self.active = self.active & ~truncated
        infos = {"blocked": self.state.blocked / self.state.moves.clamp(min=1)}
        if self.world.lap > 0.0:
            infos["laps"] = self.state.progress / self.world.lap
            infos["is_success"] = infos["laps"].abs() >= 1.0
        return self.observe(), reward, torch.zeros_like(truncated), truncated, infos

    def observe(self) -> Tensor:
        """The observations of all robots, float32 [N, history * S]."""
        past = self.past
        if self.config.observation == "standardised":
            past = (past - self.config.reading_mean) / self.config.reading_deviation
        return past.reshape(self.num_envs, -1).float()

    def state_dict(self) -> dict[str, Tensor]:
        """All that the future depends on, copied."""
        own = {"key": self.key, "active": self.active, "episode_steps": self.episode_steps, "past": self.past}
        return {name: value.clone() for name, value in (own | self.state._asdict()).items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> Tensor:
        """Puts the tensors of `state_dict` back; returns the observations."""
        held = {name: value.to(self.device).clone() for name, value in state.items()}
        self.key, self.active = held.pop("key"), held.pop("active")
        self.episode_steps, self.past = held.pop("episode_steps"), held.pop("past")
        self.state = State(**held)
        return self.observe()


def _chosen(mask: Tensor, new: State, old: State) -> State:
    """Rows of `new` where `mask` [N] says so, else of `old`."""
    return State(*(torch.where(mask if a.ndim == 1 else mask[:, None], a, b) for a, b in zip(new, old, strict=True)))
