"""Vectors, rotations and inertia tensors of kernels: tuples of blocks, one number a lane.

A rotation is the three axes of the turned frame, as vectors of the world's. A frame is its origin and its rotation.
"""

from __future__ import annotations

from envs.kernel_language import jit, tl


@jit
def add(p, q):
    return (p[0] + q[0], p[1] + q[1], p[2] + q[2])


@jit
def subtract(p, q):
    return (p[0] - q[0], p[1] - q[1], p[2] - q[2])


@jit
def scale(p, factor):
    return (p[0] * factor, p[1] * factor, p[2] * factor)


@jit
def dot(p, q):
    return p[0] * q[0] + p[1] * q[1] + p[2] * q[2]


@jit
def cross(p, q):
    return (p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0])


@jit
def choose(condition, p, q):
    """`p` in lanes where the condition holds, else `q`."""
    return (tl.where(condition, p[0], q[0]), tl.where(condition, p[1], q[1]), tl.where(condition, p[2], q[2]))


@jit
def pick(number, p, q, r):
    """The vector of that number, 0 to 2."""
    return choose(number == 0, p, choose(number == 1, q, r))


@jit
def outward(axes, p):
    """A vector of the turned frame, in the world's."""
    return add(add(scale(axes[0], p[0]), scale(axes[1], p[1])), scale(axes[2], p[2]))


@jit
def inward(axes, p):
    """A vector of the world's frame, in the turned one's."""
    return (dot(axes[0], p), dot(axes[1], p), dot(axes[2], p))


@jit
def place_of(frame, p):
    """A point of a frame, in the world's."""
    return add(frame[0], outward(frame[1], p))


@jit
def either(condition, f, g):
    """The frame `f` where the condition holds, else `g`."""
    axes = (
        choose(condition, f[1][0], g[1][0]),
        choose(condition, f[1][1], g[1][1]),
        choose(condition, f[1][2], g[1][2]),
    )
    return (choose(condition, f[0], g[0]), axes)


@jit
def rotation(quaternion):
    """The axes of a frame with this orientation (x, y, z, w)."""
    x, y, z, w = quaternion
    return (
        (1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y)),
        (2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x)),
        (2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y)),
    )


@jit
def turn_by(axes, moments, p):
    """A tensor, diagonal with these moments in the turned frame, times a vector of the world's."""
    own = inward(axes, p)
    return outward(axes, (moments[0] * own[0], moments[1] * own[1], moments[2] * own[2]))


@jit
def load_vector(at, n):
    """Three rows, `n` apart."""
    return (tl.load(at), tl.load(at + n), tl.load(at + 2 * n))


@jit
def store_vector(at, n, p, mask):
    tl.store(at, p[0], mask=mask)
    tl.store(at + n, p[1], mask=mask)
    tl.store(at + 2 * n, p[2], mask=mask)
