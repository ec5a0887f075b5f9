"""Choosing among discrete actions by their values, less than greedily."""

from __future__ import annotations

from typing import Any, Literal

from agents.lazy import torch
from agents.schedules import ramp
from agents.streams import SeedStreams, as_integers, as_uniform

NO_ACTION = -1
"""Chosen where a value or a probability is not finite: no number is the best then, and none is to be sent."""


def greedy(q_values: torch.Tensor) -> torch.Tensor:
    """The best action, the first of equals, or NO_ACTION: [S, E, A] -> [S, E]."""
    return founded(q_values.argmax(-1), q_values)


def epsilon_greedy(q_values: torch.Tensor, epsilon: float, streams: SeedStreams) -> torch.Tensor:
    """A uniformly random action with probability `epsilon`, else the best, or NO_ACTION: [S, E, A] -> [S, E]."""
    envs, actions = q_values.shape[1:]
    which, whether = streams.bits(2, envs).unbind(1)  # [S, E] each
    chosen = torch.where(as_uniform(whether) < epsilon, as_integers(which, actions), q_values.argmax(-1))
    return founded(chosen, q_values)


def rho_probabilities(q_values: torch.Tensor, rho: float, share: float = 0.01) -> torch.Tensor:
    """Probabilities proportional to (Q - min Q + share of the range) ^ rho, [S, E, A] -> [S, E, A].

    A small rho explores, a large one exploits. Equal values give equal probabilities. From the original drive-bot.
    """
    low, high = q_values.amin(-1, keepdim=True), q_values.amax(-1, keepdim=True)
    span = high - low
    # Normalised first: a power of raw values could overflow, and a range of 0 must not divide by it.
    weight = ((q_values - low) / span.clamp(min=1e-12) + share) ** rho
    weight = torch.where(span > 0, weight, torch.ones_like(weight))
    return weight / weight.sum(-1, keepdim=True)


def sample(probabilities: torch.Tensor, streams: SeedStreams) -> torch.Tensor:
    """An action for each row of probabilities, or NO_ACTION, [S, E, A] -> [S, E]."""
    cumulative = probabilities.cumsum(-1)
    drawn = streams.uniform(probabilities.shape[1]).unsqueeze(-1) * cumulative[..., -1:]
    return founded((drawn >= cumulative).sum(-1).clamp(max=probabilities.shape[-1] - 1), cumulative[..., -1:])


def founded(action: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Actions [S, E], where all values [S, E, A] that they were chosen by are finite."""
    return torch.where(values.sum(-1).isfinite(), action, NO_ACTION)  # NaN and infinity survive a sum


class Explorer:
    """Chooses actions while an agent learns, more and more by their values.

    Args:
        kind: "epsilon" for a random action now and then, "rho" for probabilities by a power of the value.
        start: epsilon or rho at first.
        end: epsilon or rho after the ramp.
        burn_in: environment steps per seed before the ramp begins.
        ramp_steps: environment steps per seed that the ramp takes.
        streams: what chance is drawn from.
    """

    def __init__(
        self,
        kind: Literal["epsilon", "rho"],
        start: float,
        end: float,
        burn_in: int,
        ramp_steps: int,
        streams: SeedStreams,
    ):
        self.kind, self.start, self.end, self.burn_in, self.ramp_steps = kind, start, end, burn_in, ramp_steps
        self.streams = streams

    def amount(self, step: int) -> float:
        """Epsilon or rho after so many environment steps per seed."""
        return ramp(step, self.start, self.end, self.ramp_steps, burn_in=self.burn_in)

    def choose(self, q_values: torch.Tensor, step: int) -> torch.Tensor:
        """An action by each row of values, [S, E, A] -> [S, E]."""
        if self.kind == "epsilon":
            return epsilon_greedy(q_values, self.amount(step), self.streams)
        return sample(rho_probabilities(q_values, self.amount(step)), self.streams)

    def state_dict(self) -> dict[str, Any]:
        return self.streams.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.streams.load_state_dict(state)
