"""Simulators on tensors as vector environments, and learning from observations that stay on the device."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from agents.finite import NonFiniteError
from agents.registry import find_agent
from envs.kernel_language import DEVICE
from eval.loop import Interaction, agent_seeds, training_seeds
from eval.tasks import describe_task, make_envs
from tests.helpers import CPU

SHORT: dict[str, Any] = {"push_steps": 3, "repeats": 2, "steps_per_repeat": 1, "max_steps": 4}
PAIRS = {
    "DriveBot-v0": ({"patience": 7}, {"patience": 7, "form": "device"}),
    "DriveBotContinuous-v0": ({"max_steps": 9}, {"max_steps": 9, "form": "device"}),
    "CartPole3D-v0": ({"world": "batched", **SHORT}, {"world": "device", **SHORT}),
}


def built(agent_id: str, env_id: str, venv: Any) -> Any:
    """An agent of two seeds with three columns each."""
    task = dataclasses.replace(describe_task(env_id, venv)[0], envs=3)
    spec = find_agent(agent_id)
    return spec.build(spec.config_class()(), task, agent_seeds(0, 2), CPU)


def collected(env_id: str, env_args: dict[str, Any], agent_id: str, steps: int) -> tuple[list[Any], Any]:
    """What such an agent goes through, and the agent."""
    venv = make_envs(env_id, 6, env_args=env_args)
    agent = built(agent_id, env_id, venv)
    loop = Interaction(venv, agent, 2, training_seeds(0, 3), explore=True)
    seen = []
    for _, step in zip(range(steps), loop, strict=False):
        seen.append(step)
        agent.observe(step)
        agent.update()
    venv.close()
    return seen, agent


@pytest.mark.skipif(DEVICE != "cpu", reason="on a GPU their sums are ordered differently")
@pytest.mark.parametrize("env_id", PAIRS)
def test_tensors_tell_what_arrays_tell(env_id: str):
    arrays, tensors = venvs = [make_envs(env_id, 5, env_args=env_args) for env_args in PAIRS[env_id]]
    assert "tensors" in tensors.metadata and "tensors" not in arrays.metadata
    told = [venv.reset(seed=3) for venv in venvs]
    actions = arrays.action_space
    actions.seed(0)
    ends = 0
    for step in range(40 if env_id.startswith("DriveBot") else 6):  # NumPy takes its time for the other
        for name, values in told[0][-1].items():
            np.testing.assert_allclose(told[1][-1][name], values, atol=1e-6, err_msg=name)
            assert told[1][-1][name].dtype == values.dtype
        assert told[0][-1].keys() == told[1][-1].keys()
        for ours, theirs in zip(told[0][:-1], told[1][:-1], strict=True):
            assert isinstance(theirs, torch.Tensor) == (theirs is told[1][0])
            np.testing.assert_allclose(np.asarray(theirs), ours, atol=1e-3)
        action = actions.sample()
        told = [venv.step(action) for venv in venvs]
        ended = told[0][2] | told[0][3]
        ends += ended.sum()
        if ended.any():
            seeds: Any = list(range(step, step + 5))
            told = [venv.reset(seed=seeds, options={"reset_mask": ended}) for venv in venvs]
    assert ends > 3


@pytest.mark.parametrize("agent_id", ["dqn", "reinforce"])
def test_agents_learn_the_same_from_tensors(agent_id: str):
    (_, ours), (seen, theirs) = (collected("DriveBot-v0", args, agent_id, 450) for args in PAIRS["DriveBot-v0"])
    assert isinstance(seen[0].obs, torch.Tensor) and isinstance(seen[0].reward, np.ndarray)
    fresh = built(agent_id, "DriveBot-v0", make_envs("DriveBot-v0", 6, env_args={}))
    assert all((fresh.params[name] != tensor).any() for name, tensor in theirs.params.items())
    for name, tensor in ours.params.items():
        assert torch.equal(theirs.params[name], tensor), name


def test_agents_that_take_arrays_get_arrays():
    seen, _ = collected("DriveBot-v0", PAIRS["DriveBot-v0"][1], "furthest-sonar", 3)
    assert isinstance(seen[0].obs, np.ndarray) and isinstance(seen[-1].next_obs, np.ndarray)


def test_a_state_on_tensors_goes_on_to_the_bit():
    venv, other = (make_envs("DriveBot-v0", 5, env_args=PAIRS["DriveBot-v0"][1]) for _ in range(2))
    venv.reset(seed=0)
    venv.step(np.zeros(5, int))
    other.reset(seed=9)
    other.load_state_dict(venv.state_dict())  # pyright: ignore[reportAttributeAccessIssue]
    for ours, theirs in zip(venv.step(np.ones(5, int))[:4], other.step(np.ones(5, int))[:4], strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_an_observation_that_is_no_number_stops_the_loop_before_the_next_action():
    venv = make_envs("DriveBot-v0", 6, env_args=PAIRS["DriveBot-v0"][1])
    agent = built("dqn", "DriveBot-v0", venv)
    sent, send = [], venv.step_async  # pyright: ignore[reportAttributeAccessIssue]

    def spoilt(action: Any) -> None:
        sent.append(action)
        send(action)
        if len(sent) == 4:
            venv._stepping[0][3, 0] = np.nan  # pyright: ignore[reportAttributeAccessIssue]

    venv.step_async = spoilt  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(NonFiniteError, match="observation: obs of seed 1 is not finite; it came from the environment"):
        list(Interaction(venv, agent, 2, training_seeds(0, 3), explore=True))
    assert len(sent) == 4


@pytest.mark.parametrize(
    ("env_id", "env_args", "message"),
    [
        ("CartPole3D-v0", {"world": "device", "observation": "pixels"}, "expected 'poses' on tensors"),
        ("DriveBot-v0", {"form": "device", "observation": "furthest"}, "expected sonars or standardised on tensors"),
        ("DriveBot-v0", {"form": "device", "render_mode": "rgb_array"}, "draws no pictures"),
    ],
)
def test_what_tensors_cannot_be_is_refused(env_id: str, env_args: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        make_envs(env_id, 2, env_args=env_args)
