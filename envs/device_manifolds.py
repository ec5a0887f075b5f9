"""Contacts that last, in kernels: what `envs.lanes_manifolds` remembers, by the same rules.

A manifold is a row that tells how many contacts there are and four slots of SLOT_ROWS rows, `n` numbers apart. A lane
may write to any slot, so that none is searched for among masks.
"""

from __future__ import annotations

from envs.device_contacts import DEPTH, FOUND, PLACE, POINT_ROWS
from envs.device_vectors import add, cross, dot, inward, load_vector, place_of, scale, store_vector, subtract
from envs.kernel_language import constant, jit, tl

# A slot: the contact point in A's and in B's frame as it was found, the normal from B to A, and the distance along it
# (m), which is negative when the bodies overlap.
ON_A = constant(0)
ON_B = constant(3)
NORMAL = constant(6)
GAP = constant(9)
SLOT_ROWS = constant(10)
MANIFOLD_ROWS = 1 + 4 * SLOT_ROWS


@jit
def slot_of(manifold, k, n):
    return manifold + (1 + k * SLOT_ROWS) * n


@jit
def remember(manifold, a, b, found, normal, reach, n):
    """Takes the points that were found into a manifold; `reach` (m) is how far apart two points are the same."""
    tl.debug_barrier()
    for j in range(4):
        point = found + j * POINT_ROWS * n
        new = tl.load(point + FOUND * n) > 0.0
        if tl.max(tl.cast(new, tl.int32), 0) > 0:
            place, depth = load_vector(point + PLACE * n, n), tl.load(point + DEPTH * n)
            on_b = inward(b[1], subtract(place, b[0]))
            on_a = inward(a[1], subtract(subtract(place, scale(normal, depth)), a[0]))
            count = tl.cast(tl.load(manifold), tl.int32)
            choice, nearest = tl.zeros_like(count) - 1, tl.zeros_like(depth) + reach * reach
            for k in range(4):
                apart = subtract(load_vector(slot_of(manifold, k, n) + ON_A * n, n), on_a)
                square = dot(apart, apart)
                same = (k < count) & (square < nearest)
                choice, nearest = tl.where(same, k, choice), tl.where(same, square, nearest)
            free = new & (choice < 0) & (count < 4)
            crowded = new & (choice < 0) & (count >= 4)
            choice = tl.where(free, count, choice)
            tl.store(manifold, tl.cast(count + 1, tl.float32), mask=free)
            if tl.max(tl.cast(crowded, tl.int32), 0) > 0:
                choice = tl.where(crowded, least_useful(manifold, on_a, -depth, n), choice)
            slot = slot_of(manifold, tl.maximum(choice, 0), n)
            tl.debug_barrier()
            store_vector(slot + ON_A * n, n, on_a, new)
            store_vector(slot + ON_B * n, n, on_b, new)
            store_vector(slot + NORMAL * n, n, normal, new)
            tl.store(slot + GAP * n, -depth, mask=new)
            tl.debug_barrier()


@jit
def least_useful(manifold, on_a, gap, n):
    """The slot without which a fifth point and the others span most; never the deepest."""
    deepest = tl.cast(tl.zeros_like(gap), tl.int32) - 1
    for k in range(4):
        other = tl.load(slot_of(manifold, k, n) + GAP * n)
        deeper = other < gap
        gap, deepest = tl.where(deeper, other, gap), tl.where(deeper, k, deepest)
    best, choice = tl.zeros_like(gap) - 1.0, tl.zeros_like(deepest)
    for k in tl.static_range(4):
        # Opposite the new point: the first slot that is left; the other two: the other diagonal.
        partner = 1 if k == 0 else 0
        second = 1 if k >= 2 else 2
        third = 3 if k != 3 else 2
        one = subtract(on_a, load_vector(slot_of(manifold, partner, n) + ON_A * n, n))
        from_second = load_vector(slot_of(manifold, second, n) + ON_A * n, n)
        other = subtract(load_vector(slot_of(manifold, third, n) + ON_A * n, n), from_second)
        normal = cross(one, other)
        area = dot(normal, normal)
        better = (deepest != k) & (area > best)
        best, choice = tl.where(better, area, best), tl.where(better, k, choice)
    return choice


@jit
def places(slot, a, b, n):
    """Where a contact's points on A and on B are in the world now, and its normal."""
    return (
        place_of(a, load_vector(slot + ON_A * n, n)),
        place_of(b, load_vector(slot + ON_B * n, n)),
        load_vector(slot + NORMAL * n, n),
    )


@jit
def refresh(manifold, a, b, reach, n):
    """Measures the contacts anew, and drops those that have parted or slid by more than `reach` (m)."""
    tl.debug_barrier()
    count = tl.cast(tl.load(manifold), tl.int32)
    for i in range(4):
        k = 3 - i  # the last first, as a slot that is dropped is filled by the last
        slot = slot_of(manifold, k, n)
        on_a, on_b, normal = places(slot, a, b, n)
        gap = dot(subtract(on_a, on_b), normal)
        slid = add(subtract(on_b, on_a), scale(normal, gap))
        here = k < count
        lost = here & ((gap > reach) | (dot(slid, slid) > reach * reach))
        tl.store(slot + GAP * n, gap, mask=here)
        tl.debug_barrier()
        last = slot_of(manifold, tl.maximum(count - 1, 0), n)
        for row in range(SLOT_ROWS):
            tl.store(slot + row * n, tl.load(last + row * n), mask=lost)
        tl.debug_barrier()
        count = count - tl.cast(lost, tl.int32)
    tl.store(manifold, tl.cast(count, tl.float32), mask=count >= 0)
    tl.debug_barrier()
