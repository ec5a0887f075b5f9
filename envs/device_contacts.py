"""Which points of boxes touch, in kernels: what `envs.lanes_contacts` finds, by the same rules.

What is found goes into four points of scratch memory, POINT_ROWS rows each: 1 where it is one, its place on B, and how
deep the bodies overlap there (m). Rows are `n` numbers apart.
"""

from __future__ import annotations

from envs.device_vectors import (
    add,
    choose,
    cross,
    dot,
    inward,
    load_vector,
    pick,
    scale,
    store_vector,
    subtract,
)
from envs.kernel_language import constant, constexpr, jit, tl

FOUND = constant(0)
PLACE = constant(1)
DEPTH = constant(4)
POINT_ROWS = constant(5)

CORNERS = constant(8)
"""Corners that a clipped face can have."""
POLYGON_ROWS = 2 * CORNERS * 3
"""Scratch rows of a polygon before and after a cut: corners of x, y, height."""

FUDGE_EDGES = constant(1.05)
FUDGE_PARALLEL = constant(1e-5)
TINY = constant(1e-7)
NO_AREA = constant(1e-14)
NEAR = constant(0.04)
"""Bodies as near as this along x, y and z (m) are solved for together, whether they touch or not."""


@jit
def note(found, j, n, there, place, depth, mask):
    """Writes point `j` where `mask` says so."""
    point = found + j * POINT_ROWS * n
    tl.store(point + FOUND * n, tl.where(there, 1.0, 0.0), mask=mask)
    store_vector(point + PLACE * n, n, place, mask)
    tl.store(point + DEPTH * n, depth, mask=mask)


@jit
def incident_face(frame, half, direction):
    """The face of a box that looks most against a direction: its centre, and vectors to the middles of two edges."""
    at, axes = frame
    along = inward(axes, direction)
    a0, a1, a2 = tl.abs(along[0]), tl.abs(along[1]), tl.abs(along[2])
    first = (a0 >= a1) & (a0 > a2)
    second = (a1 > a0) & (a1 > a2)
    facing = tl.where(first, along[0], tl.where(second, along[1], along[2]))
    reach = tl.where(first, half[0], tl.where(second, half[1], half[2]))
    reach = tl.where(facing < 0.0, reach, -reach)
    centre = add(at, scale(choose(first, axes[0], choose(second, axes[1], axes[2])), reach))
    edge = scale(choose(first, axes[1], axes[0]), tl.where(first, half[1], half[0]))
    side = scale(choose(first | second, axes[2], axes[1]), tl.where(first | second, half[2], half[1]))
    return centre, edge, side


@jit
def corner(face, j):
    """Corner `j` of a face, counted around it."""
    centre, edge, side = face
    e = tl.where(j < 2, -1.0, 1.0)
    s = tl.where((j == 1) | (j == 2), 1.0, -1.0)
    return add(centre, add(scale(edge, e), scale(side, s)))


@jit
def find_on_floor(frame, half, height, found, n, live):
    """Corners of a box below the floor, a plane at `height` (m)."""
    face = incident_face(frame, half, (0.0, 0.0, 1.0))
    for j in range(4):
        place = corner(face, j)
        depth = height - place[2]
        note(found, j, n, depth >= 0.0, place, depth, live)


@jit
def are_near(a, half_a, b, half_b):
    """Where the upright boxes around A and B overlap, grown by what counts as near: Bullet's islands."""
    near = tl.zeros_like(a[0][0]) == 0.0
    for i in tl.static_range(3):
        reach = tl.abs(a[1][0][i]) * half_a[0] + tl.abs(a[1][1][i]) * half_a[1] + tl.abs(a[1][2][i]) * half_a[2]
        reach = reach + tl.abs(b[1][0][i]) * half_b[0] + tl.abs(b[1][1][i]) * half_b[1]
        reach = reach + tl.abs(b[1][2][i]) * half_b[2]
        near = near & (tl.abs(a[0][i] - b[0][i]) < reach + NEAR)
    return near


@jit
def find_on_top(a, half_a, b, half_b, code, flip, found, n, live):
    """Where B stands upon the upper face of A, within its edges; returns in which lanes it is something else."""
    aside = (code != 0) & ((code != 3) | (flip != 0))
    face = incident_face(b, half_b, a[1][2])
    for j in range(4):
        place = corner(face, j)
        ahead, beside, above = inward(a[1], subtract(place, a[0]))
        aside = aside | ((code != 0) & ((tl.abs(ahead) >= half_a[0]) | (tl.abs(beside) >= half_a[1])))
        depth = half_a[2] - above
        note(found, j, n, (depth >= 0.0) & (code != 0), place, depth, live)
    return aside


@jit
def separating_axis(a, half_a, b, half_b):
    """The axis along which boxes A and B overlap least, of the fifteen that can separate them.

    Returns its number (1 to 3: A's, 4 to 6: B's, 7 to 15: products of edges; 0: the boxes are apart), 1 where it
    points from B to A, and the gap along it (m).
    """
    between = subtract(b[0], a[0])
    p, t = inward(a[1], between), inward(b[1], between)
    # Component i of B's axis j, seen from A, is r[j][i].
    r = (inward(a[1], b[1][0]), inward(a[1], b[1][1]), inward(a[1], b[1][2]))
    best = tl.zeros_like(p[0]) - 1e30
    code = tl.cast(tl.zeros_like(p[0]), tl.int32)
    flip = code
    apart = best > 0.0
    for i in tl.static_range(6):
        if i < 3:
            along = p[i]
            reach = half_a[i] + half_b[0] * tl.abs(r[0][i]) + half_b[1] * tl.abs(r[1][i]) + half_b[2] * tl.abs(r[2][i])
        else:
            along = t[i - 3]
            turned = r[i - 3]
            reach = half_a[0] * tl.abs(turned[0]) + half_a[1] * tl.abs(turned[1]) + half_a[2] * tl.abs(turned[2])
            reach = reach + half_b[i - 3]
        gap = tl.abs(along) - reach
        better = gap > best
        best = tl.where(better, gap, best)
        code = tl.where(better, i + 1, code)
        flip = tl.where(better, tl.cast(along < 0.0, tl.int32), flip)
        apart = apart | (gap > 0.0)
    for i in tl.static_range(3):
        for j in tl.static_range(3):
            edges = across_edges(p, r, half_a, half_b, i, (i + 1) % 3, (i + 2) % 3, j, (j + 1) % 3, (j + 2) % 3)
            along, reach, length = edges
            gap = tl.abs(along) - reach
            apart = apart | (gap > TINY)
            gap = gap / tl.where(length > TINY, length, 1.0)
            better = (length > TINY) & (gap * FUDGE_EDGES > best)
            best = tl.where(better, gap, best)
            code = tl.where(better, 7 + 3 * i + j, code)
            flip = tl.where(better, tl.cast(along < 0.0, tl.int32), flip)
    return tl.where(apart, 0, code), flip, best


@jit
def across_edges(
    p,
    r,
    half_a,
    half_b,
    I: constexpr,  # noqa: E741
    I1: constexpr,
    I2: constexpr,
    J: constexpr,
    J1: constexpr,
    J2: constexpr,
):
    """Along the product of A's edge I and B's edge J: how far the boxes are apart and reach, all times its length."""
    along = p[I2] * r[J][I1] - p[I1] * r[J][I2]
    reach = half_a[I1] * (tl.abs(r[J][I2]) + FUDGE_PARALLEL) + half_a[I2] * (tl.abs(r[J][I1]) + FUDGE_PARALLEL)
    reach = reach + half_b[J1] * (tl.abs(r[J2][I]) + FUDGE_PARALLEL) + half_b[J2] * (tl.abs(r[J1][I]) + FUDGE_PARALLEL)
    return along, reach, tl.sqrt(r[J][I2] * r[J][I2] + r[J][I1] * r[J][I1])


@jit
def find_between(a, half_a, b, half_b, code, flip, gap, found, polygon, n, lanes):
    """Contacts in any position of the boxes: a face clipped by the other's, or two edges that cross.

    Returns the axis from A to B, in `lanes` only.
    """
    on_b, crossing = (code > 3) & (code <= 6), code > 6
    number = tl.maximum(tl.where(on_b, code - 4, code - 1), 0)
    pair = tl.maximum(code - 7, 0)
    edge_a = pick(pair // 3, a[1][0], a[1][1], a[1][2])
    edge_b = pick(pair % 3, b[1][0], b[1][1], b[1][2])
    product = cross(edge_a, edge_b)
    product = scale(product, 1.0 / tl.sqrt(tl.maximum(dot(product, product), TINY * TINY)))
    # The box whose face it is, and the one whose face is clipped.
    axes = (choose(on_b, b[1][0], a[1][0]), choose(on_b, b[1][1], a[1][1]), choose(on_b, b[1][2], a[1][2]))
    other = (choose(on_b, a[1][0], b[1][0]), choose(on_b, a[1][1], b[1][1]), choose(on_b, a[1][2], b[1][2]))
    at = choose(on_b, b[0], a[0])
    half = choose(on_b, half_b, half_a)
    other_half = choose(on_b, half_a, half_b)
    normal = choose(crossing, product, pick(number, axes[0], axes[1], axes[2]))
    normal = scale(normal, tl.where(flip != 0, -1.0, 1.0))
    away = scale(normal, tl.where(on_b, -1.0, 1.0))

    u, v = pick(number, axes[1], axes[0], axes[0]), pick(number, axes[2], axes[2], axes[1])
    limits = (tl.where(number == 0, half[1], half[0]), tl.where(number == 2, half[1], half[2]))
    level = tl.where(number == 0, half[0], tl.where(number == 1, half[1], half[2]))
    face = incident_face((subtract(choose(on_b, a[0], b[0]), at), other), other_half, away)
    clipped = lanes & (code <= 6)
    for k in range(4):
        point = corner(face, k)
        store_vector(polygon + 3 * k * n, n, (dot(point, u), dot(point, v), dot(point, away)), clipped)
    count = clip(polygon, limits, clipped, n)
    count = drop_above(polygon, level, count, n)
    deepest, cx, cy = middle(polygon, count, n)
    start = load_vector(polygon + 3 * deepest * n, n)
    x, y, taken = start[0] - cx, start[1] - cy, tl.zeros_like(count)
    for j in range(4):
        nearest = nearest_direction(polygon, count, cx, cy, x, y, deepest, taken, n)
        which = tl.where(count <= 4, j, tl.where(j == 0, deepest, nearest))
        taken = taken | (1 << which)
        x, y = -y, x
        corner_x, corner_y, height = load_vector(polygon + 3 * which * n, n)
        depth = level - height
        place = add(at, add(scale(u, corner_x), scale(v, corner_y)))
        place = add(place, scale(away, height + tl.where(on_b, depth, 0.0)))
        note(found, j, n, clipped & (j < count), place, depth, lanes)
    place = nearest_on_edge(a, half_a, b, half_b, normal, edge_a, edge_b)
    note(found, 0, n, crossing, place, -gap, lanes & crossing)
    return normal


@jit
def nearest_on_edge(a, half_a, b, half_b, normal, along_a, along_b):
    """The point on the edge of B that is nearest to the edge of A which it crosses."""
    on_a, on_b = a[0], b[0]
    for k in tl.static_range(3):
        on_a = add(on_a, scale(a[1][k], tl.where(dot(normal, a[1][k]) > 0.0, half_a[k], -half_a[k])))
        on_b = add(on_b, scale(b[1][k], tl.where(dot(normal, b[1][k]) > 0.0, -half_b[k], half_b[k])))
    between = subtract(on_b, on_a)
    cosine = dot(along_a, along_b)
    square = 1.0 - cosine * cosine
    share = (cosine * dot(along_a, between) - dot(along_b, between)) / tl.maximum(square, 1e-4)
    return add(on_b, scale(along_b, tl.where(square <= 1e-4, 0.0, share)))


@jit
def clip(polygon, limits, clipped, n):
    """Cuts four corners (x, y, height) to |x|, |y| < limits, in place; returns how many corners remain.

    Sutherland and Hodgman (1974), one side of the rectangle after the other, at most eight corners.
    """
    total = tl.where(clipped, 4, 0)
    for cut in range(4):
        tl.debug_barrier()
        source, target = polygon + (cut % 2) * 3 * CORNERS * n, polygon + ((cut + 1) % 2) * 3 * CORNERS * n
        across_x = cut < 2
        sign = tl.where(cut % 2 == 0, -1.0, 1.0)
        limit = tl.where(across_x, limits[0], limits[1])
        count = tl.zeros_like(total)
        for k in range(tl.max(total, 0)):
            p = load_vector(source + 3 * k * n, n)
            q = load_vector(source + 3 * tl.where(k + 1 < total, k + 1, 0) * n, n)
            before, after = sign * tl.where(across_x, p[0], p[1]), sign * tl.where(across_x, q[0], q[1])
            valid, inside = k < total, before < limit
            keep = valid & inside & (count < CORNERS)
            store_vector(target + 3 * count * n, n, p, keep)
            count = count + tl.cast(keep, tl.int32)
            crosses = valid & (inside != (after < limit)) & (count < CORNERS)
            met = add(p, scale(subtract(q, p), (limit - before) / tl.where(after != before, after - before, 1.0)))
            met = (tl.where(across_x, sign * limit, met[0]), tl.where(across_x, met[1], sign * limit), met[2])
            store_vector(target + 3 * count * n, n, met, crosses)
            count = count + tl.cast(crosses, tl.int32)
        total = count
    return total


@jit
def drop_above(polygon, level, total, n):
    """Keeps the corners that are not above the reference face; returns how many."""
    tl.debug_barrier()
    count = tl.zeros_like(total)
    for k in range(tl.max(total, 0)):
        p = load_vector(polygon + 3 * k * n, n)
        keep = (k < total) & (level - p[2] >= 0.0)
        store_vector(polygon + 3 * count * n, n, p, keep)
        count = count + tl.cast(keep, tl.int32)
    tl.debug_barrier()
    return count


@jit
def middle(polygon, count, n):
    """The number of the deepest corner, and the polygon's centroid x, y."""
    first = load_vector(polygon, n)
    area = tl.zeros_like(first[0])
    cx, cy = area, area
    lowest, deepest = first[2], tl.zeros_like(count)
    for k in range(tl.max(count, 0)):
        p = load_vector(polygon + 3 * k * n, n)
        q = load_vector(polygon + 3 * tl.where(k + 1 < count, k + 1, 0) * n, n)
        product = tl.where(k < count, p[0] * q[1] - q[0] * p[1], 0.0)
        area = area + product
        cx = cx + product * (p[0] + q[0])
        cy = cy + product * (p[1] + q[1])
        lower = (k < count) & (p[2] < lowest)
        lowest, deepest = tl.where(lower, p[2], lowest), tl.where(lower, k, deepest)
    factor = tl.where(tl.abs(area) > NO_AREA, 1.0 / (3.0 * tl.where(area != 0.0, area, 1.0)), 1e18)
    return deepest, cx * factor, cy * factor


@jit
def nearest_direction(polygon, count, cx, cy, x, y, start, taken, n):
    """The corner that lies most in direction x, y from cx, cy, of those whose bit in `taken` is not set."""
    best, choice = tl.zeros_like(cx) - 1e30, start
    for k in range(tl.max(count, 0)):
        p = load_vector(polygon + 3 * k * n, n)
        dx, dy = p[0] - cx, p[1] - cy
        cosine = (dx * x + dy * y) / tl.sqrt(tl.maximum(dx * dx + dy * dy, 1e-30))  # times a factor that all share
        better = (k < count) & (((taken >> k) & 1) == 0) & (cosine > best)
        best, choice = tl.where(better, cosine, best), tl.where(better, k, choice)
    return choice
