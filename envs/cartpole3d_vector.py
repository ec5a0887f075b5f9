"""CartPole3D in the batched world: all columns in one process, a few microseconds a step."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.cartpole3d_drawing import draw_scene
from envs.cartpole3d_lanes import LanesCartPole
from envs.cartpole3d_task import (
    ACTION_NAMES,
    BODIES,
    CAMERA_EYES,
    CAMERA_TARGET,
    DIRECTIONS,
    JUDGED,
    METADATA,
    POSE,
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
from envs.compiled import exact
from envs.keywords import config_from
from envs.lanes import WIDTH
from envs.native import NativeVectorEnv, discrete_actions

THREAD_COLUMNS = 2 * WIDTH
"""Columns for which another thread is worth its start."""
TRAIL = 1000
"""Places of the pole that a picture shows."""

_roll_pitch, _has_fallen = exact(roll_pitch), exact(has_fallen)
_is_off_cart, _step_reward = exact(is_off_cart), exact(step_reward)


@exact
def _judge(
    poses: Any,
    efforts: Any,
    position_limit: float,
    tilt_limit: float,
    for_angle: bool,
    for_action: bool,
    reward: Any,
    fallen: Any,
    off_cart: Any,
) -> None:
    """What a step earned and whether it ended in a fall, from the latest poses [N, 2, 7]."""
    for column in range(len(poses)):
        # In double precision, as the scalar environment judges: `float` would leave them what they are.
        cart, pole = poses[column, 0].astype(np.float64), poses[column, 1].astype(np.float64)
        roll, pitch = _roll_pitch(pole[3], pole[4], pole[5], pole[6])
        fallen[column] = _has_fallen(pole[0], pole[1], roll, pitch, position_limit, tilt_limit)
        off_cart[column] = _is_off_cart(cart[2], pole[2])
        reward[column] = _step_reward(roll, pitch, efforts[column], fallen[column], for_angle, for_action)


class BatchedCartPole3D(NativeVectorEnv):
    """`CartPole3D` with `world="batched"`, natively batched: see there for the task, its spaces and its keywords.

    While the caller does something else between `step_async` and `step_wait`, the columns step in another thread.

    Args:
        num_envs: columns.
        threads: that simulate; None takes one per CPU core, as far as there are columns enough.
        overlap: whether `step_async` steps in the background.

    Raises:
        ValueError: a keyword is out of its bounds, or `reward` needs continuous control.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium declares it so
        **METADATA,
        **JUDGED,
        "render_modes": ["rgb_array"],
        "world": "batched",
    }
    state_names = ("bodies", "manifolds", "poses", "direction")

    def __init__(
        self,
        num_envs: int = 1,
        *,
        threads: int | None = None,
        overlap: bool = True,
        continuous: bool = False,
        render_mode: str | None = None,
        **config: Any,
    ):
        self.config = config_from(CartPole3DConfig, {**config, "world": "batched"})
        check_control(self.config, continuous)
        super().__init__(num_envs, observation_space(self.config), action_space(continuous), render_mode)
        if threads is not None and threads < 1:
            raise ValueError(f"threads is {threads}; expected at least 1")
        if threads is None:
            from envs.vector import cpu_count

            threads = max(1, min(cpu_count(), num_envs // THREAD_COLUMNS))
        self.continuous = continuous
        self._threads = threads
        self._world = LanesCartPole(num_envs, threads)
        self.bodies, self.manifolds = self._world.bodies, self._world.manifolds
        self.poses = np.zeros((num_envs, self.config.repeats, BODIES, POSE), np.float32)
        self.direction = np.zeros(num_envs)
        """Direction of each episode's opening push, rad."""
        self._openings: dict[int, LanesCartPole] = {}
        self._background = ThreadPoolExecutor(1) if overlap else None
        self._stepping: Future[Any] | None = None
        self._trails: list[list[NDArray[np.floating]]] = [[] for _ in range(num_envs if render_mode else 0)]
        self._actions = np.zeros((num_envs, 2))
        self._renderer = None
        if self.config.observation == "pixels":
            from envs.cartpole3d_pixels import PixelRenderer

            eyes = CAMERA_EYES[: self.config.cameras]
            self._renderer = PixelRenderer(
                self.config.image_width, self.config.image_height, eyes, CAMERA_TARGET, self.config.repeats
            )
            self._pictures = np.zeros((num_envs, *self._renderer.shape), np.uint8)

    def _begin(self, columns: NDArray[np.intp], options: dict[str, Any]) -> dict[str, NDArray[Any]]:
        config = self.config
        self.direction[columns] = push_directions(self.key[columns], config)
        self.draws[columns] = 1
        opening = self._opening(len(columns))
        opening.reset()
        directions = np.zeros(opening.columns)
        directions[: len(columns)] = self.direction[columns]
        force = config.push_force * np.stack([np.cos(directions), np.sin(directions)], -1)
        opening.push(force, config.push_steps)
        self._world.place(columns, opening)
        chosen = np.zeros(self.num_envs, bool)
        chosen[columns] = True
        for repeat in range(config.repeats):
            self._world.write_poses(self.poses[:, repeat], chosen)
        self._draw(columns)
        for column in columns.tolist() if self._trails else ():
            self._trails[column] = [self.poses[column, -1].astype(float)]
        return {"push_direction": self.direction[columns]}

    def _opening(self, count: int) -> LanesCartPole:
        """A world beside this one, for the pushes that open `count` episodes at once."""
        groups = 1
        while groups * WIDTH < count:
            groups *= 2
        if groups not in self._openings:
            self._openings[groups] = LanesCartPole(groups * WIDTH, min(self._threads, groups))
        return self._openings[groups]

    def _advance(
        self, actions: NDArray[Any], active: NDArray[np.bool_]
    ) -> tuple[NDArray[np.floating], NDArray[np.bool_], NDArray[np.bool_], dict[str, NDArray[Any]]]:
        config = self.config
        directions = self._directions(actions, active)
        force = directions * config.action_force
        for repeat in range(config.repeats):
            self._world.push(force, config.steps_per_repeat)
            self._world.write_poses(self.poses[:, repeat], active)
        reward, efforts = np.zeros(self.num_envs), np.sqrt(np.square(directions).sum(-1))
        fallen, off_cart = np.zeros(self.num_envs, bool), np.zeros(self.num_envs, bool)
        latest = self.poses[:, -1]
        _judge(latest, efforts, config.position_limit, config.tilt_limit, *config.rewarded, reward, fallen, off_cart)
        self._draw(np.flatnonzero(active))
        if self._trails:
            self._actions[active] = directions[active]
            for column in np.flatnonzero(active).tolist():
                self._trails[column].append(self.poses[column, -1].astype(float))
        truncated = ~fallen & (self.episode_steps >= config.max_steps)
        return reward, fallen, truncated, {"is_success": truncated & ~off_cart, "off_cart": off_cart}

    def _directions(self, actions: NDArray[Any], active: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The actions as shares of the force along x and y, [N, 2]; nothing for columns that are not `active`."""
        if not self.continuous:
            return DIRECTIONS[discrete_actions(actions, active, len(ACTION_NAMES))]
        if actions.shape != (self.num_envs, 2) or actions.dtype.kind != "f":
            raise ValueError(f"actions are {actions.dtype} {actions.shape}; expected numbers {(self.num_envs, 2)}")
        directions = np.where(active[:, None], actions, 0.0)
        if not (np.abs(directions) <= 1.0).all():
            column = int(np.flatnonzero(~(np.abs(directions) <= 1.0).all(-1))[0])
            raise ValueError(f"action of column {column} is {actions[column].tolist()}; expected numbers in [-1, 1]")
        return directions.astype(np.float64)

    def _draw(self, columns: NDArray[np.intp]) -> None:
        if self._renderer is not None and len(columns):
            self._renderer.draw(self.poses, self._pictures, columns)

    def _observe(self) -> NDArray[Any]:
        if self._renderer is not None:
            return self._pictures.copy()
        return self.poses.reshape(self.num_envs, -1).copy() if self.config.flatten else self.poses.copy()

    def step_async(self, actions: Any) -> None:
        if self._background is None:
            super().step_async(actions)
        else:
            self._stepping = self._background.submit(self.step, actions)

    def step_wait(
        self,
    ) -> tuple[NDArray[Any], NDArray[np.floating], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        if self._background is None:
            return super().step_wait()
        assert self._stepping is not None, "step_wait without step_async"
        stepping, self._stepping = self._stepping, None
        return stepping.result()

    def load_state_dict(self, state: dict[str, Any]) -> NDArray[Any]:
        super().load_state_dict(state)
        self._draw(np.arange(self.num_envs))
        for column in range(len(self._trails)):
            self._trails[column] = [self.poses[column, -1].astype(float)]
        return self._observe()

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """A drawing of every column's scene, uint8 [480, 640, 3], in mode "rgb_array"."""
        if self.render_mode is None:
            return None
        return tuple(self.render_column(column) for column in range(self.num_envs))

    def render_column(self, column: int) -> Any:
        return draw_scene(self._trails[column][-TRAIL:], self._actions[column], self.config.position_limit)

    def close_extras(self, **kwargs: Any) -> None:
        """Ends the threads."""
        if self._background is not None:
            self._background.shutdown()
        for world in (self._world, *self._openings.values()):
            world.close()
