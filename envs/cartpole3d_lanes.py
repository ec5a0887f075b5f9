"""The batched world of CartPole3D: many carts and poles, a group of lanes at a time, in compiled loops.

The same bodies as in `envs.bullet`, and the same steps in the same order: contacts are found and remembered
(`envs.lanes_contacts`, `envs.lanes_manifolds`), forces and damping act, impulses at the contacts correct the velocities
(`envs.lanes_solver`), and the poses follow from the velocities (semi-implicit Euler). In float32, where Bullet
computes in float64, so that trajectories part after a while; what is measured over many does not differ.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import lanes as row
from envs.compiled import compile_apart, compiled
from envs.lanes import BATCH, HALF, ONE, STRIDE, TWO, VECTOR, WIDTH, ZERO
from envs.lanes_contacts import (
    AXIS_ROWS,
    FACE_ROWS,
    find_between,
    find_near,
    find_on_floor,
    find_on_top,
    separating_axis,
)
from envs.lanes_manifolds import PLACE_ROWS, is_any, refresh, remember
from envs.lanes_rows import CHANGES, SIZE
from envs.lanes_solver import solve

CACHE_LINE = 64
"""Bytes that memory is read in."""

DT = np.float32(1 / 240)
"""Seconds of one physics step."""
FALL = np.float32(-9.81 / 240)
"""What gravity does to a velocity in a step, m/s."""
DAMPING = np.float32(0.04)
"""Velocities lose this share of themselves, and as much again for every m/s or rad/s, each second: Bullet's default."""
FLOOR = np.float32(0.05)
"""Height of the ground's upper face, m."""
HALF_CART, HALF_POLE = (0.1, 0.1, 0.025), (0.01, 0.01, 0.25)
"""Halves of the boxes' edges, m."""
CART_INERTIA, POLE_INERTIA = (0.010625, 0.010625, 0.02), (0.313, 0.313, 0.001)
"""Moments of inertia, kg m2: three times a solid box's, as in `envs.bullet`."""
CART_MASS, POLE_MASS = 1.0, 5.0
CART_HEIGHT, POLE_HEIGHT = 0.08, 0.35
"""Start heights of the centres, m."""
FLOOR_FRICTION, CART_FRICTION = 0.5, 1.0
"""Coefficients of friction of cart and pole on the ground, and of the pole on the cart."""
CART_REACH, POLE_REACH = np.float32(0.02 * math.sqrt(0.020625)), np.float32(0.02 * math.sqrt(0.0627))
"""How far contacts of the cart, and of the pole with the ground, may part or slide before they are forgotten, m: Bullet
takes a fiftieth of the smaller body's radius."""
SETTLE_STEPS = 100
"""Physics steps from the start poses to the state that every episode begins with."""

_SIXTH, _TWELFTH, _TWENTIETH, _THIRTIETH, _FORTY_SECOND = (np.float32(1 / number) for number in (6, 12, 20, 30, 42))


@compiled
def _orient(lanes: Any, body: Any) -> None:
    """The rotation matrix from the orientation."""
    for i in range(lanes):
        x, y, z, w = body[row.QX + i], body[row.QY + i], body[row.QZ + i], body[row.QW + i]
        r00, r01, r02 = ONE - TWO * (y * y + z * z), TWO * (x * y - w * z), TWO * (x * z + w * y)
        r10, r11, r12 = TWO * (x * y + w * z), ONE - TWO * (x * x + z * z), TWO * (y * z - w * x)
        r20, r21, r22 = TWO * (x * z - w * y), TWO * (y * z + w * x), ONE - TWO * (x * x + y * y)
        body[row.R00 + i], body[row.R01 + i], body[row.R02 + i] = r00, r01, r02
        body[row.R10 + i], body[row.R11 + i], body[row.R12 + i] = r10, r11, r12
        body[row.R20 + i], body[row.R21 + i], body[row.R22 + i] = r20, r21, r22


@compiled
def _accelerate(lanes: Any, body: Any, inertia: Any, inverse_inertia: Any, inverse_mass: Any, force: Any) -> None:
    """Velocities after a step of gravity, damping, gyroscopic torque and the force (rows x, y; N)."""
    for i in range(lanes):
        vx, vy, vz = body[row.VX + i], body[row.VY + i], body[row.VZ + i]
        keep = ONE - DT * (DAMPING + DAMPING * math.sqrt(vx * vx + vy * vy + vz * vz))
        body[row.VX + i] = vx * keep + DT * inverse_mass * force[i]
        body[row.VY + i] = vy * keep + DT * inverse_mass * force[STRIDE + i]
        body[row.VZ + i] = vz * keep + FALL
        wx, wy, wz = body[row.WX + i], body[row.WY + i], body[row.WZ + i]
        r00, r01, r02 = body[row.R00 + i], body[row.R01 + i], body[row.R02 + i]
        r10, r11, r12 = body[row.R10 + i], body[row.R11 + i], body[row.R12 + i]
        r20, r21, r22 = body[row.R20 + i], body[row.R21 + i], body[row.R22 + i]
        # In the body's frame, where the inertia tensor is diagonal.
        x, y, z = r00 * wx + r10 * wy + r20 * wz, r01 * wx + r11 * wy + r21 * wz, r02 * wx + r12 * wy + r22 * wz
        slow = DAMPING + DAMPING * math.sqrt(x * x + y * y + z * z)
        jx, jy, jz = inertia[0] * x, inertia[1] * y, inertia[2] * z
        x, y, z = (
            -slow * x - (y * jz - z * jy) * inverse_inertia[0],
            -slow * y - (z * jx - x * jz) * inverse_inertia[1],
            -slow * z - (x * jy - y * jx) * inverse_inertia[2],
        )
        body[row.WX + i] = wx + DT * (r00 * x + r01 * y + r02 * z)
        body[row.WY + i] = wy + DT * (r10 * x + r11 * y + r12 * z)
        body[row.WZ + i] = wz + DT * (r20 * x + r21 * y + r22 * z)


@compiled
def _move(lanes: Any, body: Any) -> None:
    """Poses after a step with the velocities."""
    for i in range(lanes):
        body[row.X + i] += DT * body[row.VX + i]
        body[row.Y + i] += DT * body[row.VY + i]
        body[row.Z + i] += DT * body[row.VZ + i]
        # Half the angle turned, as a vector, and by series its cosine and sine over itself: it is small.
        hx, hy, hz = (HALF * DT) * body[row.WX + i], (HALF * DT) * body[row.WY + i], (HALF * DT) * body[row.WZ + i]
        square = hx * hx + hy * hy + hz * hz
        s = ONE - square * _SIXTH * (ONE - square * _TWENTIETH * (ONE - square * _FORTY_SECOND))
        c = ONE - square * HALF * (ONE - square * _TWELFTH * (ONE - square * _THIRTIETH))
        hx, hy, hz = s * hx, s * hy, s * hz
        x, y, z, w = body[row.QX + i], body[row.QY + i], body[row.QZ + i], body[row.QW + i]
        nx, ny = c * x + hx * w + hy * z - hz * y, c * y + hy * w + hz * x - hx * z
        nz, nw = c * z + hz * w + hx * y - hy * x, c * w - hx * x - hy * y - hz * z
        unit = ONE / math.sqrt(nx * nx + ny * ny + nz * nz + nw * nw)
        body[row.QX + i], body[row.QY + i], body[row.QZ + i], body[row.QW + i] = (
            nx * unit,
            ny * unit,
            nz * unit,
            nw * unit,
        )


@compiled
def _near_floor(lanes: Any, body: Any, radius: Any) -> Any:
    """Whether any lane's body could touch the floor."""
    near = 0
    for i in range(lanes):
        near += 1 if body[row.Z + i] - FLOOR < radius else 0
    return near > 0


def _floats(*numbers: float) -> tuple[np.float32, ...]:
    return tuple(np.float32(number) for number in numbers)


_HALF_CART, _HALF_POLE = _floats(*HALF_CART), _floats(*HALF_POLE)
_CART_INERTIA, _POLE_INERTIA = _floats(*CART_INERTIA), _floats(*POLE_INERTIA)
_INVERSE_CART_INERTIA = _floats(*(1 / moment for moment in CART_INERTIA))
_INVERSE_POLE_INERTIA = _floats(*(1 / moment for moment in POLE_INERTIA))
_INVERSE_MASSES = _floats(1 / CART_MASS, 1 / POLE_MASS)
_CART_ROOTS = _floats(*(1 / math.sqrt(number) for number in (CART_MASS, *CART_INERTIA)))
_POLE_ROOTS = _floats(*(1 / math.sqrt(number) for number in (POLE_MASS, *POLE_INERTIA)))
_FRICTIONS = _floats(FLOOR_FRICTION, CART_FRICTION)
_POLE_RADIUS = np.float32(math.sqrt(0.0627) + 0.01)


@compiled
def _zeros(count: Any, kind: Any) -> Any:
    """A row of zeros that begins with a cache line: where vectors lie across two, each costs two reads."""
    store = np.zeros(count + CACHE_LINE, kind)
    ahead = (-store.ctypes.data % CACHE_LINE) // store.itemsize
    return store[ahead : ahead + count]


@compiled
def _touch(lanes: Any, cart: Any, pole: Any, manifolds: Any, ground: Any, scratch: Any) -> None:
    """Finds the contacts of a group, and has them remembered.

    `scratch` is an incident face, a separating axis, where a point is, what was found, and which lanes are apart.
    """
    face, axis, place, found, aside = scratch
    on_floor, on_cart, on_ground = manifolds[0], manifolds[1], manifolds[2]
    find_on_floor(lanes, cart, _HALF_CART, FLOOR, face, found)
    remember(lanes, on_floor, ground, cart, found, CART_REACH, place)
    refresh(lanes, on_floor, ground, cart, CART_REACH)
    separating_axis(lanes, cart, _HALF_CART, pole, _HALF_POLE, axis)
    if find_on_top(lanes, cart, _HALF_CART, pole, _HALF_POLE, axis, face, found, aside) > 0:
        for i in range(lanes):
            if aside[i] > ZERO:
                find_between(cart, _HALF_CART, pole, _HALF_POLE, axis, found, i)
    remember(lanes, on_cart, cart, pole, found, CART_REACH, place)
    refresh(lanes, on_cart, cart, pole, CART_REACH)
    if _near_floor(lanes, pole, _POLE_RADIUS) or is_any(lanes, on_ground, row.COUNT):
        find_on_floor(lanes, pole, _HALF_POLE, FLOOR, face, found)
        remember(lanes, on_ground, ground, pole, found, POLE_REACH, place)
        refresh(lanes, on_ground, ground, pole, POLE_REACH)


@compiled
def advance(bodies: Any, manifolds: Any, forces: Any, columns: int, first: int, last: int, steps: int) -> None:
    """Physics steps of groups `first` to `last` - 1.

    Args:
        bodies: [groups, (cart, pole), BODY_ROWS * WIDTH].
        manifolds: [groups, (cart on floor, cart and pole, pole on floor), MANIFOLD_ROWS * WIDTH].
        forces: on the carts' centres, [groups, (x, y) * WIDTH], N.
        columns: environments in all groups; lanes beyond them are left alone, but for some in the last vector.
        first, last: groups.
        steps: how many.
    """
    kind = bodies.dtype
    ground = _zeros(row.BODY_ROWS * WIDTH, kind)
    for i in range(STRIDE):
        ground[row.QW + i] = ground[row.R00 + i] = ground[row.R11 + i] = ground[row.R22 + i] = ONE
    no_force, near = _zeros(2 * WIDTH, kind), _zeros(BATCH * WIDTH, kind)
    touch_scratch = (
        _zeros(FACE_ROWS * WIDTH, kind),
        _zeros(AXIS_ROWS * WIDTH, kind),
        _zeros(PLACE_ROWS * WIDTH, kind),
        _zeros(row.FOUND_ROWS * WIDTH, kind),
        _zeros(WIDTH, kind),
    )
    solve_scratch = _zeros(SIZE, kind), _zeros(SIZE, kind), _zeros(2 * int(CHANGES) * BATCH * WIDTH, kind)
    for start in range(first, last, BATCH):
        stop = min(start + BATCH, last)
        in_use = min(columns, stop * WIDTH) - start * WIDTH
        in_use = np.uintp(-(-in_use // int(VECTOR)) * int(VECTOR))
        batch = bodies[start:stop].reshape(-1), manifolds[start:stop].reshape(-1)
        for _ in range(steps):
            for group in range(start, stop):
                before = np.uintp(group - start) * STRIDE
                lanes, cart, pole = min(STRIDE, in_use - before), bodies[group, 0], bodies[group, 1]
                _orient(lanes, cart)
                _orient(lanes, pole)
                _touch(lanes, cart, pole, manifolds[group], ground, touch_scratch)
                find_near(lanes, cart, _HALF_CART, pole, _HALF_POLE, near[before:])
                _accelerate(lanes, cart, _CART_INERTIA, _INVERSE_CART_INERTIA, _INVERSE_MASSES[0], forces[group])
                _accelerate(lanes, pole, _POLE_INERTIA, _INVERSE_POLE_INERTIA, _INVERSE_MASSES[1], no_force)
            solve(in_use, *batch, near, (_CART_ROOTS, _POLE_ROOTS), _FRICTIONS, solve_scratch)
            for group in range(start, stop):
                lanes = min(STRIDE, in_use - np.uintp(group - start) * STRIDE)
                _move(lanes, bodies[group, 0])
                _move(lanes, bodies[group, 1])


def _aligned(*shape: int) -> NDArray[np.float32]:
    return _zeros(math.prod(shape), np.dtype(np.float32)).reshape(shape)


def compile_loops() -> None:
    """Has the physics compiled, for the numbers that worlds are made of, without a step of it."""
    bodies, manifolds = _aligned(1, 2, row.BODY_ROWS * WIDTH), _aligned(1, 3, row.MANIFOLD_ROWS * WIDTH)
    advance(bodies, manifolds, np.zeros((1, 2 * WIDTH), np.float32), 1, 0, 1, 0)


@compiled
def _write_poses(bodies: Any, poses: Any, chosen: Any) -> None:
    """Poses of the chosen columns, into float32 or float64 [columns, (cart, pole), 7]."""
    for column in range(len(poses)):
        if chosen[column]:
            group, lane = column // WIDTH, column % WIDTH
            for body in range(2):
                for number in range(7):
                    poses[column, body, number] = bodies[group, body, number * WIDTH + lane]


class LanesCartPole:
    """Carts and unattached poles on the ground, `columns` of them.

    The world of one column (`columns=1`) offers what `envs.bullet.BulletCartPole` does. Its numbers are the same
    whatever number of columns or threads there is.

    Args:
        columns: environments.
        threads: that share the groups of columns among them.
    """

    _settled: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    def __init__(self, columns: int, threads: int = 1):
        self.columns = columns
        groups = -(-columns // WIDTH)
        self.bodies = _aligned(groups, 2, row.BODY_ROWS * WIDTH)
        self.manifolds = _aligned(groups, 3, row.MANIFOLD_ROWS * WIDTH)
        self._forces = np.zeros((groups, 2, WIDTH), np.float32)
        self._all = np.ones(columns, bool)
        self._shares = [share for share in np.array_split(np.arange(groups), threads) if len(share)]
        self._threads = ThreadPoolExecutor(len(self._shares) - 1) if len(self._shares) > 1 else None
        self.reset()

    def reset(self) -> None:
        """Puts all columns into the settled state that every episode begins with."""
        bodies, manifolds = self._settled_lane()
        self.bodies[:] = np.repeat(bodies, WIDTH, axis=-1)
        self.manifolds[:] = np.repeat(manifolds, WIDTH, axis=-1)

    def push(self, force: Any, steps: int) -> None:
        """Advances `steps` physics steps with `force` on the carts' centres: x, y (N), or [columns, 2] of them."""
        padded = np.zeros((len(self.bodies) * WIDTH, 2), np.float32)
        padded[: self.columns] = force
        self._forces[:] = padded.reshape(-1, WIDTH, 2).transpose(0, 2, 1)
        forces = self._forces.reshape(len(self.bodies), -1)
        world = self.bodies, self.manifolds, forces, self.columns
        mine, *others = self._shares
        waiting = []
        if self._threads is not None:
            for share in others:
                waiting.append(self._threads.submit(advance, *world, int(share[0]), int(share[-1]) + 1, steps))
        advance(*world, int(mine[0]), int(mine[-1]) + 1, steps)
        for one in waiting:
            one.result()

    def place(self, columns: NDArray[np.intp], other: LanesCartPole) -> None:
        """Takes the first columns of another world over into these, state and all."""
        to_group, to_lane = np.divmod(columns, WIDTH)
        group, lane = np.divmod(np.arange(len(columns)), WIDTH)
        for mine, theirs in ((self.bodies, other.bodies), (self.manifolds, other.manifolds)):
            shape = (-1, mine.shape[1], mine.shape[2] // WIDTH, WIDTH)
            mine.reshape(shape)[to_group, :, :, to_lane] = theirs.reshape(shape)[group, :, :, lane]

    def write_poses(self, out: NDArray[np.floating], chosen: NDArray[np.bool_] | None = None) -> None:
        """Writes the poses of cart and pole of the chosen columns into `out`, [columns, 2, 7], or [2, 7] for one."""
        _write_poses(self.bodies, out[None] if out.ndim == 2 else out, self._all if chosen is None else chosen)

    def close(self) -> None:
        """Ends the threads. Harmless when done twice."""
        if self._threads is not None:
            self._threads.shutdown()

    @classmethod
    def _settled_lane(cls) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The settled state of one lane: bodies [1, 2, rows, 1] flattened to rows, and manifolds likewise."""
        if cls._settled is None:
            bodies = np.zeros((1, 2, row.BODY_ROWS, WIDTH), np.float32)
            manifolds = np.zeros((1, 3, row.MANIFOLD_ROWS * WIDTH), np.float32)
            bodies[:, :, int(row.QW) // WIDTH] = 1
            bodies[:, :, int(row.Z) // WIDTH] = np.array([[CART_HEIGHT], [POLE_HEIGHT]])
            flat = bodies.reshape(1, 2, -1)
            compile_apart("from envs.cartpole3d_lanes import compile_loops; compile_loops()")
            advance(flat, manifolds, np.zeros((1, 2 * WIDTH), np.float32), 1, 0, 1, SETTLE_STEPS)
            cls._settled = flat[..., ::WIDTH].copy(), manifolds[..., ::WIDTH].copy()
        return cls._settled
