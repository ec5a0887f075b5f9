"""CartPole3D: keep a pole upright that stands, unattached, on a cart you push around."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.bullet import BODIES, POSE, TIMESTEP, BulletCartPole
from envs.cartpole3d_drawing import draw_scene
from envs.keywords import config_from

Observation = Literal["poses", "pixels"]
Reward = Literal["fixed", "angle", "action", "angle_action"]

ACTION_NAMES = ("stop", "left", "right", "up", "down")
DIRECTIONS = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]], np.float64)
"""Direction (x, y) of each discrete action: left is left in the first camera's picture."""
CAMERA_EYES = ((0.0, 0.75, 0.75), (0.75, 0.0, 0.75))
"""Eyes of the observation's cameras, m."""
CAMERA_TARGET = (0.0, 0.0, 0.3)

FLOAT_BOUND = 1000.0
"""Bound of the poses' space: far beyond any pose that an episode can reach."""
STANDING_HEIGHT = 0.25
"""Height of the pole's centre above the cart's, m, between standing on the cart (0.275) and on the ground (0.225)."""


@dataclass(frozen=True, kw_only=True)
class CartPole3DConfig:
    """Every constant of the task. All are keywords of `gymnasium.make`."""

    observation: Observation = "poses"
    """What the agent sees: "poses" or "pixels"."""
    world: Literal["bullet"] = "bullet"
    """The simulator behind it."""
    reward: Reward = "fixed"
    """"fixed", "angle", "action" (continuous control only) or "angle_action" (the same)."""
    action_force: float = 50.0
    """Newtons of a full action."""
    push_force: float = 55.0
    """Newtons of the push that opens an episode."""
    push_steps: int = 30
    """Physics steps (1/240 s) that the opening push lasts."""
    random_push_direction: bool = True
    """Whether the push comes from a uniformly random horizontal direction, or always along +x."""
    repeats: int = 2
    """Snapshots in an observation: an action is held this many times `steps_per_repeat`."""
    steps_per_repeat: int = 5
    """Physics steps (1/240 s) before each snapshot."""
    position_limit: float = 2.0
    """Metres along x or y beyond which the pole is lost."""
    tilt_limit: float = 0.3
    """Radians of roll or pitch beyond which the pole has fallen."""
    max_steps: int = 200
    """Steps at which an episode is truncated."""
    cameras: int = 1
    """Cameras of a pixel observation, 1 or 2."""
    image_width: int = 50
    """Columns of a pixel observation."""
    image_height: int = 50
    """Rows of a pixel observation."""
    flatten: bool = False
    """Whether poses come as one flat vector instead of (repeats, bodies, 7)."""

    def __post_init__(self) -> None:
        for name, allowed in (
            ("observation", ("poses", "pixels")),
            ("world", ("bullet",)),
            ("reward", ("fixed", "angle", "action", "angle_action")),
        ):
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"{name} is {value!r}; expected one of {', '.join(allowed)}")
        for name, low, high in (
            ("action_force", 0.0, 1e4),
            ("push_force", 0.0, 1e4),
            ("push_steps", 0, 10_000),
            ("repeats", 1, 100),
            ("steps_per_repeat", 1, 1000),
            ("position_limit", 1e-3, 4.5),  # the ground ends at 5 m
            ("tilt_limit", 1e-3, math.pi / 2),
            ("max_steps", 1, 10_000_000),
            ("cameras", 1, len(CAMERA_EYES)),
            ("image_width", 8, 1024),
            ("image_height", 8, 1024),
        ):
            value = getattr(self, name)
            if not isinstance(value, type(low)) and not (isinstance(low, float) and isinstance(value, int)):
                raise ValueError(f"{name} is {value!r}; expected {type(low).__name__} in [{low}, {high}]")
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}; expected {type(low).__name__} in [{low}, {high}]")
        for name in ("random_push_direction", "flatten"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected true or false")


def roll_pitch(quaternion: NDArray[np.floating]) -> tuple[float, float]:
    """Roll and pitch (rad) of a quaternion x y z w: rotations about x and y in the order x, y, z."""
    x, y, z, w = (float(component) for component in quaternion)
    roll = math.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    pitch = math.asin(max(-1.0, min(1.0, 2 * (w * y - z * x))))
    return roll, pitch


def has_fallen(poses: NDArray[np.floating], config: CartPole3DConfig) -> bool:
    """Whether the pole is too far away or too tilted. `poses` is [BODIES, POSE]."""
    pole = poses[1]
    roll, pitch = roll_pitch(pole[3:])
    too_far = max(abs(pole[0]), abs(pole[1])) > config.position_limit
    return bool(too_far or max(abs(roll), abs(pitch)) > config.tilt_limit)


def is_off_cart(poses: NDArray[np.floating]) -> bool:
    """Whether the pole has left the cart: a pole that came to stand on the ground is no success."""
    return bool(poses[1, 2] - poses[0, 2] < STANDING_HEIGHT)


def step_reward(
    poses: NDArray[np.floating], action: NDArray[np.floating], fallen: bool, config: CartPole3DConfig
) -> float:
    """Reward of one step: nothing for the one that ends in a fall, else 1 and what `config.reward` adds."""
    if fallen:
        return 0.0
    reward = 1.0
    if config.reward in ("angle", "angle_action"):
        roll, pitch = roll_pitch(poses[1, 3:])
        reward += max(0.0, 2 * 0.3 - abs(roll) - abs(pitch))
    if config.reward in ("action", "angle_action"):
        reward += 0.5 - float(np.linalg.norm(action))
    return reward


class CartPole3D(gym.Env[NDArray[Any], Any]):
    """Balance a 0.5 m, 5 kg pole that merely stands on a 1 kg cart, by forces on the cart along x and y.

    An episode opens with a push of the cart from a random direction, told in `info["push_direction"]` (rad).

    **Actions.** `CartPole3D-v0`: Discrete(5): stop, left (+x), right (-x), up (+y), down (-y), each with
    `action_force`. `CartPole3DContinuous-v0`: Box(-1, 1, (2,)), times `action_force` along x and y. An action is held
    for `repeats` x `steps_per_repeat` physics steps.

    **Observations.** `poses`: float32 (repeats, 2, 7), a snapshot after each repeat of cart and pole, each position
    x y z (m) and quaternion x y z w; (repeats * 14,) with `flatten=True`. `pixels`: uint8
    (height, width, 3 * repeats * cameras), channels ordered repeat, camera, RGB. After a reset all snapshots are equal.

    **Reward.** 1 a step; `angle` adds max(0, 0.6 - |roll| - |pitch|), `action` adds 0.5 - |action| (continuous
    only), `angle_action` both. The step that ends in a fall earns 0.

    **End.** Terminated when the pole is beyond `position_limit` along x or y or its roll or pitch beyond `tilt_limit`;
    truncated after `max_steps`. The info of the last step has `is_success` (the time is up and the pole stands on the
    cart) and `off_cart` (it stands elsewhere, or is in the air).

    The same reset seed and actions give the same observations to the bit. All fields of `CartPole3DConfig` are
    keywords.

    Raises:
        ValueError: a keyword is out of its bounds, or `reward` needs continuous control.
        gymnasium.error.ResetNeeded: `step` before `reset`, or after the end of an episode.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium declares it so
        "render_modes": ["rgb_array", "human"],
        "render_fps": 24,
        "action_names": ACTION_NAMES,
        "action_directions": DIRECTIONS.tolist(),
        "idle_action": 0,
        "world": "bullet",
    }

    def __init__(self, *, continuous: bool = False, render_mode: str | None = None, **config: Any):
        self.config = config_from(CartPole3DConfig, config)
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(
                f"render_mode is {render_mode!r}; expected one of {', '.join(self.metadata['render_modes'])}"
            )
        if not continuous and self.config.reward in ("action", "angle_action"):
            raise ValueError(
                f"reward {self.config.reward!r} needs continuous control: use CartPole3DContinuous-v0 or 'angle'"
            )
        self.render_mode = render_mode
        self.continuous = continuous
        self.observation_space = observation_space(self.config)
        self.action_space = (
            spaces.Box(-1.0, 1.0, (2,), np.float32) if continuous else spaces.Discrete(len(ACTION_NAMES))
        )
        self._world = BulletCartPole(gui=render_mode == "human")
        self._poses = np.zeros((self.config.repeats, BODIES, POSE))
        self._steps = 0
        self._ended = True
        self._action = np.zeros(2)
        self._trail: deque[NDArray[np.float64]] = deque(maxlen=1000)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        super().reset(seed=seed)
        config = self.config
        # Drawn even when it is not used, so that the stream does not depend on the setting.
        direction = float(self.np_random.uniform(0.0, 2 * math.pi))
        if not config.random_push_direction:
            direction = 0.0
        self._world.reset()
        self._world.push(
            (config.push_force * math.cos(direction), config.push_force * math.sin(direction)), config.push_steps
        )
        self._world.write_poses(self._poses[0])
        self._poses[1:] = self._poses[0]
        self._steps = 0
        self._ended = False
        self._action = np.zeros(2)
        self._trail.clear()
        self._trail.append(self._poses[-1].copy())
        return self._observe(fresh=True), {"push_direction": direction}

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        if self._ended:
            raise gym.error.ResetNeeded("the episode has ended, or none has begun: call reset() before step()")
        config = self.config
        self._action = self._direction(action)
        x, y = (self._action * config.action_force).tolist()
        pixels = []
        for repeat in range(config.repeats):
            self._world.push((x, y), config.steps_per_repeat)
            self._world.write_poses(self._poses[repeat])
            if config.observation == "pixels":
                pixels.append(self._photograph())
        if self.render_mode == "human":
            time.sleep(config.repeats * config.steps_per_repeat * TIMESTEP)  # at most as fast as it would really be
        self._steps += 1
        latest = self._poses[-1]
        terminated = has_fallen(latest, config)
        truncated = not terminated and self._steps >= config.max_steps
        self._ended = terminated or truncated
        reward = step_reward(latest, self._action, terminated, config)
        self._trail.append(latest.copy())
        info: dict[str, Any] = {}
        if self._ended:
            off_cart = is_off_cart(latest)
            info = {"is_success": truncated and not off_cart, "off_cart": off_cart}
        return self._observe(pixels), reward, terminated, truncated, info

    def _direction(self, action: Any) -> NDArray[np.float64]:
        """The action as a share of the force along x and y."""
        if not self.action_space.contains(action):
            raise ValueError(f"action is {action!r}; expected a member of {self.action_space}")
        return np.asarray(action, np.float64) if self.continuous else DIRECTIONS[int(action)]

    def _photograph(self) -> NDArray[np.uint8]:
        """The cameras' pictures of this moment, [height, width, 3 * cameras]."""
        config = self.config
        return np.concatenate(
            [
                self._world.photograph(eye, CAMERA_TARGET, config.image_width, config.image_height)
                for eye in CAMERA_EYES[: config.cameras]
            ],
            axis=-1,
        )

    def _observe(self, pixels: list[NDArray[np.uint8]] | None = None, fresh: bool = False) -> NDArray[Any]:
        if self.config.observation == "pixels":
            if fresh:
                pixels = [self._photograph()] * self.config.repeats
            assert pixels
            return np.concatenate(pixels, axis=-1)
        poses = self._poses.astype(np.float32)
        return poses.reshape(-1) if self.config.flatten else poses

    def render(self) -> NDArray[np.uint8] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A drawing of the scene, uint8 [480, 640, 3], in mode "rgb_array"; Bullet's window shows itself."""
        if self.render_mode != "rgb_array":
            return None
        return draw_scene(list(self._trail), self._action, self.config.position_limit)

    def close(self) -> None:
        self._world.close()


def observation_space(config: CartPole3DConfig) -> spaces.Box:
    """The space of what `config.observation` asks for."""
    if config.observation == "pixels":
        shape = (config.image_height, config.image_width, 3 * config.repeats * config.cameras)
        return spaces.Box(0, 255, shape, np.uint8)
    shape = (config.repeats * BODIES * POSE,) if config.flatten else (config.repeats, BODIES, POSE)
    return spaces.Box(-FLOAT_BOUND, FLOAT_BOUND, shape, np.float32)
