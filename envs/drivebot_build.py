"""Makes DriveBot's `World` from a track and a robot: arrays of walls, and lists of those that matter in each place."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from envs.drivebot_world import QUANTILE_STEPS, SKIN, World
from envs.track import Segments, Track, distance_to_segments

CELL = 0.25
"""Side of the squares for which nearby walls are listed, m; larger on maps that would need too many."""
MOST_CELLS = 20_000
MOST_LISTED = 4_000_000
"""Entries that lists of nearby walls may have in all: 16 MB."""
AT_ONCE = 100_000
"""Pairs of a cell, or of a cell and a heading, and a wall that are looked at together: some ten MB."""
SECTORS = 16
"""Headings that are told apart in lists of audible walls, where the map is small enough."""
MOST_NARROWED = 4_000_000
"""Entries up to which it is: about a second of work when the world is built."""
CORNER_ROOM = 1.0
"""Metres beside a corner of the circuit that do not count as a straight."""
CORNER_TURN = 0.5
"""Radians by which the circuit must turn for a corner."""


def build_world(
    track: Track,
    *,
    stride: float,
    turn: float,
    radius: float,
    sonars: NDArray[np.float64],
    sonar_cone: float,
    sonar_range: float,
    sonar_blind: float,
    noise_mean: float,
    noise_deviation: float,
    lag: float,
    checkpoints: bool,
    checkpoint_spacing: float,
    proportional: bool,
) -> World:
    """The world of a track and a robot.

    Args:
        track: with room for the robot.
        stride: metres of a full step.
        turn: radians of a full step.
        radius: of the robot, m.
        sonars: [S, 3]: place on the robot x y (m) and facing (rad).
        sonar_cone: full angle of a sonar's cone, rad, below pi.
        sonar_range, sonar_blind: m.
        noise_mean, noise_deviation: of readings, m.
        lag: probability that a step repeats the previous command.
        checkpoints, proportional: kind of reward; see `World`.
        checkpoint_spacing: metres between checkpoints, about.

    Raises:
        ValueError: checkpoints on a track without a circuit, or a map too large for the tables.
    """
    if checkpoints and not len(track.circuit):
        raise ValueError(
            f"reward 'checkpoints' needs a circuit, and track {track.name} has none: add the key 'circuit' to its map"
        )
    contact = radius + SKIN
    # Noise may bring a distant wall back into range: as far as the quantiles go.
    quantiles = _normal_quantiles()
    hearing = max(sonar_range, sonar_range - noise_mean + float(quantiles[-1]) * noise_deviation)
    reach = hearing + float(np.hypot(sonars[:, 0], sonars[:, 1]).max())
    grid, centres, half_diagonal = _cells(track)
    straight = _straights(track) if checkpoints else _whole(track)
    pieces = track.starts() if len(track.circuit) else np.zeros((0, 4))
    lengths = np.hypot(pieces[:, 2] - pieces[:, 0], pieces[:, 3] - pieces[:, 1])
    lap = track.length()
    before = np.cumsum(lengths) - lengths
    circuit = np.column_stack([_with_vector(pieces), np.append(lengths, 1.0), np.append(before, 0.0)])
    angles = sonars[:, 2], sonar_cone / 2
    edges = np.column_stack([np.sin(angles[0] + angles[1]), -np.cos(angles[0] + angles[1])])
    other = np.column_stack([-np.sin(angles[0] - angles[1]), np.cos(angles[0] - angles[1])])
    layout = np.hstack([sonars[:, :2], edges, other])
    walls = _with_vector(track.walls)
    normal = np.column_stack([-walls[:, 3], walls[:, 2]]) * np.sqrt(walls[:, 4:5])
    walls = np.hstack([walls, normal, np.zeros((len(walls), 1))])
    far = _lists(track, centres, track.walls, reach + half_diagonal)  # [cells, K]
    sectors = SECTORS if far.size * SECTORS * len(sonars) <= MOST_NARROWED and sonar_cone / 2 < 1.2 else 1
    if sectors > 1:
        far = narrowed(walls, far, centres, half_diagonal, sonars, sonar_cone / 2, sectors, hearing)
    elif far.size * len(sonars) <= MOST_LISTED:
        far = np.repeat(far[:, None], len(sonars), 1)  # [cells, S, K]
    else:
        raise ValueError(f"track {track.name} has too many walls for {len(sonars)} sonars: use a coarser map")
    return World(
        walls=walls,
        near=_lists(track, centres, track.walls, stride + contact + half_diagonal),
        far=far,
        sectors=sectors,
        grid=grid,
        sonars=layout,
        circuit=circuit,
        circuit_near=_lists(track, centres, pieces, None if len(pieces) else 0.0, 2 * half_diagonal),
        lap=lap,
        sections=max(3, round(lap / checkpoint_spacing)),
        section_start=-0.5 * checkpoint_spacing,
        starts=straight,
        starts_total=float(straight[:, 6].sum()),
        face_forward=checkpoints,
        quantiles=quantiles,
        offsets=np.arange(len(sonars) + 3, dtype=np.uint64),
        stride=float(stride),
        half_turn=float(turn) / 2,
        contact=contact,
        lag=float(lag),
        sonar_range=float(sonar_range),
        sonar_blind=float(sonar_blind),
        noise_mean=float(noise_mean),
        noise_deviation=float(noise_deviation),
        hearing=float(hearing),
        checkpoints=checkpoints,
        proportional=proportional,
    )


def _with_vector(segments: Segments) -> NDArray[np.float64]:
    """[K + 1, 5]: an end, the vector to the other, 1 / length squared; and one more far away."""
    far_away = np.array([[1e6, 1e6, 1e6 + 1, 1e6]])
    everything = np.vstack([segments, far_away])
    vector = everything[:, 2:] - everything[:, :2]
    return np.column_stack([everything[:, :2], vector, 1.0 / (vector**2).sum(1)])


def _cells(track: Track) -> tuple[tuple[float, float, float, int, int], NDArray[np.float64], float]:
    """The grid (see `World`), the cells' centres [cells, 2], and half a cell's diagonal, m."""
    left, bottom, right, top = track.bounds()
    side = max(CELL, math.sqrt((right - left) * (top - bottom) / MOST_CELLS))
    columns, rows = math.ceil((right - left) / side), math.ceil((top - bottom) / side)
    x, y = left + (np.arange(columns) + 0.5) * side, bottom + (np.arange(rows) + 0.5) * side
    centres: NDArray[np.float64] = np.column_stack([np.tile(x, rows), np.repeat(y, columns)]).astype(np.float64)
    return (left, bottom, 1.0 / side, columns, rows), centres, side / math.sqrt(2) * 1.001


def _lists(
    track: Track, centres: NDArray[np.float64], segments: Segments, reach: float | None, slack: float = 0.0
) -> NDArray[np.int32]:
    """Which segments lie within `reach` of each centre (None: as near as the nearest, and `slack`), [cells, K].

    Lists are filled up with the number of the one far away, which ends each.
    """
    listed: list[NDArray[np.int32]] = []
    for chunk in np.array_split(centres, max(1, len(centres) * max(1, len(segments)) // AT_ONCE)):
        if not len(segments):
            listed += [np.zeros(0, np.int32)] * len(chunk)
            continue
        distance = distance_to_segments(chunk, segments)
        limit = distance.min(1, keepdims=True) + slack if reach is None else reach
        # Nearest first, so that the compiled loop finds what is near early and skips the rest.
        order = np.argsort(distance, axis=1, kind="stable")
        within = np.take_along_axis(distance <= limit, order, 1)
        listed += [numbers[kept].astype(np.int32) for numbers, kept in zip(order, within, strict=True)]
    longest = max(map(len, listed)) + 1
    if longest * len(centres) > MOST_LISTED:
        raise ValueError(
            f"track {track.name}: up to {longest - 1} walls are near one place, too many: use a coarser map, shorter"
            " sonar_range or lower speed"
        )
    lists = np.full((len(centres), longest), len(segments), np.int32)
    for row, near in zip(lists, listed, strict=True):
        row[: len(near)] = near
    return lists


def narrowed(
    walls: NDArray[np.float64],
    lists: NDArray[np.int32],
    centres: NDArray[np.float64],
    half_diagonal: float,
    sonars: NDArray[np.float64],
    half_cone: float,
    sectors: int,
    hearing: float,
) -> NDArray[np.int32]:
    """Of the walls near each cell, those that a sonar may hear with a heading in each sector.

    A wall stays unless it is proved that it changes no reading. From all places in the cell and headings in the sector,
    a cone lies inside one wider cone, in which a wall has a least distance. And where a wall bars the way of all the
    cones' axes, no reading is more than its greatest distance there: what is further away is not heard.

    Args:
        walls: `World.walls`.
        lists: [cells, K].
        centres: [cells, 2], m.
        half_diagonal: of a cell, m.
        sonars: [S, 3].
        half_cone: rad.
        sectors: how many, such that a cone and half a sector's width stay below pi / 2.
        hearing: m.

    Returns:
        [cells x sectors, S, K], filled up with the last wall.
    """
    pieces = min(len(lists), lists.size * sectors // AT_ONCE)
    if pieces > 1:  # all at once it would take a few hundred bytes an entry
        parts = [
            narrowed(walls, some, places, half_diagonal, sonars, half_cone, sectors, hearing)
            for some, places in zip(np.array_split(lists, pieces), np.array_split(centres, pieces), strict=True)
        ]
        longest = max(part.shape[-1] for part in parts)
        missing = [((0, 0), (0, 0), (0, longest - part.shape[-1])) for part in parts]
        filled = [np.pad(part, by, constant_values=len(walls) - 1) for part, by in zip(parts, missing, strict=True)]
        return np.concatenate(filled)
    slack = 1.001 * math.pi / sectors  # headings differ by this from the sector's middle
    middle = -math.pi + (np.arange(sectors) + 0.5) * (2 * math.pi / sectors)
    ax, ay, ex, ey, _, nx, ny = (walls[lists][:, None, :, column] for column in range(7))  # [cells, 1, K]
    kept = np.zeros((len(centres), sectors, len(sonars), lists.shape[1]), bool)
    for number, (place_x, place_y, facing) in enumerate(sonars):
        sine, cosine = np.sin(middle)[:, None], np.cos(middle)[:, None]  # [sectors, 1]
        qx = centres[:, 0, None, None] + place_x * cosine - place_y * sine  # [cells, sectors, 1]
        qy = centres[:, 1, None, None] + place_x * sine + place_y * cosine
        off = 1.001 * (half_diagonal + math.hypot(place_x, place_y) * slack)  # and sonars by this from q
        direction = middle[:, None] + facing

        with np.errstate(divide="ignore", invalid="ignore"):
            first, last = _clipped(walls[lists], qx, qy, direction, off, half_cone + slack, (0.0, 1.0))
            rx, ry = ax - qx, ay - qy
            foot = np.clip(-(rx * ex + ry * ey) / (ex * ex + ey * ey), first, np.maximum(first, last))
            least = np.hypot(rx + foot * ex, ry + foot * ey) - off
            start, end = _clipped(walls[lists], qx, qy, direction, off, slack, (-np.inf, np.inf))
            # Barred: the wall reaches across all axes, and all sonars are on the near side of it.
            height = nx * rx + ny * ry
            climb = nx * np.cos(direction) + ny * np.sin(direction)
            across = (start >= 0.0) & (end <= 1.0) & (start <= end) & (np.abs(height) > off) & (height * climb > 0.0)
            most = np.maximum(np.hypot(rx + start * ex, ry + start * ey), np.hypot(rx + end * ex, ry + end * ey)) + off
            heard = np.minimum(np.where(across, most, np.inf).min(-1, keepdims=True), hearing)
        kept[:, :, number] = (first <= last + 1e-9) & (least <= heard + 1e-9)
    kept &= (lists < len(walls) - 1)[:, None, None]
    kept = kept.reshape(-1, lists.shape[1])  # [cells x sectors x S, K]
    # Those that stay move to the front, in their order.
    order = np.argsort(~kept, axis=1, kind="stable")[:, : kept.sum(1).max() + 1]
    source = np.repeat(lists, sectors * len(sonars), 0)
    chosen = np.where(np.take_along_axis(kept, order, 1), np.take_along_axis(source, order, 1), len(walls) - 1)
    return chosen.astype(np.int32).reshape(len(centres) * sectors, len(sonars), -1)


def _clipped(
    near: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    direction: NDArray[np.float64],
    off: float,
    half: float,
    between: tuple[float, float],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From and to which shares of their lengths walls lie in a cone of half angle `half` (rad) around a disc.

    Args:
        near: walls [cells, K, 8].
        x, y: centre of the disc [cells, sectors, 1], m.
        direction: of the cone [sectors, 1], rad.
        off: radius of the disc, which the cone's edges touch, m.
        between: least and greatest share to return.

    Returns:
        [cells, sectors, K] both; the first is greater than the second where nothing lies in the cone.
    """
    ax, ay, ex, ey = (near[:, None, :, column] for column in range(4))  # [cells, 1, K]
    back = off / math.sin(half)
    rx = ax - (x - back * np.cos(direction))  # [cells, sectors, K]
    ry = ay - (y - back * np.sin(direction))
    first, last = np.full(rx.shape, between[0]), np.full(rx.shape, between[1])
    for mx, my in (
        (np.sin(direction + half), -np.cos(direction + half)),
        (-np.sin(direction - half), np.cos(direction - half)),
    ):
        inside, slope = mx * rx + my * ry, mx * ex + my * ey
        at = inside / np.abs(slope)
        first = np.where((slope > 0.0) & (-at > first), -at, first)
        last = np.where((slope <= 0.0) & (at < last), at, last)
    return first, last


def _whole(track: Track) -> NDArray[np.float64]:
    """`World.starts` over all of the track."""
    return _starts(track.starts(), np.zeros(2))


def _straights(track: Track) -> NDArray[np.float64]:
    """`World.starts` without the neighbourhood of corners.

    Raises:
        ValueError: nothing is straight.
    """
    pieces = track.starts()
    heading = np.arctan2(pieces[:, 3] - pieces[:, 1], pieces[:, 2] - pieces[:, 0])
    turn = np.abs((heading - np.roll(heading, 1) + math.pi) % (2 * math.pi) - math.pi)  # at each piece's first corner
    corner = turn > CORNER_TURN
    lengths = np.hypot(pieces[:, 2] - pieces[:, 0], pieces[:, 3] - pieces[:, 1])
    room = np.column_stack([corner, np.roll(corner, -1)]) * CORNER_ROOM  # [P, 2] metres to leave out at both ends
    long_enough = lengths - room.sum(1) > 0.01
    if not long_enough.any():
        raise ValueError(f"track {track.name} has no straight longer than {2 * CORNER_ROOM:g} m to start on")
    share = room[long_enough] / lengths[long_enough][:, None]
    return _starts(pieces[long_enough], share)


def _starts(pieces: Segments, left_out: NDArray[np.float64]) -> NDArray[np.float64]:
    """`World.starts` of pieces [K, 4] of which shares [..., 2] at the ends are left out."""
    left_out = np.broadcast_to(left_out, (len(pieces), 2))
    vector = pieces[:, 2:] - pieces[:, :2]
    extent = vector * (1.0 - left_out.sum(1, keepdims=True))
    length = np.hypot(extent[:, 0], extent[:, 1])
    weight = np.where(length > 0, length, 1.0)  # spots have no length, and all the same weight
    heading = np.arctan2(vector[:, 1], vector[:, 0])
    heading = np.where(heading >= math.pi, -math.pi, heading)
    first = pieces[:, :2] + vector * left_out[:, :1]
    return np.column_stack([first, extent, heading, np.cumsum(weight) - weight, weight])


def _normal_quantiles() -> NDArray[np.float64]:
    """Quantiles [QUANTILE_STEPS + 1] whose straight interpolation has variance 1; the two ends are finite, about 4.

    Drawing from them needs no logarithm, in whose last bit libraries differ. The distribution function is within
    0.0003 of the normal one everywhere.
    """
    normal = NormalDist()
    inner = np.array([normal.inv_cdf(i / QUANTILE_STEPS) for i in range(1, QUANTILE_STEPS)])
    last = inner[-1]
    variance = ((inner[:-1] ** 2 + inner[:-1] * inner[1:] + inner[1:] ** 2) / 3).sum() / QUANTILE_STEPS
    wanted = (1.0 - variance) * QUANTILE_STEPS * 1.5  # end^2 + end * last + last^2
    end = (-last + math.sqrt(last * last - 4 * (last * last - wanted))) / 2
    return np.concatenate([[-end], inner, [end]])
