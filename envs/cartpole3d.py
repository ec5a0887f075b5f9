"""CartPole3D: keep a pole upright that stands, unattached, on a cart you push around."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.bullet import BulletCartPole
from envs.cartpole3d_drawing import draw_scene
from envs.cartpole3d_task import (
    BODIES,
    CAMERA_EYES,
    CAMERA_TARGET,
    DIRECTIONS,
    METADATA,
    POSE,
    TIMESTEP,
    CartPole3DConfig,
    action_space,
    check_control,
    has_fallen,
    is_off_cart,
    observation_space,
    push_directions,
    roll_pitch,
    step_reward,
)
from envs.keywords import config_from
from envs.streams import keys_of


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
        **METADATA,
        "render_modes": ["rgb_array", "human"],
        "world": "bullet",
    }

    def __init__(self, *, continuous: bool = False, render_mode: str | None = None, **config: Any):
        self.config = config_from(CartPole3DConfig, config)
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(
                f"render_mode is {render_mode!r}; expected one of {', '.join(self.metadata['render_modes'])}"
            )
        check_control(self.config, continuous)
        self.render_mode = render_mode
        self.continuous = continuous
        self.observation_space = observation_space(self.config)
        self.action_space = action_space(continuous)
        self.metadata = {**self.metadata, "world": self.config.world}
        self._world = self._make_world()
        self._renderer = None
        if self.config.observation == "pixels" and self.config.renderer == "fast":
            from envs.cartpole3d_pixels import PixelRenderer  # compiled: poses do without

            eyes = CAMERA_EYES[: self.config.cameras]
            self._renderer = PixelRenderer(
                self.config.image_width, self.config.image_height, eyes, CAMERA_TARGET, self.config.repeats
            )
        self._poses = np.zeros((self.config.repeats, BODIES, POSE))
        self._steps = 0
        self._ended = True
        self._action = np.zeros(2)
        self._trail: deque[NDArray[np.float64]] = deque(maxlen=1000)

    def _make_world(self) -> Any:
        if self.config.world == "bullet":
            return BulletCartPole(gui=self.render_mode == "human")
        if self.render_mode == "human":
            raise ValueError("render_mode 'human' is Bullet's own window; use world 'bullet', or 'rgb_array'")
        if self.config.world == "device":
            raise ValueError("world 'device' is for many at once, as cartbot trains them; use world 'batched'")
        from envs.cartpole3d_lanes import LanesCartPole  # compiled: Bullet does without

        return LanesCartPole(1)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        super().reset(seed=seed)
        config = self.config
        # Without a seed the episode's comes from our own stream, which an earlier seed began.
        episode = int(self.np_random.integers(2**63)) if seed is None else seed
        direction = float(push_directions(keys_of(np.array([episode], np.uint64)), config)[0])
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
        x, y = self._action.tolist()
        pixels = []
        for repeat in range(config.repeats):
            self._world.push((x * config.action_force, y * config.action_force), config.steps_per_repeat)
            self._world.write_poses(self._poses[repeat])
            if config.observation == "pixels" and self._renderer is None:
                pixels.append(self._photograph())
        if self.render_mode == "human":
            time.sleep(config.repeats * config.steps_per_repeat * TIMESTEP)  # at most as fast as it would really be
        self._steps += 1
        latest = self._poses[-1]
        cart, pole = latest.tolist()
        roll, pitch = roll_pitch(*pole[3:])
        terminated = has_fallen(pole[0], pole[1], roll, pitch, config.position_limit, config.tilt_limit)
        truncated = not terminated and self._steps >= config.max_steps
        self._ended = terminated or truncated
        effort = math.sqrt(x * x + y * y)
        reward = step_reward(roll, pitch, effort, terminated, *config.rewarded)
        self._trail.append(latest.copy())
        info: dict[str, Any] = {}
        if self._ended:
            off_cart = is_off_cart(cart[2], pole[2])
            info = {"is_success": truncated and not off_cart, "off_cart": off_cart}
        return self._observe(pixels), reward, terminated, truncated, info

    def _direction(self, action: Any) -> NDArray[np.float64]:
        """The action as a share of the force along x and y."""
        if not self.action_space.contains(action):
            raise ValueError(f"action is {action!r}; expected a member of {self.action_space}")
        return np.asarray(action, np.float64) if self.continuous else DIRECTIONS[int(action)]

    def _photograph(self) -> NDArray[np.uint8]:
        """TinyRenderer's pictures of this moment, [height, width, 3 * cameras]."""
        config = self.config
        return np.concatenate(
            [
                self._world.photograph(eye, CAMERA_TARGET, config.image_width, config.image_height)
                for eye in CAMERA_EYES[: config.cameras]
            ],
            axis=-1,
        )

    def _observe(self, pixels: list[NDArray[np.uint8]] | None = None, fresh: bool = False) -> NDArray[Any]:
        if self._renderer is not None:
            pictures = np.empty((1, *self._renderer.shape), np.uint8)
            self._renderer.draw(self._poses[None], pictures)
            return pictures[0]
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
