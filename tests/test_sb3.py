"""Stable-Baselines3's agents behind our interface, and our environments behind its."""

import dataclasses
import random
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.wrappers import TimeLimit
from stable_baselines3 import DDPG, DQN, PPO, SAC
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecMonitor

from agents.base import Task
from agents.encoders import Encoder, pose_features
from agents.finite import NonFiniteError, check_finite
from agents.registry import AGENTS, find_agent
from envs.sb3_vec_env import SB3VecEnv
from envs.vector import make_vector
from eval.checkpoint import load_checkpoint, newest_checkpoint
from eval.loop import Interaction, agent_seeds, training_seeds
from eval.report import library_of
from eval.runs import Run, RunConfig, versions
from eval.tasks import describe_task
from tests.helpers import CPU, build_agent, flat_state, make_step, random_step, vector_task
from train.__main__ import main

LIBRARY = [name for name in AGENTS if name.startswith("sb3-")]
SMALL = {"hidden": (8,), "batch_size": 8}
REPLAY = {**SMALL, "memory_size": 240, "learning_starts": 12}
POSES = gym.spaces.Box(-1000, 1000, (2, 2, 7), np.float32)


def continuous_task(features: int = 3, envs: int = 2) -> Task:
    return dataclasses.replace(
        vector_task(features, envs=envs), action_space=gym.spaces.Box(-2, 2, (1,), np.float32), envs=envs
    )


# -- as it comes


NOISE = NormalActionNoise(np.zeros(1), np.full(1, 0.1))
PARITY: dict[str, tuple[str, int, dict[str, Any], Any]] = {
    # Twelve steps of six columns are the fewest after which one update in four steps comes out even: three.
    "sb3-dqn": (
        "CartPole-v1",
        6,
        {**REPLAY, "target_interval": 24, "ramp_steps": 96},
        lambda env, **options: DQN(
            env=env, train_freq=2, gradient_steps=3, target_update_interval=24, exploration_fraction=0.25, **options
        ),
    ),
    "sb3-ddpg": (
        "Pendulum-v1",
        2,
        REPLAY,
        lambda env, **options: DDPG(env=env, train_freq=2, gradient_steps=1, action_noise=NOISE, **options),
    ),
    "sb3-sac": (
        "Pendulum-v1",
        8,
        REPLAY,
        lambda env, **options: SAC(env=env, train_freq=1, gradient_steps=2, **options),
    ),
    "sb3-ppo": (
        "Pendulum-v1",
        4,
        {**SMALL, "rollout_steps": 96, "epochs": 2},
        lambda env, **options: PPO(env=env, n_steps=24, n_epochs=2, **options),
    ),
}
STEPS = 384


@pytest.mark.parametrize("name", LIBRARY)
def test_it_learns_what_the_librarys_own_learn_does_to_the_last_bit(name: str):
    env_id, columns, fields, make = PARITY[name]
    limit = {"max_episode_steps": 17}

    agent = driven(name, env_id, columns, STEPS, limit, {**fields, "encode": False})
    theirs = SB3VecEnv(make_vector(env_id, columns, kwargs=limit), training_seeds(0, columns))
    options: dict[str, Any] = {"policy": "MlpPolicy", "policy_kwargs": {"net_arch": [8]}, "batch_size": 8}
    if name != "sb3-ppo":
        options |= {"buffer_size": 240, "learning_starts": 12}
    model = make(theirs, seed=int(agent_seeds(0, 1)[0].generate_state(1)[0]), device="cpu", **options)
    model.learn(STEPS)

    ours = agent.learners[0].model
    assert ours.num_timesteps == model.num_timesteps == STEPS
    assert ours._n_updates == model._n_updates > 3
    for key, value in model.policy.state_dict().items():
        assert torch.equal(ours.policy.state_dict()[key], value), key


def driven(name: str, env_id: str, columns: int, steps: int, kwargs: dict[str, Any], fields: dict[str, Any]) -> Any:
    """An agent of one seed after so many steps in the loop."""
    venv = make_vector(env_id, columns, kwargs=kwargs)
    task = dataclasses.replace(describe_task(env_id, venv)[0], envs=columns)
    entry = find_agent(name)
    agent = entry.build(entry.config_class()(**fields), task, agent_seeds(0, 1), CPU)
    loop = Interaction(venv, agent, 1, training_seeds(0, columns), explore=True, meanwhile=agent.update)
    for count, step in enumerate(loop, 1):
        agent.observe(step)
        if count * columns == steps:
            break
    return agent


@pytest.mark.parametrize("name", LIBRARY)
def test_a_seed_does_the_same_alone_and_beside_others(name: str):
    task = continuous_task() if name != "sb3-dqn" else vector_task(envs=2)
    fields = REPLAY if name != "sb3-ppo" else {**SMALL, "rollout_steps": 20}
    params = []
    for seeds in (1, 3):
        agent = build_agent(name, task, seeds, **fields)
        for index in range(15):
            step = random_step(task, 3, np.random.default_rng(index))
            step = dataclasses.replace(
                step,
                **{
                    field: getattr(step, field)[:seeds]
                    for field in ("obs", "action", "reward", "terminated", "truncated", "next_obs", "first", "running")
                },
            )
            agent.act(step.obs, step.first, explore=True)
            agent.observe(step)
        params.append(agent.state_dict()["params"])
    assert len(params[0]) > 3
    for key, value in params[0].items():
        assert torch.equal(value[0], params[1][key][0]), key
        assert value[0].numel() == 1 or not torch.equal(params[1][key][0], params[1][key][1]), key


def test_global_generators_are_left_as_they_were():
    def states() -> list[Any]:
        numpy: Any = np.random.get_state(legacy=False)  # noqa: NPY002 - whether it is touched
        return [repr(random.getstate()), numpy["state"]["key"].tolist(), torch.get_rng_state().tolist()]

    before = states()
    task = continuous_task()
    agent = build_agent("sb3-sac", task, 2, **REPLAY)
    for index in range(12):
        step = random_step(task, 2, np.random.default_rng(index))
        agent.act(step.obs, step.first, explore=True)
        agent.observe(step)
    assert agent.metrics()["updates"].tolist() == [3, 3]
    assert states() == before


# -- what it is given


def test_what_is_stored_tells_a_time_limit_from_an_end():
    task = vector_task(features=1, actions=3, envs=4)
    agent: Any = build_agent("sb3-dqn", task, 1, **REPLAY)
    agent.observe(
        make_step(
            obs=np.array([[[1.0], [2.0], [3.0], [4.0]]], np.float32),
            action=[[0, 1, 2, 0]],
            reward=[[0.5, 1.5, 2.5, 3.5]],
            next_obs=np.array([[[5.0], [6.0], [7.0], [8.0]]], np.float32),
            terminated=[[False, True, False, True]],
            truncated=[[False, False, True, True]],
        )
    )
    buffer = agent.learners[0].buffer
    assert buffer.observations[0, :, 0].tolist() == [1, 2, 3, 4]
    assert buffer.next_observations[0, :, 0].tolist() == [5, 6, 7, 8]
    assert buffer.actions[0, :, 0].tolist() == [0, 1, 2, 0]
    assert buffer.rewards[0].tolist() == [0.5, 1.5, 2.5, 3.5]
    assert buffer.dones[0].tolist() == [0, 1, 1, 1]
    assert buffer.timeouts[0].tolist() == [0, 0, 1, 0]


def test_actions_that_were_not_its_own_are_stored_on_its_scale():
    agent: Any = build_agent("sb3-ddpg", continuous_task(), 1, **REPLAY)
    step = random_step(continuous_task(), 1, np.random.default_rng(0))
    step.action[:] = np.array([[[-2.0], [1.0]]])  # bounds are -2 and 2
    agent.observe(step)
    assert agent.learners[0].buffer.actions[0, :, 0].tolist() == [-1.0, 0.5]


def test_discrete_actions_and_states_that_begin_elsewhere():
    task = Task(observation_space=gym.spaces.Discrete(4, start=2), action_space=gym.spaces.Discrete(3, start=5), envs=2)
    agent: Any = build_agent("sb3-dqn", task, 1, **REPLAY)
    agent.observe(make_step(obs=[[2, 5]], action=[[5, 7]], reward=[[0, 0]], next_obs=[[3, 4]]))
    buffer = agent.learners[0].buffer
    assert buffer.observations[0, :, 0].tolist() == [0, 3]
    assert buffer.actions[0, :, 0].tolist() == [0, 2]
    greedy = agent.act(np.array([[2, 5]]), np.ones((1, 2), bool), explore=False)
    assert set(greedy.flat) <= {5, 6, 7}


def test_poses_are_the_features_of_our_own_agents():
    task = Task(observation_space=POSES, action_space=gym.spaces.Discrete(5), envs=2)
    agent: Any = build_agent("sb3-dqn", task, 3, **REPLAY)
    plain: Any = build_agent("sb3-dqn", task, 3, encode=False, **REPLAY)
    step = random_step(task, 3, np.random.default_rng(0))
    agent.observe(step)
    plain.observe(step)
    expected = pose_features(torch.from_numpy(step.obs)).numpy()  # [S, E, F]
    for seed in range(3):
        np.testing.assert_array_equal(agent.learners[seed].buffer.observations[0], expected[seed])
        np.testing.assert_array_equal(plain.learners[seed].buffer.observations[0], step.obs[seed])
    encoder = Encoder(POSES, 3, CPU)
    encoder.observe(torch.from_numpy(step.obs))
    standard = encoder({}, torch.from_numpy(step.obs))
    for seed in range(3):
        extract = agent.learners[seed].model.q_net.features_extractor
        torch.testing.assert_close(extract(torch.from_numpy(expected[seed])), standard[seed])


def test_numbers_are_standardised_in_every_network_by_what_the_seed_has_seen():
    task = continuous_task(features=3, envs=5)
    agent: Any = build_agent("sb3-ddpg", task, 2, **REPLAY)
    encoder = Encoder(task.observation_space, 2, CPU)
    for index in range(4):
        step = random_step(task, 2, np.random.default_rng(index))
        step.obs[1] = step.obs[1] * 7 - 3
        agent.observe(step)
        encoder.observe(torch.from_numpy(step.obs))
    obs = torch.from_numpy(random_step(task, 2, np.random.default_rng(9)).obs)
    expected = encoder({}, obs)  # [S, B, F]
    for seed in range(2):
        policy = agent.learners[seed].model.policy
        for network in (policy.actor, policy.actor_target, policy.critic, policy.critic_target):
            torch.testing.assert_close(network.features_extractor(obs[seed]), expected[seed])
        np.testing.assert_array_equal(agent.learners[seed].buffer.observations[3], step.obs[seed])
    assert (expected[0] - expected[1]).abs().max() > 0.5  # else either seed's statistics would do


def test_the_statistics_of_ppo_stand_still_within_a_rollout():
    task = vector_task(features=2, envs=3)
    agent: Any = build_agent("sb3-ppo", task, 1, **SMALL, rollout_steps=12)
    obs = torch.ones(1, 2)
    seen = []
    for index in range(5):
        step = random_step(task, 1, np.random.default_rng(index))
        agent.act(step.obs, step.first, explore=True)
        agent.observe(step)
        seen.append(agent.learners[0].model.policy.features_extractor(obs).tolist())
    assert seen[0] == seen[1] == seen[2] == [[pytest.approx(1.0)] * 2]
    assert seen[3] == seen[4] != seen[2]


def test_images_pass_its_own_network_with_channels_first():
    space = gym.spaces.Box(0, 255, (40, 38, 3), np.uint8)
    task = Task(observation_space=space, action_space=gym.spaces.Discrete(2), envs=2)
    agent: Any = build_agent("sb3-dqn", task, 1, **REPLAY)
    step = random_step(task, 1, np.random.default_rng(0))
    agent.observe(step)
    stored = agent.learners[0].buffer.observations[0]
    assert stored.dtype == np.uint8 and stored.shape == (2, 3, 40, 38)
    np.testing.assert_array_equal(stored[1, 2], step.obs[0, 1, :, :, 2])
    assert type(agent.learners[0].model.policy).__name__ == "CnnPolicy"


# -- how much and how far


@pytest.mark.parametrize(("envs", "steps_per_update", "due"), [(6, 4, 18), (4, 4, 18), (3, 12, 6), (8, 1, 72)])
def test_updates_for_steps_whatever_the_columns(envs: int, steps_per_update: int, due: int):
    task = vector_task(envs=envs)
    agent: Any = build_agent("sb3-dqn", task, 1, **{**REPLAY, "learning_starts": 0}, steps_per_update=steps_per_update)
    for index in range(72 // envs):
        agent.observe(random_step(task, 1, np.random.default_rng(index)))
    assert agent.learners[0].model._n_updates == due
    assert agent.metrics()["updates"].tolist() == [due]


def test_epsilon_follows_its_ramp_in_steps():
    task = vector_task(envs=2)
    agent: Any = build_agent("sb3-dqn", task, 1, **REPLAY, ramp_steps=20, epsilon_start=0.9, epsilon_end=0.1)
    found = []
    for index in range(12):
        agent.observe(random_step(task, 1, np.random.default_rng(index)))
        found.append(agent.learners[0].model.exploration_rate)
    assert found[:3] == pytest.approx([0.82, 0.74, 0.66]) and found[9:] == pytest.approx([0.1] * 3)


def test_an_evaluation_may_have_other_columns_and_needs_no_memory():
    task = continuous_task(envs=2)
    for name in ("sb3-ddpg", "sb3-sac", "sb3-ppo"):
        fields = REPLAY if name != "sb3-ppo" else {**SMALL, "rollout_steps": 8}
        agent = build_agent(name, task, 2, **fields)
        for index in range(10):
            step = random_step(task, 2, np.random.default_rng(index))
            agent.act(step.obs, step.first, explore=True)
            agent.observe(step)
        state = {key: value for key, value in agent.state_dict().items() if key != "memory"}
        other = build_agent(name, dataclasses.replace(task, envs=1), 2, **fields)
        other.load_state_dict(state)
        obs = random_step(continuous_task(envs=5), 2, np.random.default_rng(3)).obs
        first = np.ones((2, 5), bool)
        greedy = other.act(obs, first, explore=False)
        assert greedy.shape == (2, 5, 1)
        np.testing.assert_array_equal(greedy, agent.act(obs, first, explore=False))
        assert not np.array_equal(greedy, other.act(obs, first, explore=True))
        value: Any = other
        assert value.value(obs).shape == (2, 5)


def test_memory_that_cannot_fit_is_refused_with_the_number_of_bytes():
    # 3 numbers before and after, an action of 8 bytes, three of 4: as the library lays it out.
    with pytest.raises(ValueError, match=r"^memory_size 1,000,000,000 x 900 seeds needs 36,000,000,000,000 bytes"):
        build_agent("sb3-ddpg", continuous_task(), 900, memory_size=1_000_000_000)


def test_a_rollout_smaller_than_a_step_is_refused():
    with pytest.raises(ValueError, match="rollout_steps is 4; expected at least one for each of envs 5"):
        build_agent("sb3-ppo", vector_task(envs=5), 1, rollout_steps=4)


@pytest.mark.parametrize("name", ["sb3-ddpg", "sb3-sac", "sb3-ppo"])
def test_actions_without_bounds_are_refused(name: str):
    task = dataclasses.replace(continuous_task(), action_space=gym.spaces.Box(-np.inf, np.inf, (1,), np.float32))
    with pytest.raises(ValueError, match="expected a Box of floats with bounds"):
        find_agent(name).check_task(task)


@pytest.mark.parametrize("name", ["sb3-dqn", "sb3-ppo"])
def test_learning_that_is_not_finite_stops_on_that_step(name: str):
    task = vector_task(envs=2)
    fields = {**REPLAY, "learning_starts": 0} if name == "sb3-dqn" else {**SMALL, "rollout_steps": 4}
    agent: Any = build_agent(name, task, 1, **fields)
    with pytest.raises(NonFiniteError, match="of seed 0 is not finite"):
        for index in range(2):
            step = random_step(task, 1, np.random.default_rng(index))
            agent.act(step.obs, step.first, explore=True)
            step.reward[:] = np.inf
            agent.observe(step)
            check_finite(agent.watched())


# -- the commands


@pytest.mark.parametrize("name", LIBRARY)
def test_a_run_that_is_resumed_in_mid_episode_is_the_uninterrupted_one(name: str, tmp_path: Path):
    """And between two updates, which come after every other step of the two columns."""
    env_id, _, fields, _ = PARITY[name]
    flags = [
        *(f"--{key.replace('_', '-')}={value}" for key, value in fields.items() if key != "hidden"),
        *("--hidden", "8", "--seeds", "2", "--envs", "2", "--workers", "0", "--device", "cpu"),
    ]
    begin = ["train", name, "--env", env_id, *flags]
    assert main([*begin, "--steps", "240", "--run", str(tmp_path / "whole")]) == 0
    assert main([*begin, "--steps", "118", "--run", str(tmp_path / "parts")]) == 0
    assert main(["resume", str(tmp_path / "parts"), "--steps", "240"]) == 0
    states = []
    for run in ("whole", "parts"):
        state = load_checkpoint(newest_checkpoint(tmp_path / run / "checkpoints"))
        states.append(flat_state({key: value for key, value in state.items() if key not in ("seconds", "log")}))
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][key], err_msg=key)
    episodes, again = ((tmp_path / run / "episodes.csv").read_bytes() for run in ("whole", "parts"))
    assert episodes == again


def test_the_report_says_which_library_trained(tmp_path: Path):
    def library(agent: str, **extra: Any) -> str:
        return library_of(Run(tmp_path, RunConfig(agent=agent, env="CartPole-v1"), extra))

    assert library("sb3-ppo", versions={"stable-baselines3": "1.2.3"}) == "stable-baselines3 1.2.3"
    assert library("sb3-ppo") == f"stable-baselines3 {versions()['versions']['stable-baselines3']}"
    assert library("dqn").startswith("cartbot ")


# -- our environments behind its interface


def test_columns_that_end_begin_anew_from_their_next_seed():
    class Counting:
        """Remembers which seeds were asked for."""

        def __init__(self) -> None:
            self.asked: list[tuple[int, int]] = []

        def __call__(self, column: int, episode: int) -> int:
            self.asked.append((column, episode))
            return 100 * column + episode

    seeds = Counting()
    env = SB3VecEnv(make_vector("CartPole-v1", 3, kwargs={"max_episode_steps": 4}), seeds)
    first = env.reset()
    starts = [gym.make("CartPole-v1").reset(seed=seed)[0] for seed in (0, 100, 200, 1, 101, 201)]
    np.testing.assert_array_equal(first, starts[:3])
    reference = TimeLimit(gym.make("CartPole-v1").unwrapped, 4)
    reference.reset(seed=100)
    for count in range(1, 5):
        obs, reward, done, infos = env.step(np.array([0, 1, 0]))
        expected, *_ = reference.step(1)
        assert reward.dtype == np.float32 and reward.tolist() == [1, 1, 1]
        assert done.tolist() == [count == 4] * 3
    np.testing.assert_array_equal(obs, starts[3:])
    np.testing.assert_array_equal(infos[1]["terminal_observation"], expected)
    assert all(info["TimeLimit.truncated"] for info in infos)
    assert seeds.asked == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]
    env.close()


def test_the_library_trains_and_evaluates_on_a_native_environment():
    runs = []
    for _ in range(2):
        env = VecMonitor(SB3VecEnv(make_vector("GridWorld-v0", 4)))
        model = PPO("MlpPolicy", env, n_steps=16, batch_size=16, n_epochs=1, seed=3, device="cpu").learn(64)
        runs.append(evaluate_policy(model, env, n_eval_episodes=2, return_episode_rewards=True, deterministic=False))
        env.close()
    assert runs[0] == runs[1] and len(runs[0][0]) == 2
