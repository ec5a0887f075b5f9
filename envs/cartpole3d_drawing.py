"""The picture of CartPole3D for people: ground, shadows, boxes, trails and the force, from poses alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 640, 480
SUPERSAMPLE = 2
"""Lines are drawn this much larger and then shrunk, which smooths their edges."""
EYE = np.array([0.55, 1.55, 1.15])
"""Where the camera stands relative to what it follows, m; +x is left in the picture, as in the first camera."""
FOCAL = 2.2
"""Focal length in picture half-heights."""
LIGHT = np.array([-0.35, 0.45, 0.82])

CART_SIZE = (0.2, 0.2, 0.05)
POLE_SIZE = (0.02, 0.02, 0.5)
GROUND_TOP = 0.05
SKY, GROUND, GRID, SHADOW = (226, 232, 240), (148, 163, 184), (160, 174, 194), (116, 131, 153)
CART, POLE, FORCE, LIMIT = (214, 64, 48), (62, 158, 74), (250, 176, 5), (100, 116, 139)
CART_TRAIL, POLE_TRAIL = (178, 62, 56), (45, 120, 70)

_FACES = (  # corner numbers (bits x y z) and normal axis, sign
    ((0, 2, 6, 4), 0, -1),
    ((1, 3, 7, 5), 0, 1),
    ((0, 1, 5, 4), 1, -1),
    ((2, 3, 7, 6), 1, 1),
    ((0, 1, 3, 2), 2, -1),
    ((4, 5, 7, 6), 2, 1),
)


def draw_scene(trail: list[NDArray[np.floating]], action: NDArray[np.floating], limit: float) -> NDArray[np.uint8]:
    """Draws the last poses of an episode, where they came from, and the force at work.

    Args:
        trail: poses [2, 7] of cart and pole, oldest first, at least one.
        action: share of the full force along x and y, [2].
        limit: where an episode ends, m from the origin along x and y.

    Returns:
        uint8 [480, 640, 3].
    """
    cart, pole = trail[-1]
    camera = _Camera(np.array([cart[0], cart[1], 0.22]))
    image = Image.new("RGB", (WIDTH * SUPERSAMPLE, HEIGHT * SUPERSAMPLE), SKY)
    draw = ImageDraw.Draw(image)
    _draw_ground(draw, camera, limit)
    corners = [_corners(cart, CART_SIZE), _corners(pole, POLE_SIZE)]
    for box in corners:
        _draw_shadow(draw, camera, box)
    for body, colour in ((0, CART_TRAIL), (1, POLE_TRAIL)):
        # The pole's trail is that of its upper end; both lie where a glance separates them.
        points = [[*pose[0, :2].tolist(), GROUND_TOP] if body == 0 else _tip(pose[1]) for pose in trail]
        _draw_line(draw, camera, np.array(points), colour, 2)
    boxes = [(corners[0], cart, CART), (corners[1], pole, POLE)]
    fallen_behind = pole[2] < 0.15 and np.linalg.norm(pole[:3] - camera.eye) > np.linalg.norm(cart[:3] - camera.eye)
    for box, pose, colour in reversed(boxes) if fallen_behind else boxes:
        _draw_box(draw, camera, box, pose, colour)
    _draw_force(draw, camera, cart, action)
    return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS), np.uint8)


class _Camera:
    """A pinhole that looks at `target` from EYE away."""

    def __init__(self, target: NDArray[np.floating]):
        self.eye = target + EYE
        forward = -EYE / np.linalg.norm(EYE)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        self.axes = np.stack([right, np.cross(right, forward), forward])  # [3, 3]

    def project(self, points: NDArray[np.floating]) -> list[tuple[float, float]]:
        """Picture coordinates of points [P, 3], which must lie in front of the camera."""
        view = (points - self.eye) @ self.axes.T  # [P, 3] right, up, forward
        scale = FOCAL * HEIGHT / 2 * SUPERSAMPLE / np.maximum(view[:, 2], 0.05)
        columns = WIDTH * SUPERSAMPLE / 2 + view[:, 0] * scale
        rows = HEIGHT * SUPERSAMPLE / 2 - view[:, 1] * scale
        return list(zip(columns.tolist(), rows.tolist(), strict=True))


def rotation(quaternion: NDArray[np.floating]) -> NDArray[np.float64]:
    """The rotation matrix [3, 3] of a unit quaternion x y z w."""
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _corners(pose: NDArray[np.floating], size: tuple[float, float, float]) -> NDArray[np.float64]:
    signs = np.array([[(corner >> axis & 1) - 0.5 for axis in range(3)] for corner in range(8)])
    return pose[:3] + (signs * size) @ rotation(pose[3:]).T  # [8, 3]


def _tip(pole: NDArray[np.floating]) -> list[float]:
    return (pole[:3] + rotation(pole[3:])[:, 2] * POLE_SIZE[2] / 2).tolist()


def _draw_ground(draw: ImageDraw.ImageDraw, camera: _Camera, limit: float) -> None:
    reach = 0.85  # metres of ground around the cart that the camera may see without a corner behind it
    centre = camera.eye - EYE
    # Everything below the horizon is ground: the camera looks down, and the ground fills the picture's lower part.
    draw.rectangle((0, 0, WIDTH * SUPERSAMPLE, HEIGHT * SUPERSAMPLE), fill=GROUND)
    far = _horizon_row(camera)
    draw.rectangle((0, 0, WIDTH * SUPERSAMPLE, far), fill=SKY)
    spacing = 0.25
    span = 3.5
    for axis in (0, 1):
        first = np.ceil((centre[axis] - span) / spacing) * spacing
        for offset in np.arange(first, centre[axis] + span, spacing):
            ends = np.zeros((2, 3))
            ends[:, 2] = GROUND_TOP
            ends[:, axis] = offset
            other = 1 - axis
            ends[:, other] = centre[other] - span, centre[other] + (reach if other == 1 else span)
            draw.line(camera.project(ends), fill=GRID, width=SUPERSAMPLE)
    square = limit * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]], float)
    for start, end in pairwise(square):
        # Short pieces: those near or behind the camera are left out one by one.
        pieces = start + np.linspace(0, 1, 81)[:, None] * (end - start)
        points = np.column_stack([pieces, np.full(len(pieces), GROUND_TOP)])
        ahead = (points - camera.eye) @ camera.axes[2] > 0.3
        for index in range(len(points) - 1):
            if ahead[index] and ahead[index + 1]:
                draw.line(camera.project(points[index : index + 2]), fill=LIMIT, width=3 * SUPERSAMPLE)


def _horizon_row(camera: _Camera) -> float:
    """The row of ground 5 m away, where Bullet's ground ends."""
    away = np.array([-EYE[0], -EYE[1], 0.0]) / np.hypot(EYE[0], EYE[1]) * 5.0
    point = camera.eye - EYE + away
    point[2] = GROUND_TOP
    return camera.project(point[None])[0][1]


def _draw_shadow(draw: ImageDraw.ImageDraw, camera: _Camera, corners: NDArray[np.floating]) -> None:
    drop = (corners[:, 2:] - GROUND_TOP) / LIGHT[2]
    cast = corners - drop * LIGHT * (1, 1, 0)
    cast[:, 2] = GROUND_TOP
    draw.polygon(_hull(camera.project(cast)), fill=SHADOW)


def _draw_box(
    draw: ImageDraw.ImageDraw,
    camera: _Camera,
    corners: NDArray[np.floating],
    pose: NDArray[np.floating],
    colour: tuple[int, int, int],
) -> None:
    axes = rotation(pose[3:])
    light = LIGHT / np.linalg.norm(LIGHT)
    for face, axis, sign in _FACES:
        normal = axes[:, axis] * sign
        if normal @ (camera.eye - corners[list(face)].mean(0)) <= 0:
            continue  # looks away
        shade = 0.62 + 0.45 * max(0.0, float(normal @ light))
        tone = tuple(min(255, round(channel * shade)) for channel in colour)
        draw.polygon(camera.project(corners[list(face)]), fill=tone)


def _draw_force(
    draw: ImageDraw.ImageDraw, camera: _Camera, cart: NDArray[np.floating], action: NDArray[np.floating]
) -> None:
    length = float(np.linalg.norm(action))
    if length < 1e-3:
        return
    ahead = np.array([action[0], action[1], 0.0]) / length
    aside = np.array([-ahead[1], ahead[0], 0.0])
    root = np.array([cart[0], cart[1], 0.075]) + 0.13 * ahead
    tip = root + (0.08 + 0.2 * min(length, 1.5)) * ahead
    neck = tip - 0.07 * ahead
    width = 0.012 * aside
    outline = [root + width, neck + width, neck + 3 * width, tip, neck - 3 * width, neck - width, root - width]
    draw.polygon(camera.project(np.array(outline)), fill=FORCE)


def _draw_line(
    draw: ImageDraw.ImageDraw,
    camera: _Camera,
    points: NDArray[np.floating],
    colour: tuple[int, int, int],
    width: int,
) -> None:
    if len(points) > 1:
        draw.line(camera.project(points), fill=colour, width=width * SUPERSAMPLE, joint="curve")


def _hull(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The convex hull of points in the plane (Andrew's monotone chain)."""

    def half(ordered: list[tuple[float, float]]) -> list[tuple[float, float]]:
        chain: list[tuple[float, float]] = []
        for point in ordered:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        return chain[:-1]

    ordered = sorted(set(points))
    return half(ordered) + half(ordered[::-1])


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
