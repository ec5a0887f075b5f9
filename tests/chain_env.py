"""Two states whose values are known, through a real environment: one episode is cut off, the next one terminates."""

from __future__ import annotations

from typing import Any, cast

import gymnasium as gym
import numpy as np


class Chain(gym.Env[Any, Any]):
    """State 0 -> 1 -> end, rewards 1 and 2; every episode is one step long, and begins in 0 or 1 as its seed is even.

    The step from 0 is cut off, as by a time limit; the one from 1 terminates.
    """

    def __init__(self, continuous: bool = False, numbered: bool = False):
        self.numbered = numbered
        self.observation_space = gym.spaces.Discrete(3) if numbered else gym.spaces.Box(0, 1, (2,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32) if continuous else gym.spaces.Discrete(1)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.state = (seed or 0) % 2
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        self.state += 1
        return self._seen(), float(self.state), self.state == 2, self.state == 1, {}

    def _seen(self) -> Any:
        return self.state if self.numbered else np.eye(3, 2, dtype=np.float32)[self.state]


gym.register("Chain-v0", cast(Any, Chain), disable_env_checker=True)
