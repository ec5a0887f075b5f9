"""Which points of boxes touch: the cart and the pole against the floor and each other, over lanes.

As Bullet's btBoxBoxDetector finds them (after R. Smith's Open Dynamics Engine): the axis along which two boxes overlap
least gives the normal, and the face of one box, clipped by the face of the other, gives the points.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from envs import lanes as row
from envs.compiled import compiled, inlined
from envs.lanes import ONE, SLOTS, WIDTH, ZERO

FUDGE_EDGES = np.float32(1.05)
"""Contacts of two edges must be this much better than those of a face."""
FUDGE_PARALLEL = np.float32(1e-5)
"""Keeps products of nearly parallel edges from separating boxes."""
TINY = np.float32(1e-7)
NEAR = np.float32(0.04)
"""Bodies as near as this along x, y and z (m) are solved for together, whether they touch or not."""

# Rows of an incident face: its centre and the vectors to the middles of two of its edges.
_CX, _CY, _CZ, _EX, _EY, _EZ, _GX, _GY, _GZ = (np.uintp(WIDTH * number) for number in range(9))
FACE_ROWS = 9


@compiled
def incident_face(lanes: Any, body: Any, half: Any, towards: Any, face: Any) -> None:
    """The face of a box that looks most against the direction in the first three rows of `towards`."""
    hx, hy, hz = half[0], half[1], half[2]
    for i in range(lanes):
        nx, ny, nz = towards[row.TOWARDS_X + i], towards[row.TOWARDS_Y + i], towards[row.TOWARDS_Z + i]
        r00, r01, r02 = body[row.R00 + i], body[row.R01 + i], body[row.R02 + i]
        r10, r11, r12 = body[row.R10 + i], body[row.R11 + i], body[row.R12 + i]
        r20, r21, r22 = body[row.R20 + i], body[row.R21 + i], body[row.R22 + i]
        a0, a1, a2 = r00 * nx + r10 * ny + r20 * nz, r01 * nx + r11 * ny + r21 * nz, r02 * nx + r12 * ny + r22 * nz
        first = (abs(a0) >= abs(a1)) & (abs(a0) > abs(a2))
        second = (abs(a1) > abs(a0)) & (abs(a1) > abs(a2))
        along = a0 if first else (a1 if second else a2)
        reach = hx if first else (hy if second else hz)
        reach = reach if along < ZERO else -reach
        face[_CX + i] = body[row.X + i] + reach * (r00 if first else (r01 if second else r02))
        face[_CY + i] = body[row.Y + i] + reach * (r10 if first else (r11 if second else r12))
        face[_CZ + i] = body[row.Z + i] + reach * (r20 if first else (r21 if second else r22))
        edge, side = hy if first else hx, hz if first | second else hy
        face[_EX + i] = edge * (r01 if first else r00)
        face[_EY + i] = edge * (r11 if first else r10)
        face[_EZ + i] = edge * (r21 if first else r20)
        face[_GX + i] = side * (r02 if first | second else r01)
        face[_GY + i] = side * (r12 if first | second else r11)
        face[_GZ + i] = side * (r22 if first | second else r21)


@compiled
def find_on_floor(lanes: Any, body: Any, half: Any, height: Any, face: Any, found: Any) -> None:
    """Corners of a box below the floor, a plane at `height` (m): the ground is so wide that no other axis matters."""
    for i in range(lanes):
        found[row.TOWARDS_X + i] = ZERO
        found[row.TOWARDS_Y + i] = ZERO
        found[row.TOWARDS_Z + i] = ONE
    incident_face(lanes, body, half, found, face)
    for j in range(SLOTS):
        _corner_on_floor(lanes, height, face, j, found)
    for i in range(lanes):
        found[row.TOWARDS_Z + i] = -ONE


@compiled
def _corner_on_floor(lanes: Any, height: Any, face: Any, j: Any, found: Any) -> None:
    """Corner `j` of a face against the floor."""
    point = j * row.POINT
    e, g = _corner(j)
    for i in range(lanes):
        z = face[_CZ + i] + e * face[_EZ + i] + g * face[_GZ + i]
        found[point + row.FX + i] = face[_CX + i] + e * face[_EX + i] + g * face[_GX + i]
        found[point + row.FY + i] = face[_CY + i] + e * face[_EY + i] + g * face[_GY + i]
        found[point + row.FZ + i] = z
        found[point + row.DEPTH + i] = height - z
        found[point + row.FOUND + i] = ONE if height >= z else ZERO


@inlined
def _corner(j: Any) -> Any:
    """Signs of the edge vectors at corner `j`, around the face."""
    return (-ONE if j < np.uintp(2) else ONE), (ONE if (j == np.uintp(1)) | (j == np.uintp(2)) else -ONE)


# Which axis separates best: its number (1 to 3: A's, 4 to 6: B's, 7 to 15: products of edges; 0: the boxes are apart),
# 1 where it points from B to A, and by how much the boxes overlap along it.
_CODE, _FLIP, _GAP = (np.uintp(WIDTH * number) for number in range(3))
AXIS_ROWS = 3


@inlined
def _by_face(best: Any, code: Any, flip: Any, apart: Any, along: Any, reach: Any, number: Any) -> Any:
    gap = abs(along) - reach
    better = gap > best
    return (
        gap if better else best,
        number if better else code,
        (ONE if along < ZERO else ZERO) if better else flip,
        apart | (gap > ZERO),
    )


@inlined
def _by_edges(best: Any, code: Any, flip: Any, apart: Any, along: Any, reach: Any, p: Any, q: Any, number: Any) -> Any:
    gap = abs(along) - reach
    length = math.sqrt(p * p + q * q)
    apart = apart | (gap > TINY)
    gap = gap / (length if length > TINY else ONE)
    better = (length > TINY) & (gap * FUDGE_EDGES > best)
    return (
        gap if better else best,
        number if better else code,
        (ONE if along < ZERO else ZERO) if better else flip,
        apart,
    )


@compiled
def separating_axis(lanes: Any, a: Any, half_a: Any, b: Any, half_b: Any, axis: Any) -> None:
    """The axis along which boxes A and B overlap least, of the fifteen that can separate them."""
    ax, ay, az = half_a[0], half_a[1], half_a[2]
    bx, by, bz = half_b[0], half_b[1], half_b[2]
    for i in range(lanes):
        a00, a01, a02 = a[row.R00 + i], a[row.R01 + i], a[row.R02 + i]
        a10, a11, a12 = a[row.R10 + i], a[row.R11 + i], a[row.R12 + i]
        a20, a21, a22 = a[row.R20 + i], a[row.R21 + i], a[row.R22 + i]
        b00, b01, b02 = b[row.R00 + i], b[row.R01 + i], b[row.R02 + i]
        b10, b11, b12 = b[row.R10 + i], b[row.R11 + i], b[row.R12 + i]
        b20, b21, b22 = b[row.R20 + i], b[row.R21 + i], b[row.R22 + i]
        px, py, pz = b[row.X + i] - a[row.X + i], b[row.Y + i] - a[row.Y + i], b[row.Z + i] - a[row.Z + i]
        # B's centre and axes, seen from A.
        p0, p1, p2 = a00 * px + a10 * py + a20 * pz, a01 * px + a11 * py + a21 * pz, a02 * px + a12 * py + a22 * pz
        r00, r01, r02 = (
            a00 * b00 + a10 * b10 + a20 * b20,
            a00 * b01 + a10 * b11 + a20 * b21,
            a00 * b02 + a10 * b12 + a20 * b22,
        )
        r10, r11, r12 = (
            a01 * b00 + a11 * b10 + a21 * b20,
            a01 * b01 + a11 * b11 + a21 * b21,
            a01 * b02 + a11 * b12 + a21 * b22,
        )
        r20, r21, r22 = (
            a02 * b00 + a12 * b10 + a22 * b20,
            a02 * b01 + a12 * b11 + a22 * b21,
            a02 * b02 + a12 * b12 + a22 * b22,
        )
        q00, q01, q02, q10, q11, q12, q20, q21, q22 = (
            abs(r00),
            abs(r01),
            abs(r02),
            abs(r10),
            abs(r11),
            abs(r12),
            abs(r20),
            abs(r21),
            abs(r22),
        )
        s, code, flip, apart = np.float32(-1e30), ZERO, ZERO, False
        s, code, flip, apart = _by_face(s, code, flip, apart, p0, ax + bx * q00 + by * q01 + bz * q02, np.float32(1))
        s, code, flip, apart = _by_face(s, code, flip, apart, p1, ay + bx * q10 + by * q11 + bz * q12, np.float32(2))
        s, code, flip, apart = _by_face(s, code, flip, apart, p2, az + bx * q20 + by * q21 + bz * q22, np.float32(3))
        t0, t1, t2 = b00 * px + b10 * py + b20 * pz, b01 * px + b11 * py + b21 * pz, b02 * px + b12 * py + b22 * pz
        s, code, flip, apart = _by_face(s, code, flip, apart, t0, ax * q00 + ay * q10 + az * q20 + bx, np.float32(4))
        s, code, flip, apart = _by_face(s, code, flip, apart, t1, ax * q01 + ay * q11 + az * q21 + by, np.float32(5))
        s, code, flip, apart = _by_face(s, code, flip, apart, t2, ax * q02 + ay * q12 + az * q22 + bz, np.float32(6))
        q00, q01, q02 = q00 + FUDGE_PARALLEL, q01 + FUDGE_PARALLEL, q02 + FUDGE_PARALLEL
        q10, q11, q12 = q10 + FUDGE_PARALLEL, q11 + FUDGE_PARALLEL, q12 + FUDGE_PARALLEL
        q20, q21, q22 = q20 + FUDGE_PARALLEL, q21 + FUDGE_PARALLEL, q22 + FUDGE_PARALLEL
        reach = ay * q20 + az * q10 + by * q02 + bz * q01
        s, code, flip, apart = _by_edges(s, code, flip, apart, p2 * r10 - p1 * r20, reach, r20, r10, np.float32(7))
        reach = ay * q21 + az * q11 + bx * q02 + bz * q00
        s, code, flip, apart = _by_edges(s, code, flip, apart, p2 * r11 - p1 * r21, reach, r21, r11, np.float32(8))
        reach = ay * q22 + az * q12 + bx * q01 + by * q00
        s, code, flip, apart = _by_edges(s, code, flip, apart, p2 * r12 - p1 * r22, reach, r22, r12, np.float32(9))
        reach = ax * q20 + az * q00 + by * q12 + bz * q11
        s, code, flip, apart = _by_edges(s, code, flip, apart, p0 * r20 - p2 * r00, reach, r20, r00, np.float32(10))
        reach = ax * q21 + az * q01 + bx * q12 + bz * q10
        s, code, flip, apart = _by_edges(s, code, flip, apart, p0 * r21 - p2 * r01, reach, r21, r01, np.float32(11))
        reach = ax * q22 + az * q02 + bx * q11 + by * q10
        s, code, flip, apart = _by_edges(s, code, flip, apart, p0 * r22 - p2 * r02, reach, r22, r02, np.float32(12))
        reach = ax * q10 + ay * q00 + by * q22 + bz * q21
        s, code, flip, apart = _by_edges(s, code, flip, apart, p1 * r00 - p0 * r10, reach, r10, r00, np.float32(13))
        reach = ax * q11 + ay * q01 + bx * q22 + bz * q20
        s, code, flip, apart = _by_edges(s, code, flip, apart, p1 * r01 - p0 * r11, reach, r11, r01, np.float32(14))
        reach = ax * q12 + ay * q02 + bx * q21 + by * q20
        s, code, flip, apart = _by_edges(s, code, flip, apart, p1 * r02 - p0 * r12, reach, r12, r02, np.float32(15))
        axis[_CODE + i] = ZERO if apart else code
        axis[_FLIP + i] = flip
        axis[_GAP + i] = s


@compiled
def find_near(lanes: Any, a: Any, half_a: Any, b: Any, half_b: Any, near: Any) -> None:
    """Marks lanes where the upright boxes around A and B overlap, grown by what counts as near: Bullet's islands."""
    for i in range(lanes):
        x = abs(a[row.X + i] - b[row.X + i])
        y = abs(a[row.Y + i] - b[row.Y + i])
        z = abs(a[row.Z + i] - b[row.Z + i])
        wide = abs(a[row.R00 + i]) * half_a[0] + abs(a[row.R01 + i]) * half_a[1] + abs(a[row.R02 + i]) * half_a[2]
        wide += abs(b[row.R00 + i]) * half_b[0] + abs(b[row.R01 + i]) * half_b[1] + abs(b[row.R02 + i]) * half_b[2]
        deep = abs(a[row.R10 + i]) * half_a[0] + abs(a[row.R11 + i]) * half_a[1] + abs(a[row.R12 + i]) * half_a[2]
        deep += abs(b[row.R10 + i]) * half_b[0] + abs(b[row.R11 + i]) * half_b[1] + abs(b[row.R12 + i]) * half_b[2]
        high = abs(a[row.R20 + i]) * half_a[0] + abs(a[row.R21 + i]) * half_a[1] + abs(a[row.R22 + i]) * half_a[2]
        high += abs(b[row.R20 + i]) * half_b[0] + abs(b[row.R21 + i]) * half_b[1] + abs(b[row.R22 + i]) * half_b[2]
        near[i] = ONE if (x < wide + NEAR) & (y < deep + NEAR) & (z < high + NEAR) else ZERO


@compiled
def find_on_top(
    lanes: Any, a: Any, half_a: Any, b: Any, half_b: Any, axis: Any, face: Any, found: Any, aside: Any
) -> int:
    """Where B stands upon the upper face of A, within its edges; `aside` [lanes] is 1 where it is something else.

    Returns how many lanes are aside: they take the long way of `find_between`.
    """
    for i in range(lanes):
        found[row.TOWARDS_X + i] = a[row.R02 + i]
        found[row.TOWARDS_Y + i] = a[row.R12 + i]
        found[row.TOWARDS_Z + i] = a[row.R22 + i]
        upon = (axis[_CODE + i] == np.float32(3)) & (axis[_FLIP + i] == ZERO)
        aside[i] = ZERO if upon | (axis[_CODE + i] == ZERO) else ONE
    incident_face(lanes, b, half_b, found, face)
    for j in range(SLOTS):
        _corner_on_top(lanes, a, half_a, axis, face, j, found, aside)
    others = 0
    for i in range(lanes):
        found[row.TOWARDS_X + i] = -found[row.TOWARDS_X + i]
        found[row.TOWARDS_Y + i] = -found[row.TOWARDS_Y + i]
        found[row.TOWARDS_Z + i] = -found[row.TOWARDS_Z + i]
        others += 1 if aside[i] > ZERO else 0
    return others


@compiled
def _corner_on_top(lanes: Any, a: Any, half_a: Any, axis: Any, face: Any, j: Any, found: Any, aside: Any) -> None:
    """Corner `j` of a face against the upper face of A."""
    point = j * row.POINT
    e, g = _corner(j)
    for i in range(lanes):
        x = face[_CX + i] + e * face[_EX + i] + g * face[_GX + i]
        y = face[_CY + i] + e * face[_EY + i] + g * face[_GY + i]
        z = face[_CZ + i] + e * face[_EZ + i] + g * face[_GZ + i]
        dx, dy, dz = x - a[row.X + i], y - a[row.Y + i], z - a[row.Z + i]
        ahead = a[row.R00 + i] * dx + a[row.R10 + i] * dy + a[row.R20 + i] * dz
        beside = a[row.R01 + i] * dx + a[row.R11 + i] * dy + a[row.R21 + i] * dz
        above = a[row.R02 + i] * dx + a[row.R12 + i] * dy + a[row.R22 + i] * dz
        within = (abs(ahead) < half_a[0]) & (abs(beside) < half_a[1])
        before, code = aside[i], axis[_CODE + i]
        aside[i] = before if within | (code == ZERO) else ONE
        depth = half_a[2] - above
        found[point + row.FX + i] = x
        found[point + row.FY + i] = y
        found[point + row.FZ + i] = z
        found[point + row.DEPTH + i] = depth
        found[point + row.FOUND + i] = ONE if (depth >= ZERO) & (code != ZERO) else ZERO


@compiled
def find_between(a: Any, half_a: Any, b: Any, half_b: Any, axis: Any, found: Any, i: Any) -> None:
    """Contacts of lane `i` in any position of the boxes: a face clipped by the other's, or two edges that cross."""
    turned_a, turned_b = _rotation(a, i), _rotation(b, i)
    at_a = np.array([a[row.X + i], a[row.Y + i], a[row.Z + i]])
    at_b = np.array([b[row.X + i], b[row.Y + i], b[row.Z + i]])
    code = int(axis[_CODE + i])
    if code <= 3:
        normal = turned_a[:, code - 1].copy()
    elif code <= 6:
        normal = turned_b[:, code - 4].copy()
    else:
        normal = np.cross(turned_a[:, (code - 7) // 3], turned_b[:, (code - 7) % 3])
        normal /= math.sqrt(normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2])
    if axis[_FLIP + i] != ZERO:
        normal = -normal
    found[row.TOWARDS_X + i], found[row.TOWARDS_Y + i], found[row.TOWARDS_Z + i] = -normal[0], -normal[1], -normal[2]
    for j in range(SLOTS):
        found[j * row.POINT + row.FOUND + i] = ZERO
    if code > 6:
        on_b = _crossing(at_a, turned_a, half_a, at_b, turned_b, half_b, normal, code - 7)
        _note(found, np.uintp(0), i, on_b, -axis[_GAP + i])
    elif code <= 3:
        _clipped_face(at_a, turned_a, half_a, code - 1, normal, at_b, turned_b, half_b, False, found, i)
    else:
        _clipped_face(at_b, turned_b, half_b, code - 4, -normal, at_a, turned_a, half_a, True, found, i)


@compiled
def _rotation(body: Any, i: Any) -> Any:
    matrix = np.empty((3, 3), body.dtype)
    matrix[0, 0], matrix[0, 1], matrix[0, 2] = body[row.R00 + i], body[row.R01 + i], body[row.R02 + i]
    matrix[1, 0], matrix[1, 1], matrix[1, 2] = body[row.R10 + i], body[row.R11 + i], body[row.R12 + i]
    matrix[2, 0], matrix[2, 1], matrix[2, 2] = body[row.R20 + i], body[row.R21 + i], body[row.R22 + i]
    return matrix


@compiled
def _note(found: Any, j: Any, i: Any, place: Any, depth: Any) -> None:
    point = j * row.POINT + i
    found[point + row.FOUND] = ONE
    found[point + row.FX], found[point + row.FY], found[point + row.FZ] = place[0], place[1], place[2]
    found[point + row.DEPTH] = depth


@compiled
def _dot(p: Any, q: Any) -> Any:
    return p[0] * q[0] + p[1] * q[1] + p[2] * q[2]


@compiled
def _crossing(
    at_a: Any, turned_a: Any, half_a: Any, at_b: Any, turned_b: Any, half_b: Any, normal: Any, pair: int
) -> Any:
    """The point on the edge of B that is nearest to the edge of A which it crosses."""
    on_a, on_b = at_a.copy(), at_b.copy()
    for k in range(3):
        on_a += turned_a[:, k] * (half_a[k] if _dot(normal, turned_a[:, k]) > ZERO else -half_a[k])
        on_b += turned_b[:, k] * (-half_b[k] if _dot(normal, turned_b[:, k]) > ZERO else half_b[k])
    along_a, along_b = turned_a[:, pair // 3], turned_b[:, pair % 3]
    between = on_b - on_a
    cosine = _dot(along_a, along_b)
    square = ONE - cosine * cosine
    if square <= np.float32(1e-4):
        return on_b
    return on_b + along_b * ((cosine * _dot(along_a, between) - _dot(along_b, between)) / square)


@compiled
def _clipped_face(
    at: Any,
    turned: Any,
    half: Any,
    number: int,
    outward: Any,
    other_at: Any,
    other_turned: Any,
    other_half: Any,
    on_reference: bool,
    found: Any,
    i: Any,
) -> None:
    """Points of another box's face behind face `number` of a box, whose outward normal is given, within its edges."""
    along = np.array([_dot(outward, other_turned[:, k]) for k in range(3)])
    if abs(along[1]) > abs(along[0]):
        facing = 1 if abs(along[1]) > abs(along[2]) else 2
    else:
        facing = 0 if abs(along[0]) > abs(along[2]) else 2
    first, second = (1, 2) if facing == 0 else ((0, 2) if facing == 1 else (0, 1))
    u, v = (1, 2) if number == 0 else ((0, 2) if number == 1 else (0, 1))
    reach = other_half[facing] if along[facing] < ZERO else -other_half[facing]
    centre = other_at - at + reach * other_turned[:, facing]
    edge, side = other_half[first] * other_turned[:, first], other_half[second] * other_turned[:, second]
    corners = np.empty((4, 3), at.dtype)
    corners[0], corners[1] = centre - edge - side, centre - edge + side
    corners[2], corners[3] = centre + edge + side, centre + edge - side
    # Corners in the plane of the reference face, and how far along its normal.
    polygon = np.empty((16, 3), at.dtype)
    for k in range(4):
        polygon[k, 0], polygon[k, 1] = _dot(corners[k], turned[:, u]), _dot(corners[k], turned[:, v])
        polygon[k, 2] = _dot(corners[k], outward)
    count = _clip(polygon, half[u], half[v])
    kept = 0
    for k in range(count):
        if half[number] - polygon[k, 2] >= ZERO:
            polygon[kept] = polygon[k]
            kept += 1
    chosen = _spread(polygon, kept, half[number])
    for j in range(min(kept, 4)):
        x, y, height = polygon[chosen[j]]
        depth = half[number] - height
        place = at + x * turned[:, u] + y * turned[:, v] + height * outward
        if on_reference:
            place = place + depth * outward  # the point on B, which here is the box whose face it is
        _note(found, np.uintp(j), i, place, depth)


@compiled
def _clip(polygon: Any, wide: Any, high: Any) -> int:
    """Clips a polygon [corner, (x, y, height)] to |x| < wide, |y| < high, in place; returns how many corners remain.

    Sutherland and Hodgman (1974), one side of the rectangle after the other, at most eight corners.
    """
    count = 4
    before = np.empty_like(polygon)
    for direction in range(2):
        limit = wide if direction == 0 else high
        for sign in (-ONE, ONE):
            before[:count] = polygon[:count]
            total, count = count, 0
            for k in range(total):
                this, following = before[k], before[(k + 1) % total]
                inside, next_inside = sign * this[direction] < limit, sign * following[direction] < limit
                if inside:
                    polygon[count] = this
                    count += 1
                if inside != next_inside and count < 8:
                    share = (sign * limit - this[direction]) / (following[direction] - this[direction])
                    polygon[count] = this + share * (following - this)
                    polygon[count, direction] = sign * limit
                    count += 1
                if count == 8:
                    return count
    return count


@compiled
def _spread(polygon: Any, count: int, reach: Any) -> Any:
    """Four corners of a polygon: the deepest, and those nearest to right angles from it about the centroid."""
    chosen = np.arange(4)
    if count <= 4:
        return chosen
    area, cx, cy = ZERO, ZERO, ZERO
    for k in range(count):
        x, y = polygon[k, 0], polygon[k, 1]
        x2, y2 = polygon[(k + 1) % count, 0], polygon[(k + 1) % count, 1]
        cross = x * y2 - x2 * y
        area += cross
        cx += cross * (x + x2)
        cy += cross * (y + y2)
    scale = ONE / (np.float32(3) * area) if abs(area) > TINY * TINY else np.float32(1e18)
    cx, cy = cx * scale, cy * scale
    angle = np.empty(8, polygon.dtype)
    free = np.ones(8, np.bool_)
    deepest = 0
    for k in range(count):
        angle[k] = math.atan2(polygon[k, 1] - cy, polygon[k, 0] - cx)
        if polygon[k, 2] < polygon[deepest, 2]:
            deepest = k
    chosen[0] = deepest
    free[deepest] = False
    for j in range(1, 4):
        wanted = angle[deepest] + np.float32(j * (math.pi / 2))
        wanted = wanted - np.float32(2 * math.pi) if wanted > np.float32(math.pi) else wanted
        nearest = np.float32(1e9)
        chosen[j] = deepest
        for k in range(count):
            if free[k]:
                off = abs(angle[k] - wanted)
                off = np.float32(2 * math.pi) - off if off > np.float32(math.pi) else off
                if off < nearest:
                    nearest = off
                    chosen[j] = k
        free[chosen[j]] = False
    return chosen
