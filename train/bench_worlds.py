"""Contenders of `cartbot bench` that simulate: our worlds and renderers, and what others would use in their place.

All act at random. Environment steps are counted, resets are not; the time that resets take is part of all figures.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.bullet import CART_START, GRAVITY, POLE_START, SETTLE_STEPS, BulletCartPole
from envs.cartpole3d_task import (
    CAMERA_EYES,
    CAMERA_TARGET,
    DIRECTIONS,
    TIMESTEP,
    CartPole3DConfig,
    has_fallen,
    roll_pitch,
)
from eval.tasks import make_envs
from train.bench_timing import Make, Work

ACTIONS = 512
"""Random actions that are drawn beforehand and repeated."""
DESYNCHRONISED = 20
"""Steps after which columns that began together have come to different points of their episodes."""
IMAGE = 50
"""Rows and columns of a picture."""


def vector_steps(env_id: str, num_envs: int, *, workers: int | None = None, **env_args: Any) -> Make:
    """Our vector form of an environment, with explicit resets."""

    def make(device: str) -> Work:
        venv = make_envs(env_id, num_envs, env_args=env_args, workers=workers)
        actions = _actions(venv.single_action_space, (num_envs,))
        venv.reset(seed=0)

        def step() -> float:
            _, _, terminated, truncated, _ = venv.step(next(actions))
            ended = terminated | truncated
            if ended.any():
                venv.reset(options={"reset_mask": ended})
            return num_envs

        def warm_up() -> None:
            for _ in range(DESYNCHRONISED):
                step()

        return Work(run=step, warm_up=warm_up, close=venv.close)

    return make


def scalar_steps(env_id: str, **env_args: Any) -> Make:
    """A scalar environment in the leanest loop there is: no wrappers."""

    def make(device: str) -> Work:
        env = gym.make(env_id, **env_args).unwrapped
        actions = _actions(env.action_space)
        env.reset(seed=0)

        def step() -> float:
            _, _, terminated, truncated, _ = env.step(next(actions))
            if terminated or truncated:
                env.reset()
            return 1

        return Work(run=step, close=env.close)

    return make


def async_steps(env_id: str, workers: int, **env_args: Any) -> Make:
    """Gymnasium's AsyncVectorEnv over a scalar environment of ours, one to a worker process."""

    def make(device: str) -> Work:
        one = partial(gym.make, f"envs:{env_id}", **env_args)
        return _autoreset_steps(gym.vector.AsyncVectorEnv([one] * workers, context="spawn"))

    return make


def gymnasium_cartpole_steps(num_envs: int) -> Make:
    """Gymnasium's own vectorised CartPole-v1."""

    def make(device: str) -> Work:
        return _autoreset_steps(gym.make_vec("CartPole-v1", num_envs=num_envs, vectorization_mode="vector_entry_point"))

    return make


def subproc_steps(env_id: str, workers: int, **env_args: Any) -> Make:
    """Stable-Baselines3's SubprocVecEnv over a scalar environment of ours, one to a worker process."""

    def make(device: str) -> Work:
        from stable_baselines3.common.vec_env import SubprocVecEnv

        venv = SubprocVecEnv([partial(gym.make, f"envs:{env_id}", **env_args)] * workers, start_method="spawn")
        actions = _actions(venv.action_space, (workers,))
        venv.reset()

        def step() -> float:
            venv.step(next(actions))  # it resets within the step that ends an episode
            return workers

        return Work(run=step, close=venv.close)

    return make


MUJOCO_SCENE = f"""
<mujoco>
  <option timestep="{TIMESTEP!r}" gravity="0 0 {GRAVITY}"/>
  <worldbody>
    <geom type="box" size="5 5 0.05" friction="0.5" priority="1"/>
    <body name="cart" pos="{" ".join(map(str, CART_START))}">
      <freejoint/>
      <inertial pos="0 0 0" mass="1" diaginertia="0.010625 0.010625 0.02"/>
      <geom type="box" size="0.1 0.1 0.025" friction="1"/>
    </body>
    <body name="pole" pos="{" ".join(map(str, POLE_START))}">
      <freejoint/>
      <inertial pos="0 0 0" mass="5" diaginertia="0.313 0.313 0.001"/>
      <geom type="box" size="0.01 0.01 0.25" friction="1"/>
    </body>
  </worldbody>
</mujoco>"""
"""The scene for MuJoCo: sizes, masses and inertias as Bullet has them, and the ground's priority gives its contacts the
product of the frictions, 0.5 x 1."""


class MujocoCartPole:
    """The scene in MuJoCo, with our steps and ends of episodes, and without the opening push.

    Under random actions episodes last 16 steps (median), in Bullet 18.5: its contacts are of another kind.

    Raises:
        ValueError: MuJoCo is not installed.
    """

    def __init__(self) -> None:
        try:
            mujoco: Any = importlib.import_module("mujoco")
        except ImportError:
            raise ValueError("MuJoCo is not installed: pip install -c constraints.txt -e '.[bench]'") from None
        self._advance = mujoco.mj_step
        self._model = mujoco.MjModel.from_xml_string(MUJOCO_SCENE)
        self._data = mujoco.MjData(self._model)
        self._force = self._data.xfrc_applied[self._model.body("cart").id, :2]
        self._pole = self._data.qpos[7:]
        self._config = CartPole3DConfig()
        self._advance(self._model, self._data, SETTLE_STEPS)
        self._state = (self._data.qpos, self._data.qvel, self._data.qacc_warmstart)
        self._settled = [array.copy() for array in self._state]
        self._lasted = 0

    def step(self, force: NDArray[np.floating]) -> bool:
        """One step with a force (x, y; N) on the cart; whether it ended the episode, and the settled state is back."""
        config = self._config
        self._force[:] = force
        self._advance(self._model, self._data, config.repeats * config.steps_per_repeat)
        self._lasted += 1
        x, y, _, qw, qx, qy, qz = self._pole.tolist()
        fallen = has_fallen(x, y, *roll_pitch(qx, qy, qz, qw), config.position_limit, config.tilt_limit)
        ended = fallen or self._lasted >= config.max_steps
        if ended:
            self._lasted = 0
            for array, values in zip(self._state, self._settled, strict=True):
                array[:] = values
        return ended


def mujoco_steps() -> Make:
    """MuJoCo's step of the same scene, ten physics steps a call."""

    def make(device: str) -> Work:
        world = MujocoCartPole()
        drawn = np.random.default_rng(0).integers(len(DIRECTIONS), size=ACTIONS)
        forces = cycle(DIRECTIONS[drawn] * CartPole3DConfig().action_force)

        def step() -> float:
            world.step(next(forces))
            return 1

        return Work(run=step)

    return make


def our_frames(count: int) -> Make:
    """Our renderer's pictures of `count` moments of random episodes at a time."""

    def make(device: str) -> Work:
        from envs.cartpole3d_pixels import PixelRenderer

        env = gym.make("CartPole3D-v0").unwrapped
        actions, moments = _actions(env.action_space), []
        env.reset(seed=0)
        while len(moments) < count:
            obs, _, terminated, truncated, _ = env.step(next(actions))
            moments.append(obs[-1:])
            if terminated or truncated:
                env.reset()
        env.close()
        poses = np.stack(moments)  # [count, snapshots = 1, bodies, 7]
        out = np.empty((count, IMAGE, IMAGE, 3), np.uint8)
        renderer = PixelRenderer(IMAGE, IMAGE, CAMERA_EYES[:1], CAMERA_TARGET)

        def draw() -> float:
            renderer.draw(poses, out)
            return count

        return Work(run=draw)

    return make


def tiny_frames() -> Make:
    """PyBullet's TinyRenderer, of the scene after a push."""

    def make(device: str) -> Work:
        world = BulletCartPole()
        world.push((50.0, 0.0), 30)

        def draw() -> float:
            world.photograph(CAMERA_EYES[0], CAMERA_TARGET, IMAGE, IMAGE)
            return 1

        return Work(run=draw, close=world.close)

    return make


def _autoreset_steps(venv: gym.vector.VectorEnv[Any, Any, Any]) -> Work:
    """A vector environment as Gymnasium has them: the call after an episode's end resets, and is no step."""
    actions = _actions(venv.single_action_space, (venv.num_envs,))
    venv.reset(seed=0)
    resetting = 0

    def step() -> float:
        nonlocal resetting
        _, _, terminated, truncated, _ = venv.step(next(actions))
        stepped = venv.num_envs - resetting
        resetting = int(np.count_nonzero(terminated | truncated))
        return stepped

    return Work(run=step, close=venv.close)


def _actions(space: Any, shape: tuple[int, ...] = ()) -> Iterator[Any]:
    """Random actions of a Discrete space for ever: arrays of a shape, or plain numbers."""
    drawn: NDArray[np.int64] = np.random.default_rng(0).integers(int(space.n), size=(ACTIONS, *shape))
    return cycle(drawn if shape else drawn.tolist())
