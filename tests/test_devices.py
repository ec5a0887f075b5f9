"""What `--device auto` times."""

from typing import Any

import numpy as np
import pytest

from agents.base import Fixed, Step
from tests.helpers import build_agent
from tests.test_agents import TASKS
from train.devices import ROUNDS, time_agent


class Learner(Fixed):
    """An agent that learns once in so many steps, and counts."""

    def __init__(self, interval: int):
        self.interval, self.observed, self.acted, self.learnt, self.told = interval, 0, 0, 0, 0

    def act(self, obs: Any, first: Any, *, explore: bool) -> Any:
        self.acted += 1
        return np.zeros(first.shape, int)

    def observe(self, step: Step) -> None:
        self.observed += 1

    def update(self) -> None:
        self.learnt += self.observed % self.interval == 0

    def metrics(self) -> dict[str, Any]:
        news, self.told = self.learnt > self.told, self.learnt
        return {"learnt": self.learnt} if news else {}


@pytest.mark.parametrize(("interval", "rounds"), [(1, ROUNDS), (7, 42), (170, 170)])
def test_learning_has_the_share_of_the_time_that_it_has_in_training(interval: int, rounds: int):
    agent = Learner(interval)
    time_agent(agent, TASKS["poses"], 2)  # pyright: ignore[reportArgumentType]
    assert agent.acted == rounds
    assert agent.learnt == 2 + rounds // interval


def test_one_that_never_learns_is_timed_as_it_is():
    agent = Learner(10**9)
    assert time_agent(agent, TASKS["poses"], 2) > 0  # pyright: ignore[reportArgumentType]
    assert (agent.acted, agent.learnt) == (ROUNDS, 0)


@pytest.mark.parametrize(("name", "kind"), [("reinforce", "poses"), ("dqn", "poses"), ("ddpg", "poses, continuous")])
def test_made_up_steps_are_learnt_from(monkeypatch: pytest.MonkeyPatch, name: str, kind: str):
    agent: Any = build_agent(name, TASKS[kind], 2)
    told, metrics = [], agent.metrics
    monkeypatch.setattr(agent, "metrics", lambda: told.append(metrics()) or told[-1])
    assert time_agent(agent, TASKS[kind], 2) > 0
    begun = next(figures for figures in told if figures)
    assert (told[-1]["updates"] > begun["updates"]).all()
