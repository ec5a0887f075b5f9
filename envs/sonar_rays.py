"""Sonars by brute force: many rays across each cone, to hold the closed form against."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from envs.track import Track


def brute_force(
    track: Track, apex: NDArray[np.float64], facing: NDArray[np.float64], half_cone: float, rays: int
) -> NDArray[np.float64]:
    """What sonars [N] would read: the shortest of `rays` rays across each cone, and of rays to wall ends inside it.

    Args:
        track: its walls.
        apex: [N, 2].
        facing: rad [N].
        half_cone: rad.
        rays: evenly spaced, both edges included.

    Returns:
        Metres [N]; infinity where no ray meets a wall.
    """
    start, along = track.walls[:, :2], track.walls[:, 2:] - track.walls[:, :2]  # [W, 2]
    nearest = np.full(len(apex), np.inf)
    spread = np.linspace(-half_cone, half_cone, rays)
    for index, (place, angle) in enumerate(zip(apex, facing, strict=True)):
        to_ends = np.vstack([start, start + along]) - place
        bearing = np.arctan2(to_ends[:, 1], to_ends[:, 0])
        off = (bearing - angle + math.pi) % (2 * math.pi) - math.pi
        # A wall's end inside the cone counts as a ray; where another wall hides it, that one is nearer still.
        inside = np.abs(off) <= half_cone
        if inside.any():
            nearest[index] = np.hypot(*to_ends[inside].T).min()
        directions = np.column_stack([np.cos(angle + spread), np.sin(angle + spread)])  # [R, 2]
        relative = start - place  # [W, 2]
        cross = directions[:, :1] * along[:, 1] - directions[:, 1:] * along[:, 0]  # [R, W]
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = (relative[:, 0] * along[:, 1] - relative[:, 1] * along[:, 0]) / cross
            share = (relative[:, 0] * directions[:, 1:] - relative[:, 1] * directions[:, :1]) / cross
        hits = (distance > 0) & (share >= 0) & (share <= 1)
        nearest[index] = min(nearest[index], np.where(hits, distance, np.inf).min())
    return nearest
