"""From observations to the numbers of states that a table has rows for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.base import Task

MOST_DIMENSIONS = 16
"""Numbers of a Box that can be binned at all: 2^16 states."""
DEFAULT_BINS = 12
DEFAULT_STATES = 50_000
"""With default bins a table has about so many states at most."""
UNBOUNDED = 1e6
"""Bounds beyond this are none."""


class StateIndex:
    """Numbers the observations of a space from 0.

    Discrete, MultiDiscrete and MultiBinary spaces are counted as they are, the last component fastest. Of a Box each
    dimension is cut into bins: equal ones between its bounds; where it has none on a side, equal ones of
    x / (scale + |x|), which are fine around 0 (or around the bound of the other side) and coarse far out.

    Args:
        task: whose observations.
        bins, low, high, scale: as in `agents.tabular.TableConfig`; empty for the defaults.

    Raises:
        ValueError: bins for what needs none, of the wrong number, or upside down.
    """

    def __init__(
        self,
        task: Task,
        bins: Sequence[int] = (),
        low: Sequence[float] = (),
        high: Sequence[float] = (),
        scale: Sequence[float] = (1.0,),
    ):
        space = self.space = task.observation_space
        self._box = isinstance(space, gym.spaces.Box)
        if not self._box and (len(bins) or len(low) or len(high)):
            raise ValueError(f"bins are given for observation space {space}, which needs none: leave them out")
        if isinstance(space, gym.spaces.Discrete):
            self._start, self._sizes = np.array([int(space.start)]), np.array([int(space.n)])
        elif isinstance(space, gym.spaces.MultiDiscrete):
            self._start, self._sizes = space.start.reshape(-1), space.nvec.reshape(-1).astype(np.int64)
        elif isinstance(space, gym.spaces.MultiBinary):
            count = int(np.prod(space.shape))
            self._start, self._sizes = np.zeros(count, np.int64), np.full(count, 2)
        else:
            assert isinstance(space, gym.spaces.Box)
            self._prepare_bins(space, bins, low, high, scale)
        self.states = int(np.prod(self._sizes.astype(object)))
        """How many there are."""
        self._strides = np.array([int(np.prod(self._sizes[at + 1 :].astype(object))) for at in range(len(self._sizes))])
        names = task.state_names
        self._names = names if len(names) == self.states else ()

    def __call__(self, obs: NDArray[Any]) -> NDArray[np.int64]:
        """[S, E, *observation] -> [S, E]."""
        digits = obs.reshape(*obs.shape[:2], -1)  # [S, E, D]
        if self._box:
            digits = np.clip(np.floor(self._share(digits) * self._sizes), 0, self._sizes - 1)
        else:
            digits = digits - self._start
        return digits.astype(np.int64) @ self._strides

    def name(self, state: int) -> str:
        """What a state is called: by the environment, or by its components or bins."""
        if self._names:
            return self._names[state]
        digits = state // self._strides % self._sizes
        if self._box:
            return " ".join(
                f"[{self._edge(at, digit):.3g}, {self._edge(at, digit + 1):.3g})" for at, digit in enumerate(digits)
            )
        numbers = [str(number) for number in digits + self._start]
        return numbers[0] if len(numbers) == 1 else f"({', '.join(numbers)})"

    def _prepare_bins(
        self,
        space: gym.spaces.Box,
        bins: Sequence[int],
        low: Sequence[float],
        high: Sequence[float],
        scale: Sequence[float],
    ) -> None:
        dimensions = int(np.prod(space.shape))
        fitting = int(DEFAULT_STATES ** (1 / max(1, dimensions)) + 1e-9)
        # An even number puts an edge at the middle, where many tasks are decided.
        default = max(2, min(DEFAULT_BINS, fitting - fitting % 2))

        def of_each(name: str, given: Sequence[float], default: Any) -> NDArray[np.float64]:
            values = np.asarray(given if len(given) else default, np.float64).reshape(-1)
            if len(values) not in (1, dimensions) or np.isnan(values).any():
                raise ValueError(f"{name} is {tuple(given)}; expected one number, or one for each of {dimensions}")
            return np.broadcast_to(values, (dimensions,))

        sizes = of_each("bins", bins, [default])
        if (sizes < 1).any() or (sizes > 1_000_000).any() or (sizes != sizes.round()).any():
            raise ValueError(f"bins is {tuple(bins)}; expected whole numbers from 1 to 1,000,000")
        self._sizes = sizes.astype(np.int64)
        self._low, self._high = of_each("bin_low", low, space.low), of_each("bin_high", high, space.high)
        self._scale = of_each("bin_scale", scale, [1.0])
        if (self._scale <= 0).any() or np.isinf(self._scale).any():
            raise ValueError(f"bin_scale is {tuple(scale)}; expected numbers above 0")
        if (self._low >= self._high).any():
            at = int(np.flatnonzero(self._low >= self._high)[0])
            raise ValueError(
                f"bins of dimension {at} go from {self._low[at]:g} to {self._high[at]:g}; "
                "expected bin_low below bin_high"
            )
        self._below, self._above = self._low < -UNBOUNDED, self._high > UNBOUNDED
        self._start = np.zeros(dimensions, np.int64)
        # Where bins are fine: 0, or the one bound that there is.
        self._middle = np.where(self._below & ~self._above, self._high, np.where(self._below, 0.0, self._low))
        self._bounded = ~self._below & ~self._above
        self._span = np.where(self._bounded, self._high - self._low, 1.0)

    def _share(self, obs: NDArray[Any]) -> NDArray[np.float64]:
        """How far along its dimension each number is, 0 to 1 where it is within the bounds."""
        offset = (obs - self._middle).astype(np.float64)
        squashed = offset / (self._scale + np.abs(offset))  # in (-1, 1)
        squashed = np.where(self._below, np.where(self._above, (squashed + 1) / 2, squashed + 1), squashed)
        return np.where(self._bounded, offset / self._span, squashed)

    def _edge(self, at: int, digit: int) -> float:
        """Where a bin of a dimension begins."""
        share = float(digit / self._sizes[at])
        below, above = bool(self._below[at]), bool(self._above[at])
        if not below and not above:
            return float(self._low[at] + share * self._span[at])
        squashed = 2 * share - 1 if below and above else share - 1 if below else share
        if abs(squashed) >= 1.0:
            return float(np.copysign(np.inf, squashed))
        return float(self._middle[at] + self._scale[at] * squashed / (1 - abs(squashed)))
