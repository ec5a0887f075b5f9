"""Where an agent should learn: asked for, or found out by timing it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from agents.base import Agent, Step, Task
from agents.lazy import torch

ROUNDS = 40
"""Steps of all columns, with the learning that is due after them, that are timed."""
PATIENCE = 3_000
"""Rounds after which an agent that has not begun to learn is timed as it is."""


def choose_device(asked: str, build: Callable[[torch.device], Agent], task: Task, seeds: int) -> tuple[str, str]:
    """The device to learn on, and the reason in a few words.

    Small networks are often faster on a CPU than on a GPU, so "auto" times acting, observing and learning on both.

    Args:
        asked: "auto", "cpu" or "cuda".
        build: makes the agent on a device.
        task: with the columns per seed.
        seeds: S.

    Raises:
        ValueError: "cuda" is asked for and there is none.
    """
    if asked == "cpu":
        return "cpu", "asked for"
    if not torch.cuda.is_available():
        if asked == "cuda":
            build_kind = "a CPU build" if torch.version.cuda is None else f"built for CUDA {torch.version.cuda}"
            raise ValueError(
                f"--device cuda: no CUDA device is available (torch {torch.__version__} is {build_kind}); "
                "use --device cpu, or install a CUDA build of torch and its driver"
            )
        return "cpu", "no CUDA device is available"
    if asked == "cuda":
        return "cuda", "asked for"
    seconds = {name: time_agent(build(torch.device(name)), task, seeds) for name in ("cpu", "cuda")}
    fastest = min(seconds, key=lambda name: seconds[name])
    figures = ", ".join(f"{name} {spent * 1e3:.2f} ms" for name, spent in seconds.items())
    return fastest, f"fastest: a step of all columns with its learning took {figures}"


def time_agent(agent: Agent, task: Task, seeds: int) -> float:
    """Seconds that an agent takes for one step of all columns and the learning that is due after it."""
    step = _made_up_step(task, seeds)
    for _ in range(PATIENCE):
        agent.observe(step)
        agent.update()
        if agent.metrics():
            break
    _finish_device_work()
    began = time.perf_counter()
    for _ in range(ROUNDS):
        agent.act(step.obs, step.first, explore=True)
        agent.observe(step)
        agent.update()
    agent.metrics()
    _finish_device_work()
    return (time.perf_counter() - began) / ROUNDS


def _made_up_step(task: Task, seeds: int) -> Step:
    shape = (seeds, task.envs)

    def drawn(space_sample: Callable[[], object]) -> np.ndarray:
        values = np.stack([np.asarray(space_sample()) for _ in range(seeds * task.envs)])
        return values.reshape(*shape, *values.shape[1:])

    obs = drawn(task.observation_space.sample)
    no = np.zeros(shape, bool)
    return Step(
        obs=obs,
        action=drawn(task.action_space.sample),
        reward=np.zeros(shape),
        terminated=no,
        truncated=no,
        next_obs=obs,
        first=no,
        running=~no,
        info={},
        reset_info={},
    )


def _finish_device_work() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
