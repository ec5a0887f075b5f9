"""What the cameras of CartPole3D see: a renderer of its three boxes that draws many observations in one compiled call.

It draws what PyBullet's TinyRenderer draws, in less than a hundredth of the time.

The ray of a pixel leaves the eye along corner + column * across + row * down, scaled so that its length is counted in
metres of depth. In the frame of a box the eye is e and the ray d: it meets the plane x = h of a face at the depth
t = (h - e_x) / d_x, at y = e_y + t d_y, and hits the face where -h_y <= y <= h_y, and the same along z (the slab method
of Kay and Kajiya, 1986). The inverse of the depth, the nearness w = 1 / t, is linear in column and row; so is the test
when it is multiplied by w: -h_y w <= e_y w + d_y <= h_y w. Hence a face takes one run of pixels of each row, whose ends
are known without testing any pixel, and no face needs clipping (the homogeneous rasterisation of Olano and Greer,
1997). In each pixel the larger nearness wins.

Everything that the compiled loop calls is in this file: Numba's cache does not notice changes in others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numba import njit
from numpy.typing import NDArray

from envs.cartpole3d_task import BODIES, POSE

FIELD_OF_VIEW = math.radians(60)
"""Angle between the lower and the upper edge of a picture, rad."""
NEAR, FAR = 0.1, 20.0
"""Depths between which the cameras see, m."""
LIGHT = tuple(component / math.hypot(-50.0, 30.0, 100.0) for component in (-50.0, 30.0, 100.0))
"""Unit vector towards TinyRenderer's light."""
AMBIENT, DIFFUSE, SPECULAR = 0.6, 0.35, 0.05
"""TinyRenderer's shares of the light that is everywhere, that falls on a face, and that a face mirrors upwards."""
SKY = 255
"""Value of all three colours where there is nothing to see."""

ROUNDING = 1e-9
"""Pixels by which a face reaches over its edges, so that rounding leaves no crack between two faces."""

EYE, CORNER, ACROSS, DOWN, FORWARD = range(5)
"""Rows of a camera's array: where it stands; the ray of the upper left pixel; what a column and what a row add to the
ray; and the unit vector along which depth is counted."""

_ASSETS = Path(__file__).parent / "assets"


class PixelRenderer:
    """The cameras of a pixel observation, with the pictures that they have of the empty ground.

    Args:
        width: columns of a picture.
        height: rows of a picture.
        eyes: where each camera stands (x y z; m).
        target: what all cameras look at (x y z; m), with z up.
        snapshots: moments in an observation.

    Raises:
        ValueError: an observation has no pixels, or an eye is straight above or below the target.
    """

    def __init__(
        self,
        width: int,
        height: int,
        eyes: Sequence[tuple[float, float, float]],
        target: tuple[float, float, float],
        snapshots: int = 1,
    ):
        if min(width, height, len(eyes), snapshots) < 1:
            raise ValueError(
                f"an observation of {width} x {height} pixels, {len(eyes)} cameras and {snapshots} snapshots is empty; "
                "expected at least 1 of each"
            )
        self.shape = (height, width, 3 * snapshots * len(eyes))
        self._snapshots = snapshots
        self._cameras = np.stack([_camera(eye, target, width, height) for eye in eyes])  # [cameras, 5, 3]
        self._boxes = np.stack([_box("cart"), _box("pole")])  # [bodies, 2, 3]
        self._nearness = np.full((len(eyes), height * width), 1 / FAR)
        ground, box = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]), _box("ground")
        pixels = np.full((height * width, len(eyes) * 3), SKY, np.uint8)
        view, runs = np.empty((5, 3)), np.empty((2, height))
        for number, (camera, nearness) in enumerate(zip(self._cameras, self._nearness, strict=True)):
            picture = pixels.reshape(-1)[3 * number :]
            _draw_box(ground, box, camera, width, picture, pixels.shape[1], nearness, view, runs)
        # Of all channels, so that it is copied in one piece.
        self._background = np.tile(pixels, snapshots).reshape(-1)  # [height * width * channels]

    def draw(
        self, poses: NDArray[np.floating], out: NDArray[np.uint8], which: NDArray[np.integer] | None = None
    ) -> None:
        """Draws observations, each the same to the bit whatever else is drawn.

        Python's lock is let go: threads may share a renderer, each with its own slice or its own `which`.

        Args:
            poses: of cart and pole, float32 or float64 [N, snapshots, 2, 7].
            out: written to, uint8 [N, height, width, 3 * snapshots * cameras], channels ordered snapshot, camera, RGB.
            which: numbers of the observations to draw [C]; None for all N.

        Raises:
            ValueError: an array is of another shape, type or memory layout, or a number is none of the N.
        """
        count = len(poses)
        if poses.shape != (count, self._snapshots, BODIES, POSE) or poses.dtype not in (np.float32, np.float64):
            expected = f"(N, {self._snapshots}, {BODIES}, {POSE})"
            raise ValueError(f"poses are {poses.dtype} {poses.shape}; expected float32 or float64 {expected}")
        if out.shape != (count, *self.shape) or out.dtype != np.uint8 or not out.flags.c_contiguous:
            layout = "" if out.flags.c_contiguous else ", not contiguous"
            expected = (count, *self.shape)
            raise ValueError(f"out is {out.dtype} {out.shape}{layout}; expected contiguous uint8 {expected}")
        if which is None:
            which = np.arange(count)
        elif which.ndim != 1 or which.dtype.kind not in "iu":
            raise ValueError(f"which is {which.dtype} {which.shape}; expected whole numbers (C,)")
        elif which.size and not (which.min() >= 0 and which.max() < count):
            raise ValueError(f"which has {which.min()} to {which.max()}; expected 0 to {count - 1}")
        which = which.astype(np.int64, copy=False)
        flat = out.reshape(count, self._background.size)
        _draw(poses, which, self._boxes, self._cameras, self.shape[1], self._background, self._nearness, flat)


def _camera(
    eye: tuple[float, float, float], target: tuple[float, float, float], width: int, height: int
) -> NDArray[np.float64]:
    """A camera at `eye` that looks at `target`, [5, 3]."""
    forward = np.subtract(target, eye)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    if not right.any():
        raise ValueError(f"the eye {eye} is straight above or below the target {target}; move it aside")
    forward = forward / np.linalg.norm(forward)
    right = right / np.linalg.norm(right)
    up = np.cross(right, forward)
    pixel = 2 * math.tan(FIELD_OF_VIEW / 2) / height  # its size, m, at a depth of 1 m
    # TinyRenderer looks through the lower left corner of a pixel, not through its middle.
    corner = forward - 0.5 * width * pixel * right + (0.5 * height - 1) * pixel * up
    return np.stack([np.array(eye), corner, pixel * right, -pixel * up, forward])


def _box(name: str) -> NDArray[np.float64]:
    """Half the size (m) and the colour (0 to 255, whole as in TinyRenderer) of a body, from its URDF; [2, 3]."""
    visual = ElementTree.parse(_ASSETS / f"{name}.urdf").find("link/visual")
    assert visual is not None
    box, material = visual.find("geometry/box"), visual.find("material/color")
    assert box is not None and material is not None
    size = np.array(box.attrib["size"].split(), np.float64)
    rgba = np.array(material.attrib["rgba"].split(), np.float64)
    return np.stack([size / 2, np.floor(255 * rgba[:3])])


@njit(error_model="numpy", nogil=True, cache=True)
def _draw(
    poses: Any, which: Any, boxes: Any, cameras: Any, width: int, background: Any, nearness: Any, out: Any
) -> None:
    """Draws observations `which` of `poses` into `out` [N, height * width * channels]."""
    snapshots, count = poses.shape[1], cameras.shape[0]
    channels = 3 * snapshots * count
    height = nearness.shape[1] // width
    buffer = nearness.copy()
    view, runs = np.empty((5, 3)), np.empty((2, height))
    for n in which:
        picture = out[n]
        for i in range(picture.shape[0]):
            picture[i] = background[i]
        for snapshot in range(snapshots):
            for camera in range(count):
                channel = 3 * (snapshot * count + camera)
                top, bottom = height, -1
                for body in range(boxes.shape[0]):
                    first, last = _draw_box(
                        poses[n, snapshot, body],
                        boxes[body],
                        cameras[camera],
                        width,
                        picture[channel:],
                        channels,
                        buffer[camera],
                        view,
                        runs,
                    )
                    top, bottom = min(top, first), max(bottom, last)
                for pixel in range(top * width, (bottom + 1) * width):
                    buffer[camera, pixel] = nearness[camera, pixel]


@njit(error_model="numpy", nogil=True, cache=True)
def _draw_box(
    pose: Any, box: Any, camera: Any, width: int, picture: Any, channels: int, nearness: Any, view: Any, runs: Any
) -> tuple[int, int]:
    """Draws what a camera sees of a box, where nothing drawn before is nearer.

    Args:
        pose: of the box [7].
        box: half its size, and its colour in full light [2, 3].
        camera: as `_camera` makes it [5, 3].
        width: columns of the picture.
        picture: written to, from the first pixel's red on; flat.
        channels: from a pixel's red to the next one's.
        nearness: 1 / depth of what has been drawn, written to, [height * width].
        view: working space [5, 3].
        runs: working space [2, height].

    Returns:
        The first and the last row that may have changed; the first is the larger where there is none.
    """
    half, colour = box[0], box[1]
    rotation = _rotation(pose)
    for i in range(5):  # the camera in the frame of the box
        x, y, z = camera[i, 0], camera[i, 1], camera[i, 2]
        if i == EYE:
            x, y, z = x - pose[0], y - pose[1], z - pose[2]
        for axis in range(3):
            view[i, axis] = x * rotation[0][axis] + y * rotation[1][axis] + z * rotation[2][axis]
    first, last = _rows(half, view, runs.shape[1])
    starts, stops = runs[0], runs[1]
    for axis in range(3):
        side = 1.0 if view[EYE, axis] > 0.0 else -1.0
        gap = side * view[EYE, axis] - half[axis]
        if not gap > 0.0:
            continue  # both faces look away from the eye
        # Nearness is w + column * w_across + row * w_down, and an edge is where e + column * ... is 0.
        w = -side * view[CORNER, axis] / gap
        w_across = -side * view[ACROSS, axis] / gap
        w_down = -side * view[DOWN, axis] / gap
        for row in range(first, last + 1):
            starts[row] = 0.0
            stops[row] = width - 1.0
        for turn in (1, 2):
            other = (axis + turn) % 3
            for sign in (-1.0, 1.0):
                reach = half[other] + sign * view[EYE, other]
                e = reach * w + sign * view[CORNER, other]
                e_across = reach * w_across + sign * view[ACROSS, other]
                e_down = reach * w_down + sign * view[DOWN, other]
                _narrow(starts, stops, first, last, e, e_across, e_down)
        light = _light(side * rotation[0][axis], side * rotation[1][axis], side * rotation[2][axis])
        red, green, blue = np.uint8(light * colour[0]), np.uint8(light * colour[1]), np.uint8(light * colour[2])
        for row in range(first, last + 1):
            if not starts[row] <= stops[row]:
                continue
            for column in range(math.ceil(starts[row]), math.floor(stops[row]) + 1):
                pixel = row * width + column
                here = w + column * w_across + row * w_down
                if here >= nearness[pixel] and here <= 1 / NEAR:
                    nearness[pixel] = here
                    place = pixel * channels
                    picture[place] = red
                    picture[place + 1] = green
                    picture[place + 2] = blue
    return first, last


@njit(error_model="numpy", nogil=True)
def _rotation(pose: Any) -> Any:
    x, y, z, w = float(pose[3]), float(pose[4]), float(pose[5]), float(pose[6])
    return (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )


@njit(error_model="numpy", nogil=True)
def _rows(half: Any, view: Any, height: int) -> tuple[int, int]:
    """First and last row that a box can be in: those of its corners, or all where it may reach the near plane."""
    depth = fall = extent = corner_fall = row_fall = 0.0  # along FORWARD and DOWN; of the centre unless named
    for axis in range(3):
        depth -= view[EYE, axis] * view[FORWARD, axis]
        fall -= view[EYE, axis] * view[DOWN, axis]
        extent += half[axis] * abs(view[FORWARD, axis])
        corner_fall += view[CORNER, axis] * view[DOWN, axis]
        row_fall += view[DOWN, axis] * view[DOWN, axis]
    if depth + extent < NEAR or depth - extent > FAR:
        return height, -1
    if not depth - extent >= NEAR:
        return 0, height - 1
    highest, lowest = np.inf, -np.inf
    for x in (-half[0], half[0]):
        for y in (-half[1], half[1]):
            for z in (-half[2], half[2]):
                ahead = depth + x * view[FORWARD, 0] + y * view[FORWARD, 1] + z * view[FORWARD, 2]
                below = fall + x * view[DOWN, 0] + y * view[DOWN, 1] + z * view[DOWN, 2]
                highest, lowest = min(highest, below / ahead), max(lowest, below / ahead)
    first = (highest - corner_fall) / row_fall - ROUNDING
    last = (lowest - corner_fall) / row_fall + ROUNDING
    if not (first <= height - 1 and last >= 0.0):
        return height, -1
    return math.ceil(max(first, 0.0)), math.floor(min(last, height - 1.0))


@njit(error_model="numpy", nogil=True)
def _narrow(starts: Any, stops: Any, first: int, last: int, e: float, e_across: float, e_down: float) -> None:
    """Narrows the runs of rows `first` to `last` to where e + column * e_across + row * e_down is not negative."""
    # An edge along a row gives an infinite bound: all columns or none; and nan, which narrows nothing, on the edge.
    inverse = 1.0 / abs(e_across)
    if e_across >= 0.0:
        for row in range(first, last + 1):
            bound = -(e + row * e_down) * inverse - ROUNDING
            starts[row] = bound if bound > starts[row] else starts[row]
    else:
        for row in range(first, last + 1):
            bound = (e + row * e_down) * inverse + ROUNDING
            stops[row] = bound if bound < stops[row] else stops[row]


@njit(error_model="numpy", nogil=True)
def _light(x: float, y: float, z: float) -> float:
    """Share of its colour that a face with this normal shows."""
    facing = x * LIGHT[0] + y * LIGHT[1] + z * LIGHT[2]
    mirrored = max(2 * facing * z - LIGHT[2], 0.0)  # how far upwards the face mirrors the light
    return AMBIENT + min(DIFFUSE * max(facing, 0.0) + SPECULAR * mirrored * mirrored, 1 - AMBIENT)
