"""Where robots went in an evaluation, and what a policy would do all over the track."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from agents.base import Agent, Step
from envs.track import Track, distance_to_segments, is_enclosed
from eval.loop import EVALUATION_SEED
from eval.tasks import ActionTable

KEPT = 3
"""Episodes of a seed whose path is kept: those of the first start states."""
HEADINGS = 8
"""Headings at each place of a field."""
SPACING = 0.5
"""Metres between the places of a field, on a track of 10 m."""


class PathWatch:
    """Takes steps of a vector environment of robots and keeps the paths of each seed's first start states.

    Args:
        venv: with `pose` [N, 3]: x and y in metres, and a heading, read between two steps.
        seeds: S.
    """

    def __init__(self, venv: Any, seeds: int):
        self._venv, self._per_seed = venv, venv.num_envs // seeds
        self._begun: dict[int, list[tuple[float, float]]] = {}
        self.paths: list[tuple[int, NDArray[np.float64]]] = []
        """The seed, and x and y [T, 2], of every path that has ended."""

    def __call__(self, step: Step) -> None:
        """Takes a step of training or evaluation."""
        ended = (step.terminated | step.truncated).reshape(-1)
        wanted = (step.reset_info["reset_seed"] - EVALUATION_SEED < KEPT) & step.running.reshape(-1)
        for column in np.flatnonzero(wanted).tolist():
            path = self._begun.setdefault(column, [])
            if ended[column]:  # the pose is already that of the episode after
                if path:
                    self.paths.append((column // self._per_seed, np.array(path)))
                del self._begun[column]
            else:
                path.append(tuple(self._venv.pose[column, :2].tolist()))


@dataclass(frozen=True, kw_only=True)
class ActionField:
    """The greedy action, the commonest over seeds, of robots at P places of a track, each in H headings."""

    track: Track

    places: NDArray[np.float64]
    """x and y, m, [P, 2]."""
    headings: NDArray[np.float64]
    """rad, [H]."""
    actions: NDArray[np.intp]
    """Columns of the table of actions, [P, H]."""


def watch_paths(venv: VectorEnv[Any, Any, Any], seeds: int) -> PathWatch | None:
    """A watch for robots on a track, and None for all else."""
    return PathWatch(venv, seeds) if hasattr(venv, "track") and hasattr(venv, "pose") else None


def action_field(
    venv: Any, make_envs: Callable[[int], Any], agent: Agent, seeds: int, table: ActionTable
) -> ActionField | None:
    """Asks a policy what it would do all over a track when it had just been put there; None if there is no room.

    Args:
        venv: of robots, as they were evaluated.
        make_envs: makes one of as many robots as it is told.
        agent: whose policy it is.
        seeds: of the agent, S.
        table: how actions are counted.
    """
    places = free_places(venv.track, 1.2 * venv.config.radius)
    if not len(places):
        return None
    headings = np.linspace(-np.pi, np.pi, HEADINGS, endpoint=False)
    poses = np.column_stack([places.repeat(HEADINGS, 0), np.tile(headings, len(places))])
    robots = make_envs(len(poses))
    obs, _ = robots.reset(seed=EVALUATION_SEED, options={"pose": poses})
    robots.close()
    everyone = np.broadcast_to(obs, (seeds, *obs.shape))
    action = table.index(agent.act(everyone.copy(), np.ones(everyone.shape[:2], bool), explore=False))  # [S, P * H]
    votes = np.stack([(action == column).sum(0) for column in range(len(table.names))])
    actions = votes.argmax(0).reshape(len(places), HEADINGS)
    return ActionField(track=venv.track, places=places, headings=headings, actions=actions)


def free_places(track: Track, room: float) -> NDArray[np.float64]:
    """A lattice of places [P, 2] on the track that have `room` metres to every wall."""
    low, high = track.walls.reshape(-1, 2).min(0), track.walls.reshape(-1, 2).max(0)
    spacing = SPACING * float((high - low).max()) / 10.0
    x, y = np.meshgrid(*(np.arange(a + spacing / 2, b, spacing) for a, b in zip(low, high, strict=True)))
    lattice = np.column_stack([x.ravel(), y.ravel()])
    far = distance_to_segments(lattice, track.walls).min(1) > room
    return lattice[far & is_enclosed(lattice, track.walls)]
