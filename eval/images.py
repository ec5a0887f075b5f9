"""Pictures put together from pictures: uint8 [height, width, 3] everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


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
