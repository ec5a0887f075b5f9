"""Long checks of DriveBot: sonars against brute force, robots against walls.

`python -m tests.campaigns.drivebot_campaign` takes a minute or two.
The tests run the same functions on a few poses and steps.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import drivebot_world as world_of
from envs.drivebot import DriveBotVector
from envs.drivebot_world import NUMPY
from envs.sonar_rays import brute_force
from envs.track import Track, distance_to_segments

HARD: tuple[dict[str, Any], ...] = (
    {},
    {"lag": 0.3, "speed": 3.0},
    {"speed": 40.0},
    {"track": "generated:4", "speed": 2.0, "turn_rate": 5.0},
    {"track": "generated:8", "speed": 150.0, "lag": 0.5},
    {"backward": True, "speed": 7.0},
    {"continuous": True, "speed": 1.5},
    {"continuous": True, "track": "generated:2", "speed": 20.0, "lag": 0.1},
    {"radius": 0.55, "speed": 5.0},
)
"""Configurations in which a robot might get into a wall."""


def random_poses(envs: DriveBotVector, count: int, seed: int) -> NDArray[np.float64]:
    """Poses [count, 3] uniformly anywhere on the track that the robot fits."""
    rng = np.random.default_rng(seed)
    left, bottom, right, top = envs.track.bounds()
    found = np.zeros((0, 3))
    while len(found) < count:
        drawn = rng.uniform((left, bottom, -math.pi), (right, top, math.pi), (4 * count, 3))
        room = distance_to_segments(drawn[:, :2], envs.track.walls).min(1) > envs.world.contact
        drawn = drawn[room]
        found = np.vstack([found, drawn[world_inside(envs.track, drawn)]])
    return found[:count]


def world_inside(track: Track, poses: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which poses [N, 3] lie between the track's walls, by the sum of the angles that walls span: all or nothing."""
    start, end = (track.walls[:, columns] for columns in ((0, 1), (2, 3)))
    first = start - poses[:, None, :2]
    last = end - poses[:, None, :2]  # [N, W, 2]
    cross = first[..., 0] * last[..., 1] - first[..., 1] * last[..., 0]
    # Crossings of the ray along +x, counted from another formula than `is_enclosed` has.
    crosses = (first[..., 1] > 0) != (last[..., 1] > 0)
    ahead = np.where(last[..., 1] > first[..., 1], cross > 0, cross < 0)
    return (crosses & ahead).sum(1) % 2 == 1


def sonar_errors(count: int, rays: int = 1000, seed: int = 0, **config: Any) -> NDArray[np.float64]:
    """Differences [count, S] of the closed form from brute force (m), at random poses; both at most the range."""
    envs = DriveBotVector(1, **config)
    poses = random_poses(envs, count, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        ours = world_of.sonar_distances(NUMPY, envs.world, poses)  # [count, S]
    layout = envs.config.layout()
    theirs = np.zeros_like(ours)
    for sonar, (x, y, facing) in enumerate(layout):
        cosine, sine = np.cos(poses[:, 2]), np.sin(poses[:, 2])
        apex = poses[:, :2] + np.column_stack([x * cosine - y * sine, x * sine + y * cosine])
        theirs[:, sonar] = brute_force(envs.track, apex, poses[:, 2] + facing, envs.config.sonar_cone / 2, rays)
    limit = envs.config.sonar_range
    return np.minimum(ours, limit) - np.minimum(theirs, limit)


def least_gap(steps: int, robots: int = 1000, seed: int = 0, **config: Any) -> float:
    """The least distance (m) between a robot's rim and a wall over `steps` robot steps of random driving.

    Robots are reset as their episodes end. Actions are held for a few steps, so that robots get about.
    """
    envs = DriveBotVector(robots, **config)
    rng = np.random.default_rng(seed)
    envs.reset(seed=seed)
    least = math.inf
    actions = envs.action_space.sample()
    for tick in range(math.ceil(steps / robots)):
        change = rng.random(robots) < 0.3
        if envs.continuous:
            actions = np.where(change[:, None], rng.uniform(-1, 1, (robots, 2)), actions).astype(np.float32)
        else:
            share = np.array([0.6, 0.2, 0.2] if not envs.config.backward else [0.4, 0.15, 0.15, 0.3])
            actions = np.where(change, rng.choice(len(share), robots, p=share), actions)
        *_, truncated, _ = envs.step(actions)
        room = distance_to_segments(envs.pose[:, :2], envs.track.walls).min(1) - envs.config.radius
        least = min(least, float(room.min()))
        if tick % 100 == 0 and not world_inside(envs.track, envs.pose).all():
            return -math.inf  # through a wall
        if truncated.any():
            envs.reset(seed=seed + (tick + 1) * robots, options={"reset_mask": truncated})
    return least if world_inside(envs.track, envs.pose).all() else -math.inf


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--poses", type=int, default=10_000, help="random poses for the sonars, on each track")
    parser.add_argument("--steps", type=int, default=10_000_000, help="robot steps in all")
    sizes = parser.parse_args(arguments)
    for track in ("track1", "generated:4"):
        errors = np.abs(sonar_errors(sizes.poses, track=track))
        print(f"sonars on {track}: {errors.size} readings, worst {errors.max() * 1000:.6f} mm")
    for config in HARD:
        gap = least_gap(sizes.steps // len(HARD), **config)
        print(f"gap to walls, {config or 'as it comes'}: least {gap * 1000:.6f} mm")


if __name__ == "__main__":
    main()
