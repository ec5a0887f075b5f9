"""Where an agent should learn: asked for, or found out by timing it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice

import numpy as np

from agents.base import Agent, Step, Task
from agents.lazy import torch

ROUNDS = 40
"""Steps of all columns, with the learning that is due after them, that are timed at least."""
PATIENCE = 3_000
"""Rounds after which an agent that has not begun to learn is timed as it is."""
EPISODE = 100
"""Steps of made-up episodes."""


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
    """Seconds that an agent takes for one step of all columns and its share of the learning.

    Agents that learn from whole batches do so now and then: they are timed from one time to the next.
    """
    steps = _made_up_steps(task, seeds)
    _learn_once(agent, steps)
    turn = _learn_once(agent, steps)
    rounds = -(-ROUNDS // turn) * turn
    _finish_device_work()
    began = time.perf_counter()
    for step in islice(steps, rounds):
        agent.act(step.obs, step.first, explore=True)
        agent.observe(step)
        agent.update()
    agent.metrics()
    _finish_device_work()
    return (time.perf_counter() - began) / rounds


def _learn_once(agent: Agent, steps: Iterator[Step]) -> int:
    """Has an agent observe until it has learnt; returns how many steps that took, or 1 if it took too many."""
    for number, step in enumerate(islice(steps, PATIENCE), 1):
        agent.observe(step)
        agent.update()
        if agent.metrics():
            return number
    return 1


def _made_up_steps(task: Task, seeds: int) -> Iterator[Step]:
    """Steps without end, all alike, of episodes that are cut off together."""
    shape = (seeds, task.envs)

    def drawn(space_sample: Callable[[], object]) -> np.ndarray:
        values = np.stack([np.asarray(space_sample()) for _ in range(seeds * task.envs)])
        return values.reshape(*shape, *values.shape[1:])

    obs = drawn(task.observation_space.sample)
    no = np.zeros(shape, bool)
    step = Step(
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
    first, last = dataclasses.replace(step, first=~no), dataclasses.replace(step, truncated=~no)
    yield from cycle([first, *[step] * (EPISODE - 2), last])


def _finish_device_work() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
