"""An environment as agents and reports see it: its spaces, and how its actions are named and counted."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

import envs.vector
from agents.base import Task
from envs.catalog import action_facts

AT_REST = 0.1
"""Share of the way to a direction below which a continuous action counts as doing nothing."""


@dataclass(frozen=True, kw_only=True)
class ActionTable:
    """How actions become columns of a table.

    Discrete actions are columns as they are. A continuous one is counted as the direction that it goes furthest
    towards or, if that is less than AT_REST of the way, as the one that does nothing, in the middle of the others: so
    discrete and continuous agents stand in one table. Soft pushes are pushes: by the nearest direction, a controller
    that balances with a gentle hand would count as doing nothing.
    """

    names: tuple[str, ...]
    first: int = 0
    """The number of the first discrete action."""
    directions: NDArray[np.floating] | None = None
    """For continuous control: what each name stands for, [A, D]."""

    def index(self, action: NDArray[Any]) -> NDArray[np.intp]:
        """Columns of actions: [...] or, for continuous ones, [..., D] -> [...]."""
        if self.directions is None:
            return np.asarray(action - self.first, np.intp)
        middle = self.directions.mean(0)
        rest = int(((self.directions - middle) ** 2).sum(-1).argmin())
        ways = self.directions - self.directions[rest]  # [A, D]
        lengths = (ways**2).sum(-1)
        gone = (action - self.directions[rest]) @ ways.T / np.where(lengths > 0, lengths, 1.0)  # [..., A], shares
        gone[..., rest] = AT_REST
        return gone.argmax(-1)


def make_envs(
    env_id: str, num_envs: int, *, env_args: dict[str, Any], workers: int | None = None
) -> VectorEnv[Any, Any, Any]:
    """The vector environment of an id; see `envs.vector.make_vector`.

    Raises:
        ValueError: unknown id (with the nearest one), or keywords that the environment refuses.
    """
    try:
        if ":" in env_id:
            importlib.import_module(env_id.partition(":")[0])
        return envs.vector.make_vector(env_id, num_envs, workers=workers, kwargs=env_args)
    except gym.error.Error as error:
        told = " ".join(str(error).split())
        raise ValueError(f"environment {env_id!r}: {told} See cartbot list for ours") from None
    except ModuleNotFoundError as error:
        raise ValueError(f"environment {env_id!r} needs module {error.name!r}, which cannot be imported") from None
    except ImportError as error:
        raise ValueError(f"environment {env_id!r} cannot be imported: {error}") from None
    except TypeError as error:
        raise ValueError(_keyword_mistake(env_id, error)) from None


def judging_env_args(env_id: str, env_args: dict[str, Any], chosen: dict[str, Any] | None = None) -> dict[str, Any]:
    """Keywords of the environment in which what was learnt with `env_args` is judged.

    A fast copy of a simulator names the one that judges what was learnt in it (metadata "judge"); `chosen` overrides
    that, and all else.
    """
    chosen = chosen or {}
    env_args = {**env_args, **chosen}
    probe = make_envs(env_id, 1, env_args=env_args, workers=0)
    judge = probe.metadata.get("judge", {})
    probe.close()
    return env_args | {name: value for name, value in judge.items() if name not in chosen}


def _keyword_mistake(env_id: str, error: TypeError) -> str:
    """One line for keywords that an environment does not take, with the nearest that it does."""
    found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if not found:
        return f"environment {env_id!r}: {str(error).partition(' was raised from')[0]}"
    entry = gym.spec(env_id.rpartition(":")[2]).entry_point
    creator: Any = load_env_creator(entry) if isinstance(entry, str) else entry
    known = list(inspect.signature(creator).parameters)
    near = difflib.get_close_matches(found[1], known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known) or 'none'}"
    return f"environment {env_id!r} has no keyword {found[1]!r}; {hint}"


def describe_task(env_id: str, venv: VectorEnv[Any, Any, Any]) -> tuple[Task, ActionTable]:
    """What an agent is told, and how its actions are counted."""
    facts = action_facts(env_id, venv.metadata)
    space = venv.single_action_space
    table = action_table(space, facts["action_names"], facts["action_directions"])
    task = Task(
        observation_space=venv.single_observation_space,
        action_space=space,
        action_names=table.names,
        state_names=tuple(facts["state_names"] or ()),
        idle_action=facts["idle_action"],
    )
    return task, table


def action_table(
    space: gym.Space[Any], names: tuple[str, ...] | None, directions: list[list[float]] | None
) -> ActionTable:
    """The table of an action space; without names, actions are numbered and directions are those of the axes.

    Raises:
        ValueError: the space is neither Discrete nor a Box.
    """
    if isinstance(space, gym.spaces.Discrete):
        count, first = int(space.n), int(space.start)
        fits = names is not None and len(names) == count
        return ActionTable(
            names=tuple(names) if fits and names else tuple(map(str, range(first, first + count))), first=first
        )
    if not isinstance(space, gym.spaces.Box):
        raise ValueError(f"action space {space}; expected Discrete or Box")
    if names is not None and directions is not None:
        return ActionTable(names=tuple(names), directions=np.asarray(directions, float))
    low, high = (np.broadcast_to(bound, space.shape).reshape(-1).astype(float) for bound in (space.low, space.high))
    bounded = np.isfinite(low) & np.isfinite(high)
    middle, reach = np.where(bounded, (low + high) / 2, 0.0), np.where(bounded, (high - low) / 2, 1.0)
    offsets, labels = [np.zeros(len(low))], ["middle"]
    for axis in range(len(low)):
        for sign, mark in ((1, "+"), (-1, "-")):
            offset = np.zeros(len(low))
            offset[axis] = sign * reach[axis]
            offsets.append(offset)
            labels.append(f"{mark}a{axis}")
    return ActionTable(names=tuple(labels), directions=middle + np.array(offsets))
