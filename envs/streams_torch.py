"""The random numbers of `envs.streams` on torch tensors: the same for the same seeds, in int64."""

from __future__ import annotations

from torch import Tensor

_SIGN = 1 << 63


def _signed(value: int) -> int:
    """A 64-bit number as torch's int64 holds it: multiplication and addition wrap around alike."""
    return value - 2 * _SIGN if value >= _SIGN else value


def _shifted(x: Tensor, places: int) -> Tensor:
    """Shifted to the right as if without a sign."""
    return (x >> places) & ((1 << (64 - places)) - 1)


def bits(key: Tensor, counter: Tensor | int) -> Tensor:
    """As `envs.streams.bits`."""
    mixed = key + (counter + 1) * _signed(0x9E3779B97F4A7C15)
    mixed = (mixed ^ _shifted(mixed, 30)) * _signed(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ _shifted(mixed, 27)) * _signed(0x94D049BB133111EB)
    return mixed ^ _shifted(mixed, 31)


def keys_of(seeds: Tensor) -> Tensor:
    """As `envs.streams.keys_of`."""
    return bits(seeds, seeds.new_full((), 0x632BE59BD9B4E019))


def uniform(key: Tensor, counter: Tensor | int) -> Tensor:
    """As `envs.streams.uniform`, float64."""
    return _shifted(bits(key, counter), 11).double() * 2.0**-53
