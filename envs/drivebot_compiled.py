"""The step of `envs.drivebot_world` as one compiled loop over robots, for speed; it agrees with it to the bit.

Everything that the loop calls is in this file: Numba's cache does not notice changes in others. Multiplications and
additions are never fused (no fastmath), or the last bits would differ from the array form's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from envs.drivebot_world import State, World

MOVED = 1e-6
APPROACHING = 1e-12
"""As in `envs.drivebot_world`; a change there would not reach code that is cached already."""

CERTAIN = 1e-9
"""By how much (m, m2) it must be clear that a wall does not matter for it to be skipped; a little, so that rounding
cannot make the array form, which skips none, decide otherwise."""


@njit(error_model="numpy")
def _sine_cosine(angle: float) -> tuple[float, float]:
    x = angle * 0.25
    z = x * x
    s = 1.0 / 362880.0 - z * (1.0 / 39916800.0 - z * (1.0 / 6227020800.0 - z * (1.0 / 1307674368000.0)))
    s = x * (1.0 - z * (1.0 / 6.0 - z * (1.0 / 120.0 - z * (1.0 / 5040.0 - z * s))))
    c = 1.0 / 3628800.0 - z * (1.0 / 479001600.0 - z * (1.0 / 87178291200.0 - z * (1.0 / 20922789888000.0)))
    c = 1.0 - z * (0.5 - z * (1.0 / 24.0 - z * (1.0 / 720.0 - z * (1.0 / 40320.0 - z * c))))
    s, c = 2.0 * s * c, 1.0 - 2.0 * s * s
    return 2.0 * s * c, 1.0 - 2.0 * s * s


@njit(error_model="numpy")
def _bits(key: Any, counter: Any) -> Any:
    """As `envs.streams.bits`, of one key and counter (uint64)."""
    mixed = key + (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@njit(error_model="numpy")
def _uniform(key: Any, counter: Any) -> Any:
    return float(np.int64(_bits(key, counter) >> np.uint64(11))) * 2.0**-53


@njit(error_model="numpy")
def _wrapped(heading: float) -> float:
    if heading >= math.pi:
        heading = heading - 2 * math.pi
    if heading < -math.pi:
        heading = heading + 2 * math.pi
    return heading


@njit(error_model="numpy")
def _cell(grid: Any, x: float, y: float) -> int:
    left, bottom, per_metre, columns, rows = grid
    column = min(max(int((x - left) * per_metre), 0), columns - 1)
    row = min(max(int((y - bottom) * per_metre), 0), rows - 1)
    return row * columns + column


@njit(error_model="numpy")
def _free_distance(
    walls: Any, near: Any, cell: int, contact: float, x: float, y: float, dx: float, dy: float, free: float
) -> float:
    for i in range(near.shape[1]):
        wall = near[cell, i]
        if wall == walls.shape[0] - 1:
            break
        rx = x - walls[wall, 0]
        ry = y - walls[wall, 1]
        ex = walls[wall, 2]
        ey = walls[wall, 3]
        height = walls[wall, 5] * rx + walls[wall, 6] * ry
        climb = walls[wall, 5] * dx + walls[wall, 6] * dy
        if height < 0.0:
            climb = -climb
        if abs(height) + min(climb, 0.0) * free > contact + CERTAIN:
            continue  # its line is not reached, and its ends are no nearer
        if climb < -APPROACHING:
            at = (abs(height) - contact) / -climb
            at = at if at > 0.0 else 0.0
            share = ((rx + at * dx) * ex + (ry + at * dy) * ey) * walls[wall, 4]
            if share >= 0.0 and share <= 1.0 and at < free:
                free = at
        for end in range(2):
            qx = rx - ex if end else rx
            qy = ry - ey if end else ry
            ahead = qx * dx + qy * dy
            if ahead < -APPROACHING:
                gap = qx * qx + qy * qy - contact * contact
                reaches = ahead * ahead - gap
                if reaches >= 0.0:
                    at = gap / (math.sqrt(reaches) - ahead)
                    at = at if at > 0.0 else 0.0
                    if at < free:
                        free = at
    return free


@njit(error_model="numpy")
def _sonar_squared(
    walls: Any,
    far: Any,
    place: int,
    number: int,
    px: float,
    py: float,
    lx: float,
    ly: float,
    rx: float,
    ry: float,
    squared: float,
) -> float:
    """The least squared distance to what a cone, given by apex and normals of its edges, sees; at most `squared`."""
    last = np.uintp(walls.shape[0] - 1)
    for i in range(far.shape[2]):
        wall = np.uintp(far[place, number, i])
        if wall == last:
            break
        ax = walls[wall, 0] - px
        ay = walls[wall, 1] - py
        ex = walls[wall, 2]
        ey = walls[wall, 3]
        left = lx * ax + ly * ay
        left_slope = lx * ex + ly * ey
        right = rx * ax + ry * ay
        right_slope = rx * ex + ry * ey
        at_left = left / abs(left_slope)
        at_right = right / abs(right_slope)
        low = 0.0
        high = 1.0
        low = -at_left if (left_slope > 0.0) & (-at_left > low) else low
        high = at_left if (left_slope <= 0.0) & (at_left < high) else high
        low = -at_right if (right_slope > 0.0) & (-at_right > low) else low
        high = at_right if (right_slope <= 0.0) & (at_right < high) else high
        foot = -(ax * ex + ay * ey) * walls[wall, 4]
        foot = foot if foot > low else low
        foot = foot if foot < high else high
        qx = ax + foot * ex
        qy = ay + foot * ey
        this = qx * qx + qy * qy
        squared = this if (low <= high) & (this < squared) else squared
    return squared


@njit(error_model="numpy")
def _along_circuit(circuit: Any, circuit_near: Any, cell: int, x: float, y: float) -> float:
    nearest = np.inf
    arc = 0.0
    for i in range(circuit_near.shape[1]):
        piece = circuit_near[cell, i]
        if piece == circuit.shape[0] - 1:
            break
        rx = x - circuit[piece, 0]
        ry = y - circuit[piece, 1]
        ex = circuit[piece, 2]
        ey = circuit[piece, 3]
        share = (rx * ex + ry * ey) * circuit[piece, 4]
        share = share if share > 0.0 else 0.0
        share = share if share < 1.0 else 1.0
        px = rx - share * ex
        py = ry - share * ey
        squared = px * px + py * py
        place = circuit[piece, 6] + share * circuit[piece, 5]
        if squared < nearest:
            nearest = squared
            arc = place
        elif squared == nearest and place < arc:
            arc = place
    return arc


@njit(error_model="numpy")
def _section(arc: float, section_start: float, lap: float, sections: int) -> float:
    since = arc - section_start
    if since < 0.0:
        since = since + lap
    number = math.floor(since / lap * sections)
    return float(number - sections if number >= sections else number)


@njit(error_model="numpy", cache=True)
def step(world: World, state: State, key: Any, command: Any, active: Any, reward: Any) -> None:
    """`envs.drivebot_world.step` of the robots that are `active` [N], writing into `state` and `reward` [N]."""
    # Taken apart once: handing the tuples to functions would copy a kilobyte for each robot.
    walls, near, far, sonars, quantiles = world.walls, world.near, world.far, world.sonars, world.quantiles
    circuit, circuit_near, grid = world.circuit, world.circuit_near, world.grid
    stride, half_turn, contact, lag = world.stride, world.half_turn, world.contact, world.lag
    lap, sections, section_start = world.lap, world.sections, world.section_start
    checkpoints, proportional = world.checkpoints, world.proportional
    hearing, sonar_range, sonar_blind = world.hearing, world.sonar_range, world.sonar_blind
    noise_mean, noise_deviation = world.noise_mean, world.noise_deviation
    pose, previous, arcs, progress = state.pose, state.previous, state.arc, state.progress
    idle, moves, blocks, readings, draws = state.idle, state.moves, state.blocked, state.readings, state.draws
    count = sonars.shape[0]
    pieces = quantiles.shape[0] - 1
    sectors_of_heading = world.sectors
    per_radian = sectors_of_heading / (2 * math.pi)

    for i in range(active.shape[0]):
        if not active[i]:
            continue
        draw = draws[i]
        forward, turn = command[i, 0], command[i, 1]
        driving = forward != 0.0
        if lag > 0.0 and _uniform(key[i], draw) < lag:
            forward, turn = previous[i, 0], previous[i, 1]
        x, y = pose[i, 0], pose[i, 1]
        heading = _wrapped(pose[i, 2] + turn * half_turn)
        asked = forward * stride
        sign = -1.0 if asked < 0.0 else 1.0
        made = 0.0
        if asked != 0.0:
            sine, cosine = _sine_cosine(heading)
            ahead_x, ahead_y = sign * cosine, sign * sine
            made = _free_distance(walls, near, _cell(grid, x, y), contact, x, y, ahead_x, ahead_y, abs(asked))
            x = x + made * ahead_x
            y = y + made * ahead_y
        heading = _wrapped(heading + turn * half_turn)
        cell = _cell(grid, x, y)
        moved = made > MOVED
        blocked = driving and abs(asked) > MOVED and not moved

        passed = 0.0
        if lap > 0.0 and made > 0.0:
            arc = _along_circuit(circuit, circuit_near, cell, x, y)
            gained = arc - arcs[i]
            if gained >= 0.5 * lap:
                gained = gained - lap
            if gained < -0.5 * lap:
                gained = gained + lap
            progress[i] = progress[i] + gained
            if checkpoints:
                passed = _section(arc, section_start, lap, sections) - _section(arcs[i], section_start, lap, sections)
                if passed > 0.5 * sections:
                    passed = passed - sections
                if passed < -0.5 * sections:
                    passed = passed + sections
            arcs[i] = arc
        if checkpoints:
            earned = 2.0 * passed
            if blocked and earned == 0.0:
                earned = -1.0
        elif blocked:
            earned = -1.0
        elif proportional:
            earned = made * sign / stride
        else:
            earned = 1.0 if moved else 0.0

        sine, cosine = _sine_cosine(heading)
        sector = min(int((heading + math.pi) * per_radian), sectors_of_heading - 1)
        for number in range(count):
            place_x, place_y = sonars[number, 0], sonars[number, 1]
            left_x, left_y = sonars[number, 2], sonars[number, 3]
            right_x, right_y = sonars[number, 4], sonars[number, 5]
            squared = _sonar_squared(
                walls,
                far,
                cell * sectors_of_heading + sector,
                number,
                x + (place_x * cosine - place_y * sine),
                y + (place_x * sine + place_y * cosine),
                left_x * cosine - left_y * sine,
                left_x * sine + left_y * cosine,
                right_x * cosine - right_y * sine,
                right_x * sine + right_y * cosine,
                hearing * hearing,
            )
            nearest = math.sqrt(squared)
            reading = (nearest if nearest < hearing else hearing) + noise_mean
            if noise_deviation > 0.0:
                place = _uniform(key[i], draw + np.uint64(1 + number)) * pieces
                left = int(place)
                low = quantiles[left]
                reading = reading + (low + (place - left) * (quantiles[left + 1] - low)) * noise_deviation
            if reading > sonar_range:
                reading = sonar_range
            readings[i, number] = 0.0 if reading < sonar_blind else reading

        reward[i] = earned
        pose[i, 0], pose[i, 1], pose[i, 2] = x, y, heading
        previous[i, 0], previous[i, 1] = command[i, 0], command[i, 1]
        idle[i] = 0 if earned > 0.0 else idle[i] + 1
        moves[i] += driving
        blocks[i] += blocked
        draws[i] = draw + np.uint64(count + 1)


@njit(error_model="numpy", cache=True)
def place(world: World, state: State, key: Any, columns: Any, given: Any) -> None:
    """The first part of `envs.drivebot_world.begin`, for robots `columns` [C]: all of their state but the readings.

    The readings come from a `step` without a command, which draws the numbers that `begin` does; it leaves `idle` at 1.

    Args:
        world: the track and constants.
        state: written to.
        key: random streams [N].
        columns: which robots [C].
        given: where they begin [C, 3], or [0, 3] for a random place.
    """
    starts, circuit, circuit_near, grid = world.starts, world.circuit, world.circuit_near, world.grid
    pose, previous, arcs = state.pose, state.previous, state.arc
    for index in range(columns.shape[0]):
        i = columns[index]
        if given.shape[0] > 0:
            x, y, heading = given[index, 0], given[index, 1], given[index, 2]
        else:
            along = _uniform(key[i], np.uint64(0)) * world.starts_total
            which = 0
            while which + 1 < starts.shape[0] and starts[which + 1, 5] <= along:
                which += 1
            share = (along - starts[which, 5]) / starts[which, 6]
            x = starts[which, 0] + share * starts[which, 2]
            y = starts[which, 1] + share * starts[which, 3]
            heading = starts[which, 4]
            if not world.face_forward:
                heading = _uniform(key[i], np.uint64(1)) * (2 * math.pi) - math.pi
        pose[i, 0], pose[i, 1], pose[i, 2] = x, y, heading
        previous[i, 0], previous[i, 1] = 0.0, 0.0
        arcs[i] = 0.0
        if world.lap > 0.0:
            arcs[i] = _along_circuit(circuit, circuit_near, _cell(grid, x, y), x, y)
        state.progress[i] = 0.0
        state.idle[i] = state.moves[i] = state.blocked[i] = 0
        state.draws[i] = np.uint64(1)


@njit(error_model="numpy", cache=True)
def sample(
    image: Any,
    left: float,
    bottom: float,
    per_metre: float,
    pixel: float,
    facing: Any,
    columns: Any,
    mask: Any,
    robot: Any,
    out: Any,
    channel: int,
) -> None:
    """As `envs.drivebot_drawing.sample_arrays`."""
    size = mask.shape[0]
    last_row, last_column = image.shape[0] - 1, image.shape[1] - 1
    for c in columns:
        x, y, cosine, sine = facing[c, 0], facing[c, 1], facing[c, 2], facing[c, 3]
        for i in range(size):
            ahead = (0.5 * size - 0.5 - i) * pixel
            u0 = (x - left) + ahead * cosine
            v0 = (y - bottom) + ahead * sine
            for j in range(size):
                if mask[i, j]:
                    for k in range(3):
                        out[c, i, j, channel + k] = robot[i, j, k]
                    continue
                aside = (0.5 * size - 0.5 - j) * pixel
                column = min(max(int((u0 - aside * sine) * per_metre), 0), last_column)
                row = min(max(int((v0 + aside * cosine) * per_metre), 0), last_row)
                for k in range(3):
                    out[c, i, j, channel + k] = image[row, column, k]
