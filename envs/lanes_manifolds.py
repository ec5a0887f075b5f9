"""Contacts that last, over lanes: what two bodies remember of where they touched.

A point found anew replaces an old one of nearly the same place, points whose bodies have parted or slid are dropped,
and at most four are kept: the deepest, and those that span most. Points that stay behind carry the pole for a while,
so a world without this memory balances differently. As Bullet's btManifoldResult and btPersistentManifold do it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from envs import lanes as row
from envs.compiled import compiled, inlined
from envs.lanes import ONE, SLOTS, STRIDE, WIDTH, ZERO

# Rows of a point's place in A's and in B's frame, whether there is one, the slot it goes to, and how near that is.
_AX, _AY, _AZ, _BX, _BY, _BZ, _NEW, _CHOICE, _NEAREST = (np.uintp(WIDTH * number) for number in range(9))
PLACE_ROWS = 9

ONE_SLOT = np.uintp(1)
_FULL = np.float32(4)


@compiled
def remember(lanes: Any, manifold: Any, a: Any, b: Any, found: Any, reach: Any, place: Any) -> None:
    """Takes the points that were found into a manifold; `reach` (m) is how far apart two points are the same."""
    for j in range(SLOTS):
        point = j * row.POINT
        if not is_any(lanes, found, point + row.FOUND):
            continue
        _locate(lanes, found, point, a, b, reach, place)
        for k in range(SLOTS):
            _find_same(lanes, manifold, k * row.SLOT, np.float32(k), place)
        if _take_free(lanes, manifold, place) > 0:
            for i in range(lanes):
                if place[_NEW + i] > ZERO and place[_CHOICE + i] < ZERO:
                    place[_CHOICE + i] = _least_useful(manifold, place, -found[point + row.DEPTH + i], i)
        for k in range(SLOTS):
            _put(lanes, found, point, place, np.float32(k), manifold, k * row.SLOT)


@compiled
def is_any(lanes: Any, numbers: Any, at: Any) -> Any:
    """Whether a row has a number above 0."""
    count = 0
    for i in range(lanes):
        count += 1 if numbers[at + i] > ZERO else 0
    return count > 0


@compiled
def _locate(lanes: Any, found: Any, point: Any, a: Any, b: Any, reach: Any, place: Any) -> None:
    """Where a point is on B and, opposite along the normal, on A, as they see it."""
    for i in range(lanes):
        depth = found[point + row.DEPTH + i]
        x, y, z = found[point + row.FX + i], found[point + row.FY + i], found[point + row.FZ + i]
        dx, dy, dz = x - b[row.X + i], y - b[row.Y + i], z - b[row.Z + i]
        place[_BX + i] = b[row.R00 + i] * dx + b[row.R10 + i] * dy + b[row.R20 + i] * dz
        place[_BY + i] = b[row.R01 + i] * dx + b[row.R11 + i] * dy + b[row.R21 + i] * dz
        place[_BZ + i] = b[row.R02 + i] * dx + b[row.R12 + i] * dy + b[row.R22 + i] * dz
        dx = x - depth * found[row.TOWARDS_X + i] - a[row.X + i]
        dy = y - depth * found[row.TOWARDS_Y + i] - a[row.Y + i]
        dz = z - depth * found[row.TOWARDS_Z + i] - a[row.Z + i]
        place[_AX + i] = a[row.R00 + i] * dx + a[row.R10 + i] * dy + a[row.R20 + i] * dz
        place[_AY + i] = a[row.R01 + i] * dx + a[row.R11 + i] * dy + a[row.R21 + i] * dz
        place[_AZ + i] = a[row.R02 + i] * dx + a[row.R12 + i] * dy + a[row.R22 + i] * dz
        place[_NEW + i] = found[point + row.FOUND + i]
        place[_CHOICE + i] = -ONE
        place[_NEAREST + i] = reach * reach


@compiled
def _find_same(lanes: Any, manifold: Any, slot: Any, k: Any, place: Any) -> None:
    """Chooses slot `k` where its point is the nearest so far."""
    for i in range(lanes):
        dx = manifold[slot + row.AX + i] - place[_AX + i]
        dy = manifold[slot + row.AY + i] - place[_AY + i]
        dz = manifold[slot + row.AZ + i] - place[_AZ + i]
        square = dx * dx + dy * dy + dz * dz
        nearest, choice = place[_NEAREST + i], place[_CHOICE + i]
        same = (k < manifold[row.COUNT + i]) & (square < nearest)
        place[_NEAREST + i] = square if same else nearest
        place[_CHOICE + i] = k if same else choice


@compiled
def _take_free(lanes: Any, manifold: Any, place: Any) -> Any:
    """Chooses a free slot for points that are new; returns for how many lanes there is none."""
    crowded = 0
    for i in range(lanes):
        count, choice = manifold[row.COUNT + i], place[_CHOICE + i]
        new = (place[_NEW + i] > ZERO) & (choice < ZERO)
        free = new & (count < _FULL)
        place[_CHOICE + i] = count if free else choice
        manifold[row.COUNT + i] = count + ONE if free else count
        crowded += 1 if new & (count >= _FULL) else 0
    return crowded


@compiled
def _put(lanes: Any, found: Any, point: Any, place: Any, k: Any, manifold: Any, slot: Any) -> None:
    """Writes the point into slot `k` where that was chosen."""
    for i in range(lanes):
        here = (place[_NEW + i] > ZERO) & (place[_CHOICE + i] == k)
        _replace(manifold, slot + row.AX + i, place[_AX + i], here)
        _replace(manifold, slot + row.AY + i, place[_AY + i], here)
        _replace(manifold, slot + row.AZ + i, place[_AZ + i], here)
        _replace(manifold, slot + row.BX + i, place[_BX + i], here)
        _replace(manifold, slot + row.BY + i, place[_BY + i], here)
        _replace(manifold, slot + row.BZ + i, place[_BZ + i], here)
        _replace(manifold, slot + row.NX + i, found[row.TOWARDS_X + i], here)
        _replace(manifold, slot + row.NY + i, found[row.TOWARDS_Y + i], here)
        _replace(manifold, slot + row.NZ + i, found[row.TOWARDS_Z + i], here)
        _replace(manifold, slot + row.GAP + i, -found[point + row.DEPTH + i], here)


@inlined
def _replace(manifold: Any, at: Any, value: Any, here: Any) -> None:
    before = manifold[at]  # read in any case, so that the choice is between two values and not between two places
    manifold[at] = value if here else before


@compiled
def _least_useful(manifold: Any, place: Any, gap: Any, i: Any) -> Any:
    """The slot without which a fifth point and the others span most; never the deepest."""
    deepest = -1
    for k in range(4):
        if manifold[np.uintp(k) * row.SLOT + row.GAP + i] < gap:
            gap = manifold[np.uintp(k) * row.SLOT + row.GAP + i]
            deepest = k
    best, choice = -ONE, 0
    for k in range(4):
        if k == deepest:
            continue
        # Opposite the new point: the first slot that is left; the other two: the other diagonal.
        partner = 1 if k == 0 else 0
        third = 3 if k != 3 else 2
        second = 1 if k in (2, 3) else 2
        dx, dy, dz = _from(manifold, partner, i)
        ax, ay, az = place[_AX + i] - dx, place[_AY + i] - dy, place[_AZ + i] - dz
        bx, by, bz = _from(manifold, third, i)
        dx, dy, dz = _from(manifold, second, i)
        bx, by, bz = bx - dx, by - dy, bz - dz
        x, y, z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        area = x * x + y * y + z * z
        if area > best:
            best, choice = area, k
    return np.float32(choice)


@compiled
def _from(manifold: Any, k: int, i: Any) -> Any:
    slot = np.uintp(k) * row.SLOT + i
    return manifold[slot + row.AX], manifold[slot + row.AY], manifold[slot + row.AZ]


@compiled
def refresh(lanes: Any, manifold: Any, a: Any, b: Any, reach: Any) -> None:
    """Moves the points with their bodies, and drops those that have parted or slid by more than `reach` (m)."""
    for k in range(SLOTS):
        _carry_along(lanes, manifold, k * row.SLOT, a, b)
    for k in range(SLOTS):
        slot = (SLOTS - ONE_SLOT - k) * row.SLOT  # the last first, as a slot that is dropped is filled by the last
        number = np.float32(SLOTS - ONE_SLOT - k)
        if _count_lost(lanes, manifold, slot, number, reach) > 0:
            for i in range(lanes):
                if _is_lost(manifold, slot, number, reach, i):
                    last = np.uintp(manifold[row.COUNT + i] - ONE) * row.SLOT
                    for line in range(row.SLOT_ROWS):
                        offset = row.AX + np.uintp(line) * STRIDE + i
                        manifold[slot + offset] = manifold[last + offset]
                    manifold[row.COUNT + i] -= ONE


@compiled
def _carry_along(lanes: Any, manifold: Any, slot: Any, a: Any, b: Any) -> None:
    for i in range(lanes):
        x, y, z = manifold[slot + row.AX + i], manifold[slot + row.AY + i], manifold[slot + row.AZ + i]
        px = a[row.X + i] + a[row.R00 + i] * x + a[row.R01 + i] * y + a[row.R02 + i] * z
        py = a[row.Y + i] + a[row.R10 + i] * x + a[row.R11 + i] * y + a[row.R12 + i] * z
        pz = a[row.Z + i] + a[row.R20 + i] * x + a[row.R21 + i] * y + a[row.R22 + i] * z
        x, y, z = manifold[slot + row.BX + i], manifold[slot + row.BY + i], manifold[slot + row.BZ + i]
        sx = b[row.X + i] + b[row.R00 + i] * x + b[row.R01 + i] * y + b[row.R02 + i] * z
        sy = b[row.Y + i] + b[row.R10 + i] * x + b[row.R11 + i] * y + b[row.R12 + i] * z
        sz = b[row.Z + i] + b[row.R20 + i] * x + b[row.R21 + i] * y + b[row.R22 + i] * z
        manifold[slot + row.PX + i] = px
        manifold[slot + row.PY + i] = py
        manifold[slot + row.PZ + i] = pz
        manifold[slot + row.SX + i] = sx
        manifold[slot + row.SY + i] = sy
        manifold[slot + row.SZ + i] = sz
        manifold[slot + row.GAP + i] = (
            (px - sx) * manifold[slot + row.NX + i]
            + (py - sy) * manifold[slot + row.NY + i]
            + (pz - sz) * manifold[slot + row.NZ + i]
        )


@compiled
def _count_lost(lanes: Any, manifold: Any, slot: Any, k: Any, reach: Any) -> Any:
    lost = 0
    for i in range(lanes):
        lost += 1 if _is_lost(manifold, slot, k, reach, i) else 0
    return lost


@inlined
def _is_lost(manifold: Any, slot: Any, k: Any, reach: Any, i: Any) -> Any:
    gap = manifold[slot + row.GAP + i]
    dx = manifold[slot + row.SX + i] - manifold[slot + row.PX + i] + manifold[slot + row.NX + i] * gap
    dy = manifold[slot + row.SY + i] - manifold[slot + row.PY + i] + manifold[slot + row.NY + i] * gap
    dz = manifold[slot + row.SZ + i] - manifold[slot + row.PZ + i] + manifold[slot + row.NZ + i] * gap
    return (k < manifold[row.COUNT + i]) & ((gap > reach) | (dx * dx + dy * dy + dz * dz > reach * reach))
