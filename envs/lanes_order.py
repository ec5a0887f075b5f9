"""The order in which the solver works on lanes, and their way into it and out again.

Lanes with more contacts come first, of all groups of a batch: then few are looked at for a third or fourth contact, or
for contacts of the pole with the ground. The solver takes as many at a time as a group has. Those that have not
converged when most others have are set aside, and go on together at the end. No lane is worked on in another way for
that, whatever is beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from envs import lanes as row  # `row.X`: where a row begins in a group's array; `X`: where it does in the solver's
from envs.compiled import compiled
from envs.lanes import BATCH, ONE, SLOTS, STRIDE, VECTOR, WIDTH, ZERO
from envs.lanes_rows import (
    CART,
    CHANGES,
    CONTACT_ROWS,
    CONTACTS,
    COUNT,
    END,
    FIRST_FLOOR,
    FLOOR,
    FLOOR_GAP,
    FLOOR_ROWS,
    FLOOR_X,
    GIVEN,
    LEFT,
    NEAR,
    OF_BOTH,
    OPEN,
    POLE,
    PROGRESS,
    PX,
    R00,
    TOUCHING,
    VX_BEFORE,
    X,
    prepare_contacts,
    prepare_floor,
)

LANES = np.uintp(BATCH * WIDTH)
"""Of a batch."""
NONE, SINGLE = np.uintp(0), np.uintp(1)
# From a group to the next, to its poles, and to what these have with the carts and with the ground.
GROUP_BODIES, POLES = np.uintp(2 * row.BODY_ROWS * WIDTH), np.uintp(row.BODY_ROWS * WIDTH)
GROUP_MANIFOLDS = np.uintp(3 * row.MANIFOLD_ROWS * WIDTH)
ON_CART, ON_GROUND = np.uintp(row.MANIFOLD_ROWS * WIDTH), np.uintp(2 * row.MANIFOLD_ROWS * WIDTH)

_MOST = int(SLOTS)
_KEYS = 2 * (_MOST + 1)
_ALL_ON_FLOOR = np.uintp(_MOST * FLOOR_ROWS)
_CONTACT = np.uintp(CONTACT_ROWS)


@compiled
def order_by_contacts(lanes: Any, manifolds: Any, order: Any) -> None:
    """Lists the lanes, [lanes]: poles on the ground first, then the others, and each by contacts with the cart.

    By counting how many there are of each kind.
    """
    keys, before = np.empty(lanes, np.uintp), np.zeros(_KEYS + 1, np.uintp)
    for lane in range(lanes):
        at = lane // STRIDE * GROUP_MANIFOLDS + lane % STRIDE + row.COUNT
        key = np.uintp(_MOST) - np.uintp(manifolds[at + ON_CART])
        key += NONE if manifolds[at + ON_GROUND] > ZERO else np.uintp(_MOST + 1)
        keys[lane] = key
        before[key + SINGLE] += SINGLE
    for key in range(_KEYS):
        before[key + 1] += before[key]
    for lane in range(lanes):
        order[before[keys[lane]]] = lane
        before[keys[lane]] += SINGLE


@compiled
def _gather(lanes: Any, where: Any, source: Any, first: Any, count: Any, rows: Any, at: Any) -> None:
    """Copies `count` rows of lanes that are `where`."""
    for line in range(np.uintp(count)):
        for i in range(lanes):
            rows[at + line * STRIDE + i] = source[first + line * STRIDE + where[i]]


@compiled
def _gather_body(lanes: Any, where: Any, body: Any, rows: Any) -> None:
    _gather(lanes, where, body, row.X, 3, rows, X)
    _gather(lanes, where, body, row.VX, 6, rows, VX_BEFORE)
    _gather(lanes, where, body, row.R00, 9, rows, R00)


@compiled
def _gather_floor(lanes: Any, where: Any, manifold: Any, rows: Any) -> None:
    for k in range(_MOST):
        slot = np.uintp(k) * row.SLOT
        _gather(lanes, where, manifold, slot + row.SX, 3, rows, FLOOR[k] + FLOOR_X)
        _gather(lanes, where, manifold, slot + row.GAP, 1, rows, FLOOR[k] + FLOOR_GAP)


@compiled
def _up_to_last(lanes: Any, rows: Any, at: Any, least: Any) -> Any:
    """How many lanes there are up to the last that has more than `least` in row `at`, in whole vectors."""
    for k in range(lanes // VECTOR):
        last, more = lanes - k * VECTOR, 0
        for i in range(last - VECTOR, last):
            more += 1 if rows[at + i] > least else 0
        if more > 0:
            return last
    return NONE


@compiled
def prepare(
    order: Any, bodies: Any, manifolds: Any, near: Any, roots: Any, iterations: Any, touching: Any, rows: Any
) -> None:
    """Fills `rows` for lanes `order`, and `touching` [6] with how many of them the solver is to look at for contacts.

    For those of the cart with the floor, of the pole with it, and a first, second, third and fourth one between them.
    """
    lanes = np.uintp(len(order))
    in_bodies, in_manifolds = np.empty(lanes, np.uintp), np.empty(lanes, np.uintp)
    for i in range(lanes):
        group, lane = order[i] // STRIDE, order[i] % STRIDE
        in_bodies[i], in_manifolds[i] = group * GROUP_BODIES + lane, group * GROUP_MANIFOLDS + lane
    cart, pole = rows[CART:], rows[POLE:]
    _gather_body(lanes, in_bodies, bodies, cart)
    _gather_body(lanes, in_bodies, bodies[POLES:], pole)
    _gather(lanes, in_manifolds, manifolds, row.COUNT, 1, cart, COUNT)
    _gather(lanes, in_manifolds, manifolds[ON_GROUND:], row.COUNT, 1, pole, COUNT)
    _gather(lanes, in_manifolds, manifolds[ON_CART:], row.COUNT, 1, rows, TOUCHING)
    _gather(lanes, order, near, NONE, 1, rows, NEAR)
    touching[0], touching[1] = _up_to_last(lanes, cart, COUNT, ZERO), _up_to_last(lanes, pole, COUNT, ZERO)
    _gather_floor(touching[0], in_manifolds, manifolds, cart)
    _gather_floor(touching[1], in_manifolds, manifolds[ON_GROUND:], pole)
    for k in range(_MOST):
        touching[2 + k] = _up_to_last(lanes, rows, TOUCHING, np.float32(k))
        slot = np.uintp(k) * row.SLOT
        _gather(touching[2 + k], in_manifolds, manifolds[ON_CART:], slot + row.PX, GIVEN, rows, CONTACTS[k] + PX)
    prepare_floor(touching[0], cart, roots[0])
    prepare_floor(touching[1], pole, roots[1])
    prepare_contacts(touching[2:], rows, roots)
    for line in range(PROGRESS):
        for i in range(lanes):
            cart[line * STRIDE + i] = pole[line * STRIDE + i] = ZERO
    for i in range(lanes):
        cart[OPEN + i] = pole[OPEN + i] = ONE
        rows[LEFT + i] = iterations


@compiled
def write_changes(order: Any, rows: Any, change: Any) -> None:
    """Writes what the velocities of lanes `order` have changed by; those set aside are written again at their end."""
    lanes = np.uintp(len(order))
    for line in range(CHANGES):
        at = END + line * STRIDE
        for i in range(lanes):
            change[line * LANES + order[i]] = rows[CART + at + i]
            change[(CHANGES + line) * LANES + order[i]] = rows[POLE + at + i]


@compiled
def set_aside(order: Any, touching: Any, rows: Any, late: Any, late_touching: Any, late_rows: Any, waiting: Any) -> Any:
    """Has those of lanes `order` that have not converged wait behind the `waiting`; returns how many these are then.

    Args:
        late: which lanes wait, [WIDTH].
        late_touching, late_rows: as `touching` [6] and `rows`, of these.
    """
    for i in range(np.uintp(len(order))):
        if rows[CART + OPEN + i] + rows[POLE + OPEN + i] > ZERO:
            late[waiting] = order[i]
            _copy(rows, i, CART, PROGRESS, late_rows, waiting)
            _copy(rows, i, POLE, PROGRESS, late_rows, waiting)
            _copy(rows, i, NEAR, OF_BOTH, late_rows, waiting)
            if i < touching[0]:
                _look_at(late_touching, 0, late_rows, waiting, CART + FIRST_FLOOR, _ALL_ON_FLOOR)
                _copy(rows, i, CART + FIRST_FLOOR, _ALL_ON_FLOOR, late_rows, waiting)
            if i < touching[1]:
                _look_at(late_touching, 1, late_rows, waiting, POLE + FIRST_FLOOR, _ALL_ON_FLOOR)
                _copy(rows, i, POLE + FIRST_FLOOR, _ALL_ON_FLOOR, late_rows, waiting)
            for k in range(int(rows[TOUCHING + i])):
                _look_at(late_touching, 2 + k, late_rows, waiting, CONTACTS[k], _CONTACT)
                _copy(rows, i, CONTACTS[k], _CONTACT, late_rows, waiting)
            waiting += SINGLE
    return waiting


@compiled
def _look_at(touching: Any, kind: Any, rows: Any, lane: Any, at: Any, count: Any) -> None:
    """Has lanes up to this one's vector looked at for a kind of contact, which is nothing until it is filled."""
    first, last = touching[kind], lane // VECTOR * VECTOR + VECTOR
    if first < last:
        touching[kind] = last
        for line in range(count):
            for i in range(first, last):
                rows[at + line * STRIDE + i] = ZERO


@compiled
def _copy(rows: Any, lane: Any, at: Any, count: Any, others: Any, to: Any) -> None:
    """Copies `count` rows of one lane."""
    for line in range(count):
        others[at + line * STRIDE + to] = rows[at + line * STRIDE + lane]


@compiled
def fill_up(waiting: Any, rows: Any) -> Any:
    """Marks lanes after the `waiting` as done, up to a whole vector; returns how many lanes that makes."""
    lanes = (waiting + VECTOR - SINGLE) // VECTOR * VECTOR
    for i in range(waiting, lanes):
        rows[CART + OPEN + i] = rows[POLE + OPEN + i] = ZERO
    return lanes
