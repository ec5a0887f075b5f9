"""Bandits: one state, K arms, and rewards whose means are not known. The 10-armed testbed of Sutton and Barto.

Richard S. Sutton and Andrew G. Barto, Reinforcement Learning: An Introduction, 2nd ed., 2018, chapter 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.keywords import config_from
from envs.native import NativeVectorEnv, ScalarEnv, discrete_actions
from envs.streams import normal, uniform

DEFAULT_ARMS = 10
MOST_ARMS = 100_000


@dataclass(frozen=True, kw_only=True)
class BernoulliBanditConfig:
    """Every constant of the Bernoulli bandit. All are keywords of `gymnasium.make`."""

    arms: int | None = None
    """Number of arms, in [1, 100000]; by default as many as `probabilities`, else 10."""
    probabilities: Sequence[float] | None = None
    """Each arm's probability of a reward, in [0, 1]; by default drawn uniformly at every reset."""
    drift: float = 0.0
    """Standard deviation, in [0, 1], of what each probability changes by per step; it is reflected at 0 and 1."""
    horizon: int = 1_000
    """Steps at which an episode is truncated, in [1, 1e9]."""

    def __post_init__(self) -> None:
        _check(self.arms, "probabilities", self.probabilities, 0.0, 1.0, self.drift, 1.0, self.horizon)


@dataclass(frozen=True, kw_only=True)
class GaussianBanditConfig:
    """Every constant of the Gaussian bandit. All are keywords of `gymnasium.make`."""

    arms: int | None = None
    """Number of arms, in [1, 100000]; by default as many as `means`, else 10."""
    means: Sequence[float] | None = None
    """Each arm's mean reward, in [-1e6, 1e6]; by default drawn from N(0, 1) at every reset."""
    drift: float = 0.0
    """Standard deviation, in [0, 1000], of what each mean changes by per step."""
    horizon: int = 1_000
    """Steps at which an episode is truncated, in [1, 1e9]."""

    def __post_init__(self) -> None:
        _check(self.arms, "means", self.means, -1e6, 1e6, self.drift, 1e3, self.horizon)


class BanditVectorEnv(NativeVectorEnv):
    """What bandits share: arms, drift, regret. A subclass says where means come from and what a pull earns."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [], "outcomes": ("regret", "optimal_share")}
    state_names = ("arm_means", "best_means", "regret", "optimal_steps")

    arm_means: NDArray[np.float64]
    """Mean reward of every arm at this moment, [num_envs, K]: what regret is computed from. Not for agents."""
    best_means: NDArray[np.float64]
    """The best of them, [num_envs]."""

    def __init__(
        self,
        num_envs: int,
        arms: int | None,
        means: Sequence[float] | None,
        drift: float,
        horizon: int,
        render_mode: str | None,
    ):
        self.arms = arms if arms is not None else len(means) if means is not None else DEFAULT_ARMS
        super().__init__(num_envs, spaces.Discrete(1), spaces.Discrete(self.arms), render_mode)
        names = tuple(f"arm {arm}" for arm in range(self.arms))
        self.metadata = {**self.metadata, "action_names": names}  # pyright: ignore[reportAttributeAccessIssue]
        self.drift, self.horizon = float(drift), horizon
        self.arm_means = np.zeros((num_envs, self.arms))
        self.best_means = np.zeros(num_envs)
        self.regret = np.zeros(num_envs)
        """Regret of each column's episode so far: the sum of (best mean - mean of the arm pulled)."""
        self.optimal_steps = np.zeros(num_envs, np.int64)
        """Steps of each column's episode that pulled a best arm."""
        self._given = None if means is None else np.array(means, np.float64)
        self._rows = np.arange(num_envs)
        self._arm_numbers = np.arange(self.arms, dtype=np.uint64)

    def _draw_means(self, draws: NDArray[np.uint64], columns: NDArray[np.intp]) -> NDArray[np.float64]:
        """Arm means [C, K] of new episodes, from draws numbered `draws` [C, K] of `columns` [C]."""
        raise NotImplementedError

    def _pull(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        """A reward of each column, [num_envs], from the mean of the arm pulled and the column's next draw."""
        raise NotImplementedError

    def _bounded(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        """Means that have drifted, brought back to where they may be."""
        return means

    def _begin(self, columns: NDArray[np.intp], options: dict[str, Any]) -> dict[str, NDArray[Any]]:
        if self._given is not None:
            self.arm_means[columns] = self._given
        else:
            draws = self.draws[columns, None] + self._arm_numbers
            self.arm_means[columns] = self._draw_means(draws, columns)
            self.draws[columns] += np.uint64(self.arms)
        self.best_means[columns] = self.arm_means[columns].max(1)
        self.regret[columns] = 0.0
        self.optimal_steps[columns] = 0
        return {"arm_means": self.arm_means[columns]}

    def _advance(
        self, actions: NDArray[Any], active: NDArray[np.bool_]
    ) -> tuple[NDArray[np.floating], NDArray[np.bool_], NDArray[np.bool_], dict[str, NDArray[Any]]]:
        actions = discrete_actions(actions, active, self.arms)
        mean = self.arm_means[self._rows, actions]  # [N]
        reward = self._pull(mean)
        self.draws += active
        self.regret += (self.best_means - mean) * active
        # Compared by mean, not by index: of equal arms each is the best.
        self.optimal_steps += (mean == self.best_means) & active
        if self.drift:
            # The arms move after the pull: a reset's info tells the means of the first step.
            steps = normal(self.key[:, None], self.draws[:, None] + self._arm_numbers)  # [N, K]
            moved = self._bounded(self.arm_means + self.drift * steps)
            self.arm_means = np.where(active[:, None], moved, self.arm_means)
            self.best_means = self.arm_means.max(1)
            self.draws[active] += np.uint64(self.arms)
        truncated = self.episode_steps >= self.horizon
        infos = {"regret": self.regret, "optimal_share": self.optimal_steps / np.maximum(self.episode_steps, 1)}
        return reward, np.zeros(self.num_envs, bool), truncated, infos

    def _observe(self) -> NDArray[np.int64]:
        return np.zeros(self.num_envs, np.int64)


class BernoulliBanditVectorEnv(BanditVectorEnv):
    """Columns of `BernoulliBandit`. Their current probabilities are `arm_means` [num_envs, K]."""

    metadata: ClassVar[dict[str, Any]] = {**BanditVectorEnv.metadata, "arms": "bernoulli"}

    def __init__(self, num_envs: int = 1, *, render_mode: str | None = None, **config: Any):
        self.config = c = config_from(BernoulliBanditConfig, config)
        super().__init__(num_envs, c.arms, c.probabilities, c.drift, c.horizon, render_mode)

    def _draw_means(self, draws: NDArray[np.uint64], columns: NDArray[np.intp]) -> NDArray[np.float64]:
        return uniform(self.key[columns, None], draws)

    def _pull(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        return (uniform(self.key, self.draws) < means).astype(np.float64)

    def _bounded(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        folded = means % 2.0  # reflection at 0 and 1 has period 2
        return np.where(folded > 1.0, 2.0 - folded, folded)


class GaussianBanditVectorEnv(BanditVectorEnv):
    """Columns of `GaussianBandit`. Their current means are `arm_means` [num_envs, K]."""

    metadata: ClassVar[dict[str, Any]] = {**BanditVectorEnv.metadata, "arms": "gaussian"}

    def __init__(self, num_envs: int = 1, *, render_mode: str | None = None, **config: Any):
        self.config = c = config_from(GaussianBanditConfig, config)
        super().__init__(num_envs, c.arms, c.means, c.drift, c.horizon, render_mode)

    def _draw_means(self, draws: NDArray[np.uint64], columns: NDArray[np.intp]) -> NDArray[np.float64]:
        return normal(self.key[columns, None], draws)

    def _pull(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        return means + normal(self.key, self.draws)


class _Bandit(ScalarEnv):
    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.metadata = {**self.metadata, "action_names": self.batch.metadata["action_names"]}


class BernoulliBandit(_Bandit):
    """Pull one of K arms, each of which pays 1 with a probability of its own and else 0.

    **Actions.** Discrete(K), the arms; K is `arms`, 10 by default.

    **Observations.** Discrete(1): there is nothing to see.

    **Reward.** 1 with the probability of the arm pulled, else 0. Probabilities are drawn uniformly from [0, 1] at each
    reset, from its seed; or they are the keyword `probabilities`. With `drift` they change by N(0, drift^2) after each
    step, reflected at 0 and 1.

    **End.** Never terminated, truncated after `horizon` steps. `info["arm_means"]` of the reset has the probabilities;
    that of the last step has `regret`, the sum over steps of (best probability - probability of the arm pulled), and
    `optimal_share`, the share of steps that pulled a best arm.

    All fields of `BernoulliBanditConfig` are keywords.

    Raises:
        ValueError: a keyword is out of its bounds, or an action is no arm.
        gymnasium.error.ResetNeeded: `step` before `reset`, or after the end of an episode.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # pyright: ignore[reportIncompatibleVariableOverride]
    vector = BernoulliBanditVectorEnv


class GaussianBandit(_Bandit):
    """Pull one of K arms, each of which pays a normally distributed reward of unit variance: the 10-armed testbed.

    **Actions.** Discrete(K), the arms; K is `arms`, 10 by default.

    **Observations.** Discrete(1): there is nothing to see.

    **Reward.** The mean of the arm pulled plus N(0, 1). Means are drawn from N(0, 1) at each reset, from its seed; or
    they are the keyword `means`. With `drift` they change by N(0, drift^2) after each step.

    **End.** Never terminated, truncated after `horizon` steps. `info["arm_means"]` of the reset has the means; that of
    the last step has `regret`, the sum over steps of (best mean - mean of the arm pulled), and `optimal_share`, the
    share of steps that pulled a best arm.

    All fields of `GaussianBanditConfig` are keywords.

    Raises:
        ValueError: a keyword is out of its bounds, or an action is no arm.
        gymnasium.error.ResetNeeded: `step` before `reset`, or after the end of an episode.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # pyright: ignore[reportIncompatibleVariableOverride]
    vector = GaussianBanditVectorEnv


def _check(
    arms: Any, name: str, means: Any, low: float, high: float, drift: Any, most_drift: float, horizon: Any
) -> None:
    """Raises ValueError, in one line, for a bandit that cannot be."""
    if arms is not None and (not isinstance(arms, int) or isinstance(arms, bool) or not 1 <= arms <= MOST_ARMS):
        raise ValueError(f"arms is {arms!r}; expected a whole number in [1, {MOST_ARMS}]")
    if means is not None:
        if isinstance(means, str) or not (
            isinstance(means, Sequence) or (isinstance(means, np.ndarray) and means.ndim)
        ):
            raise ValueError(f"{name} is {means!r}; expected a list with a number for each arm")
        if not 1 <= len(means) <= MOST_ARMS:
            raise ValueError(f"{name} has {len(means)} entries; expected one for each of 1 to {MOST_ARMS} arms")
        for arm, mean in enumerate(means):
            if not _is_number(mean) or not low <= mean <= high:
                raise ValueError(f"{name}[{arm}] is {_shown(mean)}; expected a number in [{low:g}, {high:g}]")
        if arms is not None and arms != len(means):
            raise ValueError(
                f"arms is {arms} and {name} has {len(means)} entries; expected as many, or only one of them"
            )
    if not _is_number(drift) or not 0.0 <= drift <= most_drift:
        raise ValueError(f"drift is {_shown(drift)}; expected a number in [0, {most_drift:g}]")
    if not isinstance(horizon, int) or isinstance(horizon, bool) or not 1 <= horizon <= 10**9:
        raise ValueError(f"horizon is {horizon!r}; expected a whole number in [1, 1000000000]")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and not math.isnan(value)


def _shown(value: Any) -> str:
    """`value` as its author wrote it: NumPy's numbers would show their type."""
    return repr(value.item() if isinstance(value, np.generic) else value)
