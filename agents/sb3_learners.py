"""A model of Stable-Baselines3, driven from outside one step at a time, as its own `learn()` would drive it.

`learn()` keeps its loop to itself: it cannot be left between two steps and entered again later, as a run that can be
watched, saved, stopped and resumed at any step needs. So the order in which its loop calls the library's parts (choose
an action, store, update targets, train) is restated here; the parts are the library's. That this is `learn()` to the
last bit of every weight is tested.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import DDPG, DQN, PPO, SAC
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import VectorizedActionNoise
from stable_baselines3.common.save_util import recursive_getattr
from stable_baselines3.common.utils import obs_as_tensor

from agents.encoders import Encoder
from agents.networks import Params
from agents.saved import check_shape

ENDLESS = 2**40
"""Steps that a model is told it will train for. Its ramps are given in steps; a power of two keeps them exact."""


class Learner(ABC):
    """A model of one seed.

    Attributes:
        model: the library's.
        buffer: where the model keeps steps.
        encoder: what standardises its observations, if anything does.
    """

    metric_names: tuple[str, ...]
    memory_fields: ClassVar[tuple[str, ...]]
    """Arrays [rows, E, ...] of the buffer that hold what is not learnt yet, or may be learnt again."""
    buffer: Any

    def __init__(self, model: Any, encoder: Encoder | None):
        self.model, self.encoder = model, encoder
        model.set_logger(Logger(folder=None, output_formats=[]))

    @abstractmethod
    def act(self, obs: NDArray[Any], explore: bool) -> NDArray[Any]:
        """Actions for observations [E, ...]."""

    @abstractmethod
    def learn(
        self,
        obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[np.float32],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        next_obs: NDArray[Any],
        first: NDArray[np.bool_],
    ) -> bool:
        """Takes one step of the columns, [E, ...]; says whether the model learnt after it."""

    @abstractmethod
    def value(self, obs: NDArray[Any]) -> NDArray[np.floating]:
        """Predicted value of observations, [E, ...] -> [E]."""

    @abstractmethod
    def counts(self) -> dict[str, Any]:
        """Where the model is in its schedules."""

    @abstractmethod
    def load_counts(self, counts: dict[str, Any]) -> None: ...

    def figures(self) -> dict[str, float]:
        """What the model logged when it last learnt."""
        logged = self.model.logger.name_to_value
        return {name: logged[f"train/{name}"] for name in self.metric_names if f"train/{name}" in logged}

    def counters(self) -> dict[str, float]:
        """Figures that are no means: they are as they are now."""
        return {"updates": float(self.model._n_updates)}

    def params(self) -> Params:
        """All weights, as they are and not as copies."""
        params = dict(self.model.policy.state_dict())
        if getattr(self.model, "log_ent_coef", None) is not None:
            params["log_ent_coef"] = self.model.log_ent_coef.detach()
        return params

    def optimizer_state(self) -> dict[str, Any]:
        """What the optimisers know of each parameter."""
        return {
            name: {str(index): known for index, known in optimizer.state_dict()["state"].items()}
            for name, optimizer in self._optimizers().items()
        }

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        for name, optimizer in self._optimizers().items():
            known = {int(index): one for index, one in state[name].items()}
            params = [param for group in optimizer.param_groups for param in group["params"]]
            for index, averages in known.items():
                for average in ("exp_avg", "exp_avg_sq"):
                    check_shape(f"{name} {average} {index}", averages[average], params[index].shape)
            optimizer.load_state_dict({"state": known, "param_groups": optimizer.state_dict()["param_groups"]})

    def draws(self) -> NDArray[np.uint64]:
        """The state of the generator that random actions come from."""
        state: Any = self.model.action_space.np_random.bit_generator.state
        inner, low = state["state"], 2**64 - 1
        words = [inner["state"] >> 64, inner["state"] & low, inner["inc"] >> 64, inner["inc"] & low]
        return np.array([*words, state["has_uint32"], state["uinteger"]], np.uint64)

    def load_draws(self, words: NDArray[np.uint64]) -> None:
        *halves, has_uint32, uinteger = words.tolist()
        inner = {"state": halves[0] << 64 | halves[1], "inc": halves[2] << 64 | halves[3]}
        state = {"bit_generator": "PCG64", "state": inner, "has_uint32": has_uint32, "uinteger": uinteger}
        self.model.action_space.np_random.bit_generator.state = state

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        names, _ = self.model._get_torch_save_params()
        return {name: recursive_getattr(self.model, name) for name in names if name.endswith("optimizer")}


class OffPolicy(Learner):
    """DQN, DDPG or SAC."""

    memory_fields = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")

    def __init__(self, model: DQN | DDPG | SAC, encoder: Encoder | None):
        super().__init__(model, encoder)
        self.buffer = model.replay_buffer
        self._noise: VectorizedActionNoise | None = None
        self._since_update = 0
        # The latest actions, and the same as the memory keeps them: scaled to [-1, 1].
        self._action, self._scaled = np.zeros(0), np.zeros(0)
        self.metric_names = {
            DQN: ("loss", "exploration", "updates"),
            DDPG: ("actor_loss", "critic_loss", "updates"),
            SAC: ("actor_loss", "critic_loss", "ent_coef", "ent_coef_loss", "updates"),
        }[type(model)]

    def act(self, obs: NDArray[Any], explore: bool) -> NDArray[Any]:
        model = self.model
        if not explore:
            return model.policy.predict(obs, deterministic=True)[0]
        model._last_obs = obs
        if model.action_noise is not None and (self._noise is None or self._noise.n_envs != len(obs)):
            self._noise = VectorizedActionNoise(model.action_noise, len(obs))
        self._action, self._scaled = model._sample_action(model.learning_starts, self._noise, len(obs))
        return self._action

    def learn(
        self,
        obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[np.float32],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        next_obs: NDArray[Any],
        first: NDArray[np.bool_],
    ) -> bool:
        model = self.model
        if self.encoder:
            self.encoder.observe(torch.as_tensor(obs, device=model.device)[None])
        if np.array_equal(action, self._action):
            action = self._scaled
        elif isinstance(model.action_space, gym.spaces.Box):
            action = model.policy.scale_action(action)
        infos = [{"TimeLimit.truncated": cut} for cut in (truncated & ~terminated).tolist()]
        model.replay_buffer.add(obs, next_obs, action, reward, terminated | truncated, infos)
        model.num_timesteps += len(reward)
        model._update_current_progress_remaining(model.num_timesteps, ENDLESS)
        model._on_step()  # DQN's ramp and target network
        self._since_update += 1
        if self._since_update < model.train_freq.frequency:
            return False
        self._since_update = 0
        if model.num_timesteps <= model.learning_starts:
            return False
        model.train(model.gradient_steps, model.batch_size)
        return True

    def value(self, obs: NDArray[Any]) -> NDArray[np.floating]:
        policy = self.model.policy
        with torch.no_grad():
            tensor, _ = policy.obs_to_tensor(obs)
            if isinstance(self.model, DQN):
                return policy.q_net(tensor).amax(1).cpu().numpy()
            q_values = torch.cat(policy.critic(tensor, policy._predict(tensor, deterministic=True)), 1)
            return q_values.amin(1).cpu().numpy()

    def counters(self) -> dict[str, float]:
        explored = {"exploration": self.model.exploration_rate} if isinstance(self.model, DQN) else {}
        return super().counters() | explored

    def counts(self) -> dict[str, Any]:
        model = self.model
        return {
            "steps": model.num_timesteps,
            "updates": model._n_updates,
            "calls": getattr(model, "_n_calls", 0),
            "exploration": getattr(model, "exploration_rate", 0.0),
            "since_update": self._since_update,
            "cursor": self.buffer.pos,
            "full": self.buffer.full,
        }

    def load_counts(self, counts: dict[str, Any]) -> None:
        model = self.model
        model.num_timesteps, model._n_updates = counts["steps"], counts["updates"]
        model._n_calls, model.exploration_rate = counts["calls"], counts["exploration"]
        self._since_update = counts["since_update"]
        self.buffer.pos, self.buffer.full = counts["cursor"], counts["full"]


class OnPolicy(Learner):
    """PPO."""

    memory_fields = ("observations", "actions", "rewards", "episode_starts", "values", "log_probs")

    def __init__(self, model: PPO, encoder: Encoder | None):
        super().__init__(model, encoder)
        self.buffer = model.rollout_buffer
        self._chosen: tuple[NDArray[Any], torch.Tensor, torch.Tensor] | None = None
        deviation = ("std",) if isinstance(model.action_space, gym.spaces.Box) else ()
        losses = ("loss", "policy_gradient_loss", "value_loss", "entropy_loss")
        self.metric_names = (*losses, "approx_kl", "clip_fraction", *deviation, "epochs")

    def act(self, obs: NDArray[Any], explore: bool) -> NDArray[Any]:
        policy = self.model.policy
        if not explore:
            return policy.predict(obs, deterministic=True)[0]
        with torch.no_grad():
            drawn, values, log_prob = policy(obs_as_tensor(obs, self.model.device))
        action = drawn.cpu().numpy()
        self._chosen = (action, values, log_prob)
        space = self.model.action_space
        return np.clip(action, space.low, space.high) if isinstance(space, gym.spaces.Box) else action

    def learn(
        self,
        obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[np.float32],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        next_obs: NDArray[Any],
        first: NDArray[np.bool_],
    ) -> bool:
        model, policy, buffer = self.model, self.model.policy, self.buffer
        if self._chosen is None:
            return False  # not its own action, which is all that it learns from
        # What it drew, which may have been beyond the bounds.
        drawn, values, log_prob = self._chosen
        self._chosen = None
        model.num_timesteps += len(reward)
        for column in np.flatnonzero(truncated & ~terminated):
            reward[column] += model.gamma * self._values(next_obs[column])[0]
        buffer.add(obs, drawn.reshape(len(reward), -1), reward, first, values, log_prob)
        if not buffer.full:
            return False
        # The library asks for the value of what columns that ended begin with next, and then weighs it with 0.
        buffer.compute_returns_and_advantage(self._values(next_obs), terminated | truncated)
        seen = buffer.observations.swapaxes(0, 1).reshape(-1, *obs.shape[1:]) if self.encoder else None
        model._update_current_progress_remaining(model.num_timesteps, ENDLESS)
        model.train()
        policy.set_training_mode(False)
        buffer.reset()
        if self.encoder:
            # Only between rollouts: within one, probabilities of actions before and after updates are compared.
            self.encoder.observe(torch.as_tensor(seen, device=model.device)[None])
        return True

    def value(self, obs: NDArray[Any]) -> NDArray[np.floating]:
        return self._values(obs).flatten().cpu().numpy()

    def counters(self) -> dict[str, float]:
        return {"epochs": float(self.model._n_updates)}

    def counts(self) -> dict[str, Any]:
        return {"steps": self.model.num_timesteps, "updates": self.model._n_updates, "cursor": self.buffer.pos}

    def load_counts(self, counts: dict[str, Any]) -> None:
        self.model.num_timesteps, self.model._n_updates = counts["steps"], counts["updates"]
        self.buffer.pos = counts["cursor"]

    def _values(self, obs: NDArray[Any]) -> torch.Tensor:
        """Predicted values, [E, ...] -> [E, 1], or of one observation, [1, 1]."""
        policy = self.model.policy
        with torch.no_grad():
            return policy.predict_values(policy.obs_to_tensor(obs)[0])


def join_memories(learners: Sequence[Learner]) -> dict[str, NDArray[Any]]:
    """Gives the replay memories of all seeds arrays [rows, S * E, ...] in common, so that a checkpoint copies nothing.

    Each has its columns of them. Rollouts, which are small and made anew each time, stay apart: the answer is empty.
    """
    joint: dict[str, NDArray[Any]] = {}
    if isinstance(learners[0], OffPolicy):
        for name in learners[0].memory_fields:
            one = getattr(learners[0].buffer, name)
            rows, columns = one.shape[:2]
            joint[name] = np.zeros((rows, columns * len(learners), *one.shape[2:]), one.dtype)
            for seed, learner in enumerate(learners):
                setattr(learner.buffer, name, joint[name][:, seed * columns : (seed + 1) * columns])
    return joint
