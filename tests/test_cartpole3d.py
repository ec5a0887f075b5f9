"""CartPole3D: the physics of the specification, its observations, rewards and ends."""

from __future__ import annotations

import math
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check
from scipy import stats
from stable_baselines3.common.env_checker import check_env as sb3_check

import envs  # noqa: F401 - registers
from envs.cartpole3d_task import CartPole3DConfig, has_fallen, is_off_cart, roll_pitch, step_reward

pytest.importorskip("pybullet")

DISCRETE, CONTINUOUS = "CartPole3D-v0", "CartPole3DContinuous-v0"
UPRIGHT = [0.0, 0.0, 0.0, 1.0]


def make(env_id: str = DISCRETE, **keywords: Any) -> gym.Env[Any, Any]:
    return gym.make(env_id, **keywords).unwrapped


WORLDS = ["bullet", "batched"]


def lengths(episodes: int, *, idle: bool, **keywords: Any) -> list[int]:
    env, found = make(**keywords), []
    rng = np.random.default_rng(0)
    for episode in range(episodes):
        env.reset(seed=episode)
        length, ended = 0, False
        while not ended:
            *_, terminated, truncated, _ = env.step(0 if idle else int(rng.integers(5)))
            ended = terminated or truncated
            length += 1
        found.append(length)
    env.close()
    return found


def sample_of(deciles: list[float], size: int = 200) -> np.ndarray:
    """A sample that has these deciles: the measured ones were taken from 200 episodes."""
    return np.interp(np.linspace(0, 100, size), np.arange(0, 101, 10), deciles)


@pytest.mark.parametrize("world", WORLDS)
def test_the_pole_stays_up_when_nothing_happens(world: str):
    assert lengths(10, idle=True, push_steps=0, world=world) == [200] * 10


@pytest.mark.parametrize(
    ("idle", "push_steps", "deciles"),
    [
        (False, 0, [6, 11, 13, 15, 17, 18.5, 20, 22, 26, 30, 46]),
        (True, 30, [5, 5, 6, 6, 7, 7, 7, 8, 8, 10, 11]),
        (False, 30, [2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 21]),
    ],
)
@pytest.mark.parametrize("world", WORLDS)
def test_episode_lengths_have_the_measured_distribution(idle: bool, push_steps: int, deciles: list[float], world: str):
    found = lengths(200, idle=idle, push_steps=push_steps, world=world)
    test: Any = stats.ks_2samp(found, np.round(sample_of(deciles)))
    assert test.pvalue > 0.001


def test_bodies_have_three_times_the_inertia_of_their_boxes():
    world: Any = make()._world  # pyright: ignore[reportAttributeAccessIssue]
    dynamics, client = world._bullet.getDynamicsInfo, world._client
    inertia = {name: dynamics(getattr(world, name), -1, client)[2] for name in ("cart", "pole")}
    np.testing.assert_allclose(inertia["cart"], [0.010625, 0.010625, 0.02], rtol=1e-6)
    np.testing.assert_allclose(inertia["pole"], [0.313, 0.313, 0.001], rtol=1e-6)


@pytest.mark.parametrize("env_id", [DISCRETE, CONTINUOUS])
@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"flatten": True},
        {"observation": "pixels", "cameras": 2},
        {"observation": "pixels", "renderer": "tiny"},
        {"world": "batched"},
        {"world": "batched", "observation": "pixels"},
    ],
)
def test_the_checkers_of_gymnasium_and_stable_baselines3_are_content(env_id: str, keywords: dict[str, Any]):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gymnasium_check(make(env_id, render_mode="rgb_array", **keywords), skip_render_check=True)  # no window
        # Stable-Baselines3 takes (repeats, bodies, 7) poses for an image.
        for mistaken in ("observation  is an image", "observation space  is an image", "minimal resolution"):
            warnings.filterwarnings("ignore", message=f".*{mistaken}.*")
        sb3_check(gym.make(env_id, **keywords))


@pytest.mark.parametrize(
    ("keywords", "shape", "dtype"),
    [
        ({}, (2, 2, 7), np.float32),
        ({"flatten": True}, (28,), np.float32),
        ({"repeats": 3}, (3, 2, 7), np.float32),
        ({"world": "batched"}, (2, 2, 7), np.float32),
        ({"observation": "pixels"}, (50, 50, 6), np.uint8),
        ({"observation": "pixels", "renderer": "tiny"}, (50, 50, 6), np.uint8),
        (
            {"observation": "pixels", "cameras": 2, "repeats": 3, "image_width": 40, "image_height": 36},
            (36, 40, 18),
            np.uint8,
        ),
    ],
)
def test_observations_have_their_shapes_and_all_snapshots_of_a_reset_are_equal(
    keywords: dict[str, Any], shape: tuple[int, ...], dtype: type
):
    env = make(**keywords)
    obs, info = env.reset(seed=3)
    assert obs.shape == shape and obs.dtype == dtype and env.observation_space.contains(obs)
    assert 0 <= info["push_direction"] < 2 * math.pi
    repeats = keywords.get("repeats", 2)
    snapshots = np.split(obs, repeats, axis=0 if dtype == np.float32 else -1)
    assert all(np.array_equal(snapshots[0], other) for other in snapshots)
    after, *_ = env.step(1)
    snapshots = np.split(after, repeats, axis=0 if dtype == np.float32 else -1)
    if dtype == np.float32:
        assert not np.array_equal(snapshots[0], snapshots[-1])
    env.close()


def test_pixels_show_red_cart_green_pole_grey_ground_and_the_cameras_differ():
    env = make(observation="pixels", cameras=2, push_steps=0)
    obs, _ = env.reset(seed=0)
    first, second = obs[..., :3].astype(int), obs[..., 3:6].astype(int)
    for image in (first, second):
        red, green, blue = image[..., 0], image[..., 1], image[..., 2]
        assert ((red > 2 * green) & (red > 2 * blue)).sum() > 20
        assert ((green > 1.5 * red) & (green > 1.5 * blue)).sum() > 10
    assert not np.array_equal(first, second)
    env.close()


def test_left_is_left_in_the_first_camera():
    env = make(observation="pixels", push_steps=0, tilt_limit=1.5)

    def cart_column(obs: np.ndarray) -> float:
        image = obs[..., -3:].astype(int)
        return float(np.argwhere(image[..., 0] > 2 * image[..., 1])[:, 1].mean())

    before, _ = env.reset(seed=0)
    for _ in range(6):
        after, *_ = env.step(1)
    assert cart_column(after) < cart_column(before) - 1
    env.close()


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("action", "axis", "sign"), [(1, 0, 1), (2, 0, -1), (3, 1, 1), (4, 1, -1)])
def test_each_action_pushes_the_cart_its_way(action: int, axis: int, sign: int, world: str):
    env = make(push_steps=0, world=world)
    start, _ = env.reset(seed=0)
    end, *_ = env.step(action)
    moved = (end - start)[-1, 0, :2] * sign
    assert moved[axis] > 1e-3 and abs(moved[1 - axis]) < 0.1 * moved[axis]
    env.close()


def test_a_full_continuous_action_is_the_discrete_one():
    one, other = make(DISCRETE, push_steps=0), make(CONTINUOUS, push_steps=0)
    one.reset(seed=5)
    other.reset(seed=5)
    for discrete, continuous in ((1, [1, 0]), (4, [0, -1]), (0, [0, 0])):
        a, *_ = one.step(discrete)
        b, *_ = other.step(np.array(continuous, np.float32))
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("world", WORLDS)
def test_the_push_comes_along_x_when_it_is_not_random(world: str):
    env = make(random_push_direction=False, world=world)
    first, info = env.reset(seed=1)
    second, _ = env.reset(seed=2)
    assert info["push_direction"] == 0.0
    np.testing.assert_array_equal(first, second)
    assert first[-1, 0, 0] > 0.01 and abs(first[-1, 0, 1]) < 0.1 * first[-1, 0, 0]


def test_roll_and_pitch_of_known_turns():
    sine, cosine = math.sin(0.1), math.cos(0.1)
    np.testing.assert_allclose(roll_pitch(sine, 0, 0, cosine), (0.2, 0), atol=1e-12)
    np.testing.assert_allclose(roll_pitch(0, sine, 0, cosine), (0, 0.2), atol=1e-12)


@pytest.mark.parametrize(
    ("x", "y", "roll", "pitch", "fallen"),
    [
        (1.99, -1.99, 0, 0, False),
        (2.01, 0, 0, 0, True),
        (0, -2.01, 0, 0, True),
        (0, 0, 0.302, 0, True),
        (0, 0, 0, -0.302, True),
        (0, 0, 0.298, -0.298, False),
    ],
)
def test_an_episode_ends_when_the_pole_is_far_or_tilted(x: float, y: float, roll: float, pitch: float, fallen: bool):
    config = CartPole3DConfig()
    assert has_fallen(x, y, roll, pitch, config.position_limit, config.tilt_limit) == fallen


def test_a_pole_that_stands_on_the_ground_is_off_the_cart():
    assert is_off_cart(0.075, 0.30)
    assert not is_off_cart(0.075, 0.35)


@pytest.mark.parametrize(
    ("reward", "expected"), [("fixed", 1.0), ("angle", 1.3), ("action", 0.9), ("angle_action", 1.2)]
)
def test_the_four_rewards(reward: str, expected: float):
    config = CartPole3DConfig(reward=reward)  # pyright: ignore[reportArgumentType]
    assert step_reward(0.2, -0.1, 0.6, False, *config.rewarded) == pytest.approx(expected)
    assert step_reward(0.2, -0.1, 0.6, True, *config.rewarded) == 0.0


@pytest.mark.parametrize("world", WORLDS)
def test_success_is_told_at_the_time_limit_and_needs_the_pole_on_the_cart(world: str):
    env = make(push_steps=0, max_steps=3, world=world)
    env.reset(seed=0)
    assert env.step(0)[4] == {} and env.step(0)[4] == {}
    *_, terminated, truncated, info = env.step(0)
    assert (terminated, truncated) == (False, True)
    assert info == {"is_success": True, "off_cart": False}


@pytest.mark.parametrize("world", WORLDS)
def test_episodes_repeat_to_the_bit_in_a_used_world_and_a_fresh_one(world: str):
    used = make(world=world)
    for seed in range(3):  # leave contacts behind
        used.reset(seed=seed)
        for _ in range(2):
            used.step(seed)
    fresh = make(world=world)
    for env in (used, fresh):
        env.reset(seed=42)
    for action in (1, 4, 2, 0):
        (a, *rest), (b, *others) = used.step(action), fresh.step(action)
        np.testing.assert_array_equal(a, b)
        assert rest == others
        if rest[1]:
            break


@pytest.mark.parametrize("world", WORLDS)
def test_stepping_without_an_episode_is_refused(world: str):
    env = make(max_steps=1, world=world)
    with pytest.raises(gym.error.ResetNeeded, match="call reset"):
        env.step(0)
    env.reset(seed=0)
    env.step(0)
    with pytest.raises(gym.error.ResetNeeded, match="call reset"):
        env.step(0)


@pytest.mark.parametrize(
    ("env_id", "keywords", "message"),
    [
        (DISCRETE, {"repets": 3}, "did you mean 'repeats'"),
        (DISCRETE, {"repeats": 0}, r"repeats is 0; expected int in \[1, 100\]"),
        (DISCRETE, {"repeats": 2.5}, "repeats is 2.5"),
        (DISCRETE, {"action_force": -1.0}, "action_force is -1.0"),
        (DISCRETE, {"action_force": float("nan")}, "action_force is nan"),
        (DISCRETE, {"reward": "speed"}, "reward is 'speed'; expected one of fixed"),
        (DISCRETE, {"reward": "action"}, "needs continuous control"),
        (DISCRETE, {"observation": "lidar"}, "observation is 'lidar'"),
        (DISCRETE, {"flatten": "yes"}, "expected true or false"),
        (DISCRETE, {"cameras": 3}, "cameras is 3"),
        (DISCRETE, {"render_mode": "ansi"}, "render_mode is 'ansi'"),
        (CONTINUOUS, {"world": "mujoco"}, "world is 'mujoco'"),
        (DISCRETE, {"renderer": "opengl"}, "renderer is 'opengl'; expected one of fast, tiny"),
        (DISCRETE, {"renderer": "tiny", "world": "batched"}, "renderer 'tiny' needs world 'bullet'"),
        (DISCRETE, {"render_mode": "human", "world": "batched"}, "use world 'bullet', or 'rgb_array'"),
    ],
)
def test_absurd_keywords_are_refused_in_one_line(env_id: str, keywords: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        gym.make(env_id, **keywords)


@pytest.mark.parametrize("action", [5, -1, 1.5])
def test_actions_outside_the_space_are_refused(action: Any):
    env = make()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="expected a member of"):
        env.step(action)


def test_the_picture_for_people_is_large_and_shows_bodies_and_force():
    env = make(render_mode="rgb_array", push_steps=0)
    env.reset(seed=0)
    still = env.render()
    env.step(1)
    pushed: Any = env.render()
    assert isinstance(still, np.ndarray) and still.shape == (480, 640, 3) and still.dtype == np.uint8
    orange = (pushed[..., 0] > 220) & (pushed[..., 1] > 140) & (pushed[..., 2] < 80)
    assert orange.sum() > 100


def test_a_window_without_a_display_is_refused_instead_of_dying(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(ValueError, match="needs a display"):
        gym.make(DISCRETE, render_mode="human")


def test_bullet_prints_nothing(capfd: pytest.CaptureFixture[str]):
    env = make()
    env.reset(seed=0)
    env.step(0)
    env.close()
    assert capfd.readouterr() == ("", "")
