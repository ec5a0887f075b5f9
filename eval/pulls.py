"""What bandit agents did with their arms: regret and pulls of the best arm against time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from agents.base import Step

POINTS = 200
"""Times at which an episode's regret is kept, at most."""


@dataclass(frozen=True, kw_only=True)
class PullCurves:
    """Episodes of one length, each at the same P times, evenly spaced in the logarithm."""

    steps: NDArray[np.int64]
    """[P], from 1 to the length."""
    regret: NDArray[np.float64]
    """The sum over steps so far of (best mean - mean of the arm pulled), [episodes, P]."""
    optimal: NDArray[np.float64]
    """The share of steps since the time before that pulled a best arm, [episodes, P]."""
    means: NDArray[np.float64]
    """The arms' means when the episode opened, [episodes, K]."""
    arms: str
    """ "bernoulli" or "gaussian"."""
    drift: bool
    """Whether the arms' means changed meanwhile."""


class PullWatch:
    """Takes steps of a bandit's columns and keeps what `PullCurves` needs of the episodes that end.

    Args:
        venv: a `BanditVectorEnv` in an interaction; its `arm_means` are read between two steps.
    """

    def __init__(self, venv: Any):
        self._venv = venv
        columns = venv.num_envs
        self._rows = np.arange(columns)
        self._means: NDArray[np.float64] | None = None
        self._opening = np.zeros((columns, venv.arms))
        self._gap = np.zeros((64, columns))  # [T, N] of the episodes in progress
        self._hit = np.zeros((64, columns), bool)
        self._length = np.zeros(columns, np.int64)
        self._found: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
        self.optimal = np.zeros(columns, bool)
        """Which columns pulled a best arm in the latest step, [N]."""

    def __call__(self, step: Step) -> None:
        """Takes a step of training or evaluation."""
        # Arms that drift move after the pull: what counts is where they stood before it.
        means = step.reset_info["arm_means"] if self._means is None else self._means  # [N, K]
        first, running = step.first.reshape(-1), step.running.reshape(-1)
        self._opening[first] = means[first]
        if self._length.max() >= len(self._gap):
            self._gap = np.concatenate([self._gap, np.zeros_like(self._gap)])
            self._hit = np.concatenate([self._hit, np.zeros_like(self._hit)])
        pulled, best = means[self._rows, step.action.reshape(-1)], means.max(1)
        self.optimal = pulled == best
        self._gap[self._length, self._rows], self._hit[self._length, self._rows] = best - pulled, self.optimal
        self._length += running
        for column in np.flatnonzero((step.terminated | step.truncated).reshape(-1) & running):
            length = self._length[column]
            times = _times(int(length))
            regret = self._gap[:length, column].cumsum()[times - 1]
            hits = self._hit[:length, column].cumsum()[times - 1]
            share = np.diff(hits, prepend=0) / np.diff(times, prepend=0)
            self._found.append((regret, share, self._opening[column].copy()))
            self._length[column] = 0
        self._means = self._venv.arm_means.copy()

    def curves(self) -> PullCurves:
        """All episodes that have ended; bandits' are all as long as the horizon."""
        regret, optimal, means = (np.array(part) for part in zip(*self._found, strict=True))
        return PullCurves(
            steps=_times(int(self._venv.horizon)),
            regret=regret,
            optimal=optimal,
            means=means,
            arms=self._venv.metadata["arms"],
            drift=bool(self._venv.drift),
        )


def watch_pulls(venv: VectorEnv[Any, Any, Any]) -> PullWatch | None:
    """A watch for bandits, and None for all else."""
    return PullWatch(venv) if hasattr(venv, "arm_means") else None


def _times(length: int) -> NDArray[np.int64]:
    return np.unique(np.geomspace(1, length, POINTS).round().astype(np.int64))
