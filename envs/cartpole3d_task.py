"""The task of CartPole3D, whichever world it is played in: settings, when an episode ends, what a step earns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.streams import Keys, uniform

BODIES = 2
"""Bodies that move, in this order: cart, pole."""
POSE = 7
"""Numbers of a pose: position x y z (m), orientation as a quaternion x y z w."""
TIMESTEP = 1 / 240
"""Seconds of one physics step."""

Observation = Literal["poses", "pixels"]
World = Literal["bullet", "batched", "device"]
Renderer = Literal["fast", "tiny"]
Reward = Literal["fixed", "angle", "action", "angle_action"]

ACTION_NAMES = ("stop", "left", "right", "up", "down")
DIRECTIONS = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]], np.float64)
"""Direction (x, y) of each discrete action: left is left in the first camera's picture."""
CAMERA_EYES = ((0.0, 0.75, 0.75), (0.75, 0.0, 0.75))
"""Eyes of the observation's cameras, m."""
CAMERA_TARGET = (0.0, 0.0, 0.3)

METADATA: dict[str, Any] = {
    "render_fps": 24,
    "action_names": ACTION_NAMES,
    "action_directions": DIRECTIONS.tolist(),
    "idle_action": 0,
}
"""What environments say of the task, in every world."""
JUDGED = {"judge": {"world": "bullet"}}
"""What the other worlds say beside it: what is learnt there is evaluated in Bullet."""

FLOAT_BOUND = 1000.0
"""Bound of the poses' space: far beyond any pose that an episode can reach."""
STANDING_HEIGHT = 0.25
"""Height of the pole's centre above the cart's, m, between standing on the cart (0.275) and on the ground (0.225)."""


@dataclass(frozen=True, kw_only=True)
class CartPole3DConfig:
    """Every constant of the task. All are keywords of `gymnasium.make`."""

    observation: Observation = "poses"
    """What the agent sees: "poses" or "pixels"."""
    world: World = "bullet"
    """The simulator behind it: "bullet" (PyBullet, the reference), "batched" (ours, compiled; the same physics in
    float32, many times faster) or "device" (that on torch tensors, for a GPU; many at once only)."""
    renderer: Renderer = "fast"
    """Who draws pixel observations: "fast" (ours) or "tiny" (PyBullet's TinyRenderer; world "bullet" only)."""
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
            ("world", ("bullet", "batched", "device")),
            ("renderer", ("fast", "tiny")),
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
        if self.renderer == "tiny" and self.world != "bullet":
            raise ValueError("renderer 'tiny' needs world 'bullet'; use renderer 'fast'")
        for name in ("random_push_direction", "flatten"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected true or false")

    @property
    def rewarded(self) -> tuple[bool, bool]:
        """Whether the pole's angle and the action's size count."""
        return self.reward in ("angle", "angle_action"), self.reward in ("action", "angle_action")


def check_control(config: CartPole3DConfig, continuous: bool) -> None:
    """Raises ValueError where the reward counts how hard the cart is pushed, and control is not continuous."""
    if not continuous and config.reward in ("action", "angle_action"):
        raise ValueError(f"reward {config.reward!r} needs continuous control: use CartPole3DContinuous-v0 or 'angle'")


def push_directions(keys: Keys, config: CartPole3DConfig) -> NDArray[np.float64]:
    """Directions (rad) of the pushes that open the episodes of reset seeds, by their keys: the same in every world."""
    return 2 * math.pi * uniform(keys, np.uint64(0)) if config.random_push_direction else np.zeros(len(keys))


# What follows is arithmetic on plain numbers, so that the batched world can compile it as it stands.


def roll_pitch(x: float, y: float, z: float, w: float) -> tuple[float, float]:
    """Roll and pitch (rad) of a quaternion: rotations about x and y in the order x, y, z."""
    roll = math.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    pitch = math.asin(max(-1.0, min(1.0, 2 * (w * y - z * x))))
    return roll, pitch


def has_fallen(x: float, y: float, roll: float, pitch: float, position_limit: float, tilt_limit: float) -> bool:
    """Whether a pole at x, y (m) is too far away or too tilted (rad)."""
    return max(abs(x), abs(y)) > position_limit or max(abs(roll), abs(pitch)) > tilt_limit


def is_off_cart(cart_height: float, pole_height: float) -> bool:
    """Whether the pole has left the cart: a pole that came to stand on the ground is no success."""
    return pole_height - cart_height < STANDING_HEIGHT


def step_reward(roll: float, pitch: float, effort: float, fallen: bool, for_angle: bool, for_action: bool) -> float:
    """Reward of one step: nothing for the one that ends in a fall, else 1 and what is added for `angle` and `action`.

    `effort` is the length of the action, the force's share along x and y.
    """
    if fallen:
        return 0.0
    reward = 1.0
    if for_angle:
        reward += max(0.0, 2 * 0.3 - abs(roll) - abs(pitch))
    if for_action:
        reward += 0.5 - effort
    return reward


def observation_space(config: CartPole3DConfig) -> spaces.Box:
    """The space of what `config.observation` asks for."""
    if config.observation == "pixels":
        shape = (config.image_height, config.image_width, 3 * config.repeats * config.cameras)
        return spaces.Box(0, 255, shape, np.uint8)
    shape = (config.repeats * BODIES * POSE,) if config.flatten else (config.repeats, BODIES, POSE)
    return spaces.Box(-FLOAT_BOUND, FLOAT_BOUND, shape, np.float32)


def action_space(continuous: bool) -> spaces.Space:
    """The space of one action."""
    return spaces.Box(-1.0, 1.0, (2,), np.float32) if continuous else spaces.Discrete(len(ACTION_NAMES))
