"""CartPole3D on tensors beside the same world in compiled loops: how far they part, and how fast each is.

`python -m tests.campaigns.device_campaign` is meant for a GPU; the kernel is compiled first, which takes a minute or
so. On NumPy it does the same with a few columns, to show that it works.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from envs.cartpole3d_device import DeviceCartPole3D
from envs.cartpole3d_vector import BatchedCartPole3D
from envs.kernel_language import DEVICE

COLUMNS = (1024, 4096, 16_384, 65_536) if DEVICE == "cuda" else (32,)
STEPS = 100 if DEVICE == "cuda" else 3


def finish() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def compare(columns: int) -> None:
    """Poses of both worlds, step by step from the same seeds, in columns whose episodes go on in both."""
    ours, peer = DeviceCartPole3D(columns), BatchedCartPole3D(columns)
    obs, (peer_obs, _) = ours.reset(torch.arange(columns, device=DEVICE)), peer.reset(seed=0)
    rng = np.random.default_rng(0)
    for step in range(5):
        running = ours.active.cpu().numpy() & peer.active
        apart = np.abs(obs.cpu().numpy() - peer_obs)[running].reshape(running.sum(), -1).max(1)
        shares = ", ".join(f"{share}% {np.percentile(apart, share):.1e}" for share in (50, 90, 99))
        print(f"step {step}: {running.sum()} columns, poses apart (m, or of a quaternion): {shares}")
        if not running.any():
            break
        actions = rng.integers(5, size=columns)
        obs, peer_obs = ours.step(torch.as_tensor(actions, device=DEVICE))[0], peer.step(actions)[0]
    peer.close()


def rate(columns: int) -> tuple[float, float]:
    """Environment steps per second under random actions, with and without resets of what has ended."""
    envs = DeviceCartPole3D(columns)
    seeds = torch.arange(columns, device=DEVICE)
    envs.reset(seeds)
    rates = []
    for resets in (True, False):
        for warm_up in (True, False):
            envs.reset(seeds)
            finish()
            since, steps = time.perf_counter(), 3 if warm_up else STEPS
            for _ in range(steps):
                seeds = seeds + columns
                _, _, terminated, truncated, _ = envs.step(torch.randint(5, (columns,), device=DEVICE))
                if resets:
                    envs.reset(seeds, terminated | truncated)
                else:
                    envs.active.fill_(True)
            finish()
            if not warm_up:
                rates.append(columns * steps / (time.perf_counter() - since))
    return rates[0], rates[1]


if __name__ == "__main__":
    since = time.perf_counter()
    DeviceCartPole3D(1)
    finish()
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else "NumPy"
    print(f"{name}: the first settled state (and the compiler) took {time.perf_counter() - since:.0f} s")
    compare(COLUMNS[0])
    for columns in COLUMNS:
        with_resets, without = rate(columns)
        print(f"{columns} columns: {with_resets:,.0f} steps/s with resets, {without:,.0f} without")
