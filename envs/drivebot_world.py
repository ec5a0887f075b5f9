"""The world of DriveBot in motion: how a robot moves, meets walls, and hears them; for many robots at once.

Everything here is plain arithmetic on arrays, written once for NumPy and for torch (`Arrays` is what differs between
them); `envs.drivebot_compiled` is the same step as one compiled loop, and
`envs.drivebot_build` makes a `World` from a track. Only operations that are rounded exactly (+, -,
*, /, square roots, comparisons) are used, in the same order, so that all forms agree to the bit and a robot does the
same alone and among thousands.

Letters of shapes: N robots, S sonars, K walls (or pieces of the circuit) that may matter where a robot is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from envs import streams

Array = Any
"""A NumPy array or a torch tensor."""

MOVED = 1e-6
"""Metres from which on a robot has moved."""
SKIN = 1e-7
"""Metres at which a robot stops before a wall, so that rounding never makes it touch; less than MOVED."""
APPROACHING = 1e-12
"""Metres towards a wall per metre driven below which a robot counts as driving along it."""
QUANTILE_STEPS = 2048
"""Pieces of the normal distribution's quantile function, which is taken as straight in each."""


class World(NamedTuple):
    """The track and all constants, as arrays and numbers that a compiled loop and a GPU can take."""

    walls: Array
    """[W + 1, 8]: an end x y, the vector to the other end x y, 1 / length squared, unit normal x y, and nothing, which
    makes a wall a line of the processor's cache. The last wall is far away, and fills lists up."""
    near: Array
    """[cells, K]: walls that a robot in a cell may meet within one step."""
    far: Array
    """[cells x sectors, S, K]: walls that each sonar may hear from a cell, with a heading in a sector."""
    sectors: int
    """Equal parts of all headings, counted from -pi."""
    grid: tuple[float, float, float, int, int]
    """Least x and y of the cells, cells per metre, columns, rows."""
    sonars: Array
    """[S, 6]: place on the robot x y, inward normals of the cone's left and right edge x y, for heading 0."""
    circuit: Array
    """[P + 1, 7]: a corner x y, the vector to the next x y, 1 / length squared, length, metres from the first corner to
    this one; the last is far away."""
    circuit_near: Array
    """[cells, K]: pieces of the circuit that may be the nearest."""
    lap: float
    """Length of the circuit, m; 0 without one."""
    sections: int
    """Checkpoints of a lap."""
    section_start: float
    """Metres from the circuit's first corner at which section 0 begins."""
    starts: Array
    """[K, 7]: where episodes begin: x y, extent x y, heading, sum of the weights before, weight."""
    starts_total: float
    face_forward: bool
    """Whether episodes begin in the circuit's direction, or with a random heading."""
    quantiles: Array
    """[QUANTILE_STEPS + 1] of the standard normal distribution."""
    offsets: Array
    """0, 1, ...: numbers of the draws within a step."""
    stride: float
    """Metres of a full step."""
    half_turn: float
    """Radians of half a full step's turn."""
    contact: float
    """Distance of the robot's centre from a wall at which it stops, m."""
    lag: float
    sonar_range: float
    sonar_blind: float
    noise_mean: float
    noise_deviation: float
    hearing: float
    """Metres beyond which a wall changes no reading."""
    checkpoints: bool
    """Whether checkpoints are rewarded, or motion."""
    proportional: bool
    """Whether motion is rewarded by its length."""


class State(NamedTuple):
    """What robots are doing, one row each."""

    pose: Array
    """[N, 3]: x, y (m) and heading (rad, in [-pi, pi), counted from +x to +y)."""
    previous: Array
    """[N, 2]: the last command, which a lagging robot repeats; nothing at first."""
    arc: Array
    """[N]: place along the circuit, m."""
    progress: Array
    """[N]: metres made along the circuit since the start, backwards negative."""
    idle: Array
    """[N]: steps in a row without a positive reward."""
    moves: Array
    """[N]: steps whose command was to drive."""
    blocked: Array
    """[N]: those of them that a wall stopped at once."""
    readings: Array
    """[N, S]: the sonars' readings, m."""
    draws: Array
    """[N]: random numbers used."""


class Arrays(NamedTuple):
    """What the array form needs of a library."""

    xp: Any
    """Module with where, sqrt, floor, minimum, amin, argmin, stack, searchsorted."""
    uniform: Callable[[Array, Array], Array]
    """Random numbers in [0, 1) of keys and counters, as `envs.streams.uniform`."""
    whole: Callable[[Array], Array]
    """Floats cut to whole numbers that can index."""


NUMPY = Arrays(np, streams.uniform, lambda values: values.astype(np.int64))


def sine_cosine(angle: Any) -> tuple[Any, Any]:
    """Sine and cosine of an angle in [-pi, pi] to about 1e-15.

    Libraries differ in the last bit of theirs. This one, Taylor's series of a quarter of the angle, doubled twice, is
    the same for numbers, arrays, tensors and compiled code.
    """
    x = angle * 0.25
    z = x * x
    s = 1.0 / 362880.0 - z * (1.0 / 39916800.0 - z * (1.0 / 6227020800.0 - z * (1.0 / 1307674368000.0)))
    s = x * (1.0 - z * (1.0 / 6.0 - z * (1.0 / 120.0 - z * (1.0 / 5040.0 - z * s))))
    c = 1.0 / 3628800.0 - z * (1.0 / 479001600.0 - z * (1.0 / 87178291200.0 - z * (1.0 / 20922789888000.0)))
    c = 1.0 - z * (0.5 - z * (1.0 / 24.0 - z * (1.0 / 720.0 - z * (1.0 / 40320.0 - z * c))))
    s, c = 2.0 * s * c, 1.0 - 2.0 * s * s
    return 2.0 * s * c, 1.0 - 2.0 * s * s


def step(arrays: Arrays, world: World, state: State, key: Array, command: Array) -> tuple[State, Array]:
    """One tick of all robots.

    A robot turns by half its angle, drives straight until the stride is done or a wall is met, and turns by the other
    half.

    Args:
        arrays: the library.
        world: the track and constants.
        state: before the tick.
        key: random streams [N].
        command: forward and turn, shares of a full step in [-1, 1], [N, 2]; positive turns left.

    Returns:
        The state after it, and rewards [N].
    """
    xp = arrays.xp
    sonars = world.sonars.shape[0]
    random = arrays.uniform(key[:, None], state.draws[:, None] + world.offsets[: sonars + 1])  # [N, 1 + S]
    late = random[:, 0] < world.lag
    executed = xp.where(late[:, None], state.previous, command)  # [N, 2]

    heading = wrapped(xp, state.pose[:, 2] + executed[:, 1] * world.half_turn)
    sine, cosine = sine_cosine(heading)
    asked = executed[:, 0] * world.stride
    sign = xp.where(asked < 0.0, -xp.ones_like(asked), xp.ones_like(asked))
    x, y = state.pose[:, 0], state.pose[:, 1]
    made = free_distance(arrays, world, x, y, sign * cosine, sign * sine, xp.abs(asked))  # [N]
    x, y = x + made * (sign * cosine), y + made * (sign * sine)
    heading = wrapped(xp, heading + executed[:, 1] * world.half_turn)
    pose = xp.stack([x, y, heading], -1)  # [N, 3]

    moved = made > MOVED
    driving = command[:, 0] != 0.0
    blocked = driving & (xp.abs(asked) > MOVED) & ~moved
    none, one = xp.zeros_like(made), xp.ones_like(made)
    arc, progress, passed = state.arc, state.progress, none
    if world.lap > 0.0:
        arc = along_circuit(arrays, world, x, y)
        gained = arc - state.arc
        gained = xp.where(gained >= 0.5 * world.lap, gained - world.lap, gained)
        gained = xp.where(gained < -0.5 * world.lap, gained + world.lap, gained)
        progress = progress + gained
        passed = section(xp, world, arc) - section(xp, world, state.arc)
        passed = xp.where(passed > 0.5 * world.sections, passed - world.sections, passed)
        passed = xp.where(passed < -0.5 * world.sections, passed + world.sections, passed)
    if world.checkpoints:
        earned = 2.0 * passed
    elif world.proportional:
        earned = made * sign / world.stride
    else:
        earned = xp.where(moved, one, none)
    reward = xp.where(blocked & (earned == 0.0) if world.checkpoints else blocked, -one, earned)
    idle = xp.where(reward > 0.0, xp.zeros_like(state.idle), state.idle + 1)
    counted = State(
        pose=pose,
        previous=command,
        arc=arc,
        progress=progress,
        idle=idle,
        moves=state.moves + driving,
        blocked=state.blocked + blocked,
        readings=hear(arrays, world, pose, random[:, 1:]),
        draws=state.draws + world.offsets[sonars + 1],
    )
    return counted, reward


def begin(arrays: Arrays, world: World, key: Array, pose: Array = None) -> State:
    """The state of robots with fresh random streams [N] at the start of an episode, at `pose` [N, 3] if it is given."""
    xp = arrays.xp
    sonars = world.sonars.shape[0]
    random = arrays.uniform(key[:, None], world.offsets[: sonars + 2])  # [N, 2 + S]
    if pose is None:
        along = random[:, 0] * world.starts_total
        which = xp.searchsorted(world.starts[:, 5] * 1.0, along, side="right") - 1  # [N]; * 1.0 makes it contiguous
        start = world.starts[which]  # [N, 7]
        share = (along - start[:, 5]) / start[:, 6]
        heading = start[:, 4] if world.face_forward else random[:, 1] * (2 * math.pi) - math.pi
        pose = xp.stack([start[:, 0] + share * start[:, 2], start[:, 1] + share * start[:, 3], heading], -1)
    zeros = xp.zeros_like(pose[:, 0])
    counts = arrays.whole(zeros)
    return State(
        pose=pose,
        previous=xp.zeros_like(pose[:, :2]),
        arc=along_circuit(arrays, world, pose[:, 0], pose[:, 1]) if world.lap > 0.0 else zeros,
        progress=zeros,
        idle=counts,
        moves=counts,
        blocked=counts,
        readings=hear(arrays, world, pose, random[:, 2:]),
        draws=xp.zeros_like(key) + world.offsets[sonars + 2],
    )


def free_distance(arrays: Arrays, world: World, x: Array, y: Array, dx: Array, dy: Array, distance: Array) -> Array:
    """How far discs at x, y [N] get in direction dx, dy (unit vectors), at most `distance`, before a wall stops them.

    A disc meets a wall where its centre comes within `world.contact` of the wall's inside or of one of its ends.
    """
    xp = arrays.xp
    walls = world.walls[world.near[cell_of(arrays, world, x, y)]]  # [N, K, 8]
    dx, dy, limit = dx[:, None], dy[:, None], distance[:, None]
    ax, ay, ex, ey, inverse, nx, ny = (walls[..., column] for column in range(7))  # [N, K]
    rx, ry = x[:, None] - ax, y[:, None] - ay
    height = nx * rx + ny * ry
    climb = nx * dx + ny * dy
    climb = xp.where(height < 0.0, -climb, climb)  # as seen from the robot's side
    at = (xp.abs(height) - world.contact) / -climb
    at = xp.where(at > 0.0, at, xp.zeros_like(at))
    share = ((rx + at * dx) * ex + (ry + at * dy) * ey) * inverse
    meets = (climb < -APPROACHING) & (share >= 0.0) & (share <= 1.0) & (at < limit)
    free = xp.amin(xp.where(meets, at, limit), -1)  # [N]
    for qx, qy in ((rx, ry), (rx - ex, ry - ey)):
        ahead = qx * dx + qy * dy
        gap = qx * qx + qy * qy - world.contact * world.contact
        reaches = ahead * ahead - gap
        at = gap / (xp.sqrt(xp.where(reaches > 0.0, reaches, xp.zeros_like(reaches))) - ahead)
        at = xp.where(at > 0.0, at, xp.zeros_like(at))
        meets = (ahead < -APPROACHING) & (reaches >= 0.0) & (at < limit)
        free = xp.minimum(free, xp.amin(xp.where(meets, at, limit), -1))
    return free


def hear(arrays: Arrays, world: World, pose: Array, random: Array) -> Array:
    """Readings [N, S] at poses [N, 3], with noise from random numbers [N, S] in [0, 1)."""
    xp = arrays.xp
    readings = sonar_distances(arrays, world, pose) + world.noise_mean
    if world.noise_deviation > 0.0:
        place = random * QUANTILE_STEPS
        left = arrays.whole(place)
        low = world.quantiles[left]
        readings = readings + (low + (place - left) * (world.quantiles[left + 1] - low)) * world.noise_deviation
    readings = xp.where(readings > world.sonar_range, xp.zeros_like(readings) + world.sonar_range, readings)
    return xp.where(readings < world.sonar_blind, xp.zeros_like(readings), readings)


def sonar_distances(arrays: Arrays, world: World, pose: Array) -> Array:
    """True distances [N, S] from the sonars of robots at poses [N, 3] to the nearest point of a wall in their cones.

    That point is never hidden by another wall, which would be nearer still. So each wall is clipped to the cone (two
    half-planes through the sonar), and the nearest point of what is left is the foot of the perpendicular or an end.
    At most `world.hearing`.
    """
    xp = arrays.xp
    sector = arrays.whole((pose[:, 2] + math.pi) * (world.sectors / (2 * math.pi)))  # [N]
    sector = xp.where(sector < world.sectors, sector, xp.zeros_like(sector) + (world.sectors - 1))
    cell = cell_of(arrays, world, pose[:, 0], pose[:, 1])
    walls = world.walls[world.far[cell * world.sectors + sector]]  # [N, S, K, 8]
    ax, ay, ex, ey, inverse = (walls[..., column] for column in range(5))  # [N, S, K]
    sine, cosine = sine_cosine(pose[:, 2])
    sine, cosine = sine[:, None, None], cosine[:, None, None]  # [N, 1, 1]
    place_x, place_y, left_x, left_y, right_x, right_y = (
        world.sonars[None, :, column, None] for column in range(6)
    )  # [1, S, 1]
    rx = ax - (pose[:, 0, None, None] + (place_x * cosine - place_y * sine))  # [N, S, K]
    ry = ay - (pose[:, 1, None, None] + (place_x * sine + place_y * cosine))
    low, high = xp.zeros_like(rx), xp.ones_like(rx)
    for nx, ny in ((left_x, left_y), (right_x, right_y)):
        nx, ny = nx * cosine - ny * sine, nx * sine + ny * cosine
        inside = nx * rx + ny * ry  # how far inside the edge the wall's first end is
        slope = nx * ex + ny * ey
        at = inside / xp.abs(slope)
        low = xp.where((slope > 0.0) & (-at > low), -at, low)
        # A wall along the edge divides by zero: outside it `at` is -inf and nothing is left, inside +inf and all is.
        high = xp.where((slope <= 0.0) & (at < high), at, high)
    foot = -(rx * ex + ry * ey) * inverse
    foot = xp.where(foot > low, foot, low)
    foot = xp.where(foot < high, foot, high)
    px, py = rx + foot * ex, ry + foot * ey
    squared = xp.where(low <= high, px * px + py * py, xp.zeros_like(rx) + world.hearing * world.hearing)
    nearest = xp.sqrt(xp.amin(squared, -1))  # [N, S]
    return xp.where(nearest < world.hearing, nearest, xp.zeros_like(nearest) + world.hearing)


def along_circuit(arrays: Arrays, world: World, x: Array, y: Array) -> Array:
    """Metres [N] from the circuit's first corner to its point that is nearest to x, y [N]."""
    xp = arrays.xp
    pieces = world.circuit[world.circuit_near[cell_of(arrays, world, x, y)]]  # [N, K, 7]
    ax, ay, ex, ey, inverse, length, before = (pieces[..., column] for column in range(7))
    rx, ry = x[:, None] - ax, y[:, None] - ay
    share = (rx * ex + ry * ey) * inverse
    share = xp.where(share > 0.0, share, xp.zeros_like(share))
    share = xp.where(share < 1.0, share, xp.ones_like(share))
    px, py = rx - share * ex, ry - share * ey
    squared = px * px + py * py
    # The first of several that are equally near; argmin of some libraries takes any.
    nearest = xp.amin(squared, -1)[:, None]
    place = before + share * length
    return xp.amin(xp.where(squared == nearest, place, xp.zeros_like(place) + 2.0 * world.lap), -1)


def section(xp: Any, world: World, arc: Array) -> Array:
    """The checkpoint [N] in which a place [N] along the circuit lies, as a float."""
    since = arc - world.section_start
    since = xp.where(since < 0.0, since + world.lap, since)
    number = xp.floor(since / world.lap * world.sections)
    return xp.where(number >= world.sections, number - world.sections, number)


def cell_of(arrays: Arrays, world: World, x: Array, y: Array) -> Array:
    """The cell [N] of places x, y [N]."""
    left, bottom, per_metre, columns, rows = world.grid
    column = arrays.whole((x - left) * per_metre)
    row = arrays.whole((y - bottom) * per_metre)
    # Robots never get outside; someone who asks about a place out there gets the nearest cell's walls.
    xp = arrays.xp
    column = xp.where(column < columns, column, xp.zeros_like(column) + (columns - 1))
    row = xp.where(row < rows, row, xp.zeros_like(row) + (rows - 1))
    return xp.where(row > 0, row, xp.zeros_like(row)) * columns + xp.where(column > 0, column, xp.zeros_like(column))


def wrapped(xp: Any, heading: Array) -> Array:
    """Headings in [-3 pi, 3 pi) brought into [-pi, pi)."""
    heading = xp.where(heading >= math.pi, heading - 2 * math.pi, heading)
    return xp.where(heading < -math.pi, heading + 2 * math.pi, heading)
