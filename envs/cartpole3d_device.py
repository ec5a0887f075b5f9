"""CartPole3D on torch tensors: acting, simulating and learning can stay on one device, a GPU for instance.

The batched world (`envs.cartpole3d_lanes`) as one Triton kernel a step, `envs.cartpole3d_kernel`: the same seeds and
actions give the same episodes, up to the rounding of float32. Triton compiles it when it is first used, in a minute or
so, and keeps the result on disk. Without a GPU the kernel runs on NumPy, which is slow.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from envs import cartpole3d_bodies as bodies
from envs import cartpole3d_kernel as kernel
from envs.cartpole3d_task import (
    BODIES,
    DIRECTIONS,
    JUDGED,
    METADATA,
    POSE,
    STANDING_HEIGHT,
    CartPole3DConfig,
    action_space,
    check_control,
    observation_space,
    push_directions,
)
from envs.kernel_language import DEVICE, INTERPRETED
from envs.keywords import config_from
from envs.streams_torch import keys_of, uniform
from envs.tensors import TensorVectorEnv

STATE_ROWS, BODY_ROWS, SCRATCH_ROWS = (int(rows) for rows in (kernel.STATE_ROWS, kernel.BODY_ROWS, kernel.SCRATCH_ROWS))
WARP = 32
"""Lanes of a program on a GPU: one warp, which ends its iterations when its own lanes have converged."""
MOST = 2_000_000
"""Columns whose scratch memory 32-bit offsets reach."""
STATE = ("state", "snapshots", "active", "episode_steps", "direction")
"""Tensors that make up the state. They stay where they are in memory, so that a step can be captured as a graph."""


class DeviceCartPole3D:
    """Carts and poles whose state, observations and rewards are tensors on `device`.

    It keeps the contract of `envs.native` with tensors for arrays: resets by mask with a seed per column; columns whose
    episode ended and which were not reset are passed over. Nothing here waits for the device, so steps can be queued or
    captured as a graph.

    Args:
        num_envs: columns, N.
        device: "cuda", or where kernels run on NumPy "cpu".
        continuous: whether actions are [N, 2] in [-1, 1], or [N] whole numbers. They are not checked, which would wait.
        config: fields of `CartPole3DConfig`; observations are "poses".

    Raises:
        ValueError: a keyword is out of its bounds, the observation is another, or kernels do not run on `device`.
    """

    _settled_states: ClassVar[dict[str, Tensor]] = {}

    def __init__(self, num_envs: int, *, device: str | torch.device = DEVICE, continuous: bool = False, **config: Any):
        self.config = config_from(CartPole3DConfig, {**config, "world": "device"})
        check_control(self.config, continuous)
        if self.config.observation != "poses":
            raise ValueError(f"observation is {self.config.observation!r}; expected 'poses' on tensors")
        if not 1 <= num_envs <= MOST:
            raise ValueError(f"num_envs is {num_envs}; expected 1 to {MOST:,}")
        self.device = torch.device(device)
        if self.device.type != DEVICE:
            remedy = (
                "install Triton and a CUDA build of torch" if DEVICE == "cpu" else "hide the GPU for the CPU's form"
            )
            raise ValueError(f"device is {device}; kernels run on {DEVICE} in this process; {remedy}")
        self.num_envs, self.continuous = num_envs, continuous
        self.single_observation_space = observation_space(self.config)
        self.single_action_space = action_space(continuous)
        self.lanes = -(-num_envs // WARP) * WARP
        # Without a GPU one program takes all lanes; Triton's blocks, though, are powers of two.
        self._block = WARP if DEVICE == "cuda" or INTERPRETED else self.lanes
        self._columns = torch.arange(self.lanes, dtype=torch.int32, device=self.device)
        self._scratch = torch.zeros((SCRATCH_ROWS, self.lanes), device=self.device)
        self._forces = torch.zeros((2, self.lanes), device=self.device)
        self._directions = torch.as_tensor(DIRECTIONS, dtype=torch.float32, device=self.device)
        self.snapshots = torch.zeros((self.config.repeats, BODIES * POSE, self.lanes), device=self.device)
        self.state = torch.zeros((STATE_ROWS, self.lanes), device=self.device)
        self.active = torch.zeros(num_envs, dtype=torch.bool, device=self.device)
        self.episode_steps = torch.zeros(num_envs, dtype=torch.int64, device=self.device)
        self.direction = torch.zeros(num_envs, dtype=torch.float64, device=self.device)
        """Direction of each episode's opening push, rad."""
        if str(self.device) not in self._settled_states:
            self._settled_states[str(self.device)] = self._settle()
        self._settled = self._settled_states[str(self.device)]

    def _settle(self) -> Tensor:
        """The state that every episode begins with, [STATE_ROWS, 1]: both bodies set down and left alone."""
        for body, height in enumerate((bodies.CART_HEIGHT, bodies.POLE_HEIGHT)):
            self.state[body * BODY_ROWS + 2, 0] = height
            self.state[body * BODY_ROWS + 6, 0] = 1.0
        self._advance(self._columns, self._columns < 1, 1, bodies.SETTLE_STEPS)
        return self.state[:, :1].clone()

    def _advance(self, columns: Tensor, chosen: Tensor, repeats: int, steps: int) -> None:
        """Physics steps under `_forces` of the columns whose lane is chosen; their poses go into `snapshots`."""
        with torch.cuda.device(self.device if self.device.type == "cuda" else -1):
            kernel.advance[(self.lanes // self._block,)](
                self.state,
                columns,
                chosen.int(),
                self._forces,
                self.snapshots,
                self._scratch,
                self.lanes,
                self.lanes,
                repeats,
                steps,
                BLOCK=self._block,
                num_warps=1,
            )

    @torch.no_grad()
    def reset(self, seeds: Tensor, mask: Tensor | None = None) -> Tensor:
        """Begins episodes from `seeds` int64 [N] in the columns of `mask` [N], or all; returns all observations."""
        config = self.config
        mask = torch.ones_like(self.active) if mask is None else mask
        keys = keys_of(seeds.to(self.device))
        turn = 2 * math.pi if config.random_push_direction else 0.0
        self.direction.copy_(torch.where(mask, turn * uniform(keys, 0), self.direction))
        push = torch.stack([torch.cos(self.direction), torch.sin(self.direction)])  # [2, N]
        self._forces[:, : self.num_envs] = config.push_force * push
        chosen = self._padded(mask)
        self.state.copy_(torch.where(chosen, self._settled, self.state))
        # The columns that are reset side by side, so that the others' programs end at once.
        order = torch.argsort(chosen.int(), descending=True, stable=True)
        self._advance(order.int(), chosen[order], 1, config.push_steps)
        self.snapshots.copy_(torch.where(chosen, self.snapshots[:1], self.snapshots))
        self.active |= mask
        self.episode_steps *= ~mask
        return self.observe()

    @torch.no_grad()
    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """One step of the columns inside an episode.

        Returns:
            Observations, reward [N] float64, terminated [N], truncated [N], and infos, tensors [N]: `is_success` and
            `off_cart`, which count where an episode ends.
        """
        config = self.config
        directions = actions.float() if self.continuous else self._directions[actions]  # [N, 2]
        self._forces[:, : self.num_envs] = config.action_force * directions.T
        self._advance(self._columns, self._padded(self.active), config.repeats, config.steps_per_repeat)
        active, latest = self.active.clone(), self.snapshots[-1, :, : self.num_envs].double()
        self.episode_steps += active
        cart_z, (x, y, z), (roll, pitch) = latest[2], latest[7:10], roll_pitch(*latest[10:14])
        away = torch.maximum(x.abs(), y.abs()) > config.position_limit
        terminated = active & (away | (torch.maximum(roll.abs(), pitch.abs()) > config.tilt_limit))
        truncated = active & ~terminated & (self.episode_steps >= config.max_steps)
        for_angle, for_action = config.rewarded
        reward = torch.ones_like(roll)
        if for_angle:
            reward = reward + (2 * 0.3 - roll.abs() - pitch.abs()).clamp(min=0)
        if for_action:
            reward = reward + 0.5 - torch.linalg.vector_norm(directions.double(), dim=-1)
        reward = torch.where(active & ~terminated, reward, torch.zeros_like(reward))
        off_cart = z - cart_z < STANDING_HEIGHT
        self.active &= ~(terminated | truncated)
        infos = {"is_success": truncated & ~off_cart, "off_cart": off_cart}
        return self.observe(), reward, terminated, truncated, infos

    def observe(self) -> Tensor:
        """The poses of all columns, float32 [N, repeats, 2, 7], or flat with `flatten`; a new tensor."""
        poses = self.snapshots[:, :, : self.num_envs].permute(2, 0, 1).clone(memory_format=torch.contiguous_format)
        return poses.flatten(1) if self.config.flatten else poses.unflatten(2, (BODIES, POSE))

    def state_dict(self) -> dict[str, Tensor]:
        """All that the future depends on, copied."""
        return {name: getattr(self, name).clone() for name in STATE}

    def load_state_dict(self, state: dict[str, Tensor]) -> Tensor:
        """Puts the tensors of `state_dict` back; returns the observations."""
        for name in STATE:
            getattr(self, name).copy_(state[name])
        return self.observe()

    def _padded(self, mask: Tensor) -> Tensor:
        """[N] -> [lanes], false in lanes without a column."""
        return torch.nn.functional.pad(mask, (0, self.lanes - self.num_envs))


def roll_pitch(x: Tensor, y: Tensor, z: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """As `envs.cartpole3d_task.roll_pitch`."""
    roll = torch.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    return roll, torch.asin((2 * (w * y - z * x)).clamp(-1, 1))


def cartpole3d_tensors(
    num_envs: int, *, continuous: bool = False, render_mode: str | None = None, **config: Any
) -> TensorVectorEnv:
    """The vector form of world "device": on a GPU where there is one.

    Raises:
        ValueError: as `DeviceCartPole3D`; or pictures are asked for.
    """
    if render_mode is not None:
        raise ValueError(f"render_mode is {render_mode!r}; world 'device' draws no pictures: use world 'batched'")
    simulator = DeviceCartPole3D(num_envs, continuous=continuous, **config)
    return TensorVectorEnv(
        simulator,
        {**METADATA, **JUDGED, "world": "device"},
        lambda keys: {"push_direction": push_directions(keys, simulator.config)},
    )
