"""What can be made of sonar readings: which is the furthest, how they are ordered, standardised, and a history."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations, product
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Readings = NDArray[np.floating]
"""Readings in metres; the last axis is the sonar."""

MOST_STATES = 1_000_000
"""States that a discrete observation may have."""


def furthest(readings: Readings) -> NDArray[np.int64]:
    """The sonar that reads furthest, of equals the first. [..., S] -> [...]."""
    return readings.argmax(-1)


def ordering(readings: Readings) -> NDArray[np.int64]:
    """Which permutation of the sonars, in the order of `itertools.permutations`, sorts them furthest first.

    Of equal readings the earlier sonar comes first. [..., S] -> [...], in [0, S!).
    """
    order = np.argsort(-readings, axis=-1, kind="stable")  # [..., S]
    sonars = order.shape[-1]
    number = np.zeros(order.shape[:-1], np.int64)
    for place in range(sonars - 1):
        # The sonars that come later although they have a smaller number count the permutations before this one.
        smaller = (order[..., place + 1 :] < order[..., place, None]).sum(-1)
        number += smaller * math.factorial(sonars - 1 - place)
    return number


def standardised(readings: Readings, mean: float, deviation: float) -> NDArray[np.float32]:
    """Readings less their mean, in deviations. [..., S] -> [..., S]."""
    return ((readings - mean) / deviation).astype(np.float32)


def as_one_number(states: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """A history of states in [0, count) as one: the digits of a number, the latest last. [..., n] -> [...]."""
    number = np.zeros(states.shape[:-1], np.int64)
    for place in range(states.shape[-1]):
        number = number * count + states[..., place]
    return number


def furthest_names(sonars: Sequence[str]) -> list[str]:
    """Names of the states of `furthest`."""
    return [f"{name} furthest" for name in sonars]


def ordering_names(sonars: Sequence[str]) -> list[str]:
    """Names of the states of `ordering`, furthest first."""
    return [" > ".join(order) for order in permutations(sonars)]


def history_names(names: Sequence[str], length: int) -> list[str]:
    """Names of the states of `as_one_number`, oldest first."""
    return [", ".join(states) for states in product(names, repeat=length)]


def sonar_names(facings: Sequence[float]) -> list[str]:
    """Names of sonars by their facings, degrees: front, left, right and back, else the angle; none twice."""
    known = {0.0: "front", 90.0: "left", -90.0: "right", -180.0: "back"}
    names: list[str] = []
    for facing in facings:
        turned = (facing + 180) % 360 - 180
        name = known.get(round(turned, 6), f"{turned:.0f} deg")
        names.append(name if name not in names else f"{name} ({len(names) + 1})")
    return names


def states_space(count: int, history: int) -> spaces.Discrete:
    """The space of `history` states of `count` each, as one number.

    Raises:
        ValueError: there would be too many.
    """
    if history * math.log(count) > math.log(MOST_STATES):
        raise ValueError(
            f"a history of {history} with {count} states each has more than {MOST_STATES:,} states: shorten it"
        )
    return spaces.Discrete(count**history)


def remember(past: NDArray[Any], latest: NDArray[Any], columns: NDArray[Any], fresh: bool) -> None:
    """Puts the `latest` [N, ...] of some columns at the end of their `past` [N, n, ...], in place.

    Args:
        past: oldest first.
        latest: what the columns show now.
        columns: which, as numbers or a mask; the others' past stays.
        fresh: their episodes have just begun: all of their past is the latest.
    """
    if fresh:
        past[columns] = latest[columns][:, None]
    else:
        past[columns, :-1] = past[columns, 1:]
        past[columns, -1] = latest[columns]
