"""Saved tensors of another shape: refused by every agent and every simulator, never stretched."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from agents.base import Task
from agents.registry import AGENTS
from agents.saved import check_shape, check_shapes
from eval.tasks import make_envs
from tests.helpers import build_agent, random_step
from tests.test_agents import SMALL, fitting

SEEDS = 3


def one_case_each() -> list[Any]:
    """Every agent that learns, on the first task that it fits."""
    cases = {case.values[0]: case for case in reversed(fitting()) if AGENTS[case.values[0]].learns}
    return list(cases.values())


def arrays(state: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a nested state there are arrays and tensors with more than one entry along the first axis."""
    if isinstance(state, dict | list):
        for key, value in state.items() if isinstance(state, dict) else enumerate(state):
            yield from arrays(value, (*place, key))
    elif isinstance(state, np.ndarray | torch.Tensor) and state.ndim and state.shape[0] > 1:
        yield place


def shortened(state: Any, place: tuple[Any, ...]) -> Any:
    """A state of which one array has only the first entry along its first axis, which would fit wherever all do."""
    if not place:
        return state[:1]
    changed = state.copy()
    changed[place[0]] = shortened(state[place[0]], place[1:])
    return changed


@pytest.mark.parametrize(("name", "task"), one_case_each())
def test_no_part_of_an_agents_state_is_stretched_to_fit(name: str, task: Task):
    agent = build_agent(name, task, SEEDS, **SMALL.get(name, {}))
    for index in range(30):
        step = random_step(task, SEEDS, np.random.default_rng(index))
        agent.act(step.obs, step.first, explore=True)
        agent.observe(step)
        agent.update()
    state = copy.deepcopy(agent.state_dict())
    whole = build_agent(name, task, SEEDS, **SMALL.get(name, {}))
    whole.load_state_dict(copy.deepcopy(state))
    # Of the memories that Stable-Baselines3 keeps only what is filled is saved: any number of rows is a memory.
    places = [place for place in arrays(state) if not (name.startswith("sb3") and place[:2] == ("memory", "ring"))]
    assert len(places) >= 5
    taken = []
    for place in places:
        try:
            whole.load_state_dict(shortened(state, place))
        except (ValueError, IndexError, RuntimeError, TypeError):
            continue
        taken.append(place)
    assert taken == []


@pytest.mark.parametrize(
    ("env", "keywords"),
    [
        ("DriveBot-v0", {"history": 2}),
        ("DriveBot-v0", {"form": "device"}),
        ("CartPole3D-v0", {"world": "batched"}),
        ("GaussianBandit-v0", {}),
        ("GridWorld-v0", {}),
    ],
)
def test_no_part_of_a_simulators_state_is_stretched_to_fit(env: str, keywords: dict[str, Any]):
    venv = make_envs(env, 3, env_args=keywords)
    venv.reset(seed=0)
    state: Any = venv.state_dict()  # pyright: ignore[reportAttributeAccessIssue]
    places = list(islice(arrays(state), 100))
    assert len(places) >= 4
    for place in places:
        with pytest.raises(
            ValueError, match=rf"^{place[-1]} of the environments is \[1.* in the saved state; expected"
        ):
            venv.load_state_dict(shortened(state, place))  # pyright: ignore[reportAttributeAccessIssue]
    venv.load_state_dict(state)  # pyright: ignore[reportAttributeAccessIssue]
    venv.close()


def test_shapes_are_told_with_what_was_expected():
    check_shape("noise", np.zeros((2, 5, 3)), (2, None, 3))
    with pytest.raises(ValueError, match=r"^noise is \[2, 5, 4\] in the saved state; expected \[2, any, 3\]$"):
        check_shape("noise", np.zeros((2, 5, 4)), (2, None, 3))
    with pytest.raises(ValueError, match=r"^low is \[2\] in the saved state; expected \[2, 1\]$"):
        check_shape("low", np.zeros(2), (2, 1))
    with pytest.raises(ValueError, match=r"^b is absent in the saved state; expected \[2\]$"):
        check_shapes({"a": np.zeros(1)}, {"a": (1,), "b": (2,)})
    with pytest.raises(ValueError, match=r"^c is \[4\] in the saved state; expected none of that name$"):
        check_shapes({"c": np.zeros(4)}, {})
