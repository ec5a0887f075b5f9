"""Broken environments that the check refuses, beside those that Gymnasium's and Stable-Baselines3's refuse."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
from gymnasium.utils.env_checker import check_env as check_by_gymnasium
from stable_baselines3.common.env_checker import check_env as check_by_sb3

from envs.catalog import OWN_ENVS
from envs.check import check_env
from tests.campaigns.faults.row import Row
from tests.mutants import MUTANTS

TAXI = max(name for name in gym.registry if name.startswith("Taxi-v"))
SOUND = (*OWN_ENVS, "CartPole-v1", "Pendulum-v1", "MountainCar-v0", "Acrobot-v1", "FrozenLake-v1", TAXI)


CHECKERS: dict[str, Callable[[str], object]] = {
    "ours": lambda env_id: list(check_env(env_id)),
    "Gymnasium": lambda env_id: check_by_gymnasium(_bare(env_id), skip_render_check=True),
    "SB3": lambda env_id: check_by_sb3(_bare(env_id), skip_render_check=True),
}


def rows() -> Iterator[Row]:
    refusals: dict[str, set[str]] = {checker: set() for checker in CHECKERS}
    for name in MUTANTS:
        for checker, check in CHECKERS.items():
            if _raises(lambda check=check, name=name: check(f"{name}-v0")):
                refusals[checker].add(name)
    others = ", ".join(f"{name} {len(refused)}" for name, refused in refusals.items() if name != "ours")
    yield Row(
        figure="broken environments refused",
        ours=f"{len(refusals['ours'])} of {len(MUTANTS)}",
        wanted="at least 29 of 30",
        met=len(MUTANTS) >= 30 and len(MUTANTS) - len(refusals["ours"]) <= 1,
        others=others,
        failures=tuple(f"{name} passes: {MUTANTS[name].__doc__}" for name in MUTANTS if name not in refusals["ours"]),
    )
    refused, longest = [], 0.0
    for name in SOUND:
        began = time.process_time()  # of this process, whoever else computes
        if _raises(lambda name=name: list(check_env(name))):
            refused.append(name)
        longest = max(longest, time.process_time() - began)
    yield Row(
        figure="sound environments refused, and the longest check",
        ours=f"{len(refused)} of {len(SOUND)}, {longest:.1f} s",
        wanted="0, under 2 s",
        met=not refused and longest < 2,
        failures=tuple(refused),
    )


def _bare(env_id: str) -> gym.Env[Any, Any]:
    """As those checks want it: without wrappers."""
    return gym.make(env_id, disable_env_checker=True).unwrapped


def _raises(check: Callable[[], object]) -> bool:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            check()
        except Exception:
            return True
    return False
