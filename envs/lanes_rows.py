"""The rows of contacts, over lanes: along which directions they act, how these move and turn bodies, what is wanted.

In mass-weighted coordinates: changes of velocity are multiplied by the roots of the body's mass and of its moments of
inertia, the angular ones in the body's own frame, and a row is scaled to length one. A unit of impulse then changes
velocities by the row itself, which is also what velocities are weighed with to find the impulse.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from envs import lanes as row
from envs.compiled import compiled, inlined
from envs.lanes import ONE, SLOTS, WIDTH, ZERO

SLOP = np.float32(1e-5)
"""Overlap (m) that is not pushed apart."""
PUSH_APART = np.float32(0.08)
"""Share of the overlap that a step takes away."""
RATE = np.float32(240)
"""Steps a second."""
_STEEP = np.float32(math.sqrt(0.5))

# What a row is made of: the impulse wanted at first, and so far; the row's length before it was scaled; what a unit of
# its impulse is worth (with the floor: what it moves the body by); and what it turns the body by.
WANT, IMPULSE, ROOT, SCALE, TX, TY, TZ = (np.uintp(WIDTH * number) for number in range(7))
LINE = np.uintp(7 * WIDTH)
_LINES = np.uintp(3)
# A contact with the floor has three: up, along -y, along -x.
_FLOOR_CONTACT = 3 * 7
FIRST, SECOND, THIRD, FOURTH = (np.uintp(number * _FLOOR_CONTACT * WIDTH) for number in range(4))
FLOOR_ROWS = 4 * _FLOOR_CONTACT

# One between two bodies: the direction, and how both are turned.
DX, DY, DZ, TAX, TAY, TAZ, TBX, TBY, TBZ = (np.uintp(WIDTH * (4 + number)) for number in range(9))
ROW = np.uintp(13 * WIDTH)
_CONTACT_ROWS = 3 * 13
CONTACT = np.uintp(_CONTACT_ROWS * WIDTH)
# Contacts between two bodies come in pairs: how much less is wanted of the second's rows for a unit of impulse in the
# first's. So the two need not wait for each other.
NORMAL_BY_NORMAL, THIRD_BY_FIRST, THIRD_BY_SECOND, FOURTH_BY_FIRST, FOURTH_BY_SECOND = (
    np.uintp((2 * _CONTACT_ROWS + number) * WIDTH) for number in range(5)
)
_PAIR_ROWS = 2 * _CONTACT_ROWS + 5
PAIR = np.uintp(_PAIR_ROWS * WIDTH)
TWO_CONTACTS = np.uintp(2)
PAIRS_ROWS = 2 * _PAIR_ROWS


@compiled
def prepare_floor(lanes: Any, manifold: Any, body: Any, roots: Any, floor: Any) -> None:
    """The rows of a body's contacts with the floor, from its velocity before any impulse."""
    for k in range(SLOTS):
        slot, contact = k * row.SLOT, k * SECOND
        for i in range(lanes):
            here = np.float32(k) < manifold[row.COUNT + i]
            x = manifold[slot + row.SX + i] - body[row.X + i]
            y = manifold[slot + row.SY + i] - body[row.Y + i]
            z = manifold[slot + row.SZ + i] - body[row.Z + i]
            vx, vy, vz = body[row.VX + i], body[row.VY + i], body[row.VZ + i]
            wx, wy, wz = body[row.WX + i], body[row.WY + i], body[row.WZ + i]
            # What is wanted along the normal: to come no nearer than touching, and a little apart when too near.
            gap = manifold[slot + row.GAP + i] + SLOP
            wanted = -gap * (RATE if gap > ZERO else RATE * PUSH_APART)
            _floor_line(floor, contact, body, roots, i, y, -x, ZERO, wanted - (vz + y * wx - x * wy), here)
            _floor_line(floor, contact + LINE, body, roots, i, z, ZERO, -x, vy - (z * wx - x * wz), here)
            _floor_line(floor, contact + LINE + LINE, body, roots, i, ZERO, -z, y, vx - (y * wz - z * wy), here)


@inlined
def _turned(body: Any, roots: Any, x: Any, y: Any, z: Any, i: Any) -> Any:
    """A torque in the body's own frame, divided by the roots of its moments of inertia."""
    tx = roots[1] * (body[row.R00 + i] * x + body[row.R10 + i] * y + body[row.R20 + i] * z)
    ty = roots[2] * (body[row.R01 + i] * x + body[row.R11 + i] * y + body[row.R21 + i] * z)
    tz = roots[3] * (body[row.R02 + i] * x + body[row.R12 + i] * y + body[row.R22 + i] * z)
    return tx, ty, tz


@inlined
def _floor_line(
    floor: Any, at: Any, body: Any, roots: Any, i: Any, x: Any, y: Any, z: Any, velocity: Any, here: Any
) -> None:
    """Fills a row from its lever arm and the velocity wanted along it."""
    tx, ty, tz = _turned(body, roots, x, y, z, i)
    root = math.sqrt(roots[0] * roots[0] + tx * tx + ty * ty + tz * tz)
    scale = ONE / root if here else ZERO
    floor[at + TX + i], floor[at + TY + i], floor[at + TZ + i] = tx * scale, ty * scale, tz * scale
    floor[at + WANT + i], floor[at + IMPULSE + i] = velocity * scale, ZERO
    floor[at + ROOT + i], floor[at + SCALE + i] = root, roots[0] * scale


@compiled
def prepare_contacts(
    lanes: Any, manifold: Any, pairs: Any, a: Any, b: Any, roots_a: Any, roots_b: Any, contacts: Any
) -> None:
    """The rows of contacts between two bodies, from their velocities before any impulse."""
    for k in range(TWO_CONTACTS * pairs):
        pair = (k // TWO_CONTACTS) * PAIR
        slot, contact = k * row.SLOT, pair + (k % TWO_CONTACTS) * CONTACT
        _directions(lanes, manifold, slot, contacts, contact)
        for line in range(_LINES):
            at = contact + line * ROW
            _fill(lanes, manifold, slot, np.float32(k), a, b, roots_a, roots_b, contacts, at)
        for i in range(lanes):
            # Along the normal: to come no nearer than touching, and a little apart when too near.
            gap = manifold[slot + row.GAP + i] + SLOP
            wanted = -gap * (RATE if gap > ZERO else RATE * PUSH_APART)
            contacts[contact + WANT + i] += wanted * contacts[contact + SCALE + i]
    for pair in range(pairs):
        _couple(lanes, contacts, pair * PAIR, roots_a[0] * roots_a[0] + roots_b[0] * roots_b[0])


@compiled
def _directions(lanes: Any, manifold: Any, slot: Any, contacts: Any, at: Any) -> None:
    """The normal, and two directions across it by whichever two of its components are safe to divide by."""
    first, second = at + ROW, at + ROW + ROW
    for i in range(lanes):
        nx, ny, nz = manifold[slot + row.NX + i], manifold[slot + row.NY + i], manifold[slot + row.NZ + i]
        steep = abs(nz) > _STEEP
        square = ny * ny + nz * nz if steep else nx * nx + ny * ny
        scale = ONE / math.sqrt(square if square > ZERO else ONE)
        px = ZERO if steep else -ny * scale
        py = -nz * scale if steep else nx * scale
        pz = ny * scale if steep else ZERO
        contacts[at + DX + i], contacts[at + DY + i], contacts[at + DZ + i] = nx, ny, nz
        contacts[first + DX + i], contacts[first + DY + i], contacts[first + DZ + i] = px, py, pz
        contacts[second + DX + i] = ny * pz - nz * py
        contacts[second + DY + i] = nz * px - nx * pz
        contacts[second + DZ + i] = nx * py - ny * px


@compiled
def _fill(
    lanes: Any, manifold: Any, slot: Any, k: Any, a: Any, b: Any, roots_a: Any, roots_b: Any, contacts: Any, at: Any
) -> None:
    """Fills a row from its direction: the contact's place seen from both centres, turned into it; B is pushed away."""
    for i in range(lanes):
        dx, dy, dz = contacts[at + DX + i], contacts[at + DY + i], contacts[at + DZ + i]
        x = manifold[slot + row.PX + i] - a[row.X + i]
        y = manifold[slot + row.PY + i] - a[row.Y + i]
        z = manifold[slot + row.PZ + i] - a[row.Z + i]
        ax, ay, az = y * dz - z * dy, z * dx - x * dz, x * dy - y * dx
        x = manifold[slot + row.SX + i] - b[row.X + i]
        y = manifold[slot + row.SY + i] - b[row.Y + i]
        z = manifold[slot + row.SZ + i] - b[row.Z + i]
        bx, by, bz = z * dy - y * dz, x * dz - z * dx, y * dx - x * dy
        linear = dx * (a[row.VX + i] - b[row.VX + i])
        linear += dy * (a[row.VY + i] - b[row.VY + i]) + dz * (a[row.VZ + i] - b[row.VZ + i])
        of_a = ax * a[row.WX + i] + ay * a[row.WY + i] + az * a[row.WZ + i]
        of_b = bx * b[row.WX + i] + by * b[row.WY + i] + bz * b[row.WZ + i]
        tax, tay, taz = _turned(a, roots_a, ax, ay, az, i)
        tbx, tby, tbz = _turned(b, roots_b, bx, by, bz, i)
        square = (dx * dx + dy * dy + dz * dz) * (roots_a[0] * roots_a[0] + roots_b[0] * roots_b[0])
        square += tax * tax + tay * tay + taz * taz + tbx * tbx + tby * tby + tbz * tbz
        root = math.sqrt(square if square > ZERO else ONE)
        scale = ONE / root if k < manifold[row.COUNT + i] else ZERO
        contacts[at + DX + i], contacts[at + DY + i], contacts[at + DZ + i] = dx * scale, dy * scale, dz * scale
        contacts[at + TAX + i], contacts[at + TAY + i], contacts[at + TAZ + i] = (
            tax * scale,
            tay * scale,
            taz * scale,
        )
        contacts[at + TBX + i], contacts[at + TBY + i], contacts[at + TBZ + i] = (
            tbx * scale,
            tby * scale,
            tbz * scale,
        )
        contacts[at + WANT + i], contacts[at + IMPULSE + i] = -(linear + of_a + of_b) * scale, ZERO
        contacts[at + ROOT + i], contacts[at + SCALE + i] = root, scale


@compiled
def _couple(lanes: Any, contacts: Any, at: Any, inverse_mass: Any) -> None:
    """What the rows of the first contact of a pair do to those of the second; `inverse_mass` is that of both bodies."""
    other = at + CONTACT
    first, second, third, fourth = at + ROW, at + ROW + ROW, other + ROW, other + ROW + ROW
    for i in range(lanes):
        contacts[at + NORMAL_BY_NORMAL + i] = _effect(contacts, at, other, inverse_mass, i)
        contacts[at + THIRD_BY_FIRST + i] = _effect(contacts, first, third, inverse_mass, i)
        contacts[at + THIRD_BY_SECOND + i] = _effect(contacts, second, third, inverse_mass, i)
        contacts[at + FOURTH_BY_FIRST + i] = _effect(contacts, first, fourth, inverse_mass, i)
        contacts[at + FOURTH_BY_SECOND + i] = _effect(contacts, second, fourth, inverse_mass, i)


@inlined
def _effect(contacts: Any, by: Any, on: Any, inverse_mass: Any, i: Any) -> Any:
    """How much less impulse is wanted of row `on` for a unit of impulse in row `by`."""
    linear = contacts[on + DX + i] * contacts[by + DX + i] + contacts[on + DY + i] * contacts[by + DY + i]
    linear += contacts[on + DZ + i] * contacts[by + DZ + i]
    angular = contacts[on + TAX + i] * contacts[by + TAX + i] + contacts[on + TAY + i] * contacts[by + TAY + i]
    angular += contacts[on + TAZ + i] * contacts[by + TAZ + i] + contacts[on + TBX + i] * contacts[by + TBX + i]
    angular += contacts[on + TBY + i] * contacts[by + TBY + i] + contacts[on + TBZ + i] * contacts[by + TBZ + i]
    return inverse_mass * linear + angular
