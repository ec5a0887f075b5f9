"""DriveBot: what sonars hear, where robots get, what they earn, and that every form of the world does the same."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from collections import Counter
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import envs  # noqa: F401 - registers
from envs import drivebot_compiled, drivebot_readings
from envs import drivebot_world as world_of
from envs.drivebot import DriveBot, DriveBotVector
from envs.drivebot_world import NUMPY
from envs.drivebot_wrappers import (
    FurthestSonar,
    SonarHistory,
    SonarOrdering,
    StandardisedSonars,
    VectorFurthestSonar,
    VectorSonarHistory,
    VectorSonarOrdering,
    VectorStandardisedSonars,
)
from envs.track import Track, outline
from tests.campaigns.drivebot_campaign import HARD, least_gap, sonar_errors

VARIANTS: list[dict[str, Any]] = [
    {},
    {"lag": 0.3, "backward": True},
    {"reward": "checkpoints"},
    {"continuous": True, "lag": 0.2},
    {"continuous": True, "reward": "checkpoints"},
    {"track": "generated:3", "history": 3, "observation": "ordering"},
    {"observation": "furthest", "sonars": "random:5:2", "noise_deviation": 0.2},
    {"observation": "standardised", "history": 2},
    {"observation": "pixels", "frames": 2, "image_size": 16},
]
QUIET: dict[str, Any] = {"noise_mean": 0.0, "noise_deviation": 0.0}


def actions_for(batch: DriveBotVector, rng: np.random.Generator) -> np.ndarray:
    """Random actions that mostly drive on."""
    if batch.continuous:
        return rng.uniform(-1, 1, (batch.num_envs, 2)).astype(np.float32)
    share = np.array([0.7, 0.15, 0.15]) if not batch.config.backward else np.array([0.5, 0.15, 0.15, 0.2])
    return rng.choice(len(share), batch.num_envs, p=share)


def drive(batch: DriveBotVector, steps: int, seed: int = 0) -> list[tuple[Any, ...]]:
    """Steps with random actions, resetting what ended; everything that came out."""
    rng = np.random.default_rng(seed)
    told = []
    for tick in range(steps):
        out = batch.step(actions_for(batch, rng))
        told.append(out[:4])
        if out[3].any():
            batch.reset(seed=1000 * (tick + 1), options={"reset_mask": out[3]})
    return told


def assert_same(first: list[tuple[Any, ...]], second: list[tuple[Any, ...]]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


# What sonars hear.


@pytest.mark.parametrize("track", ["track1", "generated:4"])
def test_sonars_agree_with_brute_force_within_a_millimetre(track: str):
    assert np.abs(sonar_errors(150, track=track)).max() < 1e-3


def test_sonars_agree_with_brute_force_in_other_layouts():
    assert np.abs(sonar_errors(60, sonars="random:7:1", sonar_cone=0.3, sonar_range=6.0)).max() < 1e-3
    assert np.abs(sonar_errors(60, sonar_cone=2.6, rays=4000)).max() < 1e-3


def test_a_reading_is_the_distance_plus_noise_between_blind_and_range():
    batch = DriveBotVector(2000, noise_mean=0.1, noise_deviation=0.01)
    batch.reset(seed=0, options={"pose": (5.0, 9.1, 0.0)})  # 0.4 m from the wall to the left of the left sonar
    left = batch.readings[:, 1]
    assert left.mean() == pytest.approx(0.4 + 0.1, abs=0.001)
    assert left.std() == pytest.approx(0.01, abs=0.001)
    ahead = batch.readings[:, 0]  # hears the corridor's wall at the edge of its wide cone
    assert ahead.mean() == pytest.approx(0.5 / math.sin(0.87 / 2) + 0.1, abs=0.001)
    batch.reset(seed=0, options={"pose": (5.0, 9.399, 0.0)})
    assert batch.readings[:, 1].mean() == pytest.approx(0.101 + 0.1, abs=0.001)
    narrow = DriveBotVector(1, sonar_cone=0.05, **QUIET)
    narrow.reset(seed=0, options={"pose": (5.0, 9.0, 0.0)})
    assert narrow.readings[0].tolist() == pytest.approx([3.0, 0.5, 0.5])  # the wall ahead is 4.5 m away
    near = DriveBotVector(1, **QUIET)
    near.reset(seed=0, options={"pose": (5.0, 9.399, 0.0)})
    assert near.readings[0, 1] == 0.0  # 0.101 m is below 0.15


def test_noise_is_normal():
    batch = DriveBotVector(5000, noise_mean=0.0, noise_deviation=0.05)
    batch.reset(seed=0, options={"pose": (5.0, 9.0, 0.0)})
    sample = np.sort((batch.readings[:, 1:] - 0.5).ravel() / 0.05)  # 10,000
    expected = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in sample])
    assert np.abs(expected - (np.arange(len(sample)) + 0.5) / len(sample)).max() < 1.95 / math.sqrt(len(sample))


def test_lists_of_audible_walls_leave_nothing_out():
    batch = DriveBotVector(1, **QUIET)
    assert batch.world.sectors > 1
    everything = np.broadcast_to(
        np.arange(len(batch.track.walls) + 1, dtype=np.int32), (*batch.world.far.shape[:2], 13)
    )
    rng = np.random.default_rng(0)
    many = DriveBotVector(5000)
    many.reset(seed=1)
    pose = many.pose.copy()
    pose[:, :2] += rng.uniform(-0.35, 0.35, (5000, 2))
    with np.errstate(all="ignore"):
        ours = world_of.sonar_distances(NUMPY, batch.world, pose)
        full = world_of.sonar_distances(NUMPY, batch.world._replace(far=everything), pose)
    np.testing.assert_array_equal(ours, full)


def test_sine_and_cosine_are_exact_enough():
    angle = np.linspace(-math.pi, math.pi, 100_001)
    sine, cosine = world_of.sine_cosine(angle)
    assert np.abs(sine - np.sin(angle)).max() < 2e-15
    assert np.abs(cosine - np.cos(angle)).max() < 2e-15


# Where robots get.


@pytest.mark.parametrize("config", HARD, ids=str)
def test_a_robot_never_overlaps_a_wall(config: dict[str, Any]):
    assert least_gap(20_000, robots=200, **config) > 0.0


def test_a_robot_stops_at_the_first_contact_and_is_blocked_after_it():
    env = DriveBot(**QUIET)
    env.reset(seed=0, options={"pose": (9.0, 9.0, 0.0)})
    rewards = [env.step(0)[1] for _ in range(4)]
    assert rewards == [1.0, 1.0, -1.0, -1.0]  # 0.2 m, the other 0.2 m up to 9.4, nothing
    assert env.batch.pose[0].tolist() == pytest.approx([9.4, 9.0, 0.0], abs=2e-7)


def test_a_robot_stops_at_a_corner_that_its_centre_would_pass():
    env = DriveBot(speed=50.0, **QUIET)
    # Up the left corridor, 0.1 m off the line of the inner wall's corner at (1.6, 5.6), 0.2 m away from touching it.
    env.reset(seed=0, options={"pose": (1.5, 5.0, math.pi / 2)})
    env.step(0)
    x, y, _ = env.batch.pose[0]
    assert x == pytest.approx(1.5)
    assert y == pytest.approx(5.6 - math.sqrt(0.2**2 - 0.1**2), abs=1e-5)


def test_turns_are_on_the_spot_and_always_succeed():
    env = DriveBot()
    env.reset(seed=0, options={"pose": (9.3999, 9.0, 0.0)})
    assert env.step(1)[1] == 0.0
    assert env.batch.pose[0].tolist() == pytest.approx([9.3999, 9.0, 0.24])
    env.step(2)
    env.step(2)
    assert env.batch.pose[0, 2] == pytest.approx(-0.24)


def test_continuous_motion_turns_half_before_and_half_after_driving():
    env = DriveBot(continuous=True, **QUIET)
    env.reset(seed=0, options={"pose": (5.0, 9.0, 0.0)})
    _, reward, *_ = env.step(np.array([0.5, 1.0], np.float32))
    expected = [5.0 + 0.1 * math.cos(0.12), 9.0 + 0.1 * math.sin(0.12), 0.24]
    assert env.batch.pose[0].tolist() == pytest.approx(expected)
    assert reward == pytest.approx(0.5)
    assert env.step(np.array([-1.0, 0.0], np.float32))[1] == pytest.approx(-1.0)


# What they earn.


def told(lag: float) -> Counter[tuple[int, float]]:
    batch = DriveBotVector(50, lag=lag)
    obs, _ = batch.reset(seed=0)
    counts: Counter[tuple[int, float]] = Counter()
    for _ in range(150):
        active = batch.active.copy()
        action = obs.argmax(1)
        obs, reward, *_ = batch.step(action)
        counts.update(zip(action[active].tolist(), reward[active].tolist(), strict=True))
    return counts


def test_lag_makes_the_noise_rows_of_the_original_and_without_it_there_are_none():
    noise = {(1, 1.0), (2, 1.0), (0, 0.0)}
    assert noise <= set(told(0.2))
    assert not noise & set(told(0.0))


def test_checkpoints_pay_forwards_and_charge_backwards():
    env = DriveBot(reward="checkpoints", backward=True, **QUIET)
    env.reset(seed=0, options={"pose": (3.0, 9.0, 0.0)})  # in the middle of the second square
    rewards = [env.step(0)[1] for _ in range(6)] + [env.step(3)[1] for _ in range(2)]
    assert rewards == [0, 0, 0, 0, 2, 0, 0, -2] or rewards == [0, 0, 0, 0, 0, 2, -2, 0]


def test_a_lap_passes_sixteen_checkpoints():
    env = DriveBot(reward="checkpoints", speed=2.5, turn_rate=5 * math.pi / 2, **QUIET)  # half metres, quarter turns
    env.reset(seed=0, options={"pose": (2.5, 9.0, 0.0)})
    rewards = []
    for strides, turn in ((13, 2), (16, 2), (8, 2), (8, 1), (8, 2), (8, 2), (3, 2)):
        rewards += [env.step(0)[1] for _ in range(strides)] + [env.step(turn)[1]]
    assert env.batch.pose[0, :2].tolist() == pytest.approx([2.5, 9.0], abs=1e-6)
    assert Counter(rewards) == {2.0: 16, 0.0: len(rewards) - 16}
    assert env.batch.progress[0] == pytest.approx(32.0)


def test_checkpoint_episodes_start_on_a_straight_facing_forwards():
    batch = DriveBotVector(500, reward="checkpoints")
    batch.reset(seed=0)
    corners = batch.track.circuit
    assert np.hypot(*(batch.pose[:, None, :2] - corners).transpose(2, 0, 1)).min() >= 1.0 - 1e-9
    ahead = batch.pose.copy()
    ahead[:, 0] += 0.1 * np.cos(ahead[:, 2])
    ahead[:, 1] += 0.1 * np.sin(ahead[:, 2])
    before = world_of.along_circuit(NUMPY, batch.world, batch.pose[:, 0], batch.pose[:, 1])
    after = world_of.along_circuit(NUMPY, batch.world, ahead[:, 0], ahead[:, 1])
    np.testing.assert_allclose((after - before) % 32.0, 0.1, atol=1e-9)


def test_moving_episodes_start_all_over_the_circuit_heading_anywhere():
    batch = DriveBotVector(4000)
    batch.reset(seed=0)
    shares = np.histogram(batch.arc, 8, (0, 32))[0] / 4000
    assert np.abs(shares - 1 / 8).max() < 0.025
    headings = np.histogram(batch.pose[:, 2], 8, (-math.pi, math.pi))[0] / 4000
    assert np.abs(headings - 1 / 8).max() < 0.025


def test_an_episode_is_truncated_without_reward_for_30_steps_or_at_the_limit():
    env = DriveBot()
    env.reset(seed=0)
    lengths = 0
    while True:
        lengths += 1
        _, _, terminated, truncated, info = env.step(1)
        assert not terminated
        if truncated:
            break
    assert lengths == 30
    assert info == {"blocked": 0.0, "laps": 0.0, "is_success": False}
    with pytest.raises(gym.error.ResetNeeded):
        env.step(1)
    env = DriveBot(max_steps=7)
    env.reset(seed=0)
    assert [env.step(1)[3] for _ in range(7)] == [False] * 6 + [True]


def test_success_is_a_whole_lap():
    ring = Track(
        name="ring",
        walls=np.vstack(
            [outline([(0, 0), (0, 4), (4, 4), (4, 0)]), outline([(1.5, 1.5), (1.5, 2.5), (2.5, 2.5), (2.5, 1.5)])]
        ),
        circuit=np.array([[0.75, 0.75], [0.75, 3.25], [3.25, 3.25], [3.25, 0.75]]),
    )
    env = DriveBot(track=ring, speed=12.5, turn_rate=5 * math.pi / 2, max_steps=8, **QUIET)
    for start, turn, laps in (((0.75, 0.75, math.pi / 2), 2, 1.0), ((0.75, 0.75, 0.0), 1, -1.0)):
        env.reset(seed=0, options={"pose": start})
        info: dict[str, Any] = {}
        for _ in range(4):
            env.step(0)
            *_, info = env.step(turn)
        assert info["laps"] == pytest.approx(laps, abs=1e-6)
    assert info["is_success"] == (abs(info["laps"]) >= 1.0)


# Every form does the same.


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_arrays_and_compiled_loop_agree_to_the_bit(config: dict[str, Any]):
    batches = [DriveBotVector(7, form=form, **config) for form in ("arrays", "compiled")]
    start = [batch.reset(seed=5)[0] for batch in batches]
    np.testing.assert_array_equal(start[0], start[1])
    assert_same(*[drive(batch, 200) for batch in batches])
    for name in batches[0].state_names:
        np.testing.assert_array_equal(getattr(batches[0], name), getattr(batches[1], name))


@pytest.mark.parametrize("config", [VARIANTS[i] for i in (0, 1, 2, 3, 7)], ids=str)
def test_tensors_agree_with_arrays_to_the_bit(config: dict[str, Any]):
    torch = pytest.importorskip("torch")
    from envs.drivebot_torch import TorchDriveBot

    batch, tensors = DriveBotVector(7, **config), TorchDriveBot(7, device="cpu", **config)
    np.testing.assert_array_equal(batch.reset(seed=3)[0], tensors.reset(torch.arange(3, 10)).numpy())
    rng = np.random.default_rng(0)
    saved, later = None, []
    for tick in range(200):
        action = actions_for(batch, rng)
        ours, theirs = batch.step(action), tensors.step(torch.as_tensor(action))
        for a, b in zip(ours[:4], theirs[:4], strict=True):
            np.testing.assert_array_equal(a, b.numpy())
        if ours[3].any():
            batch.reset(seed=tick * 7, options={"reset_mask": ours[3]})
            tensors.reset(torch.arange(7) + tick * 7, theirs[3])
        if tick == 150:
            saved = tensors.state_dict()
        elif saved is not None and tick <= 160:
            later.append((action, theirs))
    assert saved is not None
    fresh = TorchDriveBot(7, device="cpu", **config)
    fresh.load_state_dict(saved)
    action, expected = later[0]
    assert torch.equal(fresh.step(torch.as_tensor(action))[0], expected[0])


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_a_column_does_the_same_as_a_scalar_env(config: dict[str, Any]):
    batch, env = DriveBotVector(6, **config), DriveBot(**config)
    obs, _ = batch.reset(seed=20)
    first, _ = env.reset(seed=20 + 4)
    np.testing.assert_array_equal(obs[4], first)
    rng = np.random.default_rng(0)
    for _ in range(120):
        action = actions_for(batch, rng)
        obs, reward, _, truncated, info = batch.step(action)
        one = env.step(action[4])
        np.testing.assert_array_equal(obs[4], one[0])
        assert (reward[4], truncated[4]) == (one[1], one[3])
        if truncated[4]:
            assert one[4] == {name: info[name][4] for name in one[4]}
            break


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_a_restored_state_goes_on_to_the_bit(config: dict[str, Any]):
    batch = DriveBotVector(5, **config)
    batch.reset(seed=1)
    drive(batch, 40)
    state = batch.state_dict()
    expected = drive(batch, 60, seed=9)
    other = DriveBotVector(5, **config)
    other.load_state_dict(state)
    assert_same(expected, drive(other, 60, seed=9))


def test_columns_that_ended_are_passed_over_until_they_are_reset():
    batch = DriveBotVector(4, patience=5)
    batch.reset(seed=0)
    spinning = np.array([1, 0, 1, 0])
    batch.reset(seed=0, options={"pose": (5.0, 9.0, 0.0)})
    for _ in range(5):
        obs, *_ = batch.step(spinning)
    assert batch.active.tolist() == [False, True, False, True]
    again, reward, _, truncated, infos = batch.step(np.array([99, 0, -1, 0]))  # what they are told does not matter
    np.testing.assert_array_equal(again[[0, 2]], obs[[0, 2]])
    assert reward.tolist() == [0, 1, 0, 1]
    assert not truncated.any() and not infos


def test_the_compiled_loop_has_the_constants_of_the_arrays():
    assert drivebot_compiled.MOVED == world_of.MOVED
    assert drivebot_compiled.APPROACHING == world_of.APPROACHING


def test_envs_and_drivebot_do_not_import_torch():
    code = "import sys, envs, envs.drivebot, envs.drivebot_wrappers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Observations.


def test_ordering_numbers_permutations_furthest_first():
    readings = np.array([[3, 2, 1], [3, 1, 2], [2, 3, 1], [1, 3, 2], [2, 1, 3], [1, 2, 3], [1, 1, 1], [1, 3, 3]], float)
    assert drivebot_readings.ordering(readings).tolist() == [0, 1, 2, 3, 4, 5, 0, 3]
    names = drivebot_readings.ordering_names(["front", "left", "right"])
    assert names[3] == "left > right > front"


def test_histories_of_numbers_are_digits_and_have_names():
    states = drivebot_readings.as_one_number(np.array([[2, 0, 1]]), 3)
    assert states.tolist() == [2 * 9 + 0 * 3 + 1]
    env = DriveBot(observation="furthest", history=3)
    assert env.observation_space == gym.spaces.Discrete(27)
    assert env.metadata["state_names"][19] == "right furthest, front furthest, left furthest"


def test_a_history_holds_the_last_readings_oldest_first():
    env = DriveBot(history=3)
    obs, _ = env.reset(seed=0)
    np.testing.assert_array_equal(obs.reshape(3, 3), np.tile(obs[:3], (3, 1)))
    after, *_ = env.step(1)
    np.testing.assert_array_equal(after[:6], obs[:6])
    assert (after[6:] != obs[6:]).any()


def test_wrappers_show_what_the_keywords_do():
    pairs: list[tuple[dict[str, Any], Any, Any]] = [
        ({"observation": "furthest"}, FurthestSonar, VectorFurthestSonar),
        ({"observation": "ordering"}, SonarOrdering, VectorSonarOrdering),
        ({"history": 3}, lambda e: SonarHistory(e, 3), lambda e: VectorSonarHistory(e, 3)),
        ({"observation": "standardised"}, StandardisedSonars, VectorStandardisedSonars),
    ]
    rng = np.random.default_rng(0)
    for config, scalar, vector in pairs:
        keyword, wrapped, one = DriveBotVector(3, **config), vector(DriveBotVector(3)), scalar(DriveBot())
        assert wrapped.single_observation_space == keyword.single_observation_space == one.observation_space
        expected, _ = keyword.reset(seed=0)
        np.testing.assert_allclose(expected, wrapped.reset(seed=0)[0], atol=1e-6)
        np.testing.assert_allclose(expected[0], one.reset(seed=0)[0], atol=1e-6)
        resets = 0
        for tick in range(150):
            action = rng.integers(0, 3, 3)
            out = keyword.step(action)
            state = wrapped.state_dict()
            wrapped.step_async(action)
            other = wrapped.step_wait()
            if resets == 0 and not out[3][0]:
                np.testing.assert_allclose(out[0][0], one.step(action[0])[0], atol=1e-6)
            np.testing.assert_allclose(out[0], other[0], atol=1e-6)
            if tick == 20:
                wrapped.load_state_dict(state)
                np.testing.assert_allclose(wrapped.step(action)[0], out[0], atol=1e-6)
            if out[3].any():
                resets += 1
                mask = {"reset_mask": out[3]}
                np.testing.assert_allclose(
                    keyword.reset(seed=tick, options=mask)[0], wrapped.reset(seed=tick, options=mask)[0], atol=1e-6
                )
        assert resets


def test_pixels_show_the_robot_in_the_middle_and_the_way_ahead_on_top():
    env = DriveBot(observation="pixels", frames=2)
    obs, _ = env.reset(seed=0, options={"pose": (5.0, 9.0, 0.0)})  # the corridor runs from left to right on the map
    assert obs.shape == (50, 50, 6)
    np.testing.assert_array_equal(obs[..., :3], obs[..., 3:])
    assert obs[25, 25, 0] > 2 * obs[25, 25, 1] or obs[24, 24, 0] < 100  # red, or the nose
    assert (obs[2, 23:27] > 200).all()  # floor ahead
    assert (obs[25, 2] < 150).all() and (obs[25, 47] < 150).all()  # blocks to both sides
    after, *_ = env.step(1)
    np.testing.assert_array_equal(after[..., :3], obs[..., 3:])
    assert (after[..., 3:] != obs[..., 3:]).any()


# The contract with others.


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_checkers_of_gymnasium_and_stable_baselines_find_nothing(config: dict[str, Any]):
    config = dict(config)
    env_id = "DriveBotContinuous-v0" if config.pop("continuous", False) else "DriveBot-v0"
    if config.get("observation") == "pixels":
        config["image_size"] = 50  # SB3 warns of images that its network would be too large for
    env = gym.make(env_id, disable_env_checker=True, **config).unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check=True)
        sb3_check_env(env)


def test_make_vec_builds_the_batch_and_pictures_come_in_one_size():
    batch = gym.make_vec("DriveBot-v0", num_envs=2, render_mode="rgb_array")
    batch.reset(seed=0)
    batch.step(np.array([0, 1]))
    frames: Any = batch.render()
    assert np.shape(frames) == (2, 600, 800, 3)
    assert batch.metadata["action_names"] == ("forward", "left", "right")
    continuous = gym.make("DriveBotContinuous-v0").unwrapped
    assert len(continuous.metadata["action_names"]) == len(continuous.metadata["action_directions"])


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"lag": 1.5}, "lag is 1.5"),
        ({"history": 0}, "history is 0"),
        ({"speed": -1.0}, "speed is -1.0"),
        ({"noise_deviation": math.nan}, "noise_deviation is nan"),
        ({"observation": "lidar"}, "observation is 'lidar'"),
        ({"reward": "laps"}, "reward is 'laps'"),
        ({"radius": 0.7}, "does not fit"),
        ({"sonars": [[0.5, 0, 0]]}, "outside the robot"),
        ({"sonars": [[0.1, 0]]}, "expected 1 to 64 lists"),
        ({"sonars": "random:0:1"}, "expected 1 to 64"),
        ({"sonars": "many"}, "expected random:COUNT:SEED"),
        ({"observation": "ordering", "history": 40}, "shorten it"),
        ({"observation": "pixels", "history": 2}, "frames=2"),
        ({"sonar_blind": 4.0}, "sonar_blind is 4.0"),
        ({"turn_rate": 100.0}, "full turn"),
        ({"continuous": True, "backward": True}, "backward is for discrete"),
        ({"render_mode": "human"}, "render_mode is 'human'"),
        ({"backward": 1}, "backward is 1"),
    ],
)
def test_bad_keywords_are_refused(config: dict[str, Any], complaint: str):
    with pytest.raises(ValueError, match=complaint) as error:
        DriveBot(**config)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("action", [np.array([3, 0]), np.array([-1, 0]), np.array([0.5, 0.0]), np.array([0])])
def test_bad_actions_are_refused(action: np.ndarray):
    batch = DriveBotVector(2)
    batch.reset(seed=0)
    with pytest.raises(ValueError, match=r"action is|actions are"):
        batch.step(action)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.5])
def test_bad_continuous_actions_are_refused(value: float):
    batch = DriveBotVector(2, continuous=True)
    batch.reset(seed=0)
    with pytest.raises(ValueError, match="action is"):
        batch.step(np.array([[0.0, value], [0.0, 0.0]]))


def test_a_pose_in_a_wall_is_refused():
    env = DriveBot()
    for pose in ((5.0, 9.5, 0.0), (3.0, 3.0, 0.0), (5.0, math.nan, 0.0), (1.0, 2.0)):
        with pytest.raises(ValueError, match="pose"):
            env.reset(seed=0, options={"pose": pose})
