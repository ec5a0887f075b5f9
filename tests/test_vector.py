"""The vector form over workers: the same as scalar environments, and what happens when one goes wrong."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from envs.native import NativeVectorEnv
from envs.vector import WorkerError, WorkerVectorEnv, make_vector

BROKEN = "tests.broken_env:Broken-v0"


def rollout(venv: Any, steps: int, actions: np.ndarray) -> list[np.ndarray]:
    """Observations, rewards and ends of all columns, with explicit resets."""
    columns = venv.num_envs
    seen = [venv.reset(seed=list(range(columns)))[0]]
    for step in range(steps):
        obs, reward, terminated, truncated, _ = venv.step(actions[step])
        seen += [obs, reward, terminated, truncated]
        ended = terminated | truncated
        if ended.any():
            seen.append(
                venv.reset(seed=[1000 + step * columns + c for c in range(columns)], options={"reset_mask": ended})[0]
            )
    return seen


@pytest.mark.parametrize(
    ("env_id", "workers", "keywords"),
    [
        ("CartPole3D-v0", 2, {}),
        ("CartPole3D-v0", 2, {"world": "batched"}),
        ("CartPole-v1", 2, {}),
        ("CartPole-v1", 0, {}),
    ],
)
def test_columns_are_scalar_environments_to_the_bit(env_id: str, workers: int, keywords: dict[str, Any]):
    if env_id.startswith("CartPole3D") and not keywords:
        pytest.importorskip("pybullet")
    columns, steps = 3, 25
    venv = make_vector(env_id, columns, workers=workers, kwargs=keywords)
    actions = np.random.default_rng(0).integers(2, size=(steps, columns))
    seen = iter(rollout(venv, steps, actions))
    envs: list[Any] = [gym.make(env_id, **keywords).unwrapped for _ in range(columns)]
    current = np.stack([env.reset(seed=column)[0] for column, env in enumerate(envs)])
    np.testing.assert_array_equal(next(seen), current)
    for step in range(steps):
        results = [env.step(int(action)) for env, action in zip(envs, actions[step], strict=True)]
        for part in range(4):
            np.testing.assert_array_equal(next(seen), np.stack([result[part] for result in results]))
        ended = [bool(result[2] or result[3]) for result in results]
        if any(ended):
            after = next(seen)
            for column in np.flatnonzero(ended):
                obs, _ = envs[column].reset(seed=1000 + step * columns + int(column))
                np.testing.assert_array_equal(after[column], obs)
    venv.close()


def test_the_state_of_columns_is_brought_back_by_playing_it_again():
    pytest.importorskip("pybullet")
    actions = np.random.default_rng(1).integers(5, size=(12, 4))
    venv: Any
    other: Any
    venv, other = (make_vector("CartPole3D-v0", 4, workers=workers) for workers in (2, 0))
    rollout(venv, 9, actions)
    np.testing.assert_array_equal(other.load_state_dict(venv.state_dict()), venv._shared.obs)
    for step in range(9, 12):
        for one, two in zip(venv.step(actions[step])[:4], other.step(actions[step])[:4], strict=True):
            np.testing.assert_array_equal(one, two)
    venv.close()
    other.close()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kept", ["always", "never", "at times"])
def test_episodes_that_begin_ahead_are_those_that_are_asked_for(workers: int, kept: str):
    """Also where what was told beforehand is not what then comes."""
    columns, steps = 4, 60
    actions = np.random.default_rng(2).integers(2, size=(steps, columns))
    played = []
    for ahead in (False, True):
        venv: Any = make_vector("CartPole-v1", columns, workers=workers)
        coming = np.arange(columns) + 100
        seen: list[Any] = [venv.reset(seed=list(range(columns)))]
        begun = 0
        for step in range(steps):
            if ahead:
                told = coming + {"always": 0, "never": 1, "at times": step % 2}[kept]
                venv.reset_ahead([None if column == 3 else int(seed) for column, seed in enumerate(told)])
            if step == steps // 2:
                seen.append(venv.state_dict())
            seen.append(venv.step(actions[step]))
            ended = seen[-1][2] | seen[-1][3]
            if ended.any():
                begun += len(venv._begun)
                seen.append(venv.reset(seed=coming.tolist(), options={"reset_mask": ended}))
                coming[ended] += 100
                assert not venv._begun
        assert (begun > 0) == ahead
        venv.close()
        played.append(seen)
    assert_same(*played)


def test_workers_end_by_themselves_when_they_are_told_to():
    venv: Any = make_vector("CartPole-v1", 4, workers=2)
    processes = [worker.process for worker in venv._workers]
    venv.close()
    assert [process.exitcode for process in processes] == [0, 0]  # those that had to be killed have another


def test_restored_columns_forget_what_they_began_ahead():
    venv: Any = make_vector("CartPole-v1", 1, workers=0)
    first, _ = venv.reset(seed=[0])
    start = venv.state_dict()
    venv.reset_ahead([7])
    while not venv._begun:
        venv.step(np.zeros(1, np.int64))
    np.testing.assert_array_equal(venv.load_state_dict(start), first)
    assert not venv._begun


def assert_same(one: Any, two: Any) -> None:
    """Raises AssertionError unless two nests of arrays are the same to the bit."""
    assert type(one) is type(two)
    if isinstance(one, (list, tuple)):
        assert len(one) == len(two)
        for left, right in zip(one, two, strict=True):
            assert_same(left, right)
    elif isinstance(one, dict):
        assert one.keys() == two.keys()
        for name in one:
            assert_same(one[name], two[name])
    else:
        np.testing.assert_array_equal(one, two)


def test_gymnasium_finds_the_vector_form_and_it_resets_by_mask():
    pytest.importorskip("pybullet")
    venv: Any = gym.make_vec("CartPole3DContinuous-v0", num_envs=3, workers=0, max_steps=1)
    assert venv.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    assert venv.observation_space.shape == (3, 2, 2, 7) and venv.action_space.shape == (3, 2)
    start, info = venv.reset(seed=7)
    assert info["push_direction"].shape == (3,) and info["_push_direction"].all()
    ended, _, _, truncated, info = venv.step(np.zeros((3, 2), np.float32))
    assert truncated.all() and info["_is_success"].all()
    mask = np.array([False, True, False])
    obs, _ = venv.reset(seed=[0, 8, 0], options={"reset_mask": mask})
    np.testing.assert_array_equal(obs[1], start[1])
    np.testing.assert_array_equal(obs[[0, 2]], ended[[0, 2]])
    # What ended and was not reset is passed over.
    _, reward, terminated, truncated, _ = venv.step(np.zeros((3, 2), np.float32))
    assert reward.tolist()[::2] == [0, 0] and not truncated[[0, 2]].any() and not terminated[[0, 2]].any()
    venv.close()


@pytest.mark.parametrize(
    ("mask", "seed"), [(np.zeros(2, bool), None), (np.ones(3, bool), None), (np.ones(2), None), (None, [1, 2, 3])]
)
def test_bad_resets_are_refused(mask: Any, seed: Any):
    venv: Any = make_vector("CartPole-v1", 2)
    with pytest.raises(ValueError, match="expected"):
        venv.reset(seed=seed, options=None if mask is None else {"reset_mask": mask})
    venv.close()


def test_environments_that_are_batches_by_nature_need_no_workers():
    for env_id in ("GridWorld-v0", "GaussianBandit-v0"):
        venv = make_vector(env_id, 3, workers=2)
        assert isinstance(venv, NativeVectorEnv) and venv.num_envs == 3
        venv.close()
    # Gymnasium's own vector forms reset by themselves, which is not our contract.
    assert gym.spec("CartPole-v1").vector_entry_point is not None
    venv = make_vector("CartPole-v1", 2)
    assert isinstance(venv, WorkerVectorEnv)
    venv.close()


def test_numbers_of_columns_and_workers_are_checked():
    with pytest.raises(ValueError, match="num_envs is 0"):
        WorkerVectorEnv("CartPole-v1", 0)
    with pytest.raises(ValueError, match="workers is -1"):
        WorkerVectorEnv("CartPole-v1", 1, workers=-1)


def broken(trouble: str, timeout: float = 60.0) -> WorkerVectorEnv:
    venv = WorkerVectorEnv(BROKEN, 2, workers=2, timeout=timeout, kwargs={"trouble": trouble})
    venv.reset(seed=0)
    return venv


def test_a_worker_that_raises_tells_its_traceback():
    venv = broken("raise")
    with pytest.raises(WorkerError, match=r"(?s)KeyError: 'no such gear'.*Traceback.*broken_env"):
        venv.step(np.zeros(2, int))
    venv.close()


def test_a_worker_that_is_killed_is_told_with_its_exit_code():
    venv = broken("die")
    with pytest.raises(WorkerError, match="died with exit code -9"):
        venv.step(np.zeros(2, int))
    venv.close()


def test_a_worker_that_hangs_ends_within_the_timeout():
    venv = broken("hang", timeout=1.5)
    began = time.monotonic()
    with pytest.raises(WorkerError, match=r"has not answered for 1\.5 s"):
        venv.step(np.zeros(2, int))
    venv.close()
    assert time.monotonic() - began < 30
    assert not multiprocessing.active_children()


def _parent_with_workers(queue: Any, trouble: str) -> None:
    venv = broken(trouble)
    queue.put([worker.process.pid for worker in venv._workers])
    venv.step(np.zeros(2, int))
    time.sleep(60)


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize("trouble", ["none", "hang"])
def test_no_worker_outlives_a_parent_that_is_killed(trouble: str):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    parent = context.Process(target=_parent_with_workers, args=(queue, trouble))
    parent.start()
    workers = queue.get(timeout=60)
    assert parent.pid is not None
    time.sleep(0.3)  # the workers step, and one of them hangs if it is to
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    deadline = time.monotonic() + 20
    while any(_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_alive(pid) for pid in workers)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
