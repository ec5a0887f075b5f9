"""Policies that have collapsed onto few actions: in an evaluation, and from when on in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import gymnasium as gym

from agents.base import Task

MOST, MOST_IDLE = 0.9, 0.7
"""Shares of all actions above which a policy counts as collapsed onto one: any, and the one that does nothing.

A good driver goes forward four times in five; nobody does well by doing nothing as often.
"""
NEVER = 0.005
"""Share below which it counts as never using one."""


Check = Callable[[Sequence[float]], list[str]]
"""Tells what is suspicious in action proportions [A]."""


def collapse_check(task: Task, names: Sequence[str]) -> Check:
    """What finds collapse in proportions of the actions `names`. A bandit is there to collapse onto its best arm."""
    if task.observation_space == gym.spaces.Discrete(1):
        return lambda shares: []
    idle = task.idle_action
    idle_name = names[idle] if idle is not None and idle < len(names) else None
    return lambda shares: collapse_warnings(names, shares, idle_name)


def collapse_warnings(names: Sequence[str], shares: Sequence[float], idle: str | None) -> list[str]:
    """What is suspicious in a policy's action proportions.

    A policy that takes nearly always the same action, does mostly nothing, or never takes one which does something,
    has often got stuck there: it explored, and then locked into what it had tried most.
    """
    found = []
    for name, share in zip(names, shares, strict=True):
        if share > (MOST_IDLE if name == idle else MOST):
            found.append(f"collapsed onto {name!r}: {share:.1%} of all actions")
        elif share < NEVER and name != idle and max(shares) <= MOST:
            found.append(f"hardly ever takes {name!r}: {share:.2%} of all actions")
    return found


def collapse_history(check: Check, shares: Sequence[Sequence[float]], steps: Sequence[int]) -> list[str]:
    """What is suspicious at the end of training, and since when without a break.

    Args:
        check: finds it.
        shares: of the actions in windows of training, [T, A].
        steps: at which the windows end, [T].
    """
    windows = [check(row) for row in shares]
    kinds = [{kind_of(text) for text in window} for window in windows]
    found = []
    for text in windows[-1] if windows else ():
        since = len(windows) - 1
        while since and kind_of(text) in kinds[since - 1]:
            since -= 1
        when = f"since about step {steps[since - 1]:,}" if since else "from the start"
        found.append(f"{text} lately; so it has been {when}")
    return found


def kind_of(warning: str) -> str:
    """A warning without its figures."""
    return warning.partition(":")[0]
