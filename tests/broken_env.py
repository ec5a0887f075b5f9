"""An environment that goes wrong on request, for tests of what then happens."""

from __future__ import annotations

import os
import signal
import time
from typing import Any, cast

import gymnasium as gym
import numpy as np


class Broken(gym.Env[np.ndarray, np.int64]):
    """Its second column's process, or every one with `everywhere`, goes wrong in its first step, by `trouble`."""

    def __init__(self, trouble: str = "none", everywhere: bool = False):
        self.trouble, self.everywhere = trouble, everywhere
        self.observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
        self.action_space = gym.spaces.Discrete(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.column = seed
        return np.zeros(2, np.float32), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if self.column == 1 or self.everywhere:
            if self.trouble == "raise":
                raise KeyError("no such gear")
            if self.trouble == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.trouble == "hang":
                time.sleep(600)
        obs = np.full(2, np.nan if self.trouble == "nan" else 0.0, np.float32)
        return obs, 0.0, False, False, {}


gym.register("Broken-v0", cast(Any, Broken), max_episode_steps=1000, disable_env_checker=True)
