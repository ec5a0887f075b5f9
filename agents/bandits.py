"""Bandit rules: greedy, epsilon-greedy, upper confidence bounds, Thompson sampling.

Richard S. Sutton and Andrew G. Barto, Reinforcement Learning: An Introduction, 2nd ed., 2018, chapter 2. Peter Auer,
Nicolo Cesa-Bianchi and Paul Fischer, Finite-time analysis of the multiarmed bandit problem, 2002. Daniel Russo and
others, A tutorial on Thompson sampling, 2018.

An episode of a bandit is a run: every column knows nothing when its episode opens, and learns on its own from there.
So 2,000 runs are 2,000 seeds of one column. Rules are pure functions of what is known of each arm:

    counts [S, E, K]   how often it was pulled
    values [S, E, K]   what it earned, on average
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.base import Step, Task, check_bounds, check_choice, check_flags
from agents.finite import Watched
from agents.lazy import torch
from agents.learning import Tally
from agents.saved import check_shape
from agents.streams import SeedStreams


@dataclass(frozen=True, kw_only=True)
class GreedyConfig:
    """The arm that was best so far, always."""

    initial_value: float = 0.0
    """What an arm is thought to earn before its first pull; a high value makes a greedy rule try all arms."""
    step_size: float = 0.0
    """Share of the error that a pull corrects, in (0, 1], for arms that drift. 0: the mean of all pulls."""
    forget: bool = True
    """Whether each episode begins knowing nothing, as when arms are drawn anew, or goes on from the last."""

    def __post_init__(self) -> None:
        check_bounds(self, initial_value=(-1e6, 1e6), step_size=(0, 1))
        check_flags(self, "forget")


@dataclass(frozen=True, kw_only=True)
class EpsilonGreedyConfig:
    """The arm that was best so far, and a random one now and then."""

    epsilon: float = 0.1
    """Probability of a uniformly random arm, in [0, 1]."""
    initial_value: float = 0.0
    """What an arm is thought to earn before its first pull."""
    step_size: float = 0.0
    """Share of the error that a pull corrects, in (0, 1], for arms that drift. 0: the mean of all pulls."""
    forget: bool = True
    """Whether each episode begins knowing nothing, as when arms are drawn anew, or goes on from the last."""

    def __post_init__(self) -> None:
        check_bounds(self, epsilon=(0, 1), initial_value=(-1e6, 1e6), step_size=(0, 1))
        check_flags(self, "forget")


@dataclass(frozen=True, kw_only=True)
class UCBConfig:
    """The arm that could be best: its mean plus c sqrt(log t / pulls)."""

    c: float = 2.0
    """Width of the confidence bound, in units of reward; sqrt(2) is UCB1's for rewards in [0, 1]."""
    step_size: float = 0.0
    """Share of the error that a pull corrects, in (0, 1], for arms that drift. 0: the mean of all pulls."""
    forget: bool = True
    """Whether each episode begins knowing nothing, as when arms are drawn anew, or goes on from the last."""

    def __post_init__(self) -> None:
        check_bounds(self, c=(0, 1e6), step_size=(0, 1))
        check_flags(self, "forget")


@dataclass(frozen=True, kw_only=True)
class ThompsonConfig:
    """An arm with the probability that it is the best, given all that was earned."""

    posterior: Literal["auto", "beta", "gaussian"] = "auto"
    """"beta" for rewards of 0 and 1, "gaussian" for rewards of unit variance; "auto": beta for a run until it sees
    another reward than 0 and 1."""
    prior_mean: float = 0.0
    """Gaussian: mean of what an arm's mean is thought to be before its first pull."""
    prior_variance: float = 1.0
    """Gaussian: variance of the same."""
    prior_successes: float = 1.0
    """Beta: pulls that earned 1, imagined before the first; at least 1."""
    prior_failures: float = 1.0
    """Beta: pulls that earned 0, imagined before the first; at least 1."""
    forget: bool = True
    """Whether each episode begins knowing nothing, as when arms are drawn anew, or goes on from the last."""

    def __post_init__(self) -> None:
        check_choice(self, posterior=("auto", "beta", "gaussian"))
        check_bounds(
            self,
            prior_mean=(-1e6, 1e6),
            prior_variance=(1e-6, 1e6),
            prior_successes=(1, 1e6),
            prior_failures=(1, 1e6),
        )
        check_flags(self, "forget")


Config = GreedyConfig | EpsilonGreedyConfig | UCBConfig | ThompsonConfig


def updated(
    counts: torch.Tensor, values: torch.Tensor, arm: torch.Tensor, reward: torch.Tensor, step_size: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Counts and values after a pull of each column: v += (r - v) / n, or a constant share (eq. 2.3, 2.5).

    Args:
        counts, values: [S, E, K].
        arm, reward: [S, E].
        step_size: 0 averages all pulls.
    """
    pulled = torch.nn.functional.one_hot(arm, counts.shape[-1]).to(counts.dtype)  # [S, E, K]
    counts = counts + pulled
    share = step_size if step_size else 1.0 / counts.clamp(min=1.0)
    return counts, values + pulled * share * (reward.unsqueeze(-1) - values)


def best_arm(scores: torch.Tensor, streams: SeedStreams) -> torch.Tensor:
    """The arm of the highest score, a random one of equals: [S, E, K] -> [S, E]."""
    lot = streams.uniform(*scores.shape[1:])
    return torch.where(scores == scores.amax(-1, keepdim=True), lot, -1.0).argmax(-1)


def epsilon_greedy(values: torch.Tensor, epsilon: float, streams: SeedStreams) -> torch.Tensor:
    """A uniformly random arm with probability `epsilon`, else the best: [S, E, K] -> [S, E]."""
    envs, arms = values.shape[1:]
    explores = streams.uniform(envs) < epsilon
    return torch.where(explores, streams.integers(arms, envs), best_arm(values, streams))


def upper_bounds(counts: torch.Tensor, values: torch.Tensor, c: float) -> torch.Tensor:
    """Mean + c sqrt(log t / n) of each arm, [S, E, K] (eq. 2.10); infinite before its first pull.

    t is the number of the coming pull, from 1.
    """
    t = counts.sum(-1, keepdim=True) + 1.0
    width = c * torch.sqrt(torch.log(t) / counts.clamp(min=1.0))
    return torch.where(counts > 0, values + width, torch.inf)


def gaussian_posterior(
    counts: torch.Tensor, values: torch.Tensor, prior_mean: float, prior_variance: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of what is known of each arm's mean, given rewards of unit variance, all [S, E, K]."""
    precision = 1.0 / prior_variance + counts
    return (prior_mean / prior_variance + counts * values) / precision, 1.0 / precision


def beta_posterior(
    counts: torch.Tensor, values: torch.Tensor, prior_successes: float, prior_failures: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The two parameters of the Beta distribution of each arm's probability, all [S, E, K]."""
    return prior_successes + counts * values, prior_failures + counts * (1.0 - values)


def thompson_scores(
    counts: torch.Tensor, values: torch.Tensor, binary: torch.Tensor, config: ThompsonConfig, streams: SeedStreams
) -> torch.Tensor:
    """A draw from the posterior of each arm's mean, [S, E, K].

    `binary` [S, E] says which columns have earned nothing but 0 and 1, and is for `posterior` "auto".
    """
    mean, variance = gaussian_posterior(counts, values, config.prior_mean, config.prior_variance)
    gaussian = mean + variance.sqrt() * streams.normal(*counts.shape[1:])
    if config.posterior == "gaussian":
        return gaussian
    wanted = torch.ones_like(binary) if config.posterior == "beta" else binary
    wanted = wanted.unsqueeze(-1).expand_as(counts)
    successes, failures = beta_posterior(counts, values, config.prior_successes, config.prior_failures)
    # A column without binary rewards has no Beta posterior: its parameters can be anything, and are not used.
    beta = sample_beta(torch.where(wanted, successes, 1.0), torch.where(wanted, failures, 1.0), wanted, streams)
    return torch.where(wanted, beta, gaussian)


def sample_beta(a: torch.Tensor, b: torch.Tensor, wanted: torch.Tensor, streams: SeedStreams) -> torch.Tensor:
    """Beta-distributed numbers for parameters of at least 1, all [S, ...]: X / (X + Y) of two gammas."""
    gammas = sample_gamma(torch.stack([a, b], dim=1), torch.stack([wanted, wanted], dim=1), streams)  # [S, 2, ...]
    return gammas[:, 0] / gammas.sum(1)


def sample_gamma(shape: torch.Tensor, wanted: torch.Tensor, streams: SeedStreams) -> torch.Tensor:
    """Gamma-distributed numbers of unit scale for shape parameters of at least 1, all [S, ...].

    Where nothing is `wanted` the result is arbitrary, and costs nothing if that is everywhere.

    By rejection (Marsaglia and Tsang, 2000), at least 95% of proposals pass. However many proposals were needed,
    the streams stand in the same place afterwards: what a seed draws must not depend on the others' luck.
    """
    d = shape - 1.0 / 3.0
    c = 1.0 / torch.sqrt(9.0 * d)
    end = streams.counter + 2 * GAMMA_PROPOSALS * shape[0].numel()
    drawn = d  # stands where no proposal passes, 1 in 10^15 or rarer
    waiting = wanted
    for _ in range(GAMMA_PROPOSALS):
        if not waiting.any():
            break
        x = streams.normal(*shape.shape[1:])
        u = streams.uniform(*shape.shape[1:])
        v = (1.0 + c * x) ** 3
        passes = (v > 0) & (torch.log(u) < 0.5 * x * x + d * (1.0 - v + torch.log(v.clamp(min=1e-30))))
        drawn = torch.where(waiting & passes, d * v, drawn)
        waiting = waiting & ~passes
    streams.counter = end
    return drawn


GAMMA_PROPOSALS = 12


def check_task(task: Task) -> None:
    """Raises ValueError unless the task is a bandit: one observation, and arms to choose from."""
    if not isinstance(task.action_space, gym.spaces.Discrete):
        raise ValueError(f"action space {task.action_space}; expected Discrete, the arms of a bandit")
    if not isinstance(task.observation_space, gym.spaces.Discrete) or task.observation_space.n != 1:
        raise ValueError(f"observation space {task.observation_space}; expected Discrete(1), as bandits have")


class Bandit:
    """A rule, chosen by the class of its config, and what it knows of the arms of each column."""

    metric_names: tuple[str, ...] = ("reward", "best_value")
    learns_within_episodes = True
    """An episode is all that it has to learn in: evaluations let it observe, and act as it does in training."""

    def __init__(self, config: Config, task: Task, seeds: Sequence[np.random.SeedSequence], device: torch.device):
        check_task(task)
        assert isinstance(task.action_space, gym.spaces.Discrete)
        self.config, self.task, self.device, self.seeds = config, task, device, len(seeds)
        self.arms, self._first_arm = int(task.action_space.n), int(task.action_space.start)
        self._streams = SeedStreams(seeds, device)
        self._tally = Tally(self.seeds)
        self._begin(task.envs)

    def act(self, obs: NDArray[Any], first: NDArray[np.bool_], *, explore: bool) -> NDArray[Any]:
        if not explore:
            arm = self.pooled_values().argmax(-1, keepdim=True).expand(self.seeds, obs.shape[1])  # [S, E]
        else:
            if obs.shape[1] != self.counts.shape[1]:
                self._begin(obs.shape[1])
            if self.config.forget and first.any():
                self._forget(torch.as_tensor(first, device=self.device))
            arm = self._choose()
        return arm.cpu().numpy() + self._first_arm

    def observe(self, step: Step) -> None:
        # Learnt from at once: the next pull depends on it, and costs less than waiting for an update would.
        arm = torch.as_tensor(step.action - self._first_arm, device=self.device)
        reward = torch.as_tensor(step.reward, device=self.device)  # [S, E]
        running = torch.as_tensor(step.running, device=self.device)
        self._check_reward(reward, running)
        counts, values = updated(self.counts, self.values, arm, reward, getattr(self.config, "step_size", 0.0))
        self.counts = torch.where(running.unsqueeze(-1), counts, self.counts)
        self.values = torch.where(running.unsqueeze(-1), values, self.values)
        self.binary = self.binary & (~running | (reward == 0) | (reward == 1))
        self._tally.add(reward=reward.mean(-1), best_value=self.values.amax(-1).mean(-1))

    def update(self) -> None:
        pass

    def metrics(self) -> dict[str, NDArray[np.floating]]:
        """`reward` per step, and `best_value`, what the arm thought best is thought to earn."""
        return self._tally.drain()

    def pooled_values(self) -> torch.Tensor:
        """What each seed's columns together know of the arms, [S, K]: means over pulls, -inf before the first."""
        pulls = self.counts.sum(1)
        mean = (self.counts * self.values).sum(1) / pulls.clamp(min=1.0)
        return torch.where(pulls > 0, mean, -torch.inf)

    def watched(self) -> Watched:
        return {"estimates": {"values": self.values}, "figures": self._tally.sums}

    def state_dict(self) -> dict[str, Any]:
        return {
            "counts": self.counts,
            "values": self.values,
            "binary": self.binary,
            "streams": self._streams.state_dict(),
            "tally": self._tally.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, arms in (("counts", (self.arms,)), ("values", (self.arms,)), ("binary", ())):
            check_shape(name, state[name], (self.seeds, None, *arms))
            setattr(self, name, torch.as_tensor(state[name]).clone().to(self.device))
        self._streams.load_state_dict(state["streams"])
        self._tally.load_state_dict(state["tally"])

    def _choose(self) -> torch.Tensor:
        """The next arm of every column, [S, E]."""
        config, streams = self.config, self._streams
        if isinstance(config, GreedyConfig):
            return best_arm(self.values, streams)
        if isinstance(config, EpsilonGreedyConfig):
            return epsilon_greedy(self.values, config.epsilon, streams)
        if isinstance(config, UCBConfig):
            return best_arm(upper_bounds(self.counts, self.values, config.c), streams)
        return best_arm(thompson_scores(self.counts, self.values, self.binary, config, streams), streams)

    def _begin(self, envs: int) -> None:
        """Claims the tables of `envs` columns per seed, which know nothing."""
        shape = (self.seeds, envs, self.arms)
        # Doubles: a mean of 10,000 rewards in single precision would lose some of them.
        self.counts = torch.zeros(shape, dtype=torch.float64, device=self.device)
        self.values = torch.zeros(shape, dtype=torch.float64, device=self.device)
        self.binary = torch.ones(shape[:2], dtype=torch.bool, device=self.device)
        self._forget(torch.ones(shape[:2], dtype=torch.bool, device=self.device))

    def _forget(self, first: torch.Tensor) -> None:
        """Lets the columns where `first` [S, E] know nothing."""
        self.counts = self.counts.masked_fill(first.unsqueeze(-1), 0.0)
        initial = getattr(self.config, "initial_value", 0.0)
        self.values = self.values.masked_fill(first.unsqueeze(-1), initial)
        self.binary = self.binary | first

    def _check_reward(self, reward: torch.Tensor, running: torch.Tensor) -> None:
        if isinstance(self.config, ThompsonConfig) and self.config.posterior == "beta":
            odd = running & (reward != 0) & (reward != 1)
            if odd.any():
                raise ValueError(
                    f"reward is {float(reward[odd][0]):g}; posterior 'beta' expects 0 and 1: use posterior 'gaussian'"
                )
