"""What an update of S seeds costs, against S times the update of one network in plain torch.

Run it with `python -m tests.campaigns.learner_cost`.

The plain one is what CleanRL's `dqn.py` does: a Sequential, torch.optim.Adam, a batch drawn uniformly from arrays. Both
have the same network, batch size and rule, once the original algorithm's and once with what DQN does by default; but
only ours takes returns over several steps, standardises observations and keeps an average of its weights. They are
timed in turn, and the median of the ratios is what counts. Time is the processor's, on one thread, so that other work
on the machine matters less.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import nn

from agents.base import Task
from agents.dqn import DQN, DQNConfig
from tests.helpers import CPU, random_step, seeds_of

FEATURES, ACTIONS, ENVS, ROWS = 24, 5, 8, 10_000
ROUNDS, UPDATES = 15, 40
SEEDS = (1, 2, 4, 8, 16, 32)
ORIGINAL: dict[str, Any] = {
    "double": False, "n_step": 1, "backup_epsilon": 0.0, "target_interval": 500, "target_tau": 1.0, "max_grad_norm": 1e9
}  # fmt: skip


def ours(config: DQNConfig, seeds: int) -> Callable[[], None]:
    """Two updates at a time, as they are due after a step of 8 environments."""
    task = Task(
        observation_space=gym.spaces.Box(-10, 10, (FEATURES,), np.float32),
        action_space=gym.spaces.Discrete(ACTIONS),
        envs=ENVS,
    )
    agent = DQN(config, task, seeds_of(seeds), CPU)
    rng = np.random.default_rng(0)
    steps = [random_step(task, seeds, rng) for _ in range(50)]
    for index in range(ROWS // ENVS):
        agent.observe(steps[index % 50])
    agent.steps = config.learning_starts

    def update() -> None:
        for _ in range(UPDATES // 2):
            agent.steps += 2 * config.steps_per_update
            agent.update()

    return update


def plain(config: DQNConfig) -> Callable[[], None]:
    """One network's updates; for the original algorithm with mean squares of errors and without clipping."""
    torch.manual_seed(0)
    width, *rest = config.hidden
    layers = [nn.Linear(FEATURES, width), nn.ReLU()]
    for inputs, outputs in zip(config.hidden, rest, strict=False):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    online = nn.Sequential(*layers, nn.Linear(config.hidden[-1], ACTIONS))
    target = copy.deepcopy(online)
    optimizer = torch.optim.Adam(online.parameters(), lr=config.lr)
    rng = np.random.default_rng(0)
    memory = (
        rng.normal(size=(ROWS, FEATURES)).astype(np.float32),
        rng.normal(size=(ROWS, FEATURES)).astype(np.float32),
        rng.integers(ACTIONS, size=(ROWS, 1)),
        rng.normal(size=ROWS).astype(np.float32),
        (rng.random(ROWS) < 0.1).astype(np.float32),
    )
    done = 0

    def update() -> None:
        nonlocal done
        drawn = rng.integers(ROWS, size=config.batch_size)
        obs, next_obs, action, reward, terminated = (torch.as_tensor(part[drawn]) for part in memory)
        with torch.no_grad():
            next_q = target(next_obs)
            best = online(next_obs) if config.double else next_q
            following = next_q.gather(1, best.argmax(1, keepdim=True)).squeeze(1)
            td_target = reward + config.gamma * following * (1 - terminated)
        q = online(obs).gather(1, action).squeeze(1)
        loss = (nn.functional.smooth_l1_loss if config.double else nn.functional.mse_loss)(q, td_target)
        optimizer.zero_grad()
        loss.backward()
        if config.max_grad_norm < 1e9:
            nn.utils.clip_grad_norm_(online.parameters(), config.max_grad_norm)
        optimizer.step()
        done += 1
        if done % config.target_interval == 0:
            for slow, fast in zip(target.parameters(), online.parameters(), strict=True):
                slow.data.copy_(config.target_tau * fast.data + (1 - config.target_tau) * slow.data)

    def updates() -> None:
        for _ in range(UPDATES):
            update()

    return updates


def milliseconds(updates: Callable[[], None]) -> float:
    """Of processor time for one update."""
    began = time.process_time()
    updates()
    return (time.process_time() - began) / UPDATES * 1e3


def main() -> None:
    torch.set_num_threads(1)
    for title, config in (("original algorithm", DQNConfig(**ORIGINAL)), ("as it is by default", DQNConfig())):
        peer, contenders = plain(config), {seeds: ours(config, seeds) for seeds in SEEDS}
        for updates in (peer, *contenders.values()):
            updates()  # warm
        plain_ms, our_ms = [], []
        for _ in range(ROUNDS):
            plain_ms.append(milliseconds(peer))
            our_ms.append([milliseconds(updates) for updates in contenders.values()])
        low, middle, high = np.percentile(plain_ms, (10, 50, 90))
        print(f"{title}: batch {config.batch_size}, hidden {config.hidden}; medians, and 10th to 90th percentiles")
        print(f"  plain torch, one network  {middle:7.3f} ms ({low:.3f} to {high:.3f})")
        for seeds, ms in zip(SEEDS, np.transpose(our_ms), strict=True):
            low, middle, high = np.percentile(ms, (10, 50, 90))
            ratios = np.percentile(seeds * np.array(plain_ms) / ms, (10, 50, 90))
            print(
                f"  ours, {seeds:2} seeds            {middle:7.3f} ms ({low:.3f} to {high:.3f}), "
                f"{middle / seeds:.3f} ms a seed: {ratios[1]:.2f} times as fast ({ratios[0]:.2f} to {ratios[2]:.2f})"
            )


if __name__ == "__main__":
    main()
