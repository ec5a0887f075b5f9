"""How a figure changes with training: by environment steps of a seed, never by a share of the total.

A schedule that knew the total would make a run of N steps, resumed for M more, differ from one of N + M.
"""

from __future__ import annotations


def ramp(step: int, start: float, end: float, steps: int, *, burn_in: int = 0) -> float:
    """`start` for `burn_in` environment steps, then in a straight line to `end` within `steps` more."""
    if steps <= 0:
        return end if step >= burn_in else start
    share = min(1.0, max(0.0, (step - burn_in) / steps))
    return start + share * (end - start)


def halving(step: int, start: float, half_steps: float) -> float:
    """`start` at first, half of it after `half_steps` environment steps, a third after twice as many ...

    With `half_steps` 0 it stays.
    """
    return start / (1 + step / half_steps) if half_steps else start
