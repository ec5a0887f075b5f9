"""Choosing among discrete actions by their values, less than greedily."""

from __future__ import annotations

from agents.lazy import torch
from agents.streams import SeedStreams


def greedy(q_values: torch.Tensor) -> torch.Tensor:
    """The best action, the first of equals: [S, E, A] -> [S, E]."""
    return q_values.argmax(-1)


def epsilon_greedy(q_values: torch.Tensor, epsilon: float, streams: SeedStreams) -> torch.Tensor:
    """A uniformly random action with probability `epsilon`, else the best: [S, E, A] -> [S, E]."""
    envs, actions = q_values.shape[1:]
    random = streams.integers(actions, envs)
    return torch.where(streams.uniform(envs) < epsilon, random, greedy(q_values))


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
    """An action for each row of probabilities, [S, E, A] -> [S, E]."""
    cumulative = probabilities.cumsum(-1)
    drawn = streams.uniform(probabilities.shape[1]).unsqueeze(-1) * cumulative[..., -1:]
    return (drawn >= cumulative).sum(-1).clamp(max=probabilities.shape[-1] - 1)
