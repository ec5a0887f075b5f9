"""Which columns a reset concerns, and with which seeds: the same for every vector form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def parse_reset(
    num_envs: int, seed: int | Sequence[int | None] | None, options: dict[str, Any] | None
) -> tuple[NDArray[np.bool_], list[int | None], dict[str, Any]]:
    """Takes a vector environment's reset arguments apart.

    Args:
        num_envs: columns.
        seed: one per column (those of columns that are not reset are ignored), or the first column's, the others
            following.
        options: with `reset_mask`, a boolean array [num_envs], only its columns are reset.

    Returns:
        The mask, a seed for every column, and the other options.

    Raises:
        ValueError: the mask or the seeds do not fit the columns.
    """
    others = dict(options or {})
    mask = others.pop("reset_mask", None)
    mask = np.ones(num_envs, bool) if mask is None else np.asarray(mask)
    if mask.shape != (num_envs,) or mask.dtype != bool or not mask.any():
        raise ValueError(f"reset_mask is {mask.dtype} {mask.shape}; expected bool ({num_envs},) with at least one True")
    if isinstance(seed, int | np.integer):
        seeds: list[int | None] = [int(seed) + column for column in range(num_envs)]
    else:
        seeds = [None] * num_envs if seed is None else list(seed)
    if len(seeds) != num_envs:
        raise ValueError(f"got {len(seeds)} seeds; expected one for each of {num_envs} columns")
    return mask, seeds, others
