"""One seed of a run's agent, episode by episode: which episodes to show, and how they go on step by step.

Every episode is played by itself, so that one that was chosen for how it went goes the same way when it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from agents.base import Agent, Fixed, Step
from agents.finite import Watched
from eval.episodes import Episode, EpisodeRecorder
from eval.evaluation import restore_agent, start_state
from eval.loop import EVALUATION_SEED, Interaction
from eval.runs import Run
from eval.tasks import ActionTable, describe_task, judging_env_args, make_envs

Pick = Literal["best", "median", "worst"]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which evaluation episodes are meant; without any wish the first."""

    episodes: int = 3
    """How many."""
    pick: Pick | None = None
    """By their return, among the first `among`."""
    push: float | None = None
    """Those that open with a push nearest to this direction, degrees, among the first `among`."""
    start: int | None = None
    """From this evaluation episode on."""
    among: int = 50
    """Episodes that are played to choose from."""

    def __post_init__(self) -> None:
        wishes = [name for name in ("pick", "push", "start") if getattr(self, name) is not None]
        if len(wishes) > 1:
            raise ValueError(f"{' and '.join(wishes)} are given; expected one of them")
        if self.start is not None and not 0 <= self.start < 10**9:
            raise ValueError(f"start is {self.start}; expected the number of an evaluation episode, 0 or more")
        if self.push is not None and not math.isfinite(self.push):
            raise ValueError(f"push is {self.push}; expected degrees")
        if self.among < self.episodes and (self.pick or self.push is not None):
            raise ValueError(f"among is {self.among}; expected at least episodes, which is {self.episodes}")


class Player:
    """The agent of one seed of a run, ready to play evaluation episodes in the world that judges it.

    Raises:
        ValueError: the run has no such seed or checkpoint.
    """

    def __init__(self, run: Run, seed: int = 0, checkpoint: int | None = None):
        config = run.config
        if not 0 <= seed < config.seeds:
            raise ValueError(f"seed {seed} is not in the run; expected 0 to {config.seeds - 1}")
        self.run, self.seed = run, seed
        self.env_args = judging_env_args(config.env, config.env_args)
        with self.envs() as venv:
            self.task, self.table = describe_task(config.env, venv)
            self.fps = int(venv.metadata.get("render_fps") or 30)
        self.agent = OneSeed(restore_agent(run, self.task, checkpoint)[0], config.seeds, seed)

    @contextmanager
    def envs(self, **more: Any) -> Iterator[VectorEnv[Any, Any, Any]]:
        """The environment in a single column."""
        venv = make_envs(self.run.config.env, 1, env_args={**self.env_args, **more}, workers=0)
        try:
            yield venv
        finally:
            venv.close()

    def steps(self, venv: VectorEnv[Any, Any, Any], first: int, count: int) -> Iterator[Step]:
        """Greedy steps [1, 1, ...] of `count` evaluation episodes from number `first` on."""

        def reset_seed(column: int, episode: int) -> int | None:
            return EVALUATION_SEED + first + episode if episode < count else None

        yield from Interaction(venv, self.agent, 1, reset_seed, explore=False)

    def choose(self, choice: Choice) -> list[int]:
        """The numbers of the chosen evaluation episodes.

        Raises:
            ValueError: a push is wished for where episodes do not open with one.
        """
        if choice.pick is None and choice.push is None:
            first = choice.start or 0
            return list(range(first, first + choice.episodes))
        recorder = EpisodeRecorder(self.table)
        with self.envs() as venv:
            played = [episode for step in self.steps(venv, 0, choice.among) for episode in recorder.add(step)]
        return [start_state(episode) for episode in chosen(played, choice)]


def chosen(played: list[Episode], choice: Choice) -> list[Episode]:
    """Those of some episodes that a choice means, ties in the order in which they were played."""
    if choice.push is not None:
        if "push_direction" not in played[0].info:
            raise ValueError("push is given, but the episodes of this environment do not open with a push")
        wanted = math.radians(choice.push)

        def away(episode: Episode) -> float:
            return abs(math.remainder(episode.info["push_direction"] - wanted, 2 * math.pi))

        return sorted(played, key=away)[: choice.episodes]
    ranked = sorted(played, key=lambda episode: -episode.total_reward)
    first = {"best": 0, "median": (len(ranked) - choice.episodes) // 2, "worst": len(ranked) - choice.episodes}
    begin = first[choice.pick or "best"]
    found = ranked[begin : begin + choice.episodes]
    return found[::-1] if choice.pick == "worst" else found


class OneSeed(Fixed):
    """One seed of an agent for S, as an agent for one: the others are shown the same, and not listened to."""

    def __init__(self, agent: Agent, seeds: int, seed: int):
        self.agent, self.seeds, self.seed = agent, seeds, seed

    def act(self, obs: NDArray[Any], first: NDArray[np.bool_], *, explore: bool) -> NDArray[Any]:
        everyone = self.agent.act(np.repeat(obs, self.seeds, 0), np.repeat(first, self.seeds, 0), explore=explore)
        return everyone[self.seed : self.seed + 1]

    def value(self, obs: NDArray[Any]) -> float | None:
        """What the network predicts for an observation [1, 1, ...]; None where it predicts nothing."""
        predict = getattr(self.agent, "value", None)
        return None if predict is None else float(predict(np.repeat(obs, self.seeds, 0))[self.seed, 0])

    def watched(self) -> Watched:
        return self.agent.watched()

    def state_dict(self) -> dict[str, Any]:
        return self.agent.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.agent.load_state_dict(state)


def action_text(table: ActionTable, action: NDArray[Any]) -> str:
    """The name of an action or, for continuous ones, its numbers."""
    if table.directions is None:
        return table.names[int(table.index(action))]
    return " ".join(f"{number:+.2f}" for number in np.ravel(action)[:4])
