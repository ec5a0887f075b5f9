"""Pictures of DriveBot: what the robot sees as pixels, from above, and what people see."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from envs.track import Track

Colour = tuple[int, int, int]

FLOOR, SOLID, WALL = (236, 232, 222), (104, 117, 136), (44, 52, 68)
BODY, NOSE = (214, 64, 48), (60, 20, 16)
PAGE, INK, FAINT = (246, 247, 249), (31, 41, 55), (148, 158, 174)
CIRCUIT, TRAIL, STUCK = (208, 200, 182), (37, 99, 235), (190, 18, 60)
NEAR, MIDDLE, FAR, SILENT = (225, 70, 55), (240, 170, 40), (40, 165, 110), (150, 162, 178)
"""Colours of a cone whose wall is near, not so near, far, and that hears none."""
WALL_THICKNESS = 0.08
"""Metres that a wall is drawn thick; a wall itself is a line."""
LARGEST_RASTER = 3000
"""Pixels along a side of a picture of the whole track."""

MAP, PANEL, MARGIN = 600, 200, 14
"""Pixels of a picture's square for the track, the strip beside it, and the edge around."""
SUPERSAMPLE = 2
"""Pictures are drawn this much larger and then shrunk, which smooths edges."""


def raster(track: Track, per_metre: float, margin: float) -> tuple[NDArray[np.bool_], tuple[float, float]]:
    """Which pixels are floor, [rows, columns], row 0 lowest; and x, y of the lower left corner, m.

    Args:
        track: its walls enclose the floor by the even-odd rule.
        per_metre: pixels per metre.
        margin: metres around the walls.
    """
    left, bottom, right, top = track.bounds()
    left, bottom = left - margin, bottom - margin
    columns = math.ceil((right + margin - left) * per_metre)
    rows = math.ceil((top + margin - bottom) * per_metre)
    inside = np.zeros((rows, columns), bool)
    x0, y0, x1, y1 = track.walls.T
    for row in range(rows):
        y = bottom + (row + 0.5) / per_metre
        spans = np.flatnonzero((y0 > y) != (y1 > y))
        x = x0[spans] + (y - y0[spans]) * (x1[spans] - x0[spans]) / (y1[spans] - y0[spans])
        first = np.clip(np.ceil((x - left) * per_metre - 0.5).astype(np.int64), 0, columns)
        toggles = np.bincount(first, minlength=columns + 1)[:columns]
        inside[row] = np.cumsum(toggles) % 2 == 1
    return inside, (left, bottom)


class EgoView:
    """Looks down on robots: pictures centred on each, heading up.

    Args:
        track: where they drive.
        size: rows and columns of a picture.
        span: metres that it shows.
        radius: of the robot, m.
    """

    def __init__(self, track: Track, size: int, span: float, radius: float):
        self.size = size
        self.pixel = span / size
        left, bottom, right, top = track.bounds()
        # Four samples to a pixel are smooth enough; a large map gets coarser ones.
        margin = 0.2
        self.per_metre = min(4.0 / self.pixel, LARGEST_RASTER / (max(right - left, top - bottom) + 2 * margin))
        floor, self.corner = raster(track, self.per_metre, margin)
        thickness = max(WALL_THICKNESS, 0.8 * self.pixel) * self.per_metre
        near_floor = np.asarray(ndimage.distance_transform_edt(~floor)) <= thickness
        image = np.full((*floor.shape, 3), SOLID, np.float32)
        image[near_floor] = WALL
        image[floor] = FLOOR
        # Each sample is the mean over what a pixel of the picture covers, so that edges don't flicker.
        blur = max(1, round(self.pixel * self.per_metre))
        for axis in (0, 1):
            image = ndimage.uniform_filter1d(image, blur, axis, mode="nearest")
        self.image = np.round(image).astype(np.uint8)  # [rows, columns, 3]
        self.mask, self.robot = _robot_stamp(size, self.pixel, radius)

    def photograph(
        self, pose: NDArray[np.float64], columns: NDArray[np.intp], out: NDArray[np.uint8], fresh: bool, compiled: bool
    ) -> None:
        """Adds pictures of some columns' robots as the latest frame of `out`.

        Args:
            pose: [N, 3].
            columns: which robots.
            out: [N, size, size, 3 * frames], the oldest frame first; the others' stay.
            fresh: all frames become the new picture.
            compiled: whether the compiled loop draws.
        """
        frames = 1 if not fresh else out.shape[-1] // 3
        if not fresh:
            out[columns, ..., :-3] = out[columns, ..., 3:]
        # Sine and cosine are the caller's library's here: a last bit moves no pixel, but for one in 1e15.
        facing = np.stack([pose[:, 0], pose[:, 1], np.cos(pose[:, 2]), np.sin(pose[:, 2])], -1)  # [N, 4]
        if compiled:
            from envs import drivebot_compiled  # Numba takes a while to import, and small batches do without

            sample = drivebot_compiled.sample
        else:
            sample = sample_arrays
        first = out.shape[-1] - 3
        sample(self.image, *self.corner, self.per_metre, self.pixel, facing, columns, self.mask, self.robot, out, first)
        for frame in range(frames - 1):
            out[columns, ..., 3 * frame : 3 * frame + 3] = out[columns, ..., first:]


def sample_arrays(
    image: NDArray[np.uint8],
    left: float,
    bottom: float,
    per_metre: float,
    pixel: float,
    facing: NDArray[np.float64],
    columns: NDArray[np.intp],
    mask: NDArray[np.bool_],
    robot: NDArray[np.uint8],
    out: NDArray[np.uint8],
    channel: int,
) -> None:
    """Writes pictures into `out[columns, :, :, channel : channel + 3]` by looking `image` up; see `EgoView`."""
    size = mask.shape[0]
    offset = (0.5 * size - 0.5 - np.arange(size)) * pixel  # ahead by row, and to the left by column
    x, y, cosine, sine = (facing[columns, i, None, None] for i in range(4))  # [C, 1, 1]
    ahead, aside = offset[:, None], offset
    u = ((x - left) + ahead * cosine - aside * sine) * per_metre
    v = ((y - bottom) + ahead * sine + aside * cosine) * per_metre
    column = np.clip(u.astype(np.int64), 0, image.shape[1] - 1)
    row = np.clip(v.astype(np.int64), 0, image.shape[0] - 1)
    picture = image[row, column]  # [C, size, size, 3]
    picture[:, mask] = robot[mask]
    out[columns, :, :, channel : channel + 3] = picture


def _robot_stamp(size: int, pixel: float, radius: float) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Which pixels show the robot, [size, size], and their colours [size, size, 3]."""
    offset = (0.5 * size - 0.5 - np.arange(size)) * pixel
    ahead, aside = np.meshgrid(offset, offset, indexing="ij")
    # Never smaller than a few pixels, so that there is something to see.
    disc = np.hypot(ahead, aside) <= max(radius, 1.5 * pixel)
    colours = np.full((size, size, 3), BODY, np.uint8)
    colours[(np.abs(aside) <= 0.35 * radius) & (ahead > 0.1 * radius)] = NOSE
    return disc, colours


class Picture:
    """Draws an episode for people: the track, the robot and its trail, its sonars' cones and what they read.

    Args:
        track: where it drives.
        radius: of the robot, m.
        sonars: [S, 3], x, y (m) and facing (rad) on the robot.
        cone: full angle of a sonar's cone, rad.
        reach: what a sonar reads at most, m.
    """

    def __init__(self, track: Track, radius: float, sonars: NDArray[np.float64], cone: float, reach: float):
        self.track, self.radius, self.sonars, self.cone, self.reach = track, radius, sonars, cone, reach
        left, bottom, right, top = track.bounds()
        margin = 0.25
        width, height = right - left + 2 * margin, top - bottom + 2 * margin
        self.scale = (MAP - 2 * MARGIN) * SUPERSAMPLE / max(width, height)
        floor, _ = raster(track, self.scale, margin)
        tones = _shade(floor[::-1], self.scale)
        self.page = Image.new("RGB", ((MAP + PANEL) * SUPERSAMPLE, MAP * SUPERSAMPLE), PAGE)
        room = MAP * SUPERSAMPLE
        self.place = ((room - tones.shape[1]) // 2, (room - tones.shape[0]) // 2)
        self.page.paste(Image.fromarray(tones), self.place)
        self.origin = (left - margin, bottom - margin + tones.shape[0] / self.scale)
        if len(track.circuit):
            self._dash(ImageDraw.Draw(self.page), track.circuit)

    def draw(
        self,
        pose: NDArray[np.floating],
        readings: dict[str, float],
        trail: Sequence[tuple[float, float, bool]],
        facts: Sequence[tuple[str, str]],
    ) -> NDArray[np.uint8]:
        """One picture.

        Args:
            pose: x, y, heading.
            readings: of each sonar by name, m.
            trail: x, y of earlier places, oldest first, and whether a wall stopped the robot there at once.
            facts: names and values for the strip beside the track.

        Returns:
            uint8 [600, 800, 3].
        """
        image = self.page.copy()
        glass = Image.new("RGBA", image.size, (0, 0, 0, 0))
        draw = ImageDraw.Draw(glass)
        self._draw_trail(draw, trail)
        labels = self._draw_cones(draw, pose, list(readings.values()))
        image.paste(glass, (0, 0), glass)
        draw = ImageDraw.Draw(image)
        self._draw_robot(draw, pose)
        for (x, y), text in labels:
            draw.text((x, y), text, INK, _font(13), anchor="mm", stroke_width=2 * SUPERSAMPLE, stroke_fill=FLOOR)
        self._draw_panel(draw, readings, facts)
        small = image.resize((MAP + PANEL, MAP), Image.Resampling.BOX)
        return np.array(small, np.uint8)

    def _at(self, x: float, y: float) -> tuple[float, float]:
        """Where a place on the track is in the large picture."""
        return self.place[0] + (x - self.origin[0]) * self.scale, self.place[1] + (self.origin[1] - y) * self.scale

    def _dash(self, draw: ImageDraw.ImageDraw, circuit: NDArray[np.float64]) -> None:
        """The circuit as a dashed line."""
        dash = 0.15
        for (x0, y0), (x1, y1) in zip(circuit, np.roll(circuit, -1, axis=0), strict=True):
            length = math.hypot(x1 - x0, y1 - y0)
            for start in np.arange(0, length, 2 * dash):
                ends = start / length, min(start + dash, length) / length
                points = [self._at(x0 + share * (x1 - x0), y0 + share * (y1 - y0)) for share in ends]
                draw.line(points, fill=CIRCUIT, width=2 * SUPERSAMPLE)

    def _draw_trail(self, draw: ImageDraw.ImageDraw, trail: Sequence[tuple[float, float, bool]]) -> None:
        points = [self._at(x, y) for x, y, _ in trail]
        oldest = 400  # steps after which a trail has faded to its faintest
        for index in range(1, len(points)):
            if points[index] != points[index - 1]:
                age = min(1.0, (len(points) - index) / oldest)
                draw.line(points[index - 1 : index + 1], fill=(*TRAIL, round(230 - 170 * age)), width=3 * SUPERSAMPLE)
        for (x, y), (_, _, stuck) in zip(points, trail, strict=True):
            if stuck:
                size = 3 * SUPERSAMPLE
                draw.ellipse((x - size, y - size, x + size, y + size), fill=(*STUCK, 200))

    def _draw_cones(
        self, draw: ImageDraw.ImageDraw, pose: NDArray[np.floating], readings: list[float]
    ) -> list[tuple[tuple[float, float], str]]:
        """Cones as long as their readings; returns places and texts of labels."""
        labels = []
        x, y, heading = (float(value) for value in pose)
        for (place_x, place_y, facing), reading in zip(self.sonars.tolist(), readings, strict=True):
            apex_x = x + place_x * math.cos(heading) - place_y * math.sin(heading)
            apex_y = y + place_x * math.sin(heading) + place_y * math.cos(heading)
            angles = heading + facing + np.linspace(-0.5, 0.5, 17) * self.cone
            arc = [self._at(apex_x + reading * math.cos(a), apex_y + reading * math.sin(a)) for a in angles.tolist()]
            tone = _tone(reading, self.reach)
            draw.polygon([self._at(apex_x, apex_y), *arc], fill=(*tone, 70))
            draw.line(arc, fill=(*tone, 255), width=3 * SUPERSAMPLE, joint="curve")
            along = max(0.62 * reading, self.radius + 0.22)
            middle = heading + facing
            labels.append(
                (self._at(apex_x + along * math.cos(middle), apex_y + along * math.sin(middle)), f"{reading:.2f}")
            )
        return labels

    def _draw_robot(self, draw: ImageDraw.ImageDraw, pose: NDArray[np.floating]) -> None:
        x, y, heading = (float(value) for value in pose)
        cosine, sine = math.cos(heading), math.sin(heading)

        def body(ahead: float, aside: float) -> tuple[float, float]:
            return self._at(
                x + self.radius * (ahead * cosine - aside * sine), y + self.radius * (ahead * sine + aside * cosine)
            )

        cx, cy = self._at(x, y)
        size = self.radius * self.scale
        shade = 0.14 * size
        draw.ellipse((cx - size + shade, cy - size + shade, cx + size + shade, cy + size + shade), fill=(176, 172, 164))
        draw.ellipse((cx - size, cy - size, cx + size, cy + size), fill=NOSE)
        rim = 0.9 * size
        draw.ellipse((cx - rim, cy - rim, cx + rim, cy + rim), fill=BODY)
        for side in (1, -1):  # wheels
            draw.polygon(
                [body(a, side * b) for a, b in ((0.35, 0.62), (0.35, 0.92), (-0.35, 0.92), (-0.35, 0.62))], NOSE
            )
        draw.polygon([body(0.78, 0), body(-0.05, 0.45), body(0.12, 0), body(-0.05, -0.45)], fill=(255, 244, 230))
        dot = 0.09 * self.scale * self.radius
        for place_x, place_y, _ in self.sonars.tolist():
            px, py = body(place_x / self.radius, place_y / self.radius)
            draw.ellipse((px - dot, py - dot, px + dot, py + dot), fill=(250, 204, 21))

    def _draw_panel(
        self, draw: ImageDraw.ImageDraw, readings: dict[str, float], facts: Sequence[tuple[str, str]]
    ) -> None:
        left, right = (MAP + 6) * SUPERSAMPLE, (MAP + PANEL - 18) * SUPERSAMPLE
        y = 30 * SUPERSAMPLE
        draw.text((left, y), "DriveBot", INK, _font(22), anchor="ls")
        y += 20 * SUPERSAMPLE
        draw.text((left, y), self.track.name[:26], FAINT, _font(13), anchor="ls")
        y += 34 * SUPERSAMPLE
        for name, value in facts:
            draw.text((left, y), name, FAINT, _font(14), anchor="ls")
            draw.text((right, y), value, INK, _font(14), anchor="rs")
            y += 24 * SUPERSAMPLE
        y += 22 * SUPERSAMPLE
        draw.text((left, y), "sonars, m", FAINT, _font(13), anchor="ls")
        for name, reading in list(readings.items())[:8]:
            y += 26 * SUPERSAMPLE
            draw.text((left, y), name, INK, _font(14), anchor="ls")
            draw.text((right, y), f"{reading:.2f}", INK, _font(14), anchor="rs")
            y += 8 * SUPERSAMPLE
            high = y + 7 * SUPERSAMPLE
            draw.rounded_rectangle((left, y, right, high), 3 * SUPERSAMPLE, (226, 230, 236))
            length = (right - left) * min(1.0, reading / self.reach)
            if length > 6 * SUPERSAMPLE:
                tone = _tone(reading, self.reach)
                draw.rounded_rectangle((left, y, left + length, high), 3 * SUPERSAMPLE, tone)


def _shade(floor: NDArray[np.bool_], scale: float) -> NDArray[np.uint8]:
    """The track from above, uint8 [rows, columns, 3]: blocks with dark edges that cast a soft shadow on the floor."""
    image = np.full((*floor.shape, 3), SOLID, np.float32)
    depth = np.asarray(ndimage.distance_transform_edt(~floor))
    image[depth <= WALL_THICKNESS * scale] = WALL
    shift = max(1, round(0.06 * scale))
    solid = np.roll(~floor, (shift, shift), (0, 1)).astype(np.float32)
    shadow = ndimage.gaussian_filter(solid, 0.05 * scale)
    image[floor] = np.array(FLOOR, np.float32) * (1.0 - 0.28 * shadow[floor][:, None])
    labels, _ = ndimage.label(~floor)  # pyright: ignore[reportGeneralTypeIssues]
    outside = labels == labels[0, 0]
    # What surrounds the track fades into the page; blocks inside it stay.
    fade = np.clip((depth / scale - WALL_THICKNESS) / 0.17, 0.0, 1.0)[..., None]
    page = np.array(PAGE, np.float32)
    image = np.where(outside[..., None] & (fade > 0), page, image)
    return np.round(image).astype(np.uint8)


def _tone(reading: float, reach: float) -> Colour:
    """Colour of a reading: from NEAR over MIDDLE to FAR, and SILENT at the end of the range."""
    if reading >= reach:
        return SILENT
    share = min(2.0, reading / (0.3 * reach))
    low, high, share = (NEAR, MIDDLE, share) if share < 1.0 else (MIDDLE, FAR, share - 1.0)
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(low, high, strict=True))
    return red, green, blue


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, `size` pixels high in the finished picture."""
    return ImageFont.load_default(size * SUPERSAMPLE)
