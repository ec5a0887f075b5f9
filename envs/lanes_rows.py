"""The rows of contacts, over lanes: along which directions they act, how these move and turn bodies, what is wanted.

In mass-weighted coordinates: changes of velocity are multiplied by the roots of the body's mass and of its moments of
inertia, the angular ones in the body's own frame, and a row is scaled to length one. A unit of impulse then changes
velocities by the row itself, which is also what velocities are weighed with to find the impulse.

A contact's row is an equation here, and takes several rows of memory, which hold a number of every lane. All that the
solver needs of as many lanes as a group has lies in one array, at places that are known beforehand: so the compiler
sees that no row is another, and vector instructions need no questions before them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from envs.compiled import compiled, inlined
from envs.lanes import ONE, STRIDE, WIDTH, ZERO, row_starts

SLOP = np.float32(1e-5)
"""Overlap (m) that is not pushed apart."""
PUSH_APART = np.float32(0.08)
"""Share of the overlap that a step takes away."""
RATE = np.float32(240)
"""Steps a second."""
_STEEP = np.float32(math.sqrt(0.5))

# Of either body: changes of its velocity, linear and angular, mass-weighted; the square of the largest change in this
# iteration, at contacts with the other the cart's alone; 1 where the body has not converged yet, and where it does so
# now; and its changes of velocity when it has converged.
VX, VY, VZ, WX, WY, WZ, WORST, OPEN, NOW, END = row_starts(0, 10)
CHANGES = np.uintp(6)
"""Components of a velocity."""
PROGRESS = np.uintp(15)
"""All these rows, which go on from iteration to iteration."""
# Its place, velocities and rotation matrix as they were, and how many contacts it has with the floor.
X, Y, Z, VX_BEFORE, VY_BEFORE, VZ_BEFORE, WX_BEFORE, WY_BEFORE, WZ_BEFORE = row_starts(15, 9)
R00, R01, R02, R10, R11, R12, R20, R21, R22, COUNT = row_starts(24, 10)
_BEFORE_FLOOR = 34
# A contact with the floor has three rows: up, along -y, along -x. One is made of the impulse wanted at first, and so
# far; its length before it was scaled; and what a unit of its impulse moves the body by, and turns it by.
WANT, IMPULSE, ROOT, SCALE, TX, TY, TZ = row_starts(0, 7)
LINE = np.uintp(7) * STRIDE
"""From one of them to the next."""
FLOOR_ROWS = 3 * 7
FLOOR = tuple(row_starts(_BEFORE_FLOOR, 4 * FLOOR_ROWS)[::FLOOR_ROWS])
FIRST_FLOOR, SECOND_FLOOR, THIRD_FLOOR, FOURTH_FLOOR = FLOOR
# Before it is prepared, its place and the gap there.
FLOOR_X, FLOOR_Y, FLOOR_Z, FLOOR_GAP = row_starts(0, 4)
_BODY_ROWS = _BEFORE_FLOOR + 4 * FLOOR_ROWS
CART, POLE = row_starts(0, 2 * _BODY_ROWS)[::_BODY_ROWS]

# Of both: 1 where they converge only together, the iterations left, and how many contacts they have with each other.
NEAR, LEFT, TOUCHING = row_starts(2 * _BODY_ROWS, 3)
OF_BOTH = np.uintp(2)
"""Of these, what goes on."""
_BEFORE_CONTACTS = 2 * _BODY_ROWS + 3
# Such a contact has three rows, too: each with its direction, and how it turns both.
DX, DY, DZ, TAX, TAY, TAZ, TBX, TBY, TBZ = row_starts(4, 9)
ROW = np.uintp(13) * STRIDE
"""From one of them to the next."""
CONTACT_ROWS = 3 * 13
CONTACTS = tuple(row_starts(_BEFORE_CONTACTS, 4 * CONTACT_ROWS)[::CONTACT_ROWS])
FIRST, SECOND, THIRD, FOURTH = CONTACTS
# Before it is prepared, its place on A and on B, the normal, and the gap there.
PX, PY, PZ, SX, SY, SZ, NX, NY, NZ, GAP = row_starts(0, 10)
GIVEN = 10
"""These rows."""
SIZE = (_BEFORE_CONTACTS + 4 * CONTACT_ROWS) * WIDTH
"""Numbers in all."""


@compiled
def prepare_floor(lanes: Any, rows: Any, roots: Any) -> None:
    """The rows of a body's contacts with the floor, from its velocity before any impulse."""
    for i in range(lanes):
        _prepare_floor(rows, i, FIRST_FLOOR, np.float32(0), roots)
        _prepare_floor(rows, i, SECOND_FLOOR, np.float32(1), roots)
        _prepare_floor(rows, i, THIRD_FLOOR, np.float32(2), roots)
        _prepare_floor(rows, i, FOURTH_FLOOR, np.float32(3), roots)


@inlined
def _prepare_floor(rows: Any, of: Any, contact: Any, k: Any, roots: Any) -> None:
    """The rows of contact `k` with the floor, from its place and gap."""
    at = of + contact
    here = k < rows[of + COUNT]
    x, y, z = rows[at + FLOOR_X] - rows[of + X], rows[at + FLOOR_Y] - rows[of + Y], rows[at + FLOOR_Z] - rows[of + Z]
    vx, vy, vz = rows[of + VX_BEFORE], rows[of + VY_BEFORE], rows[of + VZ_BEFORE]
    wx, wy, wz = rows[of + WX_BEFORE], rows[of + WY_BEFORE], rows[of + WZ_BEFORE]
    # What is wanted along the normal: to come no nearer than touching, and a little apart when too near.
    gap = rows[at + FLOOR_GAP] + SLOP
    wanted = -gap * (RATE if gap > ZERO else RATE * PUSH_APART)
    _floor_line(rows, at, of, roots, y, -x, ZERO, wanted - (vz + y * wx - x * wy), here)
    _floor_line(rows, at + LINE, of, roots, z, ZERO, -x, vy - (z * wx - x * wz), here)
    _floor_line(rows, at + LINE + LINE, of, roots, ZERO, -z, y, vx - (y * wz - z * wy), here)


@inlined
def _turned(rows: Any, of: Any, roots: Any, x: Any, y: Any, z: Any) -> Any:
    """A torque in the body's own frame, divided by the roots of its moments of inertia."""
    tx = roots[1] * (rows[of + R00] * x + rows[of + R10] * y + rows[of + R20] * z)
    ty = roots[2] * (rows[of + R01] * x + rows[of + R11] * y + rows[of + R21] * z)
    tz = roots[3] * (rows[of + R02] * x + rows[of + R12] * y + rows[of + R22] * z)
    return tx, ty, tz


@inlined
def _floor_line(rows: Any, at: Any, of: Any, roots: Any, x: Any, y: Any, z: Any, velocity: Any, here: Any) -> None:
    """Fills a row from its lever arm and the velocity wanted along it."""
    tx, ty, tz = _turned(rows, of, roots, x, y, z)
    root = math.sqrt(roots[0] * roots[0] + tx * tx + ty * ty + tz * tz)
    scale = ONE / root if here else ZERO
    rows[at + TX], rows[at + TY], rows[at + TZ] = tx * scale, ty * scale, tz * scale
    rows[at + WANT], rows[at + IMPULSE] = velocity * scale, ZERO
    rows[at + ROOT], rows[at + SCALE] = root, roots[0] * scale


@compiled
def prepare_contacts(lanes: Any, rows: Any, roots: Any) -> None:
    """The rows of contacts between the bodies, from their velocities before any impulse.

    `lanes` has how many are to be looked at for a first, second, third and fourth one.
    """
    for i in range(lanes[0]):
        _prepare_contact(rows, i, FIRST, np.float32(0), roots)
    for i in range(lanes[1]):
        _prepare_contact(rows, i, SECOND, np.float32(1), roots)
    for i in range(lanes[2]):
        _prepare_contact(rows, i, THIRD, np.float32(2), roots)
    for i in range(lanes[3]):
        _prepare_contact(rows, i, FOURTH, np.float32(3), roots)


@inlined
def _prepare_contact(rows: Any, i: Any, contact: Any, k: Any, roots: Any) -> None:
    """The rows of contact `k`, from its place, normal and gap."""
    at, a, b = i + contact, i + CART, i + POLE
    here = k < rows[i + TOUCHING]
    nx, ny, nz = rows[at + NX], rows[at + NY], rows[at + NZ]
    # Along the normal: to come no nearer than touching, and a little apart when too near.
    gap = rows[at + GAP] + SLOP
    wanted = -gap * (RATE if gap > ZERO else RATE * PUSH_APART)
    on_a = rows[at + PX] - rows[a + X], rows[at + PY] - rows[a + Y], rows[at + PZ] - rows[a + Z]
    on_b = rows[at + SX] - rows[b + X], rows[at + SY] - rows[b + Y], rows[at + SZ] - rows[b + Z]
    # Two directions across the normal, by whichever two of its components are safe to divide by.
    steep = abs(nz) > _STEEP
    square = ny * ny + nz * nz if steep else nx * nx + ny * ny
    scale = ONE / math.sqrt(square if square > ZERO else ONE)
    px = ZERO if steep else -ny * scale
    py = -nz * scale if steep else nx * scale
    pz = ny * scale if steep else ZERO
    qx, qy, qz = ny * pz - nz * py, nz * px - nx * pz, nx * py - ny * px
    _contact_row(rows, at, a, b, roots, nx, ny, nz, on_a, on_b, wanted, here)
    _contact_row(rows, at + ROW, a, b, roots, px, py, pz, on_a, on_b, ZERO, here)
    _contact_row(rows, at + ROW + ROW, a, b, roots, qx, qy, qz, on_a, on_b, ZERO, here)


@inlined
def _contact_row(
    rows: Any,
    at: Any,
    a: Any,
    b: Any,
    roots: Any,
    dx: Any,
    dy: Any,
    dz: Any,
    on_a: Any,
    on_b: Any,
    wanted: Any,
    here: Any,
) -> None:
    """Fills a row from its direction: the contact's place seen from both centres, turned into it; B is pushed away."""
    x, y, z = on_a
    ax, ay, az = y * dz - z * dy, z * dx - x * dz, x * dy - y * dx
    x, y, z = on_b
    bx, by, bz = z * dy - y * dz, x * dz - z * dx, y * dx - x * dy
    linear = dx * (rows[a + VX_BEFORE] - rows[b + VX_BEFORE])
    linear += dy * (rows[a + VY_BEFORE] - rows[b + VY_BEFORE]) + dz * (rows[a + VZ_BEFORE] - rows[b + VZ_BEFORE])
    of_a = ax * rows[a + WX_BEFORE] + ay * rows[a + WY_BEFORE] + az * rows[a + WZ_BEFORE]
    of_b = bx * rows[b + WX_BEFORE] + by * rows[b + WY_BEFORE] + bz * rows[b + WZ_BEFORE]
    tax, tay, taz = _turned(rows, a, roots[0], ax, ay, az)
    tbx, tby, tbz = _turned(rows, b, roots[1], bx, by, bz)
    square = (dx * dx + dy * dy + dz * dz) * (roots[0][0] * roots[0][0] + roots[1][0] * roots[1][0])
    square += tax * tax + tay * tay + taz * taz + tbx * tbx + tby * tby + tbz * tbz
    root = math.sqrt(square if square > ZERO else ONE)
    scale = ONE / root if here else ZERO
    rows[at + DX], rows[at + DY], rows[at + DZ] = dx * scale, dy * scale, dz * scale
    rows[at + TAX], rows[at + TAY], rows[at + TAZ] = tax * scale, tay * scale, taz * scale
    rows[at + TBX], rows[at + TBY], rows[at + TBZ] = tbx * scale, tby * scale, tbz * scale
    rows[at + WANT], rows[at + IMPULSE] = (wanted - (linear + of_a + of_b)) * scale, ZERO
    rows[at + ROOT], rows[at + SCALE] = root, scale
