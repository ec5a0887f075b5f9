"""The steps of CartPole3D's batched world as one kernel: what `envs.cartpole3d_lanes` computes, in the same order.

One lane is one environment. Bodies stay in registers while a launch lasts; contacts and the solver's lines are in
scratch memory, a row of all lanes after the other, so that neighbouring threads read neighbouring numbers.
"""

from __future__ import annotations

from envs import cartpole3d_bodies as bodies
from envs.device_contacts import (
    POINT_ROWS,
    POLYGON_ROWS,
    are_near,
    find_between,
    find_on_floor,
    find_on_top,
    separating_axis,
)
from envs.device_manifolds import MANIFOLD_ROWS, refresh, remember
from envs.device_solver import CONTACT_ROWS, prepare, solve
from envs.device_vectors import (
    add,
    choose,
    cross,
    dot,
    either,
    inward,
    load_vector,
    outward,
    rotation,
    scale,
    store_vector,
)
from envs.kernel_language import constant, constexpr, jit, launched, tl

BODY_ROWS = constant(13)
"""Position (m), orientation (quaternion), velocity (m/s), angular velocity (rad/s): in the world's frame."""
STATE_ROWS = 2 * BODY_ROWS + 3 * MANIFOLD_ROWS
"""Cart, pole; manifolds of cart and floor, cart and pole, pole and floor."""
LINES_AT = 3 * MANIFOLD_ROWS
FOUND_AT = LINES_AT + 12 * CONTACT_ROWS
POLYGON_AT = FOUND_AT + 4 * POINT_ROWS
SCRATCH_ROWS = POLYGON_AT + POLYGON_ROWS
"""Manifolds, the lines of twelve contacts, points found, a polygon."""

DT = constant(1 / 240)
FALL = constant(bodies.GRAVITY / 240)
DAMPING = constant(bodies.DAMPING)
FLOOR = constant(bodies.FLOOR)
HALF_CART = constant(bodies.HALF_CART)
HALF_POLE = constant(bodies.HALF_POLE)
CART_INERTIA = constant(bodies.CART_INERTIA)
POLE_INERTIA = constant(bodies.POLE_INERTIA)
PER_CART_INERTIA = constant(tuple(1 / moment for moment in bodies.CART_INERTIA))
PER_POLE_INERTIA = constant(tuple(1 / moment for moment in bodies.POLE_INERTIA))
PER_CART = constant(1 / bodies.CART_MASS)
PER_POLE = constant(1 / bodies.POLE_MASS)
FRICTIONS = constant((bodies.FLOOR_FRICTION, bodies.CART_FRICTION))
CART_REACH = constant(bodies.CART_REACH)
POLE_REACH = constant(bodies.POLE_REACH)
POLE_RADIUS = constant(0.0627**0.5 + 0.01)
"""Beyond the pole's corners, m."""


@jit
def accelerate(velocity, spin, axes, inertia, per_inertia, force, per_mass):
    """Velocities after a step of gravity, damping, gyroscopic torque and the force (x, y; N)."""
    keep = 1.0 - DT * (DAMPING + DAMPING * tl.sqrt(dot(velocity, velocity)))
    velocity = add(scale(velocity, keep), (DT * per_mass * force[0], DT * per_mass * force[1], FALL))
    own = inward(axes, spin)
    slow = DAMPING + DAMPING * tl.sqrt(dot(own, own))
    torque = cross(own, (inertia[0] * own[0], inertia[1] * own[1], inertia[2] * own[2]))
    own = (
        -slow * own[0] - torque[0] * per_inertia[0],
        -slow * own[1] - torque[1] * per_inertia[1],
        -slow * own[2] - torque[2] * per_inertia[2],
    )
    return velocity, add(spin, scale(outward(axes, own), DT))


@jit
def move(body):
    """Poses after a step with the velocities."""
    position, quaternion, velocity, spin = body
    # Half the angle turned, as a vector, and by series its cosine and sine over itself: it is small.
    half = scale(spin, 0.5 * DT)
    square = dot(half, half)
    sine = 1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0))
    cosine = 1.0 - square / 2.0 * (1.0 - square / 12.0 * (1.0 - square / 30.0))
    hx, hy, hz = scale(half, sine)
    x, y, z, w = quaternion
    nx, ny = cosine * x + hx * w + hy * z - hz * y, cosine * y + hy * w + hz * x - hx * z
    nz, nw = cosine * z + hz * w + hx * y - hy * x, cosine * w - hx * x - hy * y - hz * z
    unit = 1.0 / tl.sqrt(nx * nx + ny * ny + nz * nz + nw * nw)
    turned = (nx * unit, ny * unit, nz * unit, nw * unit)
    return (add(position, scale(velocity, DT)), turned, velocity, spin)


@jit
def meet(cart, pole, scratch, n, live):
    """Brings the three manifolds up to date and writes the solver's lines; returns how many contacts any lane has.

    Args:
        cart, pole: frame, velocity after all forces but the contacts', angular velocity.
        scratch: [SCRATCH_ROWS, n], at the lanes.
    """
    zero = tl.zeros_like(cart[1][0])
    one = zero + 1.0
    origin = (zero, zero, zero)
    ground = (origin, ((one, zero, zero), (zero, one, zero), (zero, zero, one)))
    found, polygon = scratch + FOUND_AT * n, scratch + POLYGON_AT * n
    for pair in range(3):  # A and B are ground and cart, cart and pole, ground and pole
        a, b = either(pair == 1, cart[0], ground), either(pair == 0, cart[0], pole[0])
        half = choose(pair == 0, HALF_CART, HALF_POLE)
        reach = tl.where(pair == 2, POLE_REACH, CART_REACH)
        manifold = scratch + pair * MANIFOLD_ROWS * n
        near = live & ((b[0][2] - FLOOR < POLE_RADIUS) | (pair < 2) | (tl.load(manifold) > 0.0))
        if tl.max(tl.cast(near, tl.int32), 0) > 0:
            normal = (zero, zero, -one)
            if pair == 1:
                code, flip, gap = separating_axis(a, HALF_CART, b, HALF_POLE)
                aside = live & find_on_top(a, HALF_CART, b, HALF_POLE, code, flip, found, n, live)
                normal = scale(a[1][2], -1.0)
                if tl.max(tl.cast(aside, tl.int32), 0) > 0:
                    away = find_between(a, HALF_CART, b, HALF_POLE, code, flip, gap, found, polygon, n, aside)
                    normal = choose(aside, scale(away, -1.0), normal)
            else:
                find_on_floor(b, half, FLOOR, found, n, live)
            remember(manifold, a, b, found, normal, reach, n)
            refresh(manifold, a, b, reach, n)
            prepare(
                manifold,
                (a, choose(pair == 1, cart[1], origin), choose(pair == 1, cart[2], origin)),
                (b, choose(pair == 0, cart[1], pole[1]), choose(pair == 0, cart[2], pole[2])),
                tl.where(pair == 1, PER_CART, 0.0),
                tl.where(pair == 0, PER_CART, PER_POLE),
                choose(pair == 1, PER_CART_INERTIA, (0.0, 0.0, 0.0)),
                choose(pair == 0, PER_CART_INERTIA, PER_POLE_INERTIA),
                scratch + (LINES_AT + pair * 4 * CONTACT_ROWS) * n,
                n,
                live,
            )
    carts = tl.max(tl.load(scratch), 0)
    both = tl.max(tl.load(scratch + MANIFOLD_ROWS * n), 0)
    poles = tl.max(tl.load(scratch + 2 * MANIFOLD_ROWS * n), 0)
    return tl.cast(carts, tl.int32), tl.cast(both, tl.int32), tl.cast(poles, tl.int32)


@jit
def step(cart, pole, force, scratch, n, live):
    """One physics step of cart and pole: position, orientation, velocity and angular velocity each."""
    zero = tl.zeros_like(force[0])
    still = (zero, zero)
    cart_frame, pole_frame = (cart[0], rotation(cart[1])), (pole[0], rotation(pole[1]))
    cart_v, cart_w = accelerate(cart[2], cart[3], cart_frame[1], CART_INERTIA, PER_CART_INERTIA, force, PER_CART)
    pole_v, pole_w = accelerate(pole[2], pole[3], pole_frame[1], POLE_INERTIA, PER_POLE_INERTIA, still, PER_POLE)
    counts = meet((cart_frame, cart_v, cart_w), (pole_frame, pole_v, pole_w), scratch, n, live)
    near = are_near(cart_frame, HALF_CART, pole_frame, HALF_POLE)
    lines = scratch + LINES_AT * n
    rows = (lines, lines + 4 * CONTACT_ROWS * n, lines + 8 * CONTACT_ROWS * n)
    of_cart, of_pole = solve(counts, rows, FRICTIONS, PER_CART, PER_POLE, near, n, live, zero)
    cart = move((cart[0], cart[1], add(cart_v, of_cart[0]), add(cart_w, of_cart[1])))
    pole = move((pole[0], pole[1], add(pole_v, of_pole[0]), add(pole_w, of_pole[1])))
    return cart, pole


@jit
def load_body(at, n):
    x, y, z = load_vector(at + 3 * n, n)
    return (
        load_vector(at, n),
        (x, y, z, tl.load(at + 6 * n)),
        load_vector(at + 7 * n, n),
        load_vector(at + 10 * n, n),
    )


@jit
def store_pose(at, n, body, live):
    store_vector(at, n, body[0], live)
    store_vector(at + 3 * n, n, (body[1][0], body[1][1], body[1][2]), live)
    tl.store(at + 6 * n, body[1][3], mask=live)


@jit
def store_body(at, n, body, live):
    store_pose(at, n, body, live)
    store_vector(at + 7 * n, n, body[2], live)
    store_vector(at + 10 * n, n, body[3], live)


@launched("repeats", "steps")
def advance(state, columns, chosen, forces, snapshots, scratch, total, lanes, repeats, steps, BLOCK: constexpr):
    """`repeats` times `steps` physics steps of the chosen columns, and their poses after each repeat.

    Args:
        state: float32 [STATE_ROWS, total].
        columns: int32 [lanes], the column that a lane computes, each once.
        chosen: int32 [lanes], 1 where it is to be computed.
        forces: float32 on the carts' centres, N, [(x, y), total].
        snapshots: float32 [repeats, (cart, pole) * 7, total], written.
        scratch: float32 [SCRATCH_ROWS, lanes].
        total, lanes: columns, and lanes; a multiple of BLOCK.
        repeats, steps: how many.
        BLOCK: lanes of a program; on a GPU as many as its threads, so that a lane's memory is one thread's.
    """
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = tl.load(chosen + lane) > 0
    if tl.max(tl.cast(live, tl.int32), 0) == 0:
        return
    column = tl.load(columns + lane)
    own, work = state + column, scratch + lane
    force = (tl.load(forces + column), tl.load(forces + total + column))
    cart, pole = load_body(own, total), load_body(own + BODY_ROWS * total, total)
    for row in range(3 * MANIFOLD_ROWS):
        tl.store(work + row * lanes, tl.load(own + (2 * BODY_ROWS + row) * total))
    tl.debug_barrier()
    for repeat in range(repeats):
        for _ in range(steps):
            cart, pole = step(cart, pole, force, work, lanes, live)
        pose = snapshots + repeat * 14 * total + column
        store_pose(pose, total, cart, live)
        store_pose(pose + 7 * total, total, pole, live)
    tl.debug_barrier()
    store_body(own, total, cart, live)
    store_body(own + BODY_ROWS * total, total, pole, live)
    for row in range(3 * MANIFOLD_ROWS):
        tl.store(own + (2 * BODY_ROWS + row) * total, tl.load(work + row * lanes), mask=live)
