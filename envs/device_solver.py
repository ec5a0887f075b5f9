"""What contacts do to velocities, in kernels: projected Gauss-Seidel as in `envs.lanes_solver`, by the same rules.

The ground is body A of a contact like any other, one that nothing moves: in the iterations, which take most of the
time, what is said of it is left out when the kernel is compiled (`GROUND`).
"""

from __future__ import annotations

from envs.device_manifolds import places, slot_of
from envs.device_vectors import add, choose, cross, dot, load_vector, pick, scale, store_vector, subtract, turn_by
from envs.kernel_language import constant, constexpr, jit, tl

ITERATIONS = constant(50)
CONVERGED = constant(1e-7)
"""Square of the largest change of a velocity (m/s) in an iteration that may be neglected."""
SLOP = constant(1e-5)
"""Overlap (m) that is not pushed apart."""
PUSH_APART = constant(0.08)
"""Share of the overlap that a step takes away."""
RATE = constant(240.0)
"""Steps a second."""
STEEP = constant(0.7071067811865476)

# A line: its direction; for B and A the lever arm turned into it, and what a unit of impulse does to the angular
# velocity; the impulse wanted at first, what a unit of velocity takes, what it is worth, and the impulse so far.
DIRECTION = constant(0)
LEVER_B = constant(3)
TURN_B = constant(6)
LEVER_A = constant(9)
TURN_A = constant(12)
WANTED = constant(15)
PER = constant(16)
WORTH = constant(17)
IMPULSE = constant(18)
LINE_ROWS = constant(19)
CONTACT_ROWS = 3 * LINE_ROWS


@jit
def prepare(manifold, a, b, inverse_a, inverse_b, moments_a, moments_b, rows, n, live):
    """The lines of a manifold's contacts, from the velocities before any impulse.

    Args:
        a, b: frame, velocity and angular velocity of the bodies.
        inverse_a, inverse_b: of their masses, 1/kg; 0 for the ground.
        moments_a, moments_b: inverses of their moments of inertia; 0 for the ground.
    """
    frame_a, velocity_a, spin_a = a
    frame_b, velocity_b, spin_b = b
    count = tl.cast(tl.load(manifold), tl.int32)
    for k in range(tl.max(count, 0)):
        on_a, on_b, normal = places(slot_of(manifold, k, n), frame_a, frame_b, n)
        gap = dot(subtract(on_a, on_b), normal) + SLOP
        first, second = across(normal)
        arm_a, arm_b = subtract(on_a, frame_a[0]), subtract(on_b, frame_b[0])
        for line in range(3):
            direction = pick(line, normal, first, second)
            at = rows + (k * CONTACT_ROWS + line * LINE_ROWS) * n
            lever_a, lever_b = cross(arm_a, direction), cross(direction, arm_b)
            turn_a, turn_b = turn_by(frame_a[1], moments_a, lever_a), turn_by(frame_b[1], moments_b, lever_b)
            per = (inverse_a + inverse_b) * dot(direction, direction) + dot(lever_a, turn_a) + dot(lever_b, turn_b)
            per = tl.where(per > 0.0, per, 1.0)
            worth = tl.where(k < count, 1.0 / per, 0.0)
            gained = dot(direction, subtract(velocity_a, velocity_b)) + dot(lever_a, spin_a) + dot(lever_b, spin_b)
            # Along the normal: to come no nearer than touching, and a little apart when too near.
            wanted = tl.where(line == 0, -gap * tl.where(gap > 0.0, RATE, RATE * PUSH_APART), 0.0)
            store_vector(at + DIRECTION * n, n, direction, live)
            store_vector(at + LEVER_A * n, n, lever_a, live)
            store_vector(at + LEVER_B * n, n, lever_b, live)
            store_vector(at + TURN_A * n, n, turn_a, live)
            store_vector(at + TURN_B * n, n, turn_b, live)
            tl.store(at + WANTED * n, (wanted - gained) * worth, mask=live)
            tl.store(at + PER * n, per, mask=live)
            tl.store(at + WORTH * n, worth, mask=live)
            tl.store(at + IMPULSE * n, tl.zeros_like(per), mask=live)
    tl.debug_barrier()


@jit
def across(normal):
    """Two directions across a normal, by whichever two of its components are safe to divide by."""
    steep = tl.abs(normal[2]) > STEEP
    square = normal[1] * normal[1] + tl.where(steep, normal[2] * normal[2], normal[0] * normal[0])
    factor = 1.0 / tl.sqrt(tl.where(square > 0.0, square, 1.0))
    level = (-normal[1] * factor, normal[0] * factor, tl.zeros_like(factor))
    first = choose(steep, (tl.zeros_like(factor), -normal[2] * factor, normal[1] * factor), level)
    return first, cross(normal, first)


@jit
def lacking(at, n, of_a, of_b, GROUND: constexpr):
    """The impulse that would satisfy a line, beside what it has."""
    gained = dot(load_vector(at + LEVER_B * n, n), of_b[1])
    if GROUND:
        gained = gained - dot(load_vector(at + DIRECTION * n, n), of_b[0])
    else:
        gained = gained + dot(load_vector(at + DIRECTION * n, n), subtract(of_a[0], of_b[0]))
        gained = gained + dot(load_vector(at + LEVER_A * n, n), of_a[1])
    return tl.load(at + WANTED * n) - tl.load(at + WORTH * n) * gained


@jit
def give(at, n, impulse, of_a, of_b, inverse_a, inverse_b, GROUND: constexpr):
    """What an impulse along a line changes of both velocities."""
    push = scale(load_vector(at + DIRECTION * n, n), impulse)
    if not GROUND:
        turn = scale(load_vector(at + TURN_A * n, n), impulse)
        of_a = (add(of_a[0], scale(push, inverse_a)), add(of_a[1], turn))
    turn = scale(load_vector(at + TURN_B * n, n), impulse)
    return of_a, (subtract(of_b[0], scale(push, inverse_b)), add(of_b[1], turn))


@jit
def push_apart(rows, count, n, live, of_a, of_b, worst, inverse_a, inverse_b, GROUND: constexpr):
    """The lines along the normals of `count` contacts, one after the other."""
    for k in range(count):
        at = rows + k * CONTACT_ROWS * n
        before = tl.load(at + IMPULSE * n)
        more = tl.maximum(lacking(at, n, of_a, of_b, GROUND), -before)
        tl.store(at + IMPULSE * n, before + more, mask=live)
        of_a, of_b = give(at, n, more, of_a, of_b, inverse_a, inverse_b, GROUND)
        changed = more * tl.load(at + PER * n)
        worst = tl.maximum(worst, changed * changed)
    return of_a, of_b, worst


@jit
def rub(rows, count, n, live, friction, of_a, of_b, worst, inverse_a, inverse_b, GROUND: constexpr):
    """The lines across the normals of `count` contacts, one after the other, within the friction cone."""
    for k in range(count):
        at = rows + k * CONTACT_ROWS * n
        first, second = at + LINE_ROWS * n, at + 2 * LINE_ROWS * n
        p_before, q_before = tl.load(first + IMPULSE * n), tl.load(second + IMPULSE * n)
        p = p_before + lacking(first, n, of_a, of_b, GROUND)
        q = q_before + lacking(second, n, of_a, of_b, GROUND)
        limit = friction * tl.load(at + IMPULSE * n)
        square = p * p + q * q
        shrink = tl.where(square >= limit * limit, limit / tl.sqrt(square + 1e-30), 1.0)
        p, q = p * shrink, q * shrink
        tl.store(first + IMPULSE * n, p, mask=live)
        tl.store(second + IMPULSE * n, q, mask=live)
        p, q = p - p_before, q - q_before
        of_a, of_b = give(first, n, p, of_a, of_b, inverse_a, inverse_b, GROUND)
        of_a, of_b = give(second, n, q, of_a, of_b, inverse_a, inverse_b, GROUND)
        changed = p * tl.load(first + PER * n) + q * tl.load(second + PER * n)
        worst = tl.maximum(worst, changed * changed)
    return of_a, of_b, worst


@jit
def solve(counts, rows, frictions, inverse_cart, inverse_pole, near, n, live, zero):
    """What the contacts change of the velocities of cart and pole in one step.

    Args:
        counts: contacts of any lane of cart and floor, cart and pole, pole and floor.
        rows: the lines of these three.
        frictions: coefficients on the floor, and of the pole on the cart.
        inverse_cart, inverse_pole: of their masses, 1/kg.
        near: where the bodies are solved for together: neither has converged before both have.
        n, live: as everywhere: numbers from a row to the next, and lanes that are to be computed.
        zero: a block of zeros.
    """
    nothing = (zero, zero, zero)
    cart, pole = (nothing, nothing), (nothing, nothing)
    final_cart, final_pole = cart, pole
    open_cart, open_pole = live, live
    iteration, left = 0, 1
    while (iteration < ITERATIONS) & (left > 0):
        worst, other = zero, zero
        _, cart, worst = push_apart(rows[0], counts[0], n, live, cart, cart, worst, 0.0, inverse_cart, True)
        _, pole, other = push_apart(rows[2], counts[2], n, live, pole, pole, other, 0.0, inverse_pole, True)
        cart, pole, worst = push_apart(
            rows[1], counts[1], n, live, cart, pole, worst, inverse_cart, inverse_pole, False
        )
        _, cart, worst = rub(rows[0], counts[0], n, live, frictions[0], cart, cart, worst, 0.0, inverse_cart, True)
        _, pole, other = rub(rows[2], counts[2], n, live, frictions[0], pole, pole, other, 0.0, inverse_pole, True)
        cart, pole, worst = rub(
            rows[1], counts[1], n, live, frictions[1], cart, pole, worst, inverse_cart, inverse_pole, False
        )
        iteration = iteration + 1
        # A body keeps what it had when it converged, however long others take.
        final_cart = (choose(open_cart, cart[0], final_cart[0]), choose(open_cart, cart[1], final_cart[1]))
        final_pole = (choose(open_pole, pole[0], final_pole[0]), choose(open_pole, pole[1], final_pole[1]))
        both = tl.maximum(worst, other)
        open_cart = open_cart & (tl.where(near, both, worst) > CONVERGED)
        open_pole = open_pole & (tl.where(near, both, other) > CONVERGED)
        left = tl.max(tl.cast(open_cart | open_pole, tl.int32), 0)
    return final_cart, final_pole
