"""Random numbers by counting: draw number `counter` of the stream `key` is a hash of both.

Columns of a native vector environment each have a key (from their reset seed) and a counter. One call draws for all
columns at once, and what a column draws does not depend on which others there are.

The hash is SplitMix64's finaliser (Steele, Lea, Flood, 2014) over a Weyl sequence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

_WEYL = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def keys_of(seeds: NDArray[np.integer]) -> Keys:
    """Keys [N] of reset seeds [N]: near seeds get keys that have nothing in common."""
    return bits(np.asarray(seeds).astype(np.uint64), np.uint64(0x632BE59BD9B4E019))


def bits(key: Keys, counter: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    """64 random bits for each key and counter, which broadcast."""
    with np.errstate(over="ignore"):  # wrapping around is the point
        mixed = key + (counter + np.uint64(1)) * _WEYL
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
        return mixed ^ (mixed >> np.uint64(31))


def uniform(key: Keys, counter: NDArray[np.uint64] | np.uint64) -> NDArray[np.float64]:
    """Uniform in [0, 1), 53 bits."""
    return (bits(key, counter) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(key: Keys, counter: NDArray[np.uint64] | np.uint64) -> NDArray[np.float64]:
    """Standard normal by Box and Muller, from one draw's two halves (32 bits each)."""
    both = bits(key, counter)
    radius = np.sqrt(-2.0 * np.log(((both >> np.uint64(32)).astype(np.float64) + 1.0) * 2.0**-32))
    return radius * np.cos(2.0 * np.pi * (both & np.uint64(0xFFFFFFFF)).astype(np.float64) * 2.0**-32)
