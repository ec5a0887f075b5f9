"""What a step of CartPole3D costs, against the ten bare physics steps within it.

Run it with `python -m tests.campaigns.bullet_cost`.

The two are timed in turn, from the same state, and the median of the ratios is what counts.
"""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np

import envs  # noqa: F401 - registers

ROUNDS, STEPS = 200, 5


def main() -> None:
    env: Any = gym.make("CartPole3D-v0").unwrapped
    bullet, client = env._world._bullet, env._world._client
    inside = env.config.repeats * env.config.steps_per_repeat
    for action in (0, 1):
        ratios, seconds = [], []
        for _ in range(ROUNDS):
            env.reset(seed=0)
            began = time.perf_counter()
            for _ in range(STEPS):
                env.step(action)
            ours = time.perf_counter() - began
            env.reset(seed=0)
            began = time.perf_counter()
            for _ in range(STEPS * inside):
                bullet.stepSimulation(client)
            bare = time.perf_counter() - began
            ratios.append(ours / bare)
            seconds.append(ours / STEPS)
        low, middle, high = np.percentile(ratios, (10, 50, 90))
        name = env.metadata["action_names"][action]
        print(
            f"action {name}: a step takes {np.median(seconds) * 1e3:.3f} ms, {middle:.2f} times "
            f"{inside} bare physics steps (10th to 90th percentile {low:.2f} to {high:.2f})"
        )


if __name__ == "__main__":
    main()
