"""What a continuous policy does: histograms of the direction and the magnitude of its actions."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.base import Step

SECTORS = 24
"""Directions that are told apart; the first is centred on +x."""
LEVELS = 100
"""Magnitudes that are told apart, from 0 to the largest that the bounds allow."""
CELLS = 21
"""Rows and columns of the 2-D histogram: an odd number, so that doing nothing has a cell of its own."""
UNBOUNDED = 3.0
"""How far histograms reach along an axis that has no bound; what is beyond counts at the edge."""
AT_BOUND = 0.01
"""Share of the range of an axis within which an action counts as at its bound: squashed ones only come close."""
STILL = 1e-3
"""Share of the largest magnitude below which an action has no direction."""


class ActionWatch:
    """Takes steps and counts their actions, per seed.

    Args:
        space: of one action, [D]. Directions and the 2-D histogram are of its first two axes.
        seeds: S.
    """

    def __init__(self, space: gym.spaces.Box, seeds: int):
        low, high = space.low.reshape(-1).astype(float), space.high.reshape(-1).astype(float)
        self.axes = len(low)
        self.low = np.where(np.isfinite(low), low, -UNBOUNDED)  # [D]
        self.high = np.where(np.isfinite(high), high, UNBOUNDED)  # [D]
        self._bounds = low, high
        self.largest = float(np.linalg.norm(np.maximum(abs(self.low), abs(self.high))))
        self.steps = np.zeros(seeds, np.int64)
        self.at_bound = np.zeros(seeds)
        self.total = np.zeros((seeds, self.axes))
        self.directions = np.zeros((seeds, SECTORS), np.int64)
        self.magnitudes = np.zeros((seeds, LEVELS), np.int64)
        self.cells = np.zeros((seeds, CELLS, CELLS), np.int64)
        """By seed, cell of the second axis from below, cell of the first."""

    def __call__(self, step: Step) -> None:
        """Takes a step of training or evaluation."""
        seed, column = np.nonzero(step.running)
        action = step.action.reshape(*step.running.shape, -1)[seed, column].astype(float)  # [n, D]
        np.add.at(self.steps, seed, 1)
        np.add.at(self.at_bound, seed, at_bound(action, *self._bounds).mean(-1))
        np.add.at(self.total, seed, action)
        magnitude = np.linalg.norm(action, axis=-1) / self.largest
        np.add.at(self.magnitudes, (seed, np.clip(magnitude * LEVELS, 0, LEVELS - 1).astype(int)), 1)
        if self.axes < 2:
            return
        angle = np.arctan2(action[:, 1], action[:, 0]) / (2 * np.pi) * SECTORS
        moves = magnitude > STILL
        np.add.at(self.directions, (seed[moves], np.round(angle[moves]).astype(int) % SECTORS), 1)
        place = (action - self.low) / (self.high - self.low) * CELLS
        x, y = np.clip(place[:, :2], 0, CELLS - 1).astype(int).T
        np.add.at(self.cells, (seed, y, x), 1)

    def figures(self, seed: int | None = None) -> dict[str, Any]:
        """The figures of a seed, or of all together with the 2-D histogram beside."""
        of = slice(None) if seed is None else slice(seed, seed + 1)
        steps = max(1, int(self.steps[of].sum()))
        levels = self.magnitudes[of].sum(0)
        # Of a share of all steps, the first bin by which that many have been counted.
        reached = np.searchsorted(levels.cumsum(), np.maximum(1, np.linspace(0, 1, 11) * steps).round())
        deciles = (np.minimum(reached, LEVELS - 1) + 0.5) / LEVELS * self.largest
        figures: dict[str, Any] = {
            "saturated_share": float(self.at_bound[of].sum() / steps),
            "mean": (self.total[of].sum(0) / steps).tolist(),
            "magnitude_deciles": deciles.tolist(),  # middles of bins: to a hundredth of the largest
            "magnitude_counts": levels.reshape(CELLS - 1, -1).sum(1).tolist(),
            "magnitude_largest": self.largest,
            "direction_counts": self.directions[of].sum(0).tolist() if self.axes > 1 else None,
        }
        if seed is None and self.axes > 1:
            figures["cells"] = self.cells.sum(0).tolist()
            figures["bounds"] = [[float(self.low[axis]), float(self.high[axis])] for axis in (0, 1)]
        return figures


def at_bound(action: NDArray[np.floating], low: NDArray[np.floating], high: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which components of actions [..., D] are at a bound [D] or all but there; none at infinite ones."""
    room = np.where(np.isfinite(low) & np.isfinite(high), AT_BOUND * (high - low), 0.0)
    return (action <= low + room) | (action >= high - room)


def watch_actions(space: gym.Space[Any], seeds: int) -> ActionWatch | None:
    """A watch for continuous control, and None for all else."""
    return ActionWatch(space, seeds) if isinstance(space, gym.spaces.Box) else None
