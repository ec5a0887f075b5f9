"""What contacts do to velocities, over lanes: impulses that keep bodies apart and rub, by projected Gauss-Seidel.

Every contact has three rows: one along its normal, whose impulse only pushes, and two across it, whose impulses
together stay within the friction cone. Fifty times, or until nothing changes any more, each row in turn is given the
impulse that would satisfy it alone. As Bullet's btMultiBodyConstraintSolver does it for single bodies; and as there, a
lane has its velocities from the iteration in which it converged, however long others take.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from envs import lanes as row
from envs.compiled import approximate, compiled, inlined
from envs.lanes import LANES, ONE, SLOTS, WIDTH, ZERO

ITERATIONS = 50
TWO_CONTACTS = np.uintp(2)
CONVERGED = np.float32(1e-7)
"""Square of the largest change of a velocity (m/s) in an iteration that may be neglected."""
ANYTHING = np.float32(np.inf)
SLOP = np.float32(1e-5)
"""Overlap (m) that is not pushed apart."""
PUSH_APART = np.float32(0.08)
"""Share of the overlap that a step takes away."""
RATE = np.float32(240)
"""Steps a second."""
_STEEP = np.float32(math.sqrt(0.5))

# Changes of a body's velocity, linear and angular.
_VX, _VY, _VZ, _WX, _WY, _WZ = (np.uintp(WIDTH * number) for number in range(6))
CHANGE_ROWS = np.uintp(6)

# What a row is made of: the impulse wanted at first, what a unit of velocity takes, and the impulse so far; what a unit
# of impulse does to the angular velocity; and what the velocities along it are multiplied by to give an impulse.
_WANT, _PER, _IMPULSE, _TX, _TY, _TZ, _MASS, _L0, _L1 = (np.uintp(WIDTH * number) for number in range(9))
_LINE = np.uintp(9 * WIDTH)
_LINES = np.uintp(3)
# A contact with the floor has three: up, along -y, along -x. Each touches two of the angular velocity's components.
_FLOOR = np.uintp(3 * 9 * WIDTH)
_FIRST, _SECOND, _THIRD, _FOURTH = (np.uintp(number * 3 * 9 * WIDTH) for number in range(4))
FLOOR_ROWS = 4 * 3 * 9

# One between two bodies: the direction, and all of that for both of them.
_DX, _DY, _DZ, _LAX, _LAY, _LAZ, _LBX, _LBY, _LBZ, _TAX, _TAY, _TAZ, _TBX, _TBY, _TBZ, _MX, _MY, _MZ = (
    np.uintp(WIDTH * (3 + number)) for number in range(18)
)
_ROW = np.uintp(21 * WIDTH)
_CONTACT = np.uintp(3 * 21 * WIDTH)
# Contacts between two bodies come in pairs: how much less is wanted of the second's rows for a unit of impulse in the
# first's.
_NORMAL_BY_NORMAL, _THIRD_BY_FIRST, _THIRD_BY_SECOND, _FOURTH_BY_FIRST, _FOURTH_BY_SECOND = (
    np.uintp((2 * 3 * 21 + number) * WIDTH) for number in range(5)
)
_PAIR = np.uintp((2 * 3 * 21 + 5) * WIDTH)
CONTACT_ROWS = 2 * (2 * 3 * 21 + 5)

# The square of the largest change of a velocity in this iteration; 1 where a body has not converged yet, and where it
# does so now.
_WORST, _OPEN, _NOW = (np.uintp(WIDTH * number) for number in range(3))
FLAG_ROWS = 3

_NOTHING = np.float32(1e-30)


@compiled
def prepare_floor(manifold: Any, body: Any, inverse_mass: Any, floor: Any) -> None:
    """The rows of a body's contacts with the floor, from its velocity before any impulse."""
    for k in range(SLOTS):
        slot, contact = k * row.SLOT, k * _FLOOR
        for i in range(LANES):
            here = np.float32(k) < manifold[row.COUNT + i]
            x = manifold[slot + row.SX + i] - body[row.X + i]
            y = manifold[slot + row.SY + i] - body[row.Y + i]
            z = manifold[slot + row.SZ + i] - body[row.Z + i]
            vx, vy, vz = body[row.VX + i], body[row.VY + i], body[row.VZ + i]
            wx, wy, wz = body[row.WX + i], body[row.WY + i], body[row.WZ + i]
            # What is wanted along the normal: to come no nearer than touching, and a little apart when too near.
            gap = manifold[slot + row.GAP + i] + SLOP
            wanted = -gap * (RATE if gap > ZERO else RATE * PUSH_APART)
            gained = vz + y * wx - x * wy
            mass = _floor_line(floor, contact, body, i, y, -x, ZERO, inverse_mass, wanted - gained, here)
            floor[contact + _L0 + i], floor[contact + _L1 + i] = mass * y, mass * x
            gained = -vy + z * wx - x * wz
            first = contact + _LINE
            mass = _floor_line(floor, first, body, i, z, ZERO, -x, inverse_mass, -gained, here)
            floor[first + _L0 + i], floor[first + _L1 + i] = mass * z, mass * x
            gained = -vx + y * wz - z * wy
            second = contact + _LINE + _LINE
            mass = _floor_line(floor, second, body, i, ZERO, -z, y, inverse_mass, -gained, here)
            floor[second + _L0 + i], floor[second + _L1 + i] = mass * y, mass * z


@inlined
def _floor_line(
    floor: Any, at: Any, body: Any, i: Any, x: Any, y: Any, z: Any, inverse_mass: Any, velocity: Any, here: Any
) -> Any:
    """Fills a row from its lever arm; returns how much impulse a unit of velocity is worth."""
    tx = body[row.I00 + i] * x + body[row.I01 + i] * y + body[row.I02 + i] * z
    ty = body[row.I01 + i] * x + body[row.I11 + i] * y + body[row.I12 + i] * z
    tz = body[row.I02 + i] * x + body[row.I12 + i] * y + body[row.I22 + i] * z
    per = inverse_mass + x * tx + y * ty + z * tz
    mass = ONE / per if here else ZERO
    floor[at + _TX + i], floor[at + _TY + i], floor[at + _TZ + i] = tx, ty, tz
    floor[at + _WANT + i], floor[at + _PER + i], floor[at + _IMPULSE + i] = velocity * mass, per, ZERO
    floor[at + _MASS + i] = mass
    return mass


@compiled
def prepare_contacts(
    manifold: Any, pairs: Any, a: Any, b: Any, inverse_mass_a: Any, inverse_mass_b: Any, contacts: Any
) -> None:
    """The rows of contacts between two bodies, from their velocities before any impulse."""
    for k in range(TWO_CONTACTS * pairs):
        pair = (k // TWO_CONTACTS) * _PAIR
        slot, contact = k * row.SLOT, pair + (k % TWO_CONTACTS) * _CONTACT
        _directions(manifold, slot, contacts, contact)
        for line in range(_LINES):
            at = contact + line * _ROW
            _levers(manifold, slot, a, b, contacts, at)
            _masses(manifold, np.float32(k), a, b, inverse_mass_a, inverse_mass_b, contacts, at)
        for i in range(LANES):
            here = np.float32(k) < manifold[row.COUNT + i]
            # Along the normal: to come no nearer than touching, and a little apart when too near.
            gap = manifold[slot + row.GAP + i] + SLOP
            wanted = -gap * (RATE if gap > ZERO else RATE * PUSH_APART)
            mass = ONE / contacts[contact + _PER + i]
            contacts[contact + _WANT + i] += wanted * mass if here else ZERO
    for pair in range(pairs):
        _couple(contacts, pair * _PAIR, inverse_mass_a + inverse_mass_b)


@compiled
def _directions(manifold: Any, slot: Any, contacts: Any, at: Any) -> None:
    """The normal, and two directions across it by whichever two of its components are safe to divide by."""
    first, second = at + _ROW, at + _ROW + _ROW
    for i in range(LANES):
        nx, ny, nz = manifold[slot + row.NX + i], manifold[slot + row.NY + i], manifold[slot + row.NZ + i]
        steep = abs(nz) > _STEEP
        square = ny * ny + nz * nz if steep else nx * nx + ny * ny
        scale = ONE / math.sqrt(square if square > ZERO else ONE)
        px = ZERO if steep else -ny * scale
        py = -nz * scale if steep else nx * scale
        pz = ny * scale if steep else ZERO
        contacts[at + _DX + i], contacts[at + _DY + i], contacts[at + _DZ + i] = nx, ny, nz
        contacts[first + _DX + i], contacts[first + _DY + i], contacts[first + _DZ + i] = px, py, pz
        contacts[second + _DX + i] = ny * pz - nz * py
        contacts[second + _DY + i] = nz * px - nx * pz
        contacts[second + _DZ + i] = nx * py - ny * px


@compiled
def _levers(manifold: Any, slot: Any, a: Any, b: Any, contacts: Any, at: Any) -> None:
    """The contact's place seen from both centres, turned into the row's direction; B is pushed the other way."""
    for i in range(LANES):
        dx, dy, dz = contacts[at + _DX + i], contacts[at + _DY + i], contacts[at + _DZ + i]
        x = manifold[slot + row.PX + i] - a[row.X + i]
        y = manifold[slot + row.PY + i] - a[row.Y + i]
        z = manifold[slot + row.PZ + i] - a[row.Z + i]
        contacts[at + _LAX + i] = y * dz - z * dy
        contacts[at + _LAY + i] = z * dx - x * dz
        contacts[at + _LAZ + i] = x * dy - y * dx
        x = manifold[slot + row.SX + i] - b[row.X + i]
        y = manifold[slot + row.SY + i] - b[row.Y + i]
        z = manifold[slot + row.SZ + i] - b[row.Z + i]
        contacts[at + _LBX + i] = z * dy - y * dz
        contacts[at + _LBY + i] = x * dz - z * dx
        contacts[at + _LBZ + i] = y * dx - x * dy


@compiled
def _masses(
    manifold: Any, k: Any, a: Any, b: Any, inverse_mass_a: Any, inverse_mass_b: Any, contacts: Any, at: Any
) -> None:
    """What a unit of impulse does, and the impulse that takes away all velocity along the row."""
    for i in range(LANES):
        dx, dy, dz = contacts[at + _DX + i], contacts[at + _DY + i], contacts[at + _DZ + i]
        ax, ay, az = contacts[at + _LAX + i], contacts[at + _LAY + i], contacts[at + _LAZ + i]
        bx, by, bz = contacts[at + _LBX + i], contacts[at + _LBY + i], contacts[at + _LBZ + i]
        tax = a[row.I00 + i] * ax + a[row.I01 + i] * ay + a[row.I02 + i] * az
        tay = a[row.I01 + i] * ax + a[row.I11 + i] * ay + a[row.I12 + i] * az
        taz = a[row.I02 + i] * ax + a[row.I12 + i] * ay + a[row.I22 + i] * az
        tbx = b[row.I00 + i] * bx + b[row.I01 + i] * by + b[row.I02 + i] * bz
        tby = b[row.I01 + i] * bx + b[row.I11 + i] * by + b[row.I12 + i] * bz
        tbz = b[row.I02 + i] * bx + b[row.I12 + i] * by + b[row.I22 + i] * bz
        contacts[at + _TAX + i], contacts[at + _TAY + i], contacts[at + _TAZ + i] = tax, tay, taz
        contacts[at + _TBX + i], contacts[at + _TBY + i], contacts[at + _TBZ + i] = tbx, tby, tbz
        square = dx * dx + dy * dy + dz * dz
        per = square * (inverse_mass_a + inverse_mass_b)
        per += ax * tax + ay * tay + az * taz + bx * tbx + by * tby + bz * tbz
        linear = dx * (a[row.VX + i] - b[row.VX + i])
        linear += dy * (a[row.VY + i] - b[row.VY + i]) + dz * (a[row.VZ + i] - b[row.VZ + i])
        of_a = ax * a[row.WX + i] + ay * a[row.WY + i] + az * a[row.WZ + i]
        of_b = bx * b[row.WX + i] + by * b[row.WY + i] + bz * b[row.WZ + i]
        per = per if per > ZERO else ONE
        mass = ONE / per if k < manifold[row.COUNT + i] else ZERO
        contacts[at + _WANT + i] = -(linear + of_a + of_b) * mass
        contacts[at + _PER + i] = per
        contacts[at + _IMPULSE + i] = ZERO
        contacts[at + _MX + i], contacts[at + _MY + i], contacts[at + _MZ + i] = dx * mass, dy * mass, dz * mass
        contacts[at + _LAX + i], contacts[at + _LAY + i], contacts[at + _LAZ + i] = ax * mass, ay * mass, az * mass
        contacts[at + _LBX + i], contacts[at + _LBY + i], contacts[at + _LBZ + i] = bx * mass, by * mass, bz * mass


@compiled
def _couple(contacts: Any, at: Any, inverse_mass: Any) -> None:
    """What the rows of the first contact of a pair do to those of the second; `inverse_mass` is that of both bodies."""
    other = at + _CONTACT
    first, second, third, fourth = at + _ROW, at + _ROW + _ROW, other + _ROW, other + _ROW + _ROW
    for i in range(LANES):
        contacts[at + _NORMAL_BY_NORMAL + i] = _effect(contacts, at, other, inverse_mass, i)
        contacts[at + _THIRD_BY_FIRST + i] = _effect(contacts, first, third, inverse_mass, i)
        contacts[at + _THIRD_BY_SECOND + i] = _effect(contacts, second, third, inverse_mass, i)
        contacts[at + _FOURTH_BY_FIRST + i] = _effect(contacts, first, fourth, inverse_mass, i)
        contacts[at + _FOURTH_BY_SECOND + i] = _effect(contacts, second, fourth, inverse_mass, i)


@inlined
def _effect(contacts: Any, by: Any, on: Any, inverse_mass: Any, i: Any) -> Any:
    """How much less impulse is wanted of row `on` for a unit of impulse in row `by`."""
    linear = contacts[on + _MX + i] * contacts[by + _DX + i] + contacts[on + _MY + i] * contacts[by + _DY + i]
    linear += contacts[on + _MZ + i] * contacts[by + _DZ + i]
    angular = contacts[on + _LAX + i] * contacts[by + _TAX + i] + contacts[on + _LAY + i] * contacts[by + _TAY + i]
    angular += contacts[on + _LAZ + i] * contacts[by + _TAZ + i] + contacts[on + _LBX + i] * contacts[by + _TBX + i]
    angular += contacts[on + _LBY + i] * contacts[by + _TBY + i] + contacts[on + _LBZ + i] * contacts[by + _TBZ + i]
    return inverse_mass * linear + angular


@inlined
def _push_off(floor: Any, at: Any, i: Any, inverse_mass: Any, worst: Any, vz: Any, w: Any) -> Any:
    """The row along the normal of one contact with the floor."""
    wx, wy, wz = w
    before = floor[at + _IMPULSE + i]
    wanted = floor[at + _WANT + i] - floor[at + _MASS + i] * vz
    more = wanted - (floor[at + _L0 + i] * wx - floor[at + _L1 + i] * wy)
    more = max(more, -before)
    floor[at + _IMPULSE + i] = before + more
    changed = more * floor[at + _PER + i]
    turned = wx + floor[at + _TX + i] * more, wy + floor[at + _TY + i] * more, wz + floor[at + _TZ + i] * more
    return vz + inverse_mass * more, turned, max(worst, changed * changed)


@compiled
def _push_off_floor(floor: Any, change: Any, flags: Any, inverse_mass: Any) -> None:
    """The rows along the normals of all contacts with the floor, one after the other."""
    for i in range(LANES):
        worst, vz = flags[_WORST + i], change[_VZ + i]
        w = change[_WX + i], change[_WY + i], change[_WZ + i]
        vz, w, worst = _push_off(floor, _FIRST, i, inverse_mass, worst, vz, w)
        vz, w, worst = _push_off(floor, _SECOND, i, inverse_mass, worst, vz, w)
        vz, w, worst = _push_off(floor, _THIRD, i, inverse_mass, worst, vz, w)
        vz, w, worst = _push_off(floor, _FOURTH, i, inverse_mass, worst, vz, w)
        change[_WX + i], change[_WY + i], change[_WZ + i] = w
        change[_VZ + i], flags[_WORST + i] = vz, worst


@approximate
def _within_cone(p: Any, q: Any, limit: Any) -> Any:
    """Two impulses across a normal, shortened together to the friction cone."""
    square = p * p + (q * q + _NOTHING)
    over = square >= limit * limit
    scale = ONE / math.sqrt(square)
    return (p * limit * scale if over else p), (q * limit * scale if over else q)


@inlined
def _rub(floor: Any, at: Any, i: Any, inverse_mass: Any, friction: Any, worst: Any, vx: Any, vy: Any, w: Any) -> Any:
    """The rows across the normal of one contact with the floor."""
    wx, wy, wz = w
    first, second = at + _LINE, at + _LINE + _LINE
    p_before, q_before = floor[first + _IMPULSE + i], floor[second + _IMPULSE + i]
    p = p_before + floor[first + _WANT + i] + floor[first + _MASS + i] * vy
    p = p - (floor[first + _L0 + i] * wx - floor[first + _L1 + i] * wz)
    q = q_before + floor[second + _WANT + i] + floor[second + _MASS + i] * vx
    q = q - (floor[second + _L0 + i] * wz - floor[second + _L1 + i] * wy)
    p, q = _within_cone(p, q, friction * floor[at + _IMPULSE + i])
    floor[first + _IMPULSE + i], floor[second + _IMPULSE + i] = p, q
    # As if the impulse so far were taken away, which need not wait for the new one, and that given instead.
    ptx, pty, ptz = floor[first + _TX + i], floor[first + _TY + i], floor[first + _TZ + i]
    qtx, qty, qtz = floor[second + _TX + i], floor[second + _TY + i], floor[second + _TZ + i]
    turned = (
        (wx - ptx * p_before - qtx * q_before) + ptx * p + qtx * q,
        (wy - pty * p_before - qty * q_before) + pty * p + qty * q,
        (wz - ptz * p_before - qtz * q_before) + ptz * p + qtz * q,
    )
    changed = (p - p_before) * floor[first + _PER + i] + (q - q_before) * floor[second + _PER + i]
    vx = (vx + inverse_mass * q_before) - inverse_mass * q
    vy = (vy + inverse_mass * p_before) - inverse_mass * p
    return vx, vy, turned, max(worst, changed * changed)


@compiled
def _rub_on_floor(floor: Any, change: Any, flags: Any, inverse_mass: Any, friction: Any) -> None:
    """The rows across the normals of all contacts with the floor, one after the other."""
    for i in range(LANES):
        worst, vx, vy = flags[_WORST + i], change[_VX + i], change[_VY + i]
        w = change[_WX + i], change[_WY + i], change[_WZ + i]
        vx, vy, w, worst = _rub(floor, _FIRST, i, inverse_mass, friction, worst, vx, vy, w)
        vx, vy, w, worst = _rub(floor, _SECOND, i, inverse_mass, friction, worst, vx, vy, w)
        vx, vy, w, worst = _rub(floor, _THIRD, i, inverse_mass, friction, worst, vx, vy, w)
        vx, vy, w, worst = _rub(floor, _FOURTH, i, inverse_mass, friction, worst, vx, vy, w)
        change[_WX + i], change[_WY + i], change[_WZ + i] = w
        change[_VX + i], change[_VY + i], flags[_WORST + i] = vx, vy, worst


@inlined
def _wanted(contacts: Any, at: Any, of_a: Any, of_b: Any, i: Any) -> Any:
    """The impulse that would satisfy a row between two bodies, beside what it has."""
    linear = contacts[at + _MX + i] * (of_a[_VX + i] - of_b[_VX + i])
    linear += contacts[at + _MY + i] * (of_a[_VY + i] - of_b[_VY + i])
    linear += contacts[at + _MZ + i] * (of_a[_VZ + i] - of_b[_VZ + i])
    turning_a = contacts[at + _LAX + i] * of_a[_WX + i] + contacts[at + _LAY + i] * of_a[_WY + i]
    turning_a += contacts[at + _LAZ + i] * of_a[_WZ + i]
    turning_b = contacts[at + _LBX + i] * of_b[_WX + i] + contacts[at + _LBY + i] * of_b[_WY + i]
    turning_b += contacts[at + _LBZ + i] * of_b[_WZ + i]
    return (contacts[at + _WANT + i] - linear) - (turning_a + turning_b)


@inlined
def _total(contacts: Any, first: Any, second: Any, p: Any, q: Any, number: Any, i: Any) -> Any:
    """What impulses of two rows come to, in one component."""
    return contacts[first + number + i] * p + contacts[second + number + i] * q


@compiled
def _push_apart(
    contacts: Any, at: Any, of_a: Any, of_b: Any, flags: Any, inverse_mass_a: Any, inverse_mass_b: Any
) -> None:
    """The rows along the normals of a pair of contacts between two bodies, one after the other.

    What the first impulse does to the second row is known beforehand, so that the two need not wait for each other.
    """
    other = at + _CONTACT
    for i in range(LANES):
        p_before, q_before = contacts[at + _IMPULSE + i], contacts[other + _IMPULSE + i]
        p, q = _wanted(contacts, at, of_a, of_b, i), _wanted(contacts, other, of_a, of_b, i)
        p = max(p, -p_before)
        q = max(q - contacts[at + _NORMAL_BY_NORMAL + i] * p, -q_before)
        x = _total(contacts, at, other, p, q, _DX, i)
        y = _total(contacts, at, other, p, q, _DY, i)
        z = _total(contacts, at, other, p, q, _DZ, i)
        of_a[_VX + i] += inverse_mass_a * x
        of_a[_VY + i] += inverse_mass_a * y
        of_a[_VZ + i] += inverse_mass_a * z
        of_b[_VX + i] -= inverse_mass_b * x
        of_b[_VY + i] -= inverse_mass_b * y
        of_b[_VZ + i] -= inverse_mass_b * z
        of_a[_WX + i] += _total(contacts, at, other, p, q, _TAX, i)
        of_a[_WY + i] += _total(contacts, at, other, p, q, _TAY, i)
        of_a[_WZ + i] += _total(contacts, at, other, p, q, _TAZ, i)
        of_b[_WX + i] += _total(contacts, at, other, p, q, _TBX, i)
        of_b[_WY + i] += _total(contacts, at, other, p, q, _TBY, i)
        of_b[_WZ + i] += _total(contacts, at, other, p, q, _TBZ, i)
        contacts[at + _IMPULSE + i], contacts[other + _IMPULSE + i] = p_before + p, q_before + q
        p, q = p * contacts[at + _PER + i], q * contacts[other + _PER + i]
        flags[_WORST + i] = max(flags[_WORST + i], max(p * p, q * q))


@inlined
def _across(contacts: Any, at: Any, p: Any, q: Any, friction: Any, i: Any) -> Any:
    """Gives a contact what is wanted across its normal, within the cone; returns how much more that is than before."""
    first, second = at + _ROW, at + _ROW + _ROW
    p_before, q_before = contacts[first + _IMPULSE + i], contacts[second + _IMPULSE + i]
    p, q = _within_cone(p_before + p, q_before + q, friction * contacts[at + _IMPULSE + i])
    contacts[first + _IMPULSE + i], contacts[second + _IMPULSE + i] = p, q
    return p - p_before, q - q_before


@compiled
def _rub_together(
    contacts: Any,
    at: Any,
    of_a: Any,
    of_b: Any,
    flags: Any,
    inverse_mass_a: Any,
    inverse_mass_b: Any,
    friction: Any,
) -> None:
    """The rows across the normals of a pair of contacts between two bodies, in the same way."""
    other = at + _CONTACT
    first, second, third, fourth = at + _ROW, at + _ROW + _ROW, other + _ROW, other + _ROW + _ROW
    for i in range(LANES):
        p, q = _wanted(contacts, first, of_a, of_b, i), _wanted(contacts, second, of_a, of_b, i)
        r, s = _wanted(contacts, third, of_a, of_b, i), _wanted(contacts, fourth, of_a, of_b, i)
        p, q = _across(contacts, at, p, q, friction, i)
        r -= contacts[at + _THIRD_BY_FIRST + i] * p + contacts[at + _THIRD_BY_SECOND + i] * q
        s -= contacts[at + _FOURTH_BY_FIRST + i] * p + contacts[at + _FOURTH_BY_SECOND + i] * q
        r, s = _across(contacts, other, r, s, friction, i)
        x = _total(contacts, first, second, p, q, _DX, i) + _total(contacts, third, fourth, r, s, _DX, i)
        y = _total(contacts, first, second, p, q, _DY, i) + _total(contacts, third, fourth, r, s, _DY, i)
        z = _total(contacts, first, second, p, q, _DZ, i) + _total(contacts, third, fourth, r, s, _DZ, i)
        of_a[_VX + i] += inverse_mass_a * x
        of_a[_VY + i] += inverse_mass_a * y
        of_a[_VZ + i] += inverse_mass_a * z
        of_b[_VX + i] -= inverse_mass_b * x
        of_b[_VY + i] -= inverse_mass_b * y
        of_b[_VZ + i] -= inverse_mass_b * z
        x = _total(contacts, first, second, p, q, _TAX, i) + _total(contacts, third, fourth, r, s, _TAX, i)
        y = _total(contacts, first, second, p, q, _TAY, i) + _total(contacts, third, fourth, r, s, _TAY, i)
        z = _total(contacts, first, second, p, q, _TAZ, i) + _total(contacts, third, fourth, r, s, _TAZ, i)
        of_a[_WX + i] += x
        of_a[_WY + i] += y
        of_a[_WZ + i] += z
        x = _total(contacts, first, second, p, q, _TBX, i) + _total(contacts, third, fourth, r, s, _TBX, i)
        y = _total(contacts, first, second, p, q, _TBY, i) + _total(contacts, third, fourth, r, s, _TBY, i)
        z = _total(contacts, first, second, p, q, _TBZ, i) + _total(contacts, third, fourth, r, s, _TBZ, i)
        of_b[_WX + i] += x
        of_b[_WY + i] += y
        of_b[_WZ + i] += z
        p = _total(contacts, first, second, p, q, _PER, i)
        r = _total(contacts, third, fourth, r, s, _PER, i)
        flags[_WORST + i] = max(flags[_WORST + i], max(p * p, r * r))


@compiled
def _converge(flags: Any, others: Any, near: Any, enough: Any) -> Any:
    """Which lanes of two bodies end with this iteration: where no velocity changed by more than `enough` (squared).

    Where the bodies are near each other, neither has converged before both have.

    Returns:
        Whether there are such lanes, of either body, and whether any are left.
    """
    newly, left = False, False
    for i in range(LANES):
        mine, other = flags[_WORST + i], others[_WORST + i]
        both = max(mine, other)
        mine, other = both if near[i] > ZERO else mine, both if near[i] > ZERO else other
        mine_open, other_open = flags[_OPEN + i], others[_OPEN + i]
        mine_now, other_now = mine_open if mine <= enough else ZERO, other_open if other <= enough else ZERO
        flags[_NOW + i], others[_NOW + i] = mine_now, other_now
        mine_open, other_open = mine_open - mine_now, other_open - other_now
        flags[_OPEN + i], others[_OPEN + i] = mine_open, other_open
        flags[_WORST + i] = others[_WORST + i] = ZERO
        newly = newly | (mine_now + other_now > ZERO)
        left = left | (mine_open + other_open > ZERO)
    return newly, left


@compiled
def _take(change: Any, body: Any, flags: Any) -> None:
    """Gives a body its new velocity in the lanes that end with this iteration."""
    for i in range(LANES):
        now = flags[_NOW + i]
        body[row.VX + i] += now * change[_VX + i]
        body[row.VY + i] += now * change[_VY + i]
        body[row.VZ + i] += now * change[_VZ + i]
        body[row.WX + i] += now * change[_WX + i]
        body[row.WY + i] += now * change[_WY + i]
        body[row.WZ + i] += now * change[_WZ + i]


@compiled
def _most(manifold: Any) -> Any:
    """How many slots any lane uses."""
    count = ZERO
    for i in range(LANES):
        count = max(count, manifold[row.COUNT + i])
    return np.uintp(count)


@compiled
def solve(
    cart_floor: Any,
    cart_pole: Any,
    pole_floor: Any,
    cart: Any,
    pole: Any,
    near: Any,
    inverse_masses: Any,
    frictions: Any,
    rows: Any,
    changes: Any,
) -> None:
    """Gives the velocities of cart and pole what their contacts do to them in one step.

    Args:
        cart_floor, cart_pole, pole_floor: manifolds.
        cart, pole: bodies; their velocities are those after all forces but these.
        near: 1 in lanes where the bodies are solved for together, [lanes].
        inverse_masses: of cart and pole, 1/kg.
        frictions: coefficients of cart and pole on the floor, and of pole on cart.
        rows: scratch for the rows of the three manifolds.
        changes: scratch for the changes of velocity of cart and pole, and for flags of each.
    """
    cart_rows, pole_rows, both_rows = rows
    cart_inverse, pole_inverse = inverse_masses[0], inverse_masses[1]
    floor_friction, cart_friction = frictions[0], frictions[1]
    carts, poles = _most(cart_floor), _most(pole_floor)
    pairs = (_most(cart_pole) + np.uintp(1)) // TWO_CONTACTS
    if carts > 0:
        prepare_floor(cart_floor, cart, cart_inverse, cart_rows)
    if poles > 0:
        prepare_floor(pole_floor, pole, pole_inverse, pole_rows)
    if pairs > 0:
        prepare_contacts(cart_pole, pairs, cart, pole, cart_inverse, pole_inverse, both_rows)
    of_cart, of_pole, flags, pole_flags = changes
    for i in range(CHANGE_ROWS * LANES):
        of_cart[i] = of_pole[i] = ZERO
    for i in range(LANES):
        flags[_WORST + i] = pole_flags[_WORST + i] = ZERO
        flags[_OPEN + i] = pole_flags[_OPEN + i] = ONE
    for iteration in range(ITERATIONS):
        if carts > 0:
            _push_off_floor(cart_rows, of_cart, flags, cart_inverse)
        if poles > 0:
            _push_off_floor(pole_rows, of_pole, pole_flags, pole_inverse)
        for pair in range(pairs):
            _push_apart(both_rows, pair * _PAIR, of_cart, of_pole, flags, cart_inverse, pole_inverse)
        if carts > 0:
            _rub_on_floor(cart_rows, of_cart, flags, cart_inverse, floor_friction)
        if poles > 0:
            _rub_on_floor(pole_rows, of_pole, pole_flags, pole_inverse, floor_friction)
        for pair in range(pairs):
            _rub_together(both_rows, pair * _PAIR, of_cart, of_pole, flags, cart_inverse, pole_inverse, cart_friction)
        enough = CONVERGED if iteration < ITERATIONS - 1 else ANYTHING
        newly, left = _converge(flags, pole_flags, near, enough)
        if newly:
            _take(of_cart, cart, flags)
            _take(of_pole, pole, pole_flags)
        if not left:
            break
