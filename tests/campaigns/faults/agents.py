"""Numbers that are none, in what agents see, earn, learn and are: who stops, when, and what is said."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from agents.base import Agent, Task
from agents.finite import NonFiniteError
from tests.campaigns.faults.row import Row
from tests.test_guards import LEARNERS, Scenes, learn

FAULT_AT = 30
"""The step at which a number goes wrong."""
WEIGHTS = {"weights", "estimates"}
SOURCES = {
    "observation": r"observation of seed 1, column 0 .* the environment",
    "reward": r"reward of seed 1, column 0 .* the environment",
    "loss": r"(figures|weights|statistics|estimates): \S+ of seed 1 ",
    "weights": r"(weights|estimates): \S+ of seed 1 ",
}
"""Where it goes wrong, and how the message says so."""


def rows() -> Iterator[Row]:
    wrong, cases = [], 0
    for case in LEARNERS:
        name, task = case.values
        for source in SOURCES:
            if source == "observation" and np.dtype(task.observation_space.dtype).kind != "f":
                continue
            if source == "weights" and not WEIGHTS & learn(name, task)[0].watched().keys():
                continue  # a table, of which what is learnt from it is watched
            for value in (np.nan, np.inf):
                cases += 1
                with np.errstate(all="ignore"):
                    fault = _goes_on(name, task, source, value)
                if fault:
                    wrong.append(f"{case.id}, {value} in {source}: {fault}")
    agents = len({case.values[0] for case in LEARNERS})
    yield Row.none_of(
        f"NaN and infinity in observation, reward, loss, weights; {agents} agents: not stopped on that step",
        wrong,
        cases,
        others="SB3 9 of 18",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/test_guards.py", "-v", "-p", "no:xdist"], capture_output=True, text=True
    )
    found = re.search(r"\d+ passed", done.stdout + done.stderr) or re.search(r"\d+ failed", done.stdout)
    yield Row(
        figure="contracts over all agents: truncation to 1e-3, memory that cannot fit, one seed, no bad checkpoint",
        ours=found[0] if found else f"status {done.returncode}",
        wanted="all",
        met=done.returncode == 0,
        failures=tuple(line for line in done.stdout.splitlines() if line.startswith("FAILED")),
    )


class Spoilt(Scenes):
    """Scenes whose observation or reward is none at a step, in the first column of seed 1."""

    def __init__(self, task: Task, agent: Agent, source: str, value: float):
        super().__init__(task, agent)
        self.source, self.value = source, value

    def step_wait(self) -> tuple[Any, ...]:
        result = super().step_wait()
        place = {"observation": 0, "reward": 1}.get(self.source)
        if place is not None and self.sent == FAULT_AT:
            result[place].reshape(self.num_envs, -1)[self.num_envs // 2, 0] = self.value
        return result


def _goes_on(name: str, task: Task, source: str, value: float) -> str:
    """What is wrong with how a run ends when a number does; empty when nothing is."""
    agent, _, loop = learn(name, task)
    scenes: Any = Spoilt(task, agent, source, value)
    loop.envs = scenes
    at: int | None = None  # the step after which something learnt is not finite
    try:
        for step in islice(loop, 2 * FAULT_AT):
            if source == "loss" and scenes.sent >= FAULT_AT:
                reward = step.reward.copy()
                reward[1] = value
                step = dataclasses.replace(step, reward=reward)
            agent.observe(step)
            if source == "weights" and scenes.sent == FAULT_AT:
                watched = agent.watched()
                tensors = watched.get("weights") or watched.get("estimates")
                assert tensors is not None
                next(iter(tensors.values()))[1].detach().view(-1)[0] = value
                at = scenes.sent
    except NonFiniteError as error:
        told = str(error)
        if not re.match(SOURCES[source], told):
            return f"it says {told!r}"
        if source != "loss" and scenes.sent != FAULT_AT:
            return f"stopped after {scenes.sent} actions, at {at}"
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "it went on"
