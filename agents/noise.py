"""Noise that continuous actions explore by, and its place between the bounds of actions.

Actions and noise are on the scale on which actions reach from -1 to 1.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from agents.lazy import torch
from agents.saved import check_shape
from agents.streams import SeedStreams

Kind = Literal["gaussian", "ornstein-uhlenbeck"]


class Noise:
    """Noise of mean 0 and deviation 1, independent among dimensions of actions, columns and seeds.

    Gaussian noise is drawn afresh at each step. Ornstein-Uhlenbeck noise (Uhlenbeck and Ornstein, 1930; Lillicrap et
    al., 2016) wanders: it keeps the share 1 - theta of what it was, so that it pushes one way for about 1 / theta
    steps. Every column has its own, which starts from 0 where an episode opens.

    Args:
        kind: "gaussian" or "ornstein-uhlenbeck".
        theta: share of the wandering noise that is forgotten at each step, in (0, 1].
        envs: columns per seed, E.
        dimensions: of an action, D.
        streams: what it is drawn from.
    """

    def __init__(self, kind: Kind, theta: float, envs: int, dimensions: int, streams: SeedStreams):
        self.keep = 1 - theta if kind == "ornstein-uhlenbeck" else 0.0
        self.streams = streams
        self._value = torch.zeros(len(streams.keys), envs, dimensions, device=streams.keys.device)

    def __call__(self, first: torch.Tensor) -> torch.Tensor:
        """The next noise [S, E, D]; `first` [S, E] is true where an episode opens."""
        *columns, dimensions = *first.shape, self._value.shape[-1]
        if self._value.shape[1] != columns[1]:  # an evaluation has as many columns as it likes
            self._value = self._value.new_zeros(*columns, dimensions)
        kept = self.keep * self._value * ~first.unsqueeze(-1)
        self._value = kept + math.sqrt(1 - self.keep**2) * self.streams.normal(columns[1], dimensions)
        return self._value

    def state_dict(self) -> dict[str, Any]:
        return {"value": self._value, "streams": self.streams.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        seeds, _, dimensions = self._value.shape
        check_shape("noise", state["value"], (seeds, None, dimensions))
        self._value = state["value"].to(self._value.device)
        self.streams.load_state_dict(state["streams"])


def in_turns(actions: torch.Tensor) -> torch.Tensor:
    """Of K networks' actions [K, S, E, D], those of the first for the first column, and so on in turn: [S, E, D].

    So each network meets what its own mistakes lead to; the mistakes of an average of networks are others.
    """
    column = torch.arange(actions.shape[2], device=actions.device)
    return actions[column % len(actions), :, column].transpose(0, 1)


def perturbed(action: torch.Tensor, noise: torch.Tensor, limit: float = math.inf) -> torch.Tensor:
    """Actions with noise of at most `limit` either way, brought back between -1 and 1. All [S, B, D]."""
    return (action + noise.clamp(-limit, limit)).clamp(-1.0, 1.0)
