"""What contacts do to velocities, over lanes: impulses that keep bodies apart and rub, by projected Gauss-Seidel.

Every contact has three rows: one along its normal, whose impulse only pushes, and two across it, whose impulses
together stay within the friction cone. Fifty times, or until nothing changes any more, each row in turn is given the
impulse that would satisfy it alone. As Bullet's btMultiBodyConstraintSolver does it for single bodies; and as there, a
lane has its velocities from the iteration in which it converged, however long others take. Most lanes converge after
thirty iterations and a few take fifty, so that the last ones of a group are put side by side and go on alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from envs import lanes as row
from envs.compiled import approximate, compiled, inlined
from envs.lanes import FEW, ONE, STRIDE, WIDTH, ZERO
from envs.lanes_rows import (
    CONTACT,
    DX,
    DY,
    DZ,
    FIRST,
    FOURTH,
    FOURTH_BY_FIRST,
    FOURTH_BY_SECOND,
    IMPULSE,
    LINE,
    NORMAL_BY_NORMAL,
    PAIR,
    ROOT,
    ROW,
    SCALE,
    SECOND,
    TAX,
    TAY,
    TAZ,
    TBX,
    TBY,
    TBZ,
    THIRD,
    THIRD_BY_FIRST,
    THIRD_BY_SECOND,
    TWO_CONTACTS,
    TX,
    TY,
    TZ,
    WANT,
    prepare_contacts,
    prepare_floor,
)

ITERATIONS = 50
CONVERGED = np.float32(1e-7)
"""Square of the largest change of a velocity (m/s) in an iteration that may be neglected."""
ANYTHING = np.float32(np.inf)

# Changes of a body's velocity, linear and angular, mass-weighted.
_VX, _VY, _VZ, _WX, _WY, _WZ = (np.uintp(WIDTH * number) for number in range(6))
CHANGE_ROWS = np.uintp(6)
# The square of the largest change of a velocity in this iteration; 1 where the body has not converged yet, and where it
# does so now; 1 where it does so only together with the other; and its changes of velocity when it has.
_WORST, _OPEN, _NOW, _NEAR, _END = (np.uintp(WIDTH * (6 + number)) for number in range(5))
BODY_ROWS = 6 + 4 + 6

_NOTHING = np.float32(1e-30)


@inlined
def _turning(floor: Any, at: Any, w: Any, i: Any) -> Any:
    """What the angular velocity has along a row."""
    wx, wy, wz = w
    return floor[at + TX + i] * wx + floor[at + TY + i] * wy + floor[at + TZ + i] * wz


@inlined
def _push_off(floor: Any, at: Any, i: Any, worst: Any, vz: Any, w: Any) -> Any:
    """The row along the normal of one contact with the floor."""
    wx, wy, wz = w
    before, scale = floor[at + IMPULSE + i], floor[at + SCALE + i]
    more = (floor[at + WANT + i] - scale * vz) - _turning(floor, at, w, i)
    more = max(more, -before)
    floor[at + IMPULSE + i] = before + more
    changed = more * floor[at + ROOT + i]
    w = wx + floor[at + TX + i] * more, wy + floor[at + TY + i] * more, wz + floor[at + TZ + i] * more
    return vz + scale * more, w, max(worst, changed * changed)


@compiled
def _push_off_floor(lanes: Any, floor: Any, change: Any) -> None:
    """The rows along the normals of all contacts with the floor, one after the other."""
    for i in range(lanes):
        worst, vz = change[_WORST + i], change[_VZ + i]
        w = change[_WX + i], change[_WY + i], change[_WZ + i]
        vz, w, worst = _push_off(floor, FIRST, i, worst, vz, w)
        vz, w, worst = _push_off(floor, SECOND, i, worst, vz, w)
        vz, w, worst = _push_off(floor, THIRD, i, worst, vz, w)
        vz, w, worst = _push_off(floor, FOURTH, i, worst, vz, w)
        change[_WX + i], change[_WY + i], change[_WZ + i] = w
        change[_VZ + i], change[_WORST + i] = vz, worst


@approximate
def _shortened(p: Any, q: Any, limit: Any) -> Any:
    """What two impulses across a normal are to be multiplied by to lie within the friction cone."""
    return min(ONE, limit / math.sqrt(p * p + (q * q + _NOTHING)))


@inlined
def _rub(floor: Any, at: Any, i: Any, friction: Any, worst: Any, vx: Any, vy: Any, w: Any) -> Any:
    """The rows across the normal of one contact with the floor."""
    wx, wy, wz = w
    first, second = at + LINE, at + LINE + LINE
    p_before, q_before = floor[first + IMPULSE + i], floor[second + IMPULSE + i]
    p_scale, q_scale = floor[first + SCALE + i], floor[second + SCALE + i]
    p = (p_before + floor[first + WANT + i] + p_scale * vy) - _turning(floor, first, w, i)
    q = (q_before + floor[second + WANT + i] + q_scale * vx) - _turning(floor, second, w, i)
    shortened = _shortened(p_scale * p, q_scale * q, friction * floor[at + SCALE + i] * floor[at + IMPULSE + i])
    p, q = shortened * p, shortened * q
    floor[first + IMPULSE + i], floor[second + IMPULSE + i] = p, q
    p, q = p - p_before, q - q_before
    w = (
        wx + floor[first + TX + i] * p + floor[second + TX + i] * q,
        wy + floor[first + TY + i] * p + floor[second + TY + i] * q,
        wz + floor[first + TZ + i] * p + floor[second + TZ + i] * q,
    )
    changed = p * floor[first + ROOT + i] + q * floor[second + ROOT + i]
    return vx - q_scale * q, vy - p_scale * p, w, max(worst, changed * changed)


@compiled
def _rub_on_floor(lanes: Any, floor: Any, change: Any, friction: Any) -> None:
    """The rows across the normals of all contacts with the floor, one after the other."""
    for i in range(lanes):
        worst, vx, vy = change[_WORST + i], change[_VX + i], change[_VY + i]
        w = change[_WX + i], change[_WY + i], change[_WZ + i]
        vx, vy, w, worst = _rub(floor, FIRST, i, friction, worst, vx, vy, w)
        vx, vy, w, worst = _rub(floor, SECOND, i, friction, worst, vx, vy, w)
        vx, vy, w, worst = _rub(floor, THIRD, i, friction, worst, vx, vy, w)
        vx, vy, w, worst = _rub(floor, FOURTH, i, friction, worst, vx, vy, w)
        change[_WX + i], change[_WY + i], change[_WZ + i] = w
        change[_VX + i], change[_VY + i], change[_WORST + i] = vx, vy, worst


@inlined
def _wanted(contacts: Any, at: Any, v: Any, of_a: Any, of_b: Any, i: Any) -> Any:
    """The impulse that would satisfy a row between two bodies, beside what it has; `v` is A's velocity as B sees it."""
    vx, vy, vz = v
    linear = contacts[at + DX + i] * vx + contacts[at + DY + i] * vy + contacts[at + DZ + i] * vz
    turning_a = contacts[at + TAX + i] * of_a[_WX + i] + contacts[at + TAY + i] * of_a[_WY + i]
    turning_a += contacts[at + TAZ + i] * of_a[_WZ + i]
    turning_b = contacts[at + TBX + i] * of_b[_WX + i] + contacts[at + TBY + i] * of_b[_WY + i]
    turning_b += contacts[at + TBZ + i] * of_b[_WZ + i]
    return (contacts[at + WANT + i] - linear) - (turning_a + turning_b)


@inlined
def _apart(of_a: Any, of_b: Any, root_a: Any, root_b: Any, i: Any) -> Any:
    """A's velocity as B sees it."""
    return (
        root_a * of_a[_VX + i] - root_b * of_b[_VX + i],
        root_a * of_a[_VY + i] - root_b * of_b[_VY + i],
        root_a * of_a[_VZ + i] - root_b * of_b[_VZ + i],
    )


@inlined
def _total(contacts: Any, first: Any, second: Any, p: Any, q: Any, number: Any, i: Any) -> Any:
    """What impulses of two rows come to, in one component."""
    return contacts[first + number + i] * p + contacts[second + number + i] * q


@inlined
def _move_apart(of_a: Any, of_b: Any, root_a: Any, root_b: Any, x: Any, y: Any, z: Any, i: Any) -> None:
    """Gives A what an impulse does to its linear velocity, and B the opposite one."""
    of_a[_VX + i] += root_a * x
    of_a[_VY + i] += root_a * y
    of_a[_VZ + i] += root_a * z
    of_b[_VX + i] -= root_b * x
    of_b[_VY + i] -= root_b * y
    of_b[_VZ + i] -= root_b * z


@compiled
def _push_apart(lanes: Any, contacts: Any, at: Any, of_a: Any, of_b: Any, root_a: Any, root_b: Any) -> None:
    """The rows along the normals of a pair of contacts between two bodies, one after the other.

    What the first impulse does to the second row is known beforehand, so that the two need not wait for each other.
    """
    other = at + CONTACT
    for i in range(lanes):
        p_before, q_before = contacts[at + IMPULSE + i], contacts[other + IMPULSE + i]
        v = _apart(of_a, of_b, root_a, root_b, i)
        p, q = _wanted(contacts, at, v, of_a, of_b, i), _wanted(contacts, other, v, of_a, of_b, i)
        p = max(p, -p_before)
        q = max(q - contacts[at + NORMAL_BY_NORMAL + i] * p, -q_before)
        x = _total(contacts, at, other, p, q, DX, i)
        y = _total(contacts, at, other, p, q, DY, i)
        z = _total(contacts, at, other, p, q, DZ, i)
        _move_apart(of_a, of_b, root_a, root_b, x, y, z, i)
        of_a[_WX + i] += _total(contacts, at, other, p, q, TAX, i)
        of_a[_WY + i] += _total(contacts, at, other, p, q, TAY, i)
        of_a[_WZ + i] += _total(contacts, at, other, p, q, TAZ, i)
        of_b[_WX + i] += _total(contacts, at, other, p, q, TBX, i)
        of_b[_WY + i] += _total(contacts, at, other, p, q, TBY, i)
        of_b[_WZ + i] += _total(contacts, at, other, p, q, TBZ, i)
        contacts[at + IMPULSE + i], contacts[other + IMPULSE + i] = p_before + p, q_before + q
        p, q = p * contacts[at + ROOT + i], q * contacts[other + ROOT + i]
        of_a[_WORST + i] = max(of_a[_WORST + i], max(p * p, q * q))


@inlined
def _across(contacts: Any, at: Any, p: Any, q: Any, friction: Any, i: Any) -> Any:
    """Gives a contact what is wanted across its normal, within the cone; returns how much more that is than before."""
    first, second = at + ROW, at + ROW + ROW
    p_before, q_before = contacts[first + IMPULSE + i], contacts[second + IMPULSE + i]
    p, q = p_before + p, q_before + q
    limit = friction * contacts[at + SCALE + i] * contacts[at + IMPULSE + i]
    shortened = _shortened(contacts[first + SCALE + i] * p, contacts[second + SCALE + i] * q, limit)
    p, q = shortened * p, shortened * q
    contacts[first + IMPULSE + i], contacts[second + IMPULSE + i] = p, q
    return p - p_before, q - q_before


@compiled
def _rub_together(
    lanes: Any, contacts: Any, at: Any, of_a: Any, of_b: Any, root_a: Any, root_b: Any, friction: Any
) -> None:
    """The rows across the normals of a pair of contacts between two bodies, in the same way."""
    other = at + CONTACT
    first, second, third, fourth = at + ROW, at + ROW + ROW, other + ROW, other + ROW + ROW
    for i in range(lanes):
        v = _apart(of_a, of_b, root_a, root_b, i)
        p, q = _wanted(contacts, first, v, of_a, of_b, i), _wanted(contacts, second, v, of_a, of_b, i)
        r, s = _wanted(contacts, third, v, of_a, of_b, i), _wanted(contacts, fourth, v, of_a, of_b, i)
        p, q = _across(contacts, at, p, q, friction, i)
        r -= contacts[at + THIRD_BY_FIRST + i] * p + contacts[at + THIRD_BY_SECOND + i] * q
        s -= contacts[at + FOURTH_BY_FIRST + i] * p + contacts[at + FOURTH_BY_SECOND + i] * q
        r, s = _across(contacts, other, r, s, friction, i)
        x = _total(contacts, first, second, p, q, DX, i) + _total(contacts, third, fourth, r, s, DX, i)
        y = _total(contacts, first, second, p, q, DY, i) + _total(contacts, third, fourth, r, s, DY, i)
        z = _total(contacts, first, second, p, q, DZ, i) + _total(contacts, third, fourth, r, s, DZ, i)
        _move_apart(of_a, of_b, root_a, root_b, x, y, z, i)
        x = _total(contacts, first, second, p, q, TAX, i) + _total(contacts, third, fourth, r, s, TAX, i)
        y = _total(contacts, first, second, p, q, TAY, i) + _total(contacts, third, fourth, r, s, TAY, i)
        z = _total(contacts, first, second, p, q, TAZ, i) + _total(contacts, third, fourth, r, s, TAZ, i)
        of_a[_WX + i] += x
        of_a[_WY + i] += y
        of_a[_WZ + i] += z
        x = _total(contacts, first, second, p, q, TBX, i) + _total(contacts, third, fourth, r, s, TBX, i)
        y = _total(contacts, first, second, p, q, TBY, i) + _total(contacts, third, fourth, r, s, TBY, i)
        z = _total(contacts, first, second, p, q, TBZ, i) + _total(contacts, third, fourth, r, s, TBZ, i)
        of_b[_WX + i] += x
        of_b[_WY + i] += y
        of_b[_WZ + i] += z
        p = _total(contacts, first, second, p, q, ROOT, i)
        r = _total(contacts, third, fourth, r, s, ROOT, i)
        of_a[_WORST + i] = max(of_a[_WORST + i], max(p * p, r * r))


@compiled
def _converge(lanes: Any, of_cart: Any, of_pole: Any, enough: Any) -> Any:
    """Which lanes of two bodies end with this iteration: where no velocity changed by more than `enough` (squared).

    Where the bodies are near each other, neither has converged before both have.

    Returns:
        In how many lanes a body has ended now, and in how many one is left.
    """
    newly, left = 0, 0
    for i in range(lanes):
        mine, other = of_cart[_WORST + i], of_pole[_WORST + i]
        both, near = max(mine, other), of_cart[_NEAR + i] > ZERO
        mine, other = both if near else mine, both if near else other
        mine_open, other_open = of_cart[_OPEN + i], of_pole[_OPEN + i]
        mine_now, other_now = mine_open if mine <= enough else ZERO, other_open if other <= enough else ZERO
        of_cart[_NOW + i], of_pole[_NOW + i] = mine_now, other_now
        mine_open, other_open = mine_open - mine_now, other_open - other_now
        of_cart[_OPEN + i], of_pole[_OPEN + i] = mine_open, other_open
        of_cart[_WORST + i] = of_pole[_WORST + i] = ZERO
        newly += 1 if mine_now + other_now > ZERO else 0
        left += 1 if mine_open + other_open > ZERO else 0
    return newly, left


@compiled
def _keep(lanes: Any, change: Any) -> None:
    """Remembers what a body's velocities have changed by in the lanes that end with this iteration."""
    for i in range(lanes):
        now = change[_NOW + i]
        change[_END + _VX + i] += now * change[_VX + i]
        change[_END + _VY + i] += now * change[_VY + i]
        change[_END + _VZ + i] += now * change[_VZ + i]
        change[_END + _WX + i] += now * change[_WX + i]
        change[_END + _WY + i] += now * change[_WY + i]
        change[_END + _WZ + i] += now * change[_WZ + i]


@compiled
def _take(lanes: Any, change: Any, body: Any, roots: Any) -> None:
    """Gives a body its new velocities."""
    for i in range(lanes):
        body[row.VX + i] += roots[0] * change[_END + _VX + i]
        body[row.VY + i] += roots[0] * change[_END + _VY + i]
        body[row.VZ + i] += roots[0] * change[_END + _VZ + i]
        x, y, z = change[_END + _WX + i], change[_END + _WY + i], change[_END + _WZ + i]
        x, y, z = roots[1] * x, roots[2] * y, roots[3] * z
        body[row.WX + i] += body[row.R00 + i] * x + body[row.R01 + i] * y + body[row.R02 + i] * z
        body[row.WY + i] += body[row.R10 + i] * x + body[row.R11 + i] * y + body[row.R12 + i] * z
        body[row.WZ + i] += body[row.R20 + i] * x + body[row.R21 + i] * y + body[row.R22 + i] * z


@compiled
def _iterate(lanes: Any, counts: Any, roots: Any, frictions: Any, rows: Any, done: Any, enough: Any) -> Any:
    """Gives every row its impulse in turn, again and again, until no more than `enough` lanes are left.

    Args:
        counts: contacts of the cart and of the pole with the floor, and pairs of those between them.
        rows: see `solve`.
        done: iterations so far.

    Returns:
        Iterations so far, and how many lanes are left.
    """
    carts, poles, pairs = counts
    cart_root, pole_root = roots[0][0], roots[1][0]
    floor_friction, cart_friction = frictions[0], frictions[1]
    cart_floor, pole_floor, between, of_cart, of_pole = rows
    left = WIDTH
    while done < ITERATIONS and left > enough:
        if carts > 0:
            _push_off_floor(lanes, cart_floor, of_cart)
        if poles > 0:
            _push_off_floor(lanes, pole_floor, of_pole)
        for pair in range(pairs):
            _push_apart(lanes, between, pair * PAIR, of_cart, of_pole, cart_root, pole_root)
        if carts > 0:
            _rub_on_floor(lanes, cart_floor, of_cart, floor_friction)
        if poles > 0:
            _rub_on_floor(lanes, pole_floor, of_pole, floor_friction)
        for pair in range(pairs):
            _rub_together(lanes, between, pair * PAIR, of_cart, of_pole, cart_root, pole_root, cart_friction)
        done += 1
        newly, left = _converge(lanes, of_cart, of_pole, CONVERGED if done < ITERATIONS else ANYTHING)
        if newly > 0:
            _keep(lanes, of_cart)
            _keep(lanes, of_pole)
    return done, left


@compiled
def _gather(numbers: Any, where: Any, few: Any) -> None:
    """Puts the lanes `where` side by side, [FEW], of as many rows as there are."""
    for line in range(np.uintp(len(numbers)) // STRIDE):
        for j in range(np.uintp(FEW)):
            few[line * STRIDE + j] = numbers[line * STRIDE + where[j]]


@compiled
def _iterate_few(
    lanes: Any, counts: Any, roots: Any, frictions: Any, rows: Any, few_rows: Any, done: Any, left: Any
) -> None:
    """As `_iterate` to the end, for the lanes that are left of many: alone, as many as a vector has."""
    cart_floor, pole_floor, between, of_cart, of_pole = rows
    few_cart_floor, few_pole_floor, few_between, of_few_carts, of_few_poles = few_rows
    where, found = np.zeros(FEW, np.uintp), 0  # lane 0 again where there are fewer
    for i in range(lanes):
        if of_cart[_OPEN + i] + of_pole[_OPEN + i] > ZERO:
            where[found] = i
            found += 1
    carts, poles, pairs = counts
    if carts > 0:
        _gather(cart_floor, where, few_cart_floor)
    if poles > 0:
        _gather(pole_floor, where, few_pole_floor)
    _gather(between[: pairs * PAIR], where, few_between)
    _gather(of_cart, where, of_few_carts)
    _gather(of_pole, where, of_few_poles)
    for j in range(np.uintp(left), np.uintp(FEW)):
        of_few_carts[_OPEN + j] = of_few_poles[_OPEN + j] = ZERO
    _iterate(np.uintp(FEW), counts, roots, frictions, few_rows, done, 0)
    for line in range(_END // STRIDE, _END // STRIDE + CHANGE_ROWS):
        for j in range(np.uintp(left)):
            of_cart[line * STRIDE + where[j]] = of_few_carts[line * STRIDE + j]
            of_pole[line * STRIDE + where[j]] = of_few_poles[line * STRIDE + j]


@compiled
def _most(lanes: Any, manifold: Any) -> Any:
    """How many slots any lane uses."""
    count = ZERO
    for i in range(lanes):
        count = max(count, manifold[row.COUNT + i])
    return np.uintp(count)


@compiled
def solve(
    lanes: Any,
    manifolds: Any,
    bodies: Any,
    near: Any,
    roots: Any,
    frictions: Any,
    rows: Any,
    few_rows: Any,
) -> None:
    """Gives the velocities of cart and pole what their contacts do to them in one step.

    Args:
        lanes: how many are in use.
        manifolds: of the cart on the floor, between cart and pole, and of the pole on the floor.
        bodies: cart and pole; their velocities are those after all forces but these.
        near: 1 in lanes where the bodies are solved for together, [lanes].
        roots: of cart and pole, one by the roots of the mass (kg) and of the three moments of inertia (kg m2).
        frictions: coefficients of cart and pole on the floor, and of pole on cart.
        rows: scratch for the rows of contacts of the cart with the floor, of the pole with it, and between them, and
            for the changes of velocity of cart and pole.
        few_rows: the same once more.
    """
    cart_on_floor, pole_on_cart, pole_on_floor = manifolds
    cart, pole = bodies
    cart_floor, pole_floor, between, of_cart, of_pole = rows
    carts, poles = _most(lanes, cart_on_floor), _most(lanes, pole_on_floor)
    pairs = (_most(lanes, pole_on_cart) + np.uintp(1)) // TWO_CONTACTS
    counts = carts, poles, pairs
    if carts > 0:
        prepare_floor(lanes, cart_on_floor, cart, roots[0], cart_floor)
    if poles > 0:
        prepare_floor(lanes, pole_on_floor, pole, roots[1], pole_floor)
    if pairs > 0:
        prepare_contacts(lanes, pole_on_cart, pairs, cart, pole, roots[0], roots[1], between)
    of_cart[:], of_pole[:] = ZERO, ZERO
    for i in range(lanes):
        of_cart[_OPEN + i] = of_pole[_OPEN + i] = ONE
        of_cart[_NEAR + i] = near[i]
    done, left = _iterate(lanes, counts, roots, frictions, rows, 0, FEW if lanes > FEW else 0)
    if left > 0:
        _iterate_few(lanes, counts, roots, frictions, rows, few_rows, done, left)
    _take(lanes, of_cart, cart, roots[0])
    _take(lanes, of_pole, pole, roots[1])
