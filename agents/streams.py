"""Random numbers on the seed axis: what seed s draws depends on s alone, not on how many seeds run beside it.

Draw number `counter` of a seed is a hash of the seed's key and the counter (SplitMix64; Steele, Lea, Flood, 2014), so
one call draws for all seeds at once on any device, and the state is the counter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from agents.lazy import torch
from agents.saved import check_shape

_WEYL = 0x9E3779B97F4A7C15 - 2**64  # as signed 64-bit numbers, which wrap around as unsigned ones do
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64

AHEAD = 1 << 16
"""Draws, of all seeds together, that are hashed at once and then handed out: small calls cost more than the hashing."""


class SeedStreams:
    """One stream of random numbers per seed.

    Args:
        seeds: one SeedSequence per seed.
        device: where the numbers are made.
    """

    def __init__(self, seeds: Sequence[np.random.SeedSequence], device: torch.device):
        keys = np.array([seed.generate_state(1, np.uint64)[0] for seed in seeds], np.uint64)
        self.keys = torch.from_numpy(keys.view(np.int64)).to(device)  # [S]
        self.counter = 0
        self._hashed = torch.zeros(len(seeds), 0, dtype=torch.int64, device=device)
        """Draws number `_hashed_from` and following, [S, draws]."""
        self._hashed_from = 0

    def bits(self, *shape: int) -> torch.Tensor:
        """64 random bits each, int64 [S, *shape]."""
        count, start = math.prod(shape), self.counter - self._hashed_from
        if start < 0 or start + count > self._hashed.shape[1]:
            self._hashed = self._hash(max(count, AHEAD // len(self.keys)))
            self._hashed_from, start = self.counter, 0
        self.counter += count
        return self._hashed[:, start : start + count].unflatten(1, shape)

    def _hash(self, count: int) -> torch.Tensor:
        """The next `count` draws, [S, count]."""
        counters = torch.arange(self.counter + 1, self.counter + count + 1, device=self.keys.device)
        mixed = self.keys[:, None] + counters * _WEYL  # [S, count]
        mixed = (mixed ^ _shifted(mixed, 30)) * _MIX_1
        mixed = (mixed ^ _shifted(mixed, 27)) * _MIX_2
        return mixed ^ _shifted(mixed, 31)

    def uniform(self, *shape: int) -> torch.Tensor:
        """Uniform in [0, 1), float32 [S, *shape]."""
        return as_uniform(self.bits(*shape))

    def integers(self, high: int | torch.Tensor, *shape: int) -> torch.Tensor:
        """Uniform in {0 ... high - 1}, int64 [S, *shape]; `high`, below 2^31, broadcasts against that."""
        return as_integers(self.bits(*shape), high)

    def normal(self, *shape: int) -> torch.Tensor:
        """Standard normal by Box and Muller, float32 [S, *shape]."""
        both = self.bits(*shape)
        radius = torch.sqrt(-2.0 * torch.log((_shifted(both, 40) + 1) * 2.0**-24))
        return radius * torch.cos((2.0 * math.pi * 2.0**-24) * (both & 0xFFFFFF))

    def state_dict(self) -> dict[str, Any]:
        return {"keys": self.keys, "counter": self.counter}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        check_shape("keys", state["keys"], self.keys.shape)
        self.keys = state["keys"].to(self.keys.device)
        self.counter = int(state["counter"])
        self._hashed = self._hashed[:, :0]


def as_uniform(bits: torch.Tensor) -> torch.Tensor:
    """Random bits as numbers in [0, 1), float32."""
    return _shifted(bits, 40) * 2.0**-24


def as_integers(bits: torch.Tensor, high: int | torch.Tensor) -> torch.Tensor:
    """Random bits as integers in {0 ... high - 1}; `high`, below 2^31, broadcasts."""
    return (_shifted(bits, 32) * high) >> 32


def spawn_streams(seeds: Sequence[np.random.SeedSequence], uses: int, device: torch.device) -> list[SeedStreams]:
    """Independent streams for several uses, so that drawing more for one changes nothing for another."""

    def child(seed: np.random.SeedSequence, use: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, use))

    return [SeedStreams([child(seed, use) for seed in seeds], device) for use in range(uses)]


def _shifted(value: torch.Tensor, places: int) -> torch.Tensor:
    """`value` shifted to the right with zeros coming in, which torch's own shift of signed numbers does not do."""
    return (value >> places) & ((1 << (64 - places)) - 1)
