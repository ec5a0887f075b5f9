"""Replay memory against hand-worked episodes."""

import itertools
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.base import Step, Task
from agents.encoders import Encoder, pose_features
from agents.replay import ReplayMemory
from agents.streams import SeedStreams
from tests.helpers import CPU, make_step, seeds_of

BOX = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
ACTIONS = gym.spaces.Discrete(3)


def memory_of(size: int = 100, seeds: int = 1, envs: int = 1, space: gym.Space[Any] = BOX) -> ReplayMemory:
    task = Task(observation_space=space, action_space=ACTIONS, envs=envs)
    return ReplayMemory(size, task, Encoder(space, seeds, CPU), CPU)


def add(memory: ReplayMemory, step: Step) -> None:
    """With observations as they come, which is what an encoder keeps of all but poses."""
    memory.add(step, torch.as_tensor(step.obs))


def walk(memory: ReplayMemory, ends: dict[int, str], steps: int) -> None:
    """One column counts its observations up: 0, 1, 2 ...; rewards are 10 ** -(step); a reset skips to the next 100."""
    value = 0.0
    for step in range(steps):
        end = ends.get(step)
        add(
            memory,
            make_step(
                np.array([[[value]]], np.float32),
                [[step % 3]],
                [[float(step)]],
                np.array([[[value + 1]]], np.float32),
                terminated=[[end == "terminated"]],
                truncated=[[end == "truncated"]],
            ),
        )
        value = value + 1 if end is None else (value // 100 + 1) * 100


def drawn(memory: ReplayMemory, n_step: int, gamma: float = 0.5, batch: int = 2000) -> dict[float, tuple[float, ...]]:
    """Every transition that sampling gives, by its observation: (reward, bootstrap, next observation)."""
    sample = memory.sample(batch, gamma, n_step, SeedStreams(seeds_of(memory.seeds), CPU))
    valid = sample.weight[0] == 1
    columns = (sample.obs[0, :, 0], sample.reward[0], sample.bootstrap[0], sample.next_obs[0, :, 0])
    rows = torch.stack([column[valid] for column in columns], 1).tolist()
    return {row[0]: tuple(row[1:]) for row in rows}


def test_one_step_transitions_of_a_running_episode():
    memory = memory_of()
    walk(memory, {}, 4)
    # The newest step's outcome is not stored yet.
    assert drawn(memory, 1) == {0.0: (0.0, 0.5, 1.0), 1.0: (1.0, 0.5, 2.0), 2.0: (2.0, 0.5, 3.0)}


def test_termination_cuts_the_bootstrap():
    memory = memory_of()
    walk(memory, {1: "terminated"}, 4)
    reward, bootstrap, _ = drawn(memory, 1)[1.0]
    assert (reward, bootstrap) == (1.0, 0.0)


def test_truncation_bootstraps_from_the_true_last_observation():
    memory = memory_of()
    walk(memory, {1: "truncated"}, 4)
    found = drawn(memory, 1)
    assert found[1.0] == (1.0, 0.5, 2.0)  # not 100, where the next episode began
    assert 2.0 not in found  # nothing was done there
    assert found[100.0] == (2.0, 0.5, 101.0)


def test_n_step_returns_stop_at_ends_and_never_cross_a_reset():
    memory = memory_of()
    walk(memory, {2: "terminated", 5: "truncated"}, 12)
    found = drawn(memory, 3)
    assert found[0.0] == (0 + 0.5 * 1 + 0.25 * 2, 0.0, pytest.approx(found[0.0][2]))  # ended on the third step
    assert found[1.0][:2] == (1 + 0.5 * 2, 0.0)
    assert found[100.0] == (3 + 0.5 * 4 + 0.25 * 5, 0.125, 103.0)
    assert found[101.0] == (4 + 0.5 * 5, 0.25, 103.0)  # cut off after two steps
    assert found[102.0] == (5.0, 0.5, 103.0)
    assert found[200.0] == (6 + 0.5 * 7 + 0.25 * 8, 0.125, 203.0)


def test_what_follows_an_end_within_the_same_steps_counts_for_nothing():
    memory = memory_of()
    walk(memory, {2: "truncated", 3: "terminated", 6: "terminated"}, 14)
    found = drawn(memory, 5)
    assert found[1.0] == (1 + 0.5 * 2, 0.25, 3.0)  # cut off, although the next episode terminates at once
    assert found[2.0] == (2.0, 0.5, 3.0)
    assert found[202.0][:2] == (6.0, 0.0)  # it terminated, and the next one goes on


def test_a_full_ring_gives_only_what_it_still_holds():
    memory = memory_of(size=10)
    walk(memory, {}, 27)
    found = drawn(memory, 2)
    assert set(found) == set(map(float, range(17, 25)))
    assert found[24.0] == (24 + 0.5 * 25, 0.25, 26.0)


def test_seeds_draw_from_their_own_columns():
    memory = memory_of(seeds=3, envs=2)
    for step in range(6):
        obs = np.arange(6, dtype=np.float32).reshape(3, 2, 1) * 100 + step
        add(memory, make_step(obs, np.zeros((3, 2), int), np.zeros((3, 2)), obs + 1))
    sample = memory.sample(500, 0.9, 1, SeedStreams(seeds_of(3), CPU))
    for seed in range(3):
        assert set((sample.obs[seed, :, 0] // 100).int().tolist()) == {2 * seed, 2 * seed + 1}


def test_batches_are_parts_of_one_draw():
    memory = memory_of(size=20)
    walk(memory, {3: "truncated", 9: "terminated"}, 31)
    whole = memory.sample(3 * 5, 0.5, 2, SeedStreams(seeds_of(1), CPU))
    batches = list(memory.batches(3, 5, 0.5, 2, SeedStreams(seeds_of(1), CPU)))
    assert [batch.obs.shape for batch in batches] == [(1, 5, 1)] * 3
    for name in ("obs", "action", "reward", "next_obs", "bootstrap", "weight"):
        assert torch.equal(torch.cat([getattr(batch, name) for batch in batches], 1), getattr(whole, name))


@pytest.mark.parametrize("count", [-1, 0, 1, 8, 19])
def test_as_many_batches_come_as_are_asked_for(count: int):
    memory = memory_of()
    walk(memory, {}, 4)
    assert len(list(memory.batches(count, 5, 0.5, 1, SeedStreams(seeds_of(1), CPU)))) == max(0, count)


def test_observations_are_kept_as_they_were_prepared():
    """Poses as features, at the end of an episode that was cut off too."""
    memory = memory_of(space=gym.spaces.Box(-1000, 1000, (1, 2, 7), np.float32))
    poses = np.zeros((5, 1, 1, 1, 2, 7), np.float32)
    poses[..., 0] = np.linspace(0.1, 0.5, 5).reshape(5, 1, 1, 1, 1)
    for number, (obs, next_obs) in enumerate(itertools.pairwise(poses)):
        step = make_step(obs, [[0]], [[0.0]], next_obs, truncated=[[number == 3]])
        memory.add(step, pose_features(torch.from_numpy(obs)))
    sample = memory.sample(100, 0.5, 1, SeedStreams(seeds_of(1), CPU))
    pairs = zip(sample.obs[0, :, 0].tolist(), sample.next_obs[0, :, 0].tolist(), strict=True)
    assert {(round(a, 3), round(b, 3)) for a, b in pairs} == {(0.1, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 0.5)}


def test_images_stay_bytes():
    space = gym.spaces.Box(0, 255, (36, 40, 2), np.uint8)
    memory = memory_of(space=space)
    image = np.arange(2_880).astype(np.uint8).reshape(1, 1, 36, 40, 2)
    for _ in range(3):
        add(memory, make_step(image, [[0]], [[0.0]], image))
    sample = memory.sample(2, 0.9, 1, SeedStreams(seeds_of(1), CPU))
    assert sample.obs.dtype == torch.uint8
    assert torch.equal(sample.obs[0, 0], torch.from_numpy(image[0, 0]))


def test_memory_that_cannot_fit_is_refused_with_its_bytes():
    with pytest.raises(ValueError, match=r"needs [\d,]+ bytes and cpu has [\d,]+ free"):
        memory_of(size=10**13)


def test_state_dict_brings_everything_back():
    memory, other = memory_of(size=20), memory_of(size=20)
    walk(memory, {3: "truncated", 9: "terminated"}, 31)
    other.load_state_dict(memory.state_dict())
    assert drawn(other, 2) == drawn(memory, 2)
    walk(memory, {}, 3)
    walk(other, {}, 3)
    assert drawn(other, 2) == drawn(memory, 2)
