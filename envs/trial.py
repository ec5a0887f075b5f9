"""An environment played under scrutiny: the form of everything it returns is held against its spaces."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

Policy = Callable[[Any], Any]
"""From an observation to an action."""
Seen = tuple[Any, Any, Any, Any]
"""Observation, reward, terminated, truncated."""


class EnvFault(ValueError):
    """An environment breaks a promise; the message says which, where, and what was expected."""


class Budget:
    """Seconds of computing, whoever else computes; seconds spent waiting count a twentieth."""

    def __init__(self, seconds: float):
        self._seconds, self._cpu, self._clock = seconds, time.process_time(), time.monotonic()

    def left(self) -> float:
        spent = max(time.process_time() - self._cpu, (time.monotonic() - self._clock) / 20)
        return self._seconds - spent


@dataclass
class Played:
    """An episode, or the beginning of one."""

    seed: int | None
    actions: list[Any] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    """Of the reset and of each step, copied when it was returned."""

    @property
    def terminated(self) -> bool:
        return bool(self.seen[-1][2])

    @property
    def ended(self) -> bool:
        return bool(self.seen[-1][2] or self.seen[-1][3])


def play(
    env: gym.Env[Any, Any], seed: int | None, policy: Policy, steps: int, *, seconds: float = float("inf")
) -> Played:
    """Plays an episode, or its first steps.

    Raises:
        EnvFault: something has the wrong form, or what was returned earlier has changed since.
    """
    budget = Budget(seconds)
    played, returned = Played(seed), []
    result = heard(f"reset(seed={seed})", lambda: env.reset(seed=seed))
    if not isinstance(result, tuple) or len(result) != 2:
        raise EnvFault(f"reset returns {brief(result)}; expected a tuple of observation and info")
    obs, info = result
    step: Seen = (obs, 0.0, False, False)
    while True:
        where = f"step {len(played.actions)}" if played.seen else "a reset"
        _check_obs(env.observation_space, obs, where)
        if not isinstance(info, dict):
            raise EnvFault(f"the info of {where} is {brief(info)}; expected a dict")
        returned.append(obs)
        played.seen.append((np.array(obs), *step[1:]))
        if played.ended or len(played.actions) >= steps or budget.left() < 0:
            break
        action = policy(obs)
        step, info = stepped(env, action, len(played.actions) + 1)
        obs = step[0]
        played.actions.append(action)
    for number, (one, (kept, *_)) in enumerate(zip(returned, played.seen, strict=True)):
        if not np.array_equal(one, kept):
            raise EnvFault(
                f"the observation of step {number} changed after it was returned; expected each to be an array of its "
                f"own: return a copy"
            )
    return played


def replay(env: gym.Env[Any, Any], episode: Played, *, spoil: bool = False) -> Iterator[None]:
    """Plays an episode again, one step at a time; with `spoil` it writes into the observations it gets.

    Raises:
        EnvFault: it goes another way.
    """
    obs, _ = heard(f"reset(seed={episode.seed})", lambda: env.reset(seed=episode.seed))
    step: Seen = (obs, 0.0, False, False)
    for number, before in enumerate(episode.seen):
        for name, one, two in zip(("observation", "reward", "terminated", "truncated"), step, before, strict=True):
            if not np.array_equal(one, two):
                raise EnvFault(f"{name} of step {number} is {brief(one)} and was {brief(two)}")
        if spoil and isinstance(step[0], np.ndarray) and step[0].flags.writeable:
            step[0][...] = 1
        yield
        if number < len(episode.actions):
            step, _ = stepped(env, episode.actions[number], number + 1)


def stepped(env: gym.Env[Any, Any], action: Any, number: int) -> tuple[Seen, Any]:
    """A step, and its info; all but observation and info have been looked at."""
    given = lent(action)
    result = heard(f"step {number} with action {brief(action)}", lambda: env.step(given))
    if not np.array_equal(given, action):
        raise EnvFault(
            f"step {number} changes the array of the action that it was given; expected it to work on a copy"
        )
    if not isinstance(result, tuple) or len(result) != 5:
        raise EnvFault(f"step returns {brief(result)}; expected observation, reward, terminated, truncated and info")
    obs, reward, terminated, truncated, info = result
    if not isinstance(reward, int | float | np.integer | np.floating):
        raise EnvFault(f"the reward of step {number} is {brief(reward)}; expected one real number")
    if not np.isfinite(reward):
        raise EnvFault(f"the reward of step {number} is {reward}; expected a finite number")
    for name, flag in (("terminated", terminated), ("truncated", truncated)):
        if not isinstance(flag, bool | np.bool_):
            raise EnvFault(f"{name} of step {number} is {brief(flag)}; expected True or False")
    return (obs, reward, terminated, truncated), info


def lent(action: Any) -> Any:
    """An action as the loop hands it out: an array of its own, or a plain number where it is one number."""
    return action.copy() if isinstance(action, np.ndarray) and action.shape else np.asarray(action).item()


def heard(doing: str, call: Callable[[], Any]) -> Any:
    """What a call returns; whatever it raises becomes an EnvFault."""
    try:
        return call()
    except Exception as error:
        told = " ".join(str(error).split())
        raise EnvFault(f"{doing} raises {type(error).__name__}: {told}") from error


def brief(value: Any) -> str:
    """A value in a few words."""
    text = " ".join(repr(value).split())
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def _check_obs(space: gym.Space[Any], obs: Any, where: str) -> None:
    if not space.shape:
        if isinstance(obs, bool) or not isinstance(obs, int | float | np.generic | np.ndarray) or obs not in space:
            raise EnvFault(f"the observation of {where} is {brief(obs)}; expected a member of {space}")
        return
    if not isinstance(obs, np.ndarray):
        raise EnvFault(f"the observation of {where} is {brief(obs)}; expected a numpy array of {space}")
    if obs.shape != space.shape or obs.dtype != space.dtype:
        raise EnvFault(
            f"the observation of {where} has shape {obs.shape} and dtype {obs.dtype}; its space says {space.shape} and "
            f"{space.dtype}"
        )
    if obs.dtype.kind == "f" and not np.isfinite(obs).all():
        at = np.argwhere(~np.isfinite(obs))[0].tolist()
        raise EnvFault(f"the observation of {where} has {obs[tuple(at)]} at {at}; expected finite numbers")
    if not space.contains(obs):
        raise EnvFault(f"the observation of {where}, {brief(obs)}, is outside of {space}")
