"""How rigid bodies and their contacts are laid out for loops that the compiler turns into vector instructions.

WIDTH environments make a group. A number of each of them stands side by side in a row, and the array of a group is its
rows one after the other: the heights of a body are `body[row.Z + lane]`. Every kernel is a straight-line loop over the
lanes that are in use, so that one instruction works on many environments, and none ever sees another's numbers.

All indices are unsigned: a signed one might count from the end, which the compiler would have to look out for. And what
is added to them must be, too, as Numba makes a real number of the sum of a signed and an unsigned one.
"""

from __future__ import annotations

import numpy as np

WIDTH = 64
"""Environments of a group: enough for one's sums to be under way while another's are waited for."""
STRIDE = np.uintp(WIDTH)
"""From a row to the next."""
BATCH = 4
"""Groups whose lanes the solver puts in an order of its own."""
VECTOR = np.uintp(16)
"""Lanes that the widest vector instructions work on at once. Those in use are rounded up to as many: the rest would be
reckoned one by one, where roots that are only nearly right may differ in the last bit."""


def row_starts(first: int, count: int) -> list[np.uintp]:
    """Where `count` rows begin, counted from row `first`."""
    return [np.uintp((first + number) * WIDTH) for number in range(count)]


# A body: position (m), orientation (quaternion), velocity (m/s) and angular velocity (rad/s), in the world's frame ...
X, Y, Z, QX, QY, QZ, QW, VX, VY, VZ, WX, WY, WZ = row_starts(0, 13)
# ... and what follows from its orientation: the rotation matrix.
R00, R01, R02, R10, R11, R12, R20, R21, R22 = row_starts(13, 9)
BODY_ROWS = 22

SLOTS = np.uintp(4)
"""Contacts that two bodies can have."""
COUNT = np.uintp(0)
"""Row of a manifold that tells how many they have; its slots follow."""
# A slot: the contact point in A's and in B's frame as it was found, where these two are in the world now, the normal
# from B to A, and the distance along it (m): negative when the bodies overlap.
AX, AY, AZ, BX, BY, BZ, PX, PY, PZ, SX, SY, SZ, NX, NY, NZ, GAP = row_starts(1, 16)
SLOT_ROWS = 16
SLOT = np.uintp(SLOT_ROWS * WIDTH)
"""From a slot to the next."""
MANIFOLD_ROWS = 1 + 4 * SLOT_ROWS

# What is found in one step: a normal from B to A, and four points: 1 where it is one, its place on B, and how deep the
# bodies overlap there (m).
TOWARDS_X, TOWARDS_Y, TOWARDS_Z = row_starts(0, 3)
FOUND, FX, FY, FZ, DEPTH = row_starts(3, 5)
POINT = np.uintp(5 * WIDTH)
"""From a point to the next."""
FOUND_ROWS = 3 + 4 * 5

ZERO, HALF, ONE, TWO = (np.float32(number) for number in (0.0, 0.5, 1.0, 2.0))
