"""What contacts do to velocities, over lanes: impulses that keep bodies apart and rub, by projected Gauss-Seidel.

Every contact has three rows: one along its normal, whose impulse only pushes, and two across it, whose impulses
together stay within the friction cone. Fifty times, or until nothing changes any more, each row in turn is given the
impulse that would satisfy it alone. As Bullet's btMultiBodyConstraintSolver does it for single bodies; and as there, a
lane has its velocities from the iteration in which it converged, however long others take.

Most poles touch their cart with one corner and some with four: lanes with more contacts come first
(`envs.lanes_order`), so that a second, third or fourth one is looked at in few lanes. Most converge within thirty
iterations and some take fifty: the last quarter of each sixty-four waits until those of others have joined it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from envs import lanes as row
from envs.compiled import approximate, compiled, inlined
from envs.lanes import BATCH, ONE, STRIDE, VECTOR, WIDTH, ZERO
from envs.lanes_order import (
    GROUP_BODIES,
    LANES,
    NONE,
    POLES,
    fill_up,
    order_by_contacts,
    prepare,
    set_aside,
    write_changes,
)
from envs.lanes_rows import (
    CART,
    CHANGES,
    DX,
    DY,
    DZ,
    END,
    FIRST,
    FIRST_FLOOR,
    FOURTH,
    FOURTH_FLOOR,
    IMPULSE,
    LEFT,
    LINE,
    NEAR,
    NOW,
    OPEN,
    POLE,
    ROOT,
    ROW,
    SCALE,
    SECOND,
    SECOND_FLOOR,
    TAX,
    TAY,
    TAZ,
    TBX,
    TBY,
    TBZ,
    THIRD,
    THIRD_FLOOR,
    TX,
    TY,
    TZ,
    VX,
    VY,
    VZ,
    WANT,
    WORST,
    WX,
    WY,
    WZ,
)

ITERATIONS = np.float32(50)
CONVERGED = np.float32(1e-7)
"""Square of the largest change of a velocity (m/s) in an iteration that may be neglected."""
ANYTHING = np.float32(np.inf)

_NOTHING = np.float32(1e-30)


@inlined
def _turning(rows: Any, at: Any, w: Any) -> Any:
    """What the angular velocity has along a row."""
    wx, wy, wz = w
    return rows[at + TX] * wx + rows[at + TY] * wy + rows[at + TZ] * wz


@inlined
def _push_off(rows: Any, at: Any, worst: Any, vz: Any, w: Any) -> Any:
    """The row along the normal of one contact with the floor."""
    wx, wy, wz = w
    before, scale = rows[at + IMPULSE], rows[at + SCALE]
    more = (rows[at + WANT] - scale * vz) - _turning(rows, at, w)
    more = max(more, -before)
    rows[at + IMPULSE] = before + more
    changed = more * rows[at + ROOT]
    w = wx + rows[at + TX] * more, wy + rows[at + TY] * more, wz + rows[at + TZ] * more
    return vz + scale * more, w, max(worst, changed * changed)


@compiled
def _push_off_floor(lanes: Any, rows: Any) -> None:
    """The rows along the normals of all contacts of a body with the floor, one after the other."""
    for i in range(lanes):
        worst, vz, w = rows[i + WORST], rows[i + VZ], (rows[i + WX], rows[i + WY], rows[i + WZ])
        vz, w, worst = _push_off(rows, i + FIRST_FLOOR, worst, vz, w)
        vz, w, worst = _push_off(rows, i + SECOND_FLOOR, worst, vz, w)
        vz, w, worst = _push_off(rows, i + THIRD_FLOOR, worst, vz, w)
        vz, w, worst = _push_off(rows, i + FOURTH_FLOOR, worst, vz, w)
        rows[i + WX], rows[i + WY], rows[i + WZ] = w
        rows[i + VZ], rows[i + WORST] = vz, worst


@approximate
def _shortened(p: Any, q: Any, limit: Any) -> Any:
    """What two impulses across a normal are to be multiplied by to lie within the friction cone."""
    return min(ONE, limit / math.sqrt(p * p + (q * q + _NOTHING)))


@inlined
def _rub(rows: Any, of: Any, contact: Any, friction: Any) -> None:
    """The rows across the normal of one contact with the floor."""
    at, first, second = of + contact, of + contact + LINE, of + contact + LINE + LINE
    worst, vx, vy = rows[of + WORST], rows[of + VX], rows[of + VY]
    wx, wy, wz = w = rows[of + WX], rows[of + WY], rows[of + WZ]
    p_before, q_before = rows[first + IMPULSE], rows[second + IMPULSE]
    p_scale, q_scale = rows[first + SCALE], rows[second + SCALE]
    p = (p_before + rows[first + WANT] + p_scale * vy) - _turning(rows, first, w)
    q = (q_before + rows[second + WANT] + q_scale * vx) - _turning(rows, second, w)
    shortened = _shortened(p_scale * p, q_scale * q, friction * rows[at + SCALE] * rows[at + IMPULSE])
    p, q = shortened * p, shortened * q
    rows[first + IMPULSE], rows[second + IMPULSE] = p, q
    p, q = p - p_before, q - q_before
    rows[of + WX] = wx + rows[first + TX] * p + rows[second + TX] * q
    rows[of + WY] = wy + rows[first + TY] * p + rows[second + TY] * q
    rows[of + WZ] = wz + rows[first + TZ] * p + rows[second + TZ] * q
    changed = p * rows[first + ROOT] + q * rows[second + ROOT]
    rows[of + VX], rows[of + VY] = vx - q_scale * q, vy - p_scale * p
    rows[of + WORST] = max(worst, changed * changed)


@compiled
def _rub_on_floor(lanes: Any, rows: Any, friction: Any) -> None:
    """The rows across the normals of all contacts of a body with the floor, one after the other.

    A loop for each: one lane's sums are under way while another's are waited for.
    """
    for i in range(lanes):
        _rub(rows, i, FIRST_FLOOR, friction)
    for i in range(lanes):
        _rub(rows, i, SECOND_FLOOR, friction)
    for i in range(lanes):
        _rub(rows, i, THIRD_FLOOR, friction)
    for i in range(lanes):
        _rub(rows, i, FOURTH_FLOOR, friction)


@inlined
def _wanted(rows: Any, at: Any, v: Any, w_a: Any, w_b: Any) -> Any:
    """The impulse that would satisfy a row between two bodies, beside what it has; `v` is A's velocity as B sees it."""
    linear = rows[at + DX] * v[0] + rows[at + DY] * v[1] + rows[at + DZ] * v[2]
    turning_a = rows[at + TAX] * w_a[0] + rows[at + TAY] * w_a[1]
    turning_a += rows[at + TAZ] * w_a[2]
    turning_b = rows[at + TBX] * w_b[0] + rows[at + TBY] * w_b[1]
    turning_b += rows[at + TBZ] * w_b[2]
    return (rows[at + WANT] - linear) - (turning_a + turning_b)


@inlined
def _motion(rows: Any, a: Any, b: Any, root_a: Any, root_b: Any) -> Any:
    """A's velocity as B sees it, and how A and B turn."""
    v = (
        root_a * rows[a + VX] - root_b * rows[b + VX],
        root_a * rows[a + VY] - root_b * rows[b + VY],
        root_a * rows[a + VZ] - root_b * rows[b + VZ],
    )
    return v, (rows[a + WX], rows[a + WY], rows[a + WZ]), (rows[b + WX], rows[b + WY], rows[b + WZ])


@inlined
def _total(rows: Any, first: Any, second: Any, p: Any, q: Any, number: Any) -> Any:
    """What impulses of two rows come to, in one component."""
    return rows[first + number] * p + rows[second + number] * q


@inlined
def _move_apart(rows: Any, a: Any, b: Any, root_a: Any, root_b: Any, x: Any, y: Any, z: Any) -> None:
    """Gives A what an impulse does to its linear velocity, and B the opposite one."""
    rows[a + VX] += root_a * x
    rows[a + VY] += root_a * y
    rows[a + VZ] += root_a * z
    rows[b + VX] -= root_b * x
    rows[b + VY] -= root_b * y
    rows[b + VZ] -= root_b * z


@inlined
def _push_apart(rows: Any, i: Any, contact: Any, root_a: Any, root_b: Any) -> None:
    """The row along the normal of one contact between the bodies."""
    at, a, b = i + contact, i + CART, i + POLE
    before, worst = rows[at + IMPULSE], rows[a + WORST]
    v, w_a, w_b = _motion(rows, a, b, root_a, root_b)
    more = max(_wanted(rows, at, v, w_a, w_b), -before)
    rows[at + IMPULSE] = before + more
    _move_apart(rows, a, b, root_a, root_b, rows[at + DX] * more, rows[at + DY] * more, rows[at + DZ] * more)
    rows[a + WX] = w_a[0] + rows[at + TAX] * more
    rows[a + WY] = w_a[1] + rows[at + TAY] * more
    rows[a + WZ] = w_a[2] + rows[at + TAZ] * more
    rows[b + WX] = w_b[0] + rows[at + TBX] * more
    rows[b + WY] = w_b[1] + rows[at + TBY] * more
    rows[b + WZ] = w_b[2] + rows[at + TBZ] * more
    changed = more * rows[at + ROOT]
    rows[a + WORST] = max(worst, changed * changed)


@compiled
def _push_bodies_apart(lanes: Any, rows: Any, root_a: Any, root_b: Any) -> None:
    """The rows along the normals of all contacts between the bodies, one after the other; `lanes` [4] for each."""
    for i in range(lanes[0]):
        _push_apart(rows, i, FIRST, root_a, root_b)
    for i in range(lanes[1]):
        _push_apart(rows, i, SECOND, root_a, root_b)
    for i in range(lanes[2]):
        _push_apart(rows, i, THIRD, root_a, root_b)
    for i in range(lanes[3]):
        _push_apart(rows, i, FOURTH, root_a, root_b)


@inlined
def _rub_together(rows: Any, i: Any, contact: Any, root_a: Any, root_b: Any, friction: Any) -> None:
    """The rows across the normal of one contact between the bodies."""
    at, a, b = i + contact, i + CART, i + POLE
    first, second = at + ROW, at + ROW + ROW
    p_before, q_before, worst = rows[first + IMPULSE], rows[second + IMPULSE], rows[a + WORST]
    v, w_a, w_b = _motion(rows, a, b, root_a, root_b)
    p = p_before + _wanted(rows, first, v, w_a, w_b)
    q = q_before + _wanted(rows, second, v, w_a, w_b)
    limit = friction * rows[at + SCALE] * rows[at + IMPULSE]
    shortened = _shortened(rows[first + SCALE] * p, rows[second + SCALE] * q, limit)
    p, q = shortened * p, shortened * q
    rows[first + IMPULSE], rows[second + IMPULSE] = p, q
    p, q = p - p_before, q - q_before
    x, y = _total(rows, first, second, p, q, DX), _total(rows, first, second, p, q, DY)
    _move_apart(rows, a, b, root_a, root_b, x, y, _total(rows, first, second, p, q, DZ))
    rows[a + WX] = w_a[0] + _total(rows, first, second, p, q, TAX)
    rows[a + WY] = w_a[1] + _total(rows, first, second, p, q, TAY)
    rows[a + WZ] = w_a[2] + _total(rows, first, second, p, q, TAZ)
    rows[b + WX] = w_b[0] + _total(rows, first, second, p, q, TBX)
    rows[b + WY] = w_b[1] + _total(rows, first, second, p, q, TBY)
    rows[b + WZ] = w_b[2] + _total(rows, first, second, p, q, TBZ)
    changed = _total(rows, first, second, p, q, ROOT)
    rows[a + WORST] = max(worst, changed * changed)


@compiled
def _rub_bodies_together(lanes: Any, rows: Any, root_a: Any, root_b: Any, friction: Any) -> None:
    """The rows across the normals of all contacts between the bodies, one after the other; `lanes` [4] for each."""
    for i in range(lanes[0]):
        _rub_together(rows, i, FIRST, root_a, root_b, friction)
    for i in range(lanes[1]):
        _rub_together(rows, i, SECOND, root_a, root_b, friction)
    for i in range(lanes[2]):
        _rub_together(rows, i, THIRD, root_a, root_b, friction)
    for i in range(lanes[3]):
        _rub_together(rows, i, FOURTH, root_a, root_b, friction)


@inlined
def _keep(rows: Any, of: Any) -> None:
    """Remembers what a body's velocities have changed by where this iteration is its last."""
    now = rows[of + NOW]
    rows[of + END + VX] += now * rows[of + VX]
    rows[of + END + VY] += now * rows[of + VY]
    rows[of + END + VZ] += now * rows[of + VZ]
    rows[of + END + WX] += now * rows[of + WX]
    rows[of + END + WY] += now * rows[of + WY]
    rows[of + END + WZ] += now * rows[of + WZ]


@compiled
def _converge(lanes: Any, rows: Any) -> Any:
    """Ends where no velocity of a body changed by more than may be neglected, or no iteration is left.

    Where the bodies are near each other, neither has converged before both have.

    Returns:
        In how many lanes a body goes on.
    """
    newly, going_on = 0, 0
    for i in range(lanes):
        a, b = i + CART, i + POLE
        left = rows[i + LEFT] - ONE
        enough = CONVERGED if left > ZERO else ANYTHING
        of_cart, of_pole, near = rows[a + WORST], rows[b + WORST], rows[i + NEAR] > ZERO
        both = max(of_cart, of_pole)
        of_cart, of_pole = both if near else of_cart, both if near else of_pole
        cart_open, pole_open = rows[a + OPEN], rows[b + OPEN]
        # Whatever is not a number goes no further, either.
        cart_now, pole_now = cart_open if not of_cart > enough else ZERO, pole_open if not of_pole > enough else ZERO
        cart_open, pole_open = cart_open - cart_now, pole_open - pole_now
        rows[a + OPEN], rows[b + OPEN], rows[i + LEFT] = cart_open, pole_open, left
        rows[a + NOW], rows[b + NOW] = cart_now, pole_now
        rows[a + WORST] = rows[b + WORST] = ZERO
        newly += 1 if cart_now + pole_now > ZERO else 0
        going_on += 1 if cart_open + pole_open > ZERO else 0
    if newly > 0:
        for i in range(lanes):
            _keep(rows, i + CART)
            _keep(rows, i + POLE)
    return going_on


@compiled
def _iterate(lanes: Any, touching: Any, roots: Any, frictions: Any, rows: Any, enough: Any) -> None:
    """Gives every row its impulse in turn, again and again, until no more than `enough` lanes go on.

    Args:
        lanes: how many are in use.
        touching: how many of them are to be looked at for contacts of the cart with the floor, of the pole with it,
            and a first, second, third and fourth one between them, [6].
        roots, frictions: see `solve`.
        rows: see `envs.lanes_rows`.
    """
    carts, poles, between = touching[0], touching[1], touching[2:]
    cart_root, pole_root = roots[0][0], roots[1][0]
    floor_friction, cart_friction = frictions[0], frictions[1]
    cart, pole = rows[CART:], rows[POLE:]
    going_on = enough + 1
    while going_on > enough:
        _push_off_floor(carts, cart)
        _push_off_floor(poles, pole)
        _push_bodies_apart(between, rows, cart_root, pole_root)
        _rub_on_floor(carts, cart, floor_friction)
        _rub_on_floor(poles, pole, floor_friction)
        _rub_bodies_together(between, rows, cart_root, pole_root, cart_friction)
        going_on = _converge(lanes, rows)


@compiled
def _take(lanes: Any, change: Any, body: Any, roots: Any) -> None:
    """Gives a body its new velocities; `change` [CHANGES * LANES] begins with its group's first lane."""
    for i in range(lanes):
        body[row.VX + i] += roots[0] * change[i]
        body[row.VY + i] += roots[0] * change[LANES + i]
        body[row.VZ + i] += roots[0] * change[np.uintp(2) * LANES + i]
        x, y, z = change[np.uintp(3) * LANES + i], change[np.uintp(4) * LANES + i], change[np.uintp(5) * LANES + i]
        x, y, z = roots[1] * x, roots[2] * y, roots[3] * z
        body[row.WX + i] += body[row.R00 + i] * x + body[row.R01 + i] * y + body[row.R02 + i] * z
        body[row.WY + i] += body[row.R10 + i] * x + body[row.R11 + i] * y + body[row.R12 + i] * z
        body[row.WZ + i] += body[row.R20 + i] * x + body[row.R21 + i] * y + body[row.R22 + i] * z


@compiled
def solve(lanes: Any, bodies: Any, manifolds: Any, near: Any, roots: Any, frictions: Any, scratch: Any) -> None:
    """Gives the velocities of carts and poles what their contacts do to them in one step.

    Args:
        lanes: how many are in use, a multiple of VECTOR, of up to BATCH groups, one after the other.
        bodies: carts and poles of these groups, [groups * 2 * BODY_ROWS * WIDTH]; their velocities are those after all
            forces but these.
        manifolds: of carts on the floor, between carts and poles, and of poles on the floor,
            [groups * 3 * MANIFOLD_ROWS * WIDTH].
        near: 1 in lanes where the bodies are solved for together, [lanes].
        roots: of cart and pole, one by the roots of the mass (kg) and of the three moments of inertia (kg m2), [2][4].
        frictions: coefficients of cart and pole on the floor, and of pole on cart.
        scratch: [`lanes_rows.SIZE`] twice, and changes of velocity, [2 * CHANGES * LANES].
    """
    rows, late_rows, change = scratch
    order, late = np.empty(lanes, np.uintp), np.empty(WIDTH, np.uintp)
    touching, late_touching, waiting = np.zeros(6, np.uintp), np.zeros(6, np.uintp), NONE
    order_by_contacts(lanes, manifolds, order)
    for first in range(NONE, lanes, STRIDE):
        these = order[first : min(first + STRIDE, lanes)]
        prepare(these, bodies, manifolds, near, roots, ITERATIONS, touching, rows)
        some = np.uintp(len(these))
        # So few that the late ones of a whole batch find room; a single vector takes as long however few go on.
        _iterate(some, touching, roots, frictions, rows, len(these) // BATCH if lanes > VECTOR else 0)
        write_changes(these, rows, change)
        waiting = set_aside(these, touching, rows, late, late_touching, late_rows, waiting)
    if waiting > NONE:
        some = fill_up(waiting, late_rows)
        _iterate(some, late_touching, roots, frictions, late_rows, 0)
        write_changes(late[:waiting], late_rows, change)
    for first in range(NONE, lanes, STRIDE):
        some, group = min(STRIDE, lanes - first), first // STRIDE * GROUP_BODIES
        _take(some, change[first:], bodies[group:], roots[0])
        _take(some, change[first + CHANGES * LANES :], bodies[group + POLES :], roots[1])
