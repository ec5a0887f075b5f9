"""Tracks from ROS maps: a YAML file that names an image, whose dark and unknown pixels are walls.

The keys are map_server's: image, resolution, origin, occupied_thresh, free_thresh, negate. One of our own may be
added: `circuit`, the corners [[x, y], ...] of the centre line in metres, for laps and the reward "checkpoints".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin
from scipy import ndimage

from envs.track import Segments, Track

LARGEST_YAML = 16 * 1024
"""Bytes of a YAML file: a map's is a few hundred, and each can take a thousand when it is parsed."""
MOST_PIXELS = 2_000_000
"""Pixels of an image: 1,400 x 1,400, or 70 m x 70 m at the usual 0.05 m. Each takes some twenty bytes here."""
PngImagePlugin.MAX_TEXT_MEMORY = 1 << 20  # a map needs no text; by default 64 MB of it would be decompressed
MOST_WALLS = 50_000
"""Wall segments: more is noise in the image, and would make the tables of nearby walls large."""
BLOCKS = 32
"""Parts of an image that are counted one after the other."""
MOST_SPOTS = 5_000
"""Places to start from that are kept, evenly chosen."""


def read_map(path: str | Path) -> Track:
    """Reads a ROS map.

    Pixels are free below `free_thresh` of occupancy (`occupied_thresh` where there is none); what is occupied or
    unknown is solid. Of several free regions the largest counts. Walls run along the borders of pixels, so that what
    the robot meets is exactly the image.

    Raises:
        ValueError: what is wrong with the file, in one line.
    """
    path = Path(path)
    keys = _read_yaml(path)
    resolution = _number(path, keys, "resolution", 1e-3, 1.0, "metres per pixel")
    occupied = _number(path, keys, "occupied_thresh", 0.0, 1.0, "a share", default=0.65)
    free = _number(path, keys, "free_thresh", 0.0, 1.0, "a share", default=occupied)
    if free > occupied:
        raise ValueError(f"{path}: free_thresh {free:g} is above occupied_thresh {occupied:g}")
    negate = keys.get("negate", 0)
    if negate not in (0, 1):
        raise ValueError(f"{path}: negate is {negate!r}; expected 0 or 1")
    origin = keys.get("origin", [0, 0, 0])
    if not _is_numbers(origin) or len(origin) not in (2, 3):
        raise ValueError(f"{path}: origin is {_short(origin)}; expected [x, y, yaw] in metres and radians")
    if len(origin) == 3 and origin[2] != 0:
        raise ValueError(f"{path}: origin has yaw {origin[2]:g}; only maps that are not turned (yaw 0) can be read")
    levels, white = _read_image(path, keys)  # [rows, columns], 0 black to `white`
    grey = np.arange(white + 1) / white
    region = _largest_region(path, ((grey if negate else 1.0 - grey) < free)[levels])[::-1]  # row 0 is now the lowest
    if (count := _wall_count(region)) > MOST_WALLS:
        raise ValueError(f"{path}: the image gives {count} walls, at most {MOST_WALLS} are possible: clean it first")
    walls = region_walls(region)
    corner = np.array([float(origin[0]), float(origin[1])])
    circuit = keys.get("circuit", [])
    if not isinstance(circuit, list) or not all(_is_numbers(point) and len(point) == 2 for point in circuit):
        raise ValueError(f"{path}: circuit is {_short(circuit)}; expected a list of [x, y] in metres")
    roomy = np.flatnonzero(_roomy(region))
    roomy = roomy[np.linspace(0, len(roomy) - 1, min(len(roomy), MOST_SPOTS)).astype(int)]
    places = np.unravel_index(roomy, region.shape)[::-1]  # x, y in pixels
    spots = np.column_stack(places).astype(np.float64) + 0.5  # [K, 2]
    return Track(
        name=path.stem,
        walls=walls * resolution + np.tile(corner, 2),
        circuit=np.array(circuit, float).reshape(-1, 2),
        spots=spots * resolution + corner,
        crossings_checked=True,
    )


def region_walls(region: NDArray[np.bool_]) -> Segments:
    """The outline of a region of pixels as straight segments [W, 4] in pixels; `region[y, x]` covers x to x + 1.

    Where two pixels of the region touch in a corner only, four walls meet: no disc passes there.
    """
    padded = np.pad(region, 1)
    pieces = []
    for axis in (0, 1):
        # Borders between a pixel and the next along `axis`: +1 or -1 by which of the two is free, so that a run
        # never goes on past a corner where the free side changes.
        border = np.diff(padded.astype(np.int8), axis=axis)
        lines = border if axis == 0 else border.T  # [line, position along it]
        change = np.diff(np.pad(lines, ((0, 0), (1, 1))), axis=1)
        line, at = np.nonzero(change)
        # A run starts where the value changes to something, and ends at the next change of the same line.
        value = np.pad(lines, ((0, 0), (0, 1)))[line, at]
        runs = np.flatnonzero(value != 0)
        level, first, last = line[runs], at[runs] - 1, at[runs + 1] - 1
        columns = (first, level, last, level) if axis == 0 else (level, first, level, last)
        pieces.append(np.column_stack(columns))
    return np.vstack(pieces).astype(np.float64)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST_YAML:
            raise ValueError(f"{path} has {path.stat().st_size} bytes; a map's YAML has at most {LARGEST_YAML}")
        text = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read the map {path}: {error.strerror or error}") from None
    try:
        # An alias repeats what it stands for: a few of them can stand for more than any memory holds.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise ValueError("it has aliases (*NAME), which no map needs")
        keys = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: bytes, dates or numbers gone wrong
        raise ValueError(f"{path} is not a YAML file: {_short(error)}") from None
    if not isinstance(keys, dict) or "image" not in keys:
        raise ValueError(f"{path} is not a ROS map: it has no key 'image'")
    return keys


def _read_image(path: Path, keys: dict[str, Any]) -> tuple[NDArray[np.integer], int]:
    """Grey levels [rows, columns], and the level of white."""
    if not isinstance(keys["image"], str):
        raise ValueError(f"{path}: image is {_short(keys['image'])}; expected the name of a PNG or PGM file")
    file = path.parent / keys["image"]
    try:
        with Image.open(file, formats=("PNG", "PPM")) as image:  # the header alone: pixels are decoded below
            width, height = image.size
            if width * height > MOST_PIXELS or min(width, height) < 3:
                raise ValueError(
                    f"{file} has {width} x {height} pixels; expected 3 x 3 to {MOST_PIXELS:,} in all: "
                    f"crop it, or scale it down and raise resolution"
                )
            if image.mode in ("I;16", "I", "I;16B"):
                return np.asarray(image).astype(np.uint16), 65535
            return np.asarray(image.convert("L")), 255
    except Image.DecompressionBombError as error:
        raise ValueError(f"cannot read the image {file} of the map {path}: {_short(error)}") from None
    except (OSError, SyntaxError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else _short(error)
        raise ValueError(f"cannot read the image {file} of the map {path}: {reason}") from None


def _largest_region(path: Path, free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part of the free pixels, which must not touch the image's border."""
    labels, count = ndimage.label(free)  # pyright: ignore[reportGeneralTypeIssues]
    if not count:
        raise ValueError(f"{path}: the image has no free pixels; check negate and the thresholds")
    # By rows: all at once it would take eight bytes a pixel.
    sizes = np.sum([np.bincount(rows.ravel(), minlength=count + 1) for rows in np.array_split(labels, BLOCKS)], 0)
    sizes[0] = 0
    region = labels == sizes.argmax()
    if region[0].any() or region[-1].any() or region[:, 0].any() or region[:, -1].any():
        raise ValueError(f"{path}: the free space reaches the image's border, where a robot would escape: close it")
    return region


def _wall_count(region: NDArray[np.bool_]) -> int:
    """How many walls `region_walls` would give: two walls end in a corner, four where corners touch, two a wall."""
    padded = np.pad(region, 1).astype(np.int8)
    return int(np.abs(np.diff(np.diff(padded, axis=0), axis=1)).sum(dtype=np.int64))


def _roomy(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels three or more away from the nearest solid one or, where there are none, those that are furthest away.

    Only places with some room are worth keeping; which robot fits is for the environment to say.
    """
    x = np.arange(-2, 3)
    away = x**2 + x[:, None] ** 2  # squared distances; 9, 8, 5, 4, 2, 1 are those that pixels can have
    for squared in (9, 8, 5, 4, 2):
        found = ndimage.binary_erosion(region, away < squared)
        if found.any():
            return np.asarray(found, bool)
    return region


def _number(
    path: Path, keys: dict[str, Any], name: str, low: float, high: float, unit: str, default: float | None = None
) -> float:
    value = keys.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{path}: {name} is {_short(value)}; expected {unit} in [{low:g}, {high:g}]")
    return float(value)


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e6 for v in value
    )


def _short(value: Any) -> str:
    """One line of at most 100 characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= 100 else text[:97] + "..."
