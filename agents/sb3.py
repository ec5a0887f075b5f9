"""Stable-Baselines3's DQN, DDPG, SAC and PPO as they come (Raffin et al., 2021), with the interface of our own agents.

Their models, networks, memories, noise and losses are the library's, one model for each seed; this module hands
observations and actions to and fro. What it adds is what makes a comparison fair: the features that our own agents see
(`encode`), and the same number of updates for the same number of steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.base import Step, Task
from agents.encoders import Encoder
from agents.finite import Watched, check_finite
from agents.lazy import torch
from agents.learning import Tally
from agents.networks import load_params
from agents.saved import check_shape
from agents.sb3_configs import (
    SB3Config,
    SB3DDPGConfig,
    SB3DQNConfig,
    SB3PPOConfig,
    SB3SACConfig,
    check_continuous,
    check_discrete,
    check_either,
    check_memory,
)

__all__ = [
    "SB3",
    "SB3DDPGConfig",
    "SB3DQNConfig",
    "SB3PPOConfig",
    "SB3SACConfig",
    "check_continuous",
    "check_discrete",
    "check_either",
]


class SB3:
    """A model of Stable-Baselines3 for each seed.

    Raises:
        ValueError: the task does not fit, or its memory would not fit into this machine's.
    """

    def __init__(self, config: SB3Config, task: Task, seeds: Sequence[np.random.SeedSequence], device: torch.device):
        # These import torch and the library.
        from agents import sb3_learners, sb3_models, sb3_state

        {SB3DQNConfig: check_discrete, SB3PPOConfig: check_either}.get(type(config), check_continuous)(task)
        self.config, self.task, self.seeds = config, task, len(seeds)
        self._first_action = int(task.action_space.start) if isinstance(task.action_space, gym.spaces.Discrete) else 0
        self._gate = sb3_models.Gate(task.observation_space, encode=config.encode)
        check_memory(config, self._gate.space, task, self.seeds)
        self._generators = sb3_state.Generators(self.seeds, device)
        self._encoders: list[Encoder] = []
        """What standardises the numbers that each seed sees, where anything does."""
        if self._gate.standardise:
            least = self._gate.least_deviation
            self._encoders = [Encoder(self._gate.space, 1, device, least_deviation=least) for _ in seeds]
        self.learners: list[sb3_learners.Learner] = []
        for seed in self._generators.turns():
            encoder = self._encoders[seed] if self._encoders else None
            root = int(seeds[seed].generate_state(1)[0])
            self.learners.append(sb3_models.make_learner(config, self._gate.space, task, encoder, root, device))
        self._memory = sb3_learners.join_memories(self.learners)
        self.metric_names = self.learners[0].metric_names
        self._tally = Tally(self.seeds)
        params = [learner.params() for learner in self.learners]
        self._weights = {name: [of_seed[name] for of_seed in params] for name in params[0]}

    def act(self, obs: NDArray[Any], first: NDArray[np.bool_], *, explore: bool) -> NDArray[Any]:
        seen = self._gate(obs)
        actions = [self.learners[seed].act(seen[seed], explore) for seed in self._generators.turns()]
        # The library's discrete actions begin with 0.
        return np.stack(actions) + self._first_action if self._first_action else np.stack(actions)

    def value(self, obs: NDArray[Any]) -> NDArray[np.floating]:
        """Predicted value of observations under the greedy policy, [S, E, ...] -> [S, E]."""
        seen = self._gate(obs)
        return np.stack([learner.value(seen[seed]) for seed, learner in enumerate(self.learners)])

    def observe(self, step: Step) -> None:
        """Stores the step and, where that is due, learns: the library does so before it acts again.

        Raises:
            NonFiniteError: what it learnt is not finite, and the library stumbles over it.
        """
        obs, next_obs = self._gate(step.obs), self._gate(step.next_obs)
        action = step.action - self._first_action if self._first_action else step.action
        reward = step.reward.astype(np.float32)
        learnt = False
        try:
            for seed in self._generators.turns():
                learnt = self.learners[seed].learn(
                    obs[seed],
                    action[seed],
                    reward[seed],
                    step.terminated[seed],
                    step.truncated[seed],
                    next_obs[seed],
                    step.first[seed],
                )
        except ValueError:
            check_finite(self.watched())  # of weights that are not, torch makes that
            raise
        if learnt:
            latest = [learner.figures() for learner in self.learners]
            figures = {name: torch.tensor([float(one[name]) for one in latest]) for name in latest[0]}
            self._tally.add(**figures)

    def update(self) -> None:
        """Nothing: `observe` has done it."""

    def metrics(self) -> dict[str, NDArray[np.floating]]:
        figures = self._tally.drain()
        if figures:
            figures |= {name: np.full(self.seeds, value) for name, value in self.learners[0].counters().items()}
        return figures

    def watched(self) -> Watched:
        return {"figures": self._tally.sums, "weights": self._weights}

    def state_dict(self) -> dict[str, Any]:
        from agents.sb3_state import stack

        return {
            "params": stack([learner.params() for learner in self.learners]),
            "optimizers": stack([learner.optimizer_state() for learner in self.learners]),
            "encoders": stack([encoder.state_dict() for encoder in self._encoders]),
            "generators": stack(self._generators.state_dicts()),
            "draws": stack([learner.draws() for learner in self.learners]),
            # The seeds keep step with each other.
            "counts": self.learners[0].counts(),
            "tally": self._tally.state_dict(),
            "memory": {"ring": self._rows()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        from agents.sb3_state import unstack

        for seed, learner in enumerate(self.learners):
            load_params(learner.params(), unstack(state["params"], seed))
            learner.load_optimizer_state(unstack(state["optimizers"], seed))
            learner.load_draws(unstack(state["draws"], seed))
            learner.load_counts(state["counts"])
        for seed, encoder in enumerate(self._encoders):
            encoder.load_state_dict(unstack(state["encoders"], seed))
        self._generators.load_state_dicts([unstack(state["generators"], seed) for seed in range(self.seeds)])
        self._tally.load_state_dict(state["tally"])
        for name, saved in state.get("memory", {"ring": {}})["ring"].items():
            for seed, part in enumerate(np.split(saved, self.seeds, axis=1)):
                rows = getattr(self.learners[seed].buffer, name)
                check_shape(name, part, (None, *rows.shape[1:]))
                rows[: len(part)] = part

    def _rows(self) -> dict[str, NDArray[Any]]:
        """What the memories hold: arrays [rows, S * E, ...], as one where the seeds share one."""
        filled = self.learners[0].buffer.size()
        if self._memory:
            return {name: rows[:filled] for name, rows in self._memory.items()}
        fields = self.learners[0].memory_fields
        return {
            name: np.concatenate([getattr(learner.buffer, name)[:filled] for learner in self.learners], axis=1)
            for name in fields
        }
