"""Tracks for DriveBot: walls as line segments, the circuit between them, and whether a robot can drive there.

A track comes from `load_track`: the built-in `track1`, a generated one, or a ROS map file (`envs.track_files`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Segments = NDArray[np.float64]
"""Line segments [K, 4]: x and y of one end, x and y of the other, m."""

CLEARANCE = 0.01
"""Metres of air that a robot must have on each side, at least, for a place to count as room for it."""
SAME = 1e-6
"""Metres within which two points are the same."""
MOST_CHECKED = 2000
"""Walls up to which every pair is looked at for crossings; maps from images have none by construction."""


@dataclass(frozen=True, kw_only=True)
class Track:
    """Walls, and where robots start between them.

    Raises:
        ValueError: walls that are not finite, not closed or cross; a circuit that crosses itself or a wall.
    """

    name: str
    walls: Segments
    """[W, 4], m. They must form closed outlines."""
    circuit: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    """Corners [P, 2] of the closed centre line in driving order, m; none where a map does not say."""
    spots: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    """Centres [K, 2] of free squares, m: where robots start on a track without a circuit."""
    crossings_checked: bool = False
    """Whether the walls are known not to cross."""

    def __post_init__(self) -> None:
        for name, width in (("walls", 4), ("circuit", 2), ("spots", 2)):
            value = np.array(getattr(self, name), np.float64)
            if value.ndim != 2 or value.shape[1] != width or not np.isfinite(value).all():
                raise ValueError(
                    f"track {self.name}: {name} has shape {value.shape}; expected finite numbers [n, {width}]"
                )
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        if len(self.walls) < 3:
            raise ValueError(f"track {self.name} has {len(self.walls)} walls; expected a closed outline of at least 3")
        if not len(self.circuit) and not len(self.spots):
            raise ValueError(f"track {self.name} has neither a circuit nor free spots: there is nowhere to start")
        if 0 < len(self.circuit) < 3:
            raise ValueError(f"track {self.name}: the circuit has {len(self.circuit)} corners; expected at least 3")
        self._check_walls()
        if len(self.circuit):
            self._check_circuit()
        inside = is_enclosed(self.starts()[:, :2], self.walls)
        if not inside.all():
            x, y = self.starts()[~inside][0, :2]
            raise ValueError(f"track {self.name}: ({x:g}, {y:g}) is not enclosed by walls: a robot would escape")

    def starts(self) -> Segments:
        """Where robots start: the circuit's straight pieces in order, or the free spots as pieces without length."""
        if len(self.circuit):
            return np.hstack([self.circuit, np.roll(self.circuit, -1, axis=0)])
        return np.hstack([self.spots, self.spots])

    def bounds(self) -> tuple[float, float, float, float]:
        """Least x, least y, greatest x and greatest y of the walls, m."""
        corners = self.walls.reshape(-1, 2)
        return (*corners.min(0).tolist(), *corners.max(0).tolist())

    def length(self) -> float:
        """Length of the circuit, m; 0 without one."""
        return float(np.hypot(*(np.roll(self.circuit, -1, axis=0) - self.circuit).T).sum())

    def with_room_for(self, radius: float) -> Track:
        """This track for a disc of `radius` m: its circuit passes, or its spots without room are left out.

        Raises:
            ValueError: the robot does not fit.
        """
        needed = radius + CLEARANCE
        if not len(self.circuit):
            room = np.array([distance_to_segments(spot[None], self.walls).min() for spot in self.spots])
            if not (room >= needed).any():
                raise ValueError(
                    f"track {self.name}: a robot of radius {radius:g} m does not fit anywhere; the widest place has"
                    f" {room.max():g} m to the nearest wall"
                )
            return Track(name=self.name, walls=self.walls, spots=self.spots[room >= needed], crossings_checked=True)
        for piece in self.starts():
            room = segment_distance(piece, self.walls)
            if room.min() < needed:
                x, y = self.walls[room.argmin(), :2]
                raise ValueError(
                    f"track {self.name}: a robot of radius {radius:g} m does not fit; the wall at ({x:g}, {y:g}) is"
                    f" {room.min():g} m from the circuit, and {needed:g} m are needed"
                )
        return self

    def _check_walls(self) -> None:
        start, end = self.walls[:, :2], self.walls[:, 2:]
        if (np.hypot(*(end - start).T) < SAME).any():
            x, y = start[np.hypot(*(end - start).T).argmin()]
            raise ValueError(f"track {self.name}: the wall at ({x:g}, {y:g}) has no length")
        ends = np.round(self.walls.reshape(-1, 2) / SAME).astype(np.int64)
        points, count = np.unique(ends, axis=0, return_counts=True)
        if (count % 2).any():
            x, y = points[(count % 2).argmax()] * SAME
            raise ValueError(
                f"track {self.name}: the walls are open at ({x:g}, {y:g}); every end must meet another wall's"
            )
        if self.crossings_checked:
            return
        if len(self.walls) > MOST_CHECKED:
            raise ValueError(f"track {self.name} has {len(self.walls)} walls; expected at most {MOST_CHECKED}")
        crossing = _first_crossing(self.walls)
        if crossing is not None:
            x, y = crossing
            raise ValueError(f"track {self.name}: walls cross near ({x:g}, {y:g})")

    def _check_circuit(self) -> None:
        pieces = self.starts()
        if (np.hypot(*(pieces[:, 2:] - pieces[:, :2]).T) < SAME).any():
            raise ValueError(f"track {self.name}: two corners of the circuit are in one place")
        crossing = _first_crossing(pieces)
        if crossing is not None:
            x, y = crossing
            raise ValueError(f"track {self.name}: the circuit crosses itself near ({x:g}, {y:g})")
        for piece in pieces:
            if segment_distance(piece, self.walls).min() < SAME:
                x, y = piece[:2]
                raise ValueError(f"track {self.name}: the circuit runs into a wall after ({x:g}, {y:g})")


def track1() -> Track:
    """The original's track: 10 m x 10 m, corridors of 1.2 m, an L-shaped circuit of 32 m, driven clockwise."""
    outer = [(0.4, 4.4), (0.4, 9.6), (9.6, 9.6), (9.6, 0.4), (4.4, 0.4), (4.4, 4.4)]
    inner = [(1.6, 5.6), (1.6, 8.4), (8.4, 8.4), (8.4, 1.6), (5.6, 1.6), (5.6, 5.6)]
    circuit = [(1, 9), (9, 9), (9, 1), (5, 1), (5, 5), (1, 5)]
    return Track(name="track1", walls=np.vstack([outline(outer), outline(inner)]), circuit=np.array(circuit, float))


def generated(seed: int, *, squares: int = 5, spacing: float = 2.5) -> Track:
    """A closed circuit over a grid of crossings, bent at random; each seed gives another, always the same.

    The circuit grows from the grid's smallest loop by pushing single pieces outwards; then its corners are moved a
    little, so that walls stand at all angles.

    Args:
        seed: at least 0.
        squares: crossings along each side of the grid.
        spacing: metres between them.
    """
    if seed < 0:
        raise ValueError(f"the seed of a generated track is {seed}; expected at least 0")
    rng = np.random.default_rng(seed)
    half_width = rng.uniform(0.6, 0.7)
    for _ in range(100):
        loop = _random_loop(rng, squares)
        if len(loop) < 2 * squares:
            continue
        circuit = (np.array(loop) + 0.5 + rng.uniform(-0.08, 0.08, (len(loop), 2))) * spacing
        walls = np.vstack([outline(beside(circuit, side * half_width)) for side in (1, -1)])
        try:
            return Track(name=f"generated:{seed}", walls=walls, circuit=circuit).with_room_for(0.5)
        except ValueError:
            continue  # corners moved too far: another draw
    raise AssertionError(f"no track came of seed {seed}")


def load_track(name: str | Track) -> Track:
    """The track of a name: "track1", "generated:SEED", or the path of a ROS map's YAML file.

    Raises:
        ValueError: no such track, or one that is not fit to drive on; one line says why.
    """
    if isinstance(name, Track):
        return name
    if not isinstance(name, str):
        raise ValueError(f"track is {name!r}; expected a name")
    if name == "track1":
        return track1()
    if name.startswith("generated:"):
        digits = name.removeprefix("generated:")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
            raise ValueError(f"track is {name!r}; expected generated:SEED with a whole number, such as generated:7")
        return generated(int(digits))
    if name.endswith((".yaml", ".yml")):
        from envs.track_files import read_map  # an image reader that most tracks do without

        return read_map(name)
    raise ValueError(f"track is {name!r}; expected track1, generated:SEED, or the path of a ROS map ending in .yaml")


def outline(corners: NDArray[np.floating] | list[tuple[float, float]]) -> Segments:
    """The closed outline [K, 4] through corners [K, 2]."""
    points = np.asarray(corners, np.float64)
    return np.hstack([points, np.roll(points, -1, axis=0)])


def beside(corners: NDArray[np.float64], distance: float) -> NDArray[np.float64]:
    """The corners [K, 2] of the closed line that runs `distance` m to the left of the one through `corners`."""
    ahead = np.roll(corners, -1, axis=0) - corners
    ahead /= np.hypot(ahead[:, 0], ahead[:, 1])[:, None]
    normal = np.column_stack([-ahead[:, 1], ahead[:, 0]])  # to the left of the piece after each corner
    before = np.roll(normal, 1, axis=0)
    # The mitre: the point that is `distance` from both pieces that meet in the corner.
    return corners + (before + normal) * (distance / (1.0 + (before * normal).sum(1)))[:, None]


def distance_to_segments(points: NDArray[np.floating], segments: Segments) -> NDArray[np.float64]:
    """Distances [P, K] of points [P, 2] to segments [K, 4], m."""
    start, along = segments[:, :2], segments[:, 2:] - segments[:, :2]
    relative = points[:, None] - start  # [P, K, 2]
    length_squared = np.maximum((along**2).sum(-1), 1e-300)  # a spot has no length
    share = np.clip((relative * along).sum(-1) / length_squared, 0.0, 1.0)
    nearest = relative - share[..., None] * along
    return np.hypot(nearest[..., 0], nearest[..., 1])


def segment_distance(segment: NDArray[np.float64], others: Segments) -> NDArray[np.float64]:
    """Distances [K] of one segment [4] to others [K, 4], m; 0 where they cross."""
    ends = segment.reshape(2, 2)
    here = distance_to_segments(ends, others).min(0)  # [K]
    there = distance_to_segments(others.reshape(-1, 2), segment[None]).reshape(-1, 2).min(1)
    return np.where(_cross(segment[None], others), 0.0, np.minimum(here, there))


def is_enclosed(points: NDArray[np.floating], walls: Segments) -> NDArray[np.bool_]:
    """Which of points [P, 2] lie inside closed outlines by the even-odd rule: a ray along +x crosses an odd number."""
    inside = np.zeros(len(points), bool)
    x0, y0, x1, y1 = walls.T
    for index, (x, y) in enumerate(points):
        spans = (y0 > y) != (y1 > y)
        meets = x0[spans] + (y - y0[spans]) * (x1[spans] - x0[spans]) / (y1[spans] - y0[spans])
        inside[index] = (meets > x).sum() % 2 == 1
    return inside


def _cross(first: Segments, second: Segments) -> NDArray[np.bool_]:
    """Whether segments [..., 4] cross in inner points of both; they broadcast."""

    def side(line: Segments, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        return (line[..., 2] - line[..., 0]) * (y - line[..., 1]) - (line[..., 3] - line[..., 1]) * (x - line[..., 0])

    apart = side(first, second[..., 0], second[..., 1]) * side(first, second[..., 2], second[..., 3]) < 0
    return apart & (side(second, first[..., 0], first[..., 1]) * side(second, first[..., 2], first[..., 3]) < 0)


def _first_crossing(segments: Segments) -> tuple[float, float] | None:
    """Where two segments meet other than end to end, or lie on each other; None if none do."""
    for index, segment in enumerate(segments[:-1]):
        others = segments[index + 1 :]
        hit = _cross(segment[None], others)
        for line, ends in ((segment[None], others), (others, segment[None])):
            for point in (ends[:, :2], ends[:, 2:]):
                along = line[:, 2:] - line[:, :2]
                relative = point - line[:, :2]
                length = np.hypot(along[:, 0], along[:, 1])
                off = np.abs(along[:, 0] * relative[:, 1] - along[:, 1] * relative[:, 0]) / length
                position = (along * relative).sum(1) / length
                hit |= (off < SAME) & (position > SAME) & (position < length - SAME)
        twice = (np.abs(others - segment).max(1) < SAME) | (np.abs(others[:, [2, 3, 0, 1]] - segment).max(1) < SAME)
        if (hit | twice).any():
            x, y = others[(hit | twice).argmax()].reshape(2, 2).mean(0)
            return float(x), float(y)
    return None


def _random_loop(rng: np.random.Generator, squares: int) -> list[tuple[int, int]]:
    """A clockwise loop over neighbouring crossings of a square grid that visits none twice."""
    x, y = (int(corner) for corner in rng.integers(0, squares - 1, 2))
    loop = [(x, y), (x, y + 1), (x + 1, y + 1), (x + 1, y)]
    for _ in range(int(rng.integers(2 * squares, 20 * squares))):
        index = int(rng.integers(len(loop)))
        (x0, y0), (x1, y1) = loop[index], loop[(index + 1) % len(loop)]
        aside = (y0 - y1, x1 - x0) if rng.random() < 0.9 else (y1 - y0, x0 - x1)  # outwards, seldom inwards
        pushed = [(x0 + aside[0], y0 + aside[1]), (x1 + aside[0], y1 + aside[1])]
        if all(0 <= c < squares for point in pushed for c in point) and not set(pushed) & set(loop):
            loop[index + 1 : index + 1] = pushed
    return loop
