"""Models of Stable-Baselines3, made from our configs: with their own networks, memories, noise and schedules."""

from __future__ import annotations

import math
import random
import warnings
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import DDPG, DQN, PPO, SAC
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecTransposeImage

from agents.base import Task
from agents.encoders import Encoder
from agents.sb3_configs import SB3Config, SB3DDPGConfig, SB3DQNConfig, SB3PPOConfig, SB3SACConfig
from agents.sb3_learners import ENDLESS, Learner, OffPolicy, OnPolicy


class Gate:
    """Observations as the models take them, [S, E, ...] -> [S, E, ...].

    Args:
        space: of one observation of the environment.
        encode: whether poses become features, and these and other numbers are to be standardised.
    """

    def __init__(self, space: gym.Space[Any], *, encode: bool):
        encoder = Encoder(space, 1, torch.device("cpu"))
        self._encoder = encoder if encode and encoder.kind == "poses" else None
        self._image = is_image_space(space)
        self._start = int(space.start) if isinstance(space, gym.spaces.Discrete) else 0
        self.standardise = encode and encoder.kind in ("flat", "poses") and isinstance(space, gym.spaces.Box)
        """Whether what passes is to be standardised by the networks: the statistics change, so memories keep it raw."""
        self.least_deviation = encoder.least_deviation
        """Numbers that vary by less are not blown up."""
        self.space = space
        """What passes, as a space."""
        if self._encoder:
            self.space = encoder.kept_space
        elif self._image:
            self.space = VecTransposeImage.transpose_space(space)  # pyright: ignore[reportArgumentType]
        elif isinstance(space, gym.spaces.Discrete):
            self.space = gym.spaces.Discrete(space.n)

    def __call__(self, obs: NDArray[Any]) -> NDArray[Any]:
        if self._encoder:
            return self._encoder.prepare(torch.from_numpy(obs)).numpy()
        if self._image:
            return np.moveaxis(obs, -1, -3)
        return obs - self._start if self._start else obs


class Standardised(BaseFeaturesExtractor):
    """Numbers standardised by an encoder of ours, which keeps its statistics outside of the networks that share it."""

    def __init__(self, observation_space: gym.Space[Any], encoder: Encoder):
        super().__init__(observation_space, encoder.features)
        self._encoder = encoder

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return self._encoder({}, observations[None])[0]


def make_learner(
    config: SB3Config, space: gym.Space[Any], task: Task, encoder: Encoder | None, seed: int, device: torch.device
) -> Learner:
    """A new model for observations of `space`; draws from the global generators, which it seeds."""
    options: dict[str, Any] = {
        "policy": "CnnPolicy" if is_image_space(space) else "MlpPolicy",
        "env": None,
        "gamma": config.gamma,
        "policy_kwargs": {"net_arch": list(config.hidden)},
        "seed": seed,
        "device": device,
        "_init_setup_model": False,
    }
    if encoder:
        options["policy_kwargs"] |= {
            "features_extractor_class": Standardised,
            "features_extractor_kwargs": {"encoder": encoder},
        }
    own_random = random.getstate()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # advice on devices and memory, which is ours to give
        kind, model = _make_model(config, task, options)
        # As the library does when it loads a model: spaces first, then the rest of the set-up.
        model.observation_space, model.n_envs = space, task.envs
        discrete = isinstance(task.action_space, gym.spaces.Discrete)
        model.action_space = gym.spaces.Discrete(task.action_space.n) if discrete else deepcopy(task.action_space)  # pyright: ignore[reportAttributeAccessIssue]
        model._setup_model()
    random.setstate(own_random)  # it seeds that too, though it draws nothing from it
    return kind(model, encoder)


def _make_model(config: SB3Config, task: Task, options: dict[str, Any]) -> tuple[type[Learner], Any]:
    """A model that is not set up yet, and what drives it."""
    if isinstance(config, SB3PPOConfig):
        return OnPolicy, PPO(
            learning_rate=config.lr,
            n_steps=config.rollout_steps // task.envs,
            batch_size=config.batch_size,
            n_epochs=config.epochs,
            gae_lambda=config.gae_lambda,
            clip_range=config.clip_range,
            ent_coef=config.entropy_coefficient,
            vf_coef=config.value_coefficient,
            max_grad_norm=config.max_grad_norm,
            **options,
        )
    assert isinstance(config, SB3DQNConfig | SB3DDPGConfig | SB3SACConfig)
    # The fewest steps of all columns after which a whole number of updates is due.
    period = math.lcm(task.envs, config.steps_per_update)
    options |= {
        "learning_rate": config.lr,
        "buffer_size": config.memory_size,
        "learning_starts": config.learning_starts,
        "batch_size": config.batch_size,
        "tau": config.target_tau,
        "train_freq": period // task.envs,
        "gradient_steps": period // config.steps_per_update,
    }
    if isinstance(config, SB3DQNConfig):
        return OffPolicy, DQN(
            target_update_interval=config.target_interval,
            exploration_fraction=config.ramp_steps / ENDLESS,
            exploration_initial_eps=config.epsilon_start,
            exploration_final_eps=config.epsilon_end,
            max_grad_norm=config.max_grad_norm,
            **options,
        )
    actions = task.action_space.shape or ()
    if isinstance(config, SB3DDPGConfig):
        deviation = np.full(actions, config.noise_std)
        noise = NormalActionNoise(np.zeros(actions), deviation) if config.noise_std else None
        return OffPolicy, DDPG(action_noise=noise, **options)
    # The library's own choice, which it makes from an environment that there is none of here.
    return OffPolicy, SAC(target_entropy=-float(np.prod(actions)), **options)
