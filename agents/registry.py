"""The agents by name. A new one is a module and a line here."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.base import Agent, Task
from agents.lazy import torch


@dataclass(frozen=True)
class Entry:
    """Where an agent's parts are. The module is imported when they are asked for."""

    name: str
    module: str
    agent: str
    config: str
    check: str
    """Function of a Task that raises ValueError where the agent does not fit."""
    summary: str
    """One line for `cartbot list`."""
    learns: bool = True
    """False for fixed policies."""
    library: str = "cartbot"
    """The distribution whose implementation it is."""

    def config_class(self) -> type[Any]:
        return getattr(importlib.import_module(self.module), self.config)

    def check_task(self, task: Task) -> None:
        """Raises ValueError, in one line, unless the agent fits the task."""
        getattr(importlib.import_module(self.module), self.check)(task)

    def build(self, config: Any, task: Task, seeds: Sequence[np.random.SeedSequence], device: torch.device) -> Agent:
        """A new agent of `len(seeds)` seeds."""
        return getattr(importlib.import_module(self.module), self.agent)(config, task, seeds, device)


_ENTRIES = (
    Entry("dqn", "agents.dqn", "DQN", "DQNConfig", "check_task", "Q-learning with replay memory and target network"),
    Entry(
        "ddpg",
        "agents.ddpg",
        "DDPG",
        "DDPGConfig",
        "check_task",
        "continuous actions: a policy that climbs the values of a Q-network",
    ),
    Entry(
        "naf",
        "agents.naf",
        "NAF",
        "NAFConfig",
        "check_task",
        "continuous actions: Q-learning with values that are quadratic in the action",
    ),
    Entry(
        "reinforce",
        "agents.reinforce",
        "Reinforce",
        "ReinforceConfig",
        "check_task",
        "policy gradient over whole episodes, discrete or continuous",
    ),
    Entry("qtable", "agents.tabular", "Tabular", "QTableConfig", "check_task", "Q-learning with a table"),
    Entry("sarsa", "agents.tabular", "Tabular", "SarsaConfig", "check_task", "SARSA with a table"),
    Entry("greedy", "agents.bandits", "Bandit", "GreedyConfig", "check_task", "bandits: the arm that was best so far"),
    Entry(
        "egreedy",
        "agents.bandits",
        "Bandit",
        "EpsilonGreedyConfig",
        "check_task",
        "bandits: the best so far, and a random arm now and then",
    ),
    Entry(
        "ucb",
        "agents.bandits",
        "Bandit",
        "UCBConfig",
        "check_task",
        "bandits: the arm that could be best (upper confidence bound)",
    ),
    Entry(
        "thompson",
        "agents.bandits",
        "Bandit",
        "ThompsonConfig",
        "check_task",
        "bandits: an arm with the probability that it is the best",
    ),
    *(
        Entry(
            f"sb3-{short}",
            "agents.sb3",
            "SB3",
            f"SB3{short.upper()}Config",
            check,
            f"{short.upper()} of Stable-Baselines3, as it comes: {name}",
            library="stable-baselines3",
        )
        for short, check, name in (
            ("dqn", "check_discrete", "Q-learning with replay memory and target network"),
            ("ddpg", "check_continuous", "deep deterministic policy gradient"),
            ("ppo", "check_either", "proximal policy optimisation"),
            ("sac", "check_continuous", "soft actor-critic"),
        )
    ),
    Entry(
        "random", "agents.baselines", "Random", "RandomConfig", "check_random", "uniformly random actions", learns=False
    ),
    Entry("idle", "agents.baselines", "Idle", "IdleConfig", "check_idle", "the action that does nothing", learns=False),
    Entry(
        "linear",
        "agents.baselines",
        "Linear",
        "LinearConfig",
        "check_linear",
        "linear controller for CartPole3D poses",
        learns=False,
    ),
    Entry(
        "furthest-sonar",
        "agents.baselines",
        "FurthestSonar",
        "FurthestSonarConfig",
        "check_furthest_sonar",
        "towards the furthest of DriveBot's sonars",
        learns=False,
    ),
    Entry(
        "left-right",
        "agents.baselines",
        "LeftRight",
        "LeftRightConfig",
        "check_left_right",
        "classic CartPole: push to the side that the pole falls to",
        learns=False,
    ),
)

AGENTS = {entry.name: entry for entry in _ENTRIES}


def find_agent(name: str) -> Entry:
    """The agent of that name.

    Raises:
        ValueError: there is none; the message has the nearest name.
    """
    if name in AGENTS:
        return AGENTS[name]
    near = difflib.get_close_matches(name, AGENTS, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(AGENTS)}"
    raise ValueError(f"unknown agent {name!r}; {hint}")
