"""Simulators on torch tensors as vector environments: what agents see of them stays on the device.

Of each step only the actions, and what is told of it (the reward, whether the episode ended, how), cross between host
and device: a few numbers a column, once each way. Observations never do. A step is queued by `step_async`, and a GPU
works on it while the host goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.native import check_fits, spread
from envs.resets import parse_reset
from envs.streams import Keys, keys_of


class TensorSimulator(Protocol):
    """A batch of environments whose state is on `device`; its methods wait for nothing."""

    num_envs: int
    device: torch.device

    @property
    def single_observation_space(self) -> gym.Space[Any]: ...

    @property
    def single_action_space(self) -> gym.Space[Any]: ...

    def reset(self, seeds: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Begins episodes from seeds int64 [N] in the columns of a mask [N]; returns all observations [N, ...]."""
        ...

    def step(
        self, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """Observations, reward, terminated, truncated and infos [N] each, which count where an episode ends."""
        ...

    def state_dict(self) -> dict[str, torch.Tensor]: ...

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> torch.Tensor: ...


def best_device() -> str:
    """Where a simulator on tensors is to be: the GPU, if torch can use one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


class TensorVectorEnv(VectorEnv[Any, Any, Any]):
    """The vector form of a simulator on tensors, with the contract of `envs.native`, but that observations are tensors.

    Metadata "tensors" says so. Everything else is arrays, as ever.

    Args:
        simulator: the batch.
        metadata: of the environment that it simulates.
        told_at_reset: infos of the episodes that begin with some keys, arrays with an entry for each.
    """

    def __init__(
        self,
        simulator: TensorSimulator,
        metadata: dict[str, Any],
        told_at_reset: Callable[[Keys], dict[str, NDArray[Any]]] = lambda keys: {},
    ):
        self.simulator, self._told_at_reset = simulator, told_at_reset
        self.metadata = {**metadata, "tensors": True, "render_modes": [], "autoreset_mode": AutoresetMode.DISABLED}
        self.num_envs, self.render_mode = simulator.num_envs, None
        self.single_observation_space = simulator.single_observation_space
        self.single_action_space = simulator.single_action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._stepping: tuple[Any, ...] | None = None

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """As `envs.native.NativeVectorEnv.reset`.

        Raises:
            ValueError: mask or seeds do not fit, or there are other options.
        """
        mask, seeds, others = parse_reset(self.num_envs, seed, options)
        if others:
            raise ValueError(f"options are {sorted(others)}; expected none but reset_mask on tensors")
        drawn = np.zeros(self.num_envs, np.uint64)
        columns = np.flatnonzero(mask)
        for column in columns.tolist():
            given = seeds[column]
            drawn[column] = int(self.np_random.integers(2**63)) if given is None else given
        obs = self.simulator.reset(self._moved(drawn.view(np.int64)), self._moved(mask))
        return obs, spread(self._told_at_reset(keys_of(drawn[columns])), columns, self.num_envs)

    def step(
        self, actions: Any
    ) -> tuple[torch.Tensor, NDArray[np.floating], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: Any) -> None:
        """Queues a step; the device works on it while the host goes on."""
        self._stepping = self.simulator.step(self._moved(np.asarray(actions)))

    def step_wait(
        self,
    ) -> tuple[torch.Tensor, NDArray[np.floating], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        assert self._stepping is not None, "step_wait without step_async"
        (obs, *judged, infos), self._stepping = self._stepping, None
        # In one piece: each transfer on its own would wait for the device anew.
        told = torch.stack([values.double() for values in (*judged, *infos.values())]).cpu().numpy()
        reward, terminated, truncated = told[0], told[1] > 0, told[2] > 0
        ended = np.flatnonzero(terminated | truncated)
        kinds = [bool if values.dtype == torch.bool else np.float64 for values in infos.values()]
        values = {name: row[ended].astype(kind) for name, row, kind in zip(infos, told[3:], kinds, strict=True)}
        return obs, reward, terminated, truncated, spread(values, ended, self.num_envs)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The simulator's state, copied."""
        return self.simulator.state_dict()

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> torch.Tensor:
        """Puts the state back; returns the observations."""
        check_fits(state, self.simulator.state_dict())
        return self.simulator.load_state_dict(state)

    def _moved(self, values: NDArray[Any]) -> torch.Tensor:
        return torch.as_tensor(values).to(self.simulator.device, non_blocking=True)
