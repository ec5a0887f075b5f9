"""Pictures put together from pictures: uint8 [height, width, 3] everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]

BACKGROUND, INK = (30, 41, 59), (226, 232, 240)
TEXT_SIZES = (13, 12, 11, 10, 9)
"""Of captions, px: the greatest at which a line has room."""
LINE_HEIGHT = 18


def tiled(pictures: Sequence[Picture], *, columns: int | None = None, scale: int = 1, gap: int = 2) -> Picture:
    """Pictures of one size in a grid, row by row, `gap` black pixels apart; each pixel becomes `scale` x `scale`.

    Args:
        pictures: at least one.
        columns: of the grid. Default: as near to a square as can be.
        scale: how many times larger they are shown.
        gap: pixels between them.
    """
    columns = columns or int(np.ceil(len(pictures) ** 0.5))
    columns = min(columns, len(pictures))
    height, width = (side * scale for side in pictures[0].shape[:2])
    rows = -(-len(pictures) // columns)
    canvas = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), np.uint8)
    for index, picture in enumerate(pictures):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = np.repeat(np.repeat(picture, scale, 0), scale, 1)
    return canvas


def captioned(picture: Picture, lines: Sequence[Sequence[str]], least_width: int, most_width: int) -> Picture:
    """A picture with lines of text below it, the words of a line at equal distances from each other.

    Args:
        picture: enlarged or shrunk so that its width is within the bounds.
        lines: of words; empty ones leave their place free.
        least_width: px.
        most_width: px; before the other bound where they contradict.
    """
    image = Image.fromarray(picture)
    if image.width < least_width:
        factor = -(-least_width // image.width)
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    if image.width > most_width:
        image = image.resize((most_width, round(image.height * most_width / image.width)), Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", (image.width, image.height + LINE_HEIGHT * len(lines) + 4), BACKGROUND)
    canvas.paste(image, (0, 0))
    draw = ImageDraw.Draw(canvas)
    for row, words in enumerate(lines):
        cell = (image.width - 8) / len(words)
        for size in TEXT_SIZES:
            font = ImageFont.load_default(size=size)
            if all(font.getlength(word) <= cell - 6 for word in words):
                break
        for column, word in enumerate(words):
            place = (8 + column * cell, image.height + 3 + row * LINE_HEIGHT)
            draw.text(place, word, fill=INK, font=font)  # pyright: ignore[reportPossiblyUnboundVariable]
    return np.asarray(canvas, np.uint8)
