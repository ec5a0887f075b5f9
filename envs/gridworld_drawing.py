"""Pictures of a grid: where one stands, the special squares, and what is thought of each square."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

PICTURE = 480
"""Width and height, pixels."""
SUPERSAMPLE = 2
"""Lines are drawn this much larger and then shrunk, which smooths their edges."""
MARGIN = 16
DIRECTIONS = ((0, -1), (0, 1), (1, 0), (-1, 0))
"""North, south, east, west on the picture, x to the right and y downwards."""

PAPER, TILE, EDGE, INK, FAINT = (226, 232, 240), (248, 250, 252), (203, 213, 225), (30, 41, 59), (148, 163, 184)
SPECIALS = ((46, 134, 171), (214, 120, 40), (125, 85, 170), (62, 140, 84))
GOOD, BAD = (62, 158, 74), (214, 64, 48)
WALKER, WALKER_EDGE = (250, 176, 5), (146, 96, 0)


def draw_grid(
    size: int,
    specials: Sequence[Any] = (),
    *,
    square: int | None = None,
    came_from: int | None = None,
    reward: float = 0.0,
    values: NDArray[np.floating] | None = None,
    policy: NDArray[np.floating] | None = None,
) -> NDArray[np.uint8]:
    """Draws a grid from above, row 0 at the top.

    Args:
        size: squares along an edge.
        specials: (square, target, reward) each, squares as (row, column).
        square: state where the walker stands; none is drawn without it.
        came_from: state before its last step.
        reward: what that step earned, written beside the walker unless it is 0.
        values: a number for each state, [states]: tints the squares and is written into them.
        policy: probabilities [states, 4] of north, south, east, west: an arrow for each that is above 0.

    Returns:
        uint8 [480, 480, 3].
    """
    image = Image.new("RGB", (PICTURE * SUPERSAMPLE, PICTURE * SUPERSAMPLE), PAPER)
    draw = ImageDraw.Draw(image)
    side = (PICTURE - 2 * MARGIN) * SUPERSAMPLE / size
    jump = {row * size + column for (row, column), _, _ in specials}
    for state in range(size * size):
        fill = TILE if values is None else _tint(values, state)
        left, top = _corner(state, size, side)
        box = (left + 0.03 * side, top + 0.03 * side, left + 0.97 * side, top + 0.97 * side)
        draw.rounded_rectangle(box, radius=0.08 * side, fill=fill, outline=EDGE, width=max(1, round(0.01 * side)))
    for number, (origin, target, special_reward) in enumerate(specials):
        _draw_special(draw, size, side, origin, target, special_reward, SPECIALS[number % len(SPECIALS)])
    for state in range(size * size):
        middle = _middle(state, size, side)
        if policy is not None:
            _draw_arrows(draw, (middle[0], middle[1] - 0.07 * side), side, policy[state])
        if values is not None:
            # Below the special square's reward, and clear of the arrows.
            low = state in jump or policy is not None
            spot = (middle[0], middle[1] + (0.34 if low else 0.0) * side)
            _write(draw, spot, f"{values[state]:.1f}", (0.17 if low else 0.26) * side, INK)
    if square is not None:
        _draw_walker(draw, size, side, square, square if came_from is None else came_from, reward)
    return np.asarray(image.resize((PICTURE, PICTURE), Image.Resampling.LANCZOS), np.uint8)


def _corner(state: int, size: int, side: float) -> tuple[float, float]:
    row, column = divmod(state, size)
    return MARGIN * SUPERSAMPLE + column * side, MARGIN * SUPERSAMPLE + row * side


def _middle(state: int, size: int, side: float) -> tuple[float, float]:
    left, top = _corner(state, size, side)
    return left + side / 2, top + side / 2


def _tint(values: NDArray[np.floating], state: int) -> tuple[int, ...]:
    """Paper at 0, green for what is good, red for what is bad."""
    strength = 0.75 * float(values[state]) / max(float(np.abs(values).max()), 1e-12)
    towards = GOOD if strength > 0 else BAD
    return tuple(round(paper + abs(strength) * (colour - paper)) for paper, colour in zip(TILE, towards, strict=True))


def _draw_special(
    draw: ImageDraw.ImageDraw,
    size: int,
    side: float,
    origin: Sequence[int],
    target: Sequence[int],
    reward: float,
    colour: tuple[int, int, int],
) -> None:
    """A coloured square with its reward, a ring where it leads, and the way there along the squares' left part."""
    start, end = origin[0] * size + origin[1], target[0] * size + target[1]
    left, top = _corner(start, size, side)
    box = (left + 0.03 * side, top + 0.03 * side, left + 0.97 * side, top + 0.97 * side)
    draw.rounded_rectangle(box, radius=0.08 * side, outline=colour, width=max(2, round(0.05 * side)))
    _write(draw, (left + 0.78 * side, top + 0.18 * side), f"{reward:+g}", 0.19 * side, colour)
    (from_x, from_y), (to_x, to_y) = _middle(start, size, side), _middle(end, size, side)
    shift = 0.36 * side
    points = [(from_x - shift, from_y), (to_x - shift, to_y)]
    draw.line(points, fill=colour, width=max(2, round(0.03 * side)))
    _draw_head(draw, points[1], (points[1][0] - points[0][0], points[1][1] - points[0][1]), 0.13 * side, colour)


def _draw_head(
    draw: ImageDraw.ImageDraw,
    tip: tuple[float, float],
    along: tuple[float, float],
    length: float,
    colour: tuple[int, int, int],
) -> None:
    """The head of an arrow that ends at `tip`; none for one that goes nowhere."""
    norm = float(np.hypot(*along))
    if norm < 1e-9:
        return
    x, y = along[0] / norm * length, along[1] / norm * length
    neck = (tip[0] - x, tip[1] - y)
    draw.polygon([tip, (neck[0] - y / 2, neck[1] + x / 2), (neck[0] + y / 2, neck[1] - x / 2)], fill=colour)


def _draw_arrows(
    draw: ImageDraw.ImageDraw, middle: tuple[float, float], side: float, chances: NDArray[np.floating]
) -> None:
    for (x, y), chance in zip(DIRECTIONS, chances, strict=True):
        if chance > 0:
            reach = 0.2 * side
            tip = (middle[0] + x * reach, middle[1] + y * reach)
            draw.line([middle, tip], fill=INK, width=max(2, round(0.03 * side)))
            _draw_head(draw, (tip[0] + x * 0.06 * side, tip[1] + y * 0.06 * side), (x, y), 0.13 * side, INK)


def _draw_walker(draw: ImageDraw.ImageDraw, size: int, side: float, square: int, came_from: int, reward: float) -> None:
    x, y = _middle(square, size, side)
    if came_from != square:
        draw.line([_middle(came_from, size, side), (x, y)], fill=FAINT, width=max(2, round(0.05 * side)))
    radius = 0.2 * side
    draw.ellipse(
        (x - radius, y - radius, x + radius, y + radius),
        fill=WALKER,
        outline=WALKER_EDGE,
        width=max(1, round(0.02 * side)),
    )
    if reward:
        spot = (x + 0.28 * side, y + 0.34 * side)
        _write(draw, spot, f"{reward:+g}", 0.24 * side, GOOD if reward > 0 else BAD)


def _write(
    draw: ImageDraw.ImageDraw, middle: tuple[float, float], text: str, height: float, colour: tuple[int, int, int]
) -> None:
    draw.text(middle, text, fill=colour, font=ImageFont.load_default(max(6.0, height)), anchor="mm")
