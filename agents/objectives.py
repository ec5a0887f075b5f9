"""What an agent minimises, offered to whoever wants to look at it without learning from it.

An agent that can be diagnosed has `objectives(streams)`: by name its losses, each as a function of parameters on a
batch that is fixed, as they are between two updates; empty where there is nothing to learn from at that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from agents.encoders import Encoder
from agents.lazy import torch
from agents.learning import Adam
from agents.networks import Params
from agents.streams import SeedStreams


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What one optimiser of an agent minimises, on one batch."""

    params: Params
    """[S, ...] each, or of the only seed that is looked at, [1, ...]."""
    loss: Callable[[Params], torch.Tensor]
    """[S], of parameters like these; targets stay as they are."""
    move: Callable[[Sequence[torch.Tensor]], list[torch.Tensor]]
    """What the optimiser would add to the parameters, given their gradients; it changes nothing."""
    max_norm: float
    """Gradients of a seed longer than this are shortened to it."""
    lr: float
    """Learning rate now."""
    encoder: Encoder
    obs: torch.Tensor
    """The batch's observations, standardised: [S, B, ...]."""

    @classmethod
    def of(
        cls,
        optimizer: Adam,
        loss: Callable[[Params], torch.Tensor],
        *,
        lr: float,
        max_norm: float,
        encoder: Encoder,
        obs: torch.Tensor,
    ) -> Objective:
        """What an optimiser minimises in the parameters that it moves."""
        return cls(
            params=optimizer.params,
            loss=loss,
            move=lambda gradients: optimizer.preview(gradients, lr),
            max_norm=max_norm,
            lr=lr,
            encoder=encoder,
            obs=obs,
        )


@runtime_checkable
class Diagnosable(Protocol):
    """An agent whose losses can be looked at."""

    def objectives(self, streams: SeedStreams) -> dict[str, Objective]: ...
