"""REINFORCE: the likelihood-ratio policy gradient over batches of whole episodes (Williams, 1992).

A batch is the same number of whole episodes of every column. Taking whichever episodes finish first would favour short
ones, so a column that has its share plays on without being learnt from until the last column of its seed has its own;
the episode that it is in when the policy changes is left out as well, since the old policy began it. So every episode
of a batch was acted by one policy from its first step to its last, and that it is in the batch says nothing of its
length. Seeds fill their batches at different times, and each learns when its own is full: one step of Adam on the
policy, from advantages that are standardised within the seed.

With `batch_steps`, a batch is the next so many steps, as many of every column: episodes that are under way are cut at
its end, where the baseline tells what follows, and go on in the next. No step is lost, and every one was acted by the
policy that learns from it; but advantages are only as good as the baseline is.

Options: a baseline (a value network, fitted after the policy has learnt, so that it is independent of the episodes that
it is subtracted from), generalised advantage estimates (Schulman et al., 2016), an entropy bonus, and a limit to how
far one batch may change the policy. With several passes over a batch, in small parts, actions are weighed by how much
likelier the policy has made them since, up to a limit: that, with `batch_steps`, is PPO (Schulman et al., 2017).
Discrete actions are drawn from a softmax, continuous ones from a Gaussian.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents import exploration
from agents.base import Step, Task, check_bounds, check_flags
from agents.encoders import Encoder, check_observation_space
from agents.finite import Watched
from agents.lazy import torch
from agents.learning import Adam, move
from agents.networks import Params, blend, check_widths, clip, clone, init_mlp, load_params, mlp
from agents.objectives import Objective
from agents.rollouts import EpisodeMemory, Episodes
from agents.saved import check_shape, check_shapes
from agents.schedules import halving
from agents.streams import SeedStreams, spawn_streams

LOG_STD = (-4.0, 1.0)
"""Bounds of the logarithm of a Gaussian policy's deviation; actions are scaled to [-1, 1]."""


@dataclass(frozen=True, kw_only=True)
class ReinforceConfig:
    """Policy gradient over whole episodes."""

    gamma: float = 0.99
    """Discount per environment step, in [0, 1]."""
    batch_episodes: int = 1
    """Whole episodes of each column in a batch; a seed's batch has that many times its environments."""
    batch_steps: int = 0
    """Steps of a seed's batch, over its columns, in the place of whole episodes: those under way are cut there, and the
    baseline tells what follows. No step is lost. 0: whole episodes."""
    episode_limit: int = 1_000
    """Steps of a whole episode that are learnt from; what is longer is cut there as by a time limit. Bounds the
    memory."""
    lr: float = 1e-2
    """Learning rate of Adam for the policy at first."""
    lr_half_steps: int = 0
    """Environment steps per seed after which the learning rate is half, after twice as many a third ... 0: constant."""
    passes: int = 1
    """How often the policy goes through each batch. 1, in one part: REINFORCE."""
    minibatch: int = 0
    """Steps of the batch that one gradient step of the policy looks at. 0: all of them."""
    clip_ratio: float = 0.2
    """A probability that has changed by more than this share within a batch is not rewarded for changing further."""
    max_kl: float = 0.02
    """Mean Kullback-Leibler divergence from the old policy that one batch may lead to; a longer way is shortened."""
    scale_memory: float = 0.98
    """Advantages are divided by their deviation, or by this share of what the last batch's were divided by if that is
    more: where nearly all episodes go equally well, chance is not to be blown up to their usual size. 0: forget."""
    max_grad_norm: float = 1.0
    """Gradients of a seed longer than this are shortened to it."""
    average_tau: float = 0.05
    """Share by which a slow average of the weights, the greedy policy, follows them at each update; 1: no average."""
    entropy_bonus: float = 0.0
    """Weight of the policy's entropy (nats) beside the standardised advantages."""
    baseline: bool = True
    """Whether a value network is subtracted from returns; it also tells what follows after a time limit."""
    gae_lambda: float = 1.0
    """1: advantages from whole returns. Less: the baseline's word counts for more of what follows, in [0, 1]."""
    value_lr: float = 3e-3
    """Learning rate of Adam for the baseline."""
    value_steps: int = 40
    """Gradient steps of the baseline after each batch."""
    value_batch: int = 1_024
    """Steps of the batch that one of them looks at, at most; it goes through all of them in turn."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of each hidden layer, of the policy and of the baseline."""
    std_start: float = 0.6
    """Deviation of a Gaussian policy at first, where actions reach from -1 to 1."""

    def __post_init__(self) -> None:
        check_bounds(
            self,
            gamma=(0, 1),
            batch_episodes=(1, 1e6),
            batch_steps=(0, 1e9),
            episode_limit=(1, 1e9),
            lr=(1e-8, 1),
            lr_half_steps=(0, 1e12),
            passes=(1, 1e6),
            minibatch=(0, 1e9),
            clip_ratio=(1e-6, 1e9),
            max_kl=(1e-9, 1e9),
            scale_memory=(0, 1),
            max_grad_norm=(1e-6, 1e9),
            average_tau=(1e-6, 1),
            entropy_bonus=(0, 1e3),
            gae_lambda=(0, 1),
            value_lr=(1e-8, 1),
            value_steps=(1, 1e6),
            value_batch=(1, 1e9),
            std_start=(float(np.exp(LOG_STD[0])), float(np.exp(LOG_STD[1]))),
        )
        check_flags(self, "baseline")
        check_widths(self.hidden)
        if not self.baseline and self.gae_lambda < 1:
            raise ValueError(f"gae_lambda is {self.gae_lambda} and there is no baseline; expected gae_lambda 1")
        if not self.baseline and self.batch_steps:
            raise ValueError(f"batch_steps is {self.batch_steps} and there is no baseline; expected batch_steps 0")


def advantages(
    reward: torch.Tensor,
    value: torch.Tensor,
    last_value: torch.Tensor,
    length: torch.Tensor,
    gamma: float,
    gae_lambda: float = 1.0,
) -> torch.Tensor:
    """How much better each step's future was than the baseline says; 0 after an episode's end.

    With `gae_lambda` 1, the discounted rewards from the step on, minus the baseline: a step is judged by what came
    after it only. Else eq. 16 of Schulman et al. (2016).

    Args:
        reward: of M episodes side by side, [T, M].
        value: the baseline's word on each observation, [T, M].
        last_value: its word on what an episode was cut off from, 0 where it terminated, [M].
        length: steps of each episode, [M].
        gamma: discount per step.
        gae_lambda: share of each further step's word.

    Returns:
        [T, M].
    """
    found = torch.zeros_like(reward)
    following, next_value = torch.zeros_like(last_value), last_value
    for t in reversed(range(len(reward))):
        last = length == t + 1
        next_value = torch.where(last, last_value, next_value)
        following = reward[t] + gamma * next_value - value[t] + gamma * gae_lambda * following * ~last
        found[t] = following = torch.where(length > t, following, 0.0)
        next_value = value[t]
    return found


def standardised(values: torch.Tensor, least: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[S, B] with mean 0 and deviation 1, or less where that would take dividing by less than `least` [S].

    Returns:
        The standardised values [S, B], and what they were divided by [S].
    """
    centred = values - values.mean(-1, keepdim=True)
    scale = torch.maximum(centred.square().mean(-1).sqrt(), least)
    return centred / scale.clamp(min=1e-12).unsqueeze(-1), scale


def policy_loss(
    log_prob: torch.Tensor,
    old: torch.Tensor,
    advantage: torch.Tensor,
    entropy: torch.Tensor,
    bonus: float,
    clip_ratio: float = math.inf,
) -> torch.Tensor:
    """What has the policy gradient for its derivative where nothing has changed yet, with the bonus for entropy: [S].

    Args:
        log_prob: of the actions, [S, B].
        old: the same when they were acted, [S, B].
        advantage: [S, B].
        entropy: of the policy, [S, B].
        bonus: weight of the entropy.
        clip_ratio: eq. 7 of Schulman et al. (2017).
    """
    ratio = (log_prob - old).exp()
    gained = torch.minimum(ratio * advantage, ratio.clamp(1 - clip_ratio, 1 + clip_ratio) * advantage)
    return -(gained + bonus * entropy).mean(-1)


def divergence(old: torch.distributions.Distribution, new: torch.distributions.Distribution) -> torch.Tensor:
    """Kullback-Leibler divergence of policies for each observation, [S, B].

    Of categorical ones from their logarithms: torch's own is infinite where a probability is too small for a number.
    """
    if isinstance(old, torch.distributions.Categorical) and isinstance(new, torch.distributions.Categorical):
        return (old.probs * (old.logits - new.logits)).sum(-1)
    return torch.distributions.kl_divergence(old, new)


def check_task(task: Task) -> None:
    """Raises ValueError unless observations can be encoded, and actions are Discrete or a Box with bounds."""
    check_observation_space(task.observation_space)
    space = task.action_space
    if isinstance(space, gym.spaces.Discrete):
        return
    if not isinstance(space, gym.spaces.Box) or space.dtype is None or space.dtype.kind != "f":
        raise ValueError(f"action space {space}; expected Discrete, or a Box of real numbers")
    if not space.is_bounded():
        raise ValueError(f"action space {space} has no bounds; expected a bounded Box: wrap it in RescaleAction")


class Reinforce:
    """Policies and baselines of all seeds, and the episodes that they are learning from."""

    takes_tensors = True
    learns_before_acting = True
    metric_names: tuple[str, ...] = (
        "loss",
        "entropy",
        "kl",
        "grad_norm",
        "clipped",
        "value_loss",
        "explained",
        "deviation",
        "batch_steps",
        "updates",
    )

    def __init__(
        self, config: ReinforceConfig, task: Task, seeds: Sequence[np.random.SeedSequence], device: torch.device
    ):
        check_task(task)
        self.config, self.task, self.device, self.seeds = config, task, device, len(seeds)
        init, value_init, self._explore_streams = spawn_streams(seeds, 3, device)
        self._shuffle_keys = [int(seed.generate_state(1)[0]) for seed in seeds]
        self.encoder = Encoder(task.observation_space, self.seeds, device)
        self.params: Params = self.encoder.init(init)
        space = task.action_space
        # The last layer begins small: every action is about as likely as another, whatever is seen.
        sizes = (self.encoder.features, *config.hidden)
        if isinstance(space, gym.spaces.Discrete):
            self.params |= init_mlp(init, "policy", (*sizes, int(space.n)), last_scale=0.01)
        else:
            dimensions = int(np.prod(space.shape or ()))
            self.params |= init_mlp(init, "policy", (*sizes, dimensions), last_scale=0.01)
            self.params["log_std"] = torch.full((self.seeds, 1, dimensions), float(np.log(config.std_start))).to(device)
        self.value_params: Params = {}
        if config.baseline:
            self.value_params = self.encoder.init(value_init) | init_mlp(value_init, "value", (*sizes, 1))
            self.value = self._predicted  # there for those who ask an agent what it expects
        self.average: Params = clone(self.params)
        self._adam, self._value_adam = SeedAdam(self.params, self.seeds), SeedAdam(self.value_params, self.seeds)
        self.memory = EpisodeMemory(
            config.batch_episodes, config.batch_steps, config.episode_limit, task, self.seeds, device
        )
        self._scale = torch.zeros(self.seeds, device=device)
        """What each seed's advantages were last divided by."""
        self.steps = 0
        self._sampled: torch.Tensor | None = None
        """The latest Gaussian sample [S, E, D]; what the environment got of it was clipped."""
        self._figures = {name: np.zeros(self.seeds) for name in self.metric_names}
        self._news = np.zeros(self.seeds, bool)
        """Which seeds have learnt since somebody asked for figures."""

    def policy(self, params: Params, encoder: Encoder, standard: torch.Tensor) -> torch.distributions.Distribution:
        """The distribution of actions for observations that the encoder has standardised, [S, B, ...]."""
        out = mlp(params, "policy", encoder.convolve(params, standard))  # [S, B, A] or [S, B, D]
        if "log_std" not in params:
            return torch.distributions.Categorical(logits=out, validate_args=False)
        std = params["log_std"].clamp(*LOG_STD).exp().expand_as(out)
        normal = torch.distributions.Normal(out, std, validate_args=False)
        return torch.distributions.Independent(normal, 1, validate_args=False)

    def _values(self, params: Params, encoder: Encoder, standard: torch.Tensor) -> torch.Tensor:
        """What the baseline expects from standardised observations on, [S, B, ...] -> [S, B]."""
        return mlp(params, "value", encoder.convolve(params, standard)).squeeze(-1) * self._horizon

    def _standardised(self, obs: NDArray[Any]) -> torch.Tensor:
        return self.encoder.standardise(self.encoder.prepare(torch.as_tensor(obs, device=self.device)))

    @property
    def _horizon(self) -> float:
        """Steps that a return is about: networks learn numbers of order one, so they tell returns in units of it."""
        limit = self.config.episode_limit
        return limit if self.config.gamma == 1 else min(limit, 1 / (1 - self.config.gamma))

    def act(self, obs: NDArray[Any], first: NDArray[np.bool_], *, explore: bool) -> NDArray[Any]:
        with torch.no_grad():
            params = self.params if explore else self.average
            policy = self.policy(params, self.encoder, self._standardised(obs))
            if isinstance(policy, torch.distributions.Categorical):
                chosen = (
                    exploration.sample(policy.probs, self._explore_streams)
                    if explore
                    else exploration.greedy(policy.probs)
                )
                return chosen.cpu().numpy() + int(self.task.action_space.start)  # pyright: ignore[reportAttributeAccessIssue]
            chosen = policy.mean
            if explore:
                chosen = chosen + policy.stddev * self._explore_streams.normal(*chosen.shape[1:])
                self._sampled = chosen
            return self._scaled(chosen.cpu().numpy())

    def _predicted(self, obs: NDArray[Any]) -> NDArray[np.floating]:
        """Return that the baseline expects from observations on, [S, E, ...] -> [S, E]."""
        with torch.no_grad():
            return self._values(self.value_params, self.encoder, self._standardised(obs)).cpu().numpy()

    def observe(self, step: Step) -> None:
        self.steps += step.reward.shape[1]
        self.encoder.observe(torch.as_tensor(step.obs, device=self.device))
        if isinstance(self.task.action_space, gym.spaces.Discrete):
            action = torch.as_tensor(step.action - self.task.action_space.start, device=self.device)
        elif self._sampled is not None:
            action = self._sampled
        else:  # somebody else has acted
            action = torch.as_tensor(self._unscaled(step.action), dtype=torch.float32, device=self.device)
        self._sampled = None
        self.memory.add(step, action)

    def update(self) -> None:
        full = self.memory.full_seeds()
        # Batches of so many steps are full at the same time, and of one size.
        for seeds in [full] if self.config.batch_steps and full else [[seed] for seed in full]:
            self._learn(seeds)

    def _learn(self, seeds: list[int]) -> None:
        """Moves policies and then baselines by the batches of one seed, or of all."""
        config, encoder = self.config, self._encoder_of(seeds)
        batch = self._standard(self.memory.take(seeds), encoder)
        value_params = self._value_adam.of(seeds)
        advantage, returns = self._judged(batch, value_params, encoder)
        judged, scale = standardised(advantage, self._scale[seeds] * config.scale_memory)
        self._scale[seeds] = scale
        figures = self._improve(seeds, encoder, batch, judged)
        self._figures["updates"][seeds] += 1
        params = self._adam.of(seeds)
        for place, seed in enumerate(seeds):
            # Early on the average is short, so that it does not hold on to the initial weights.
            average_tau = max(config.average_tau, 1 / self._figures["updates"][seed])
            blend(_share(self.average, seed), _share(params, place), average_tau)
        figures["deviation"] = advantage.std(-1)
        if config.baseline:
            figures["explained"] = 1 - advantage.var(-1) / returns.var(-1).clamp(min=1e-12)
        shares = -(-batch.obs.shape[1] // config.value_batch)  # each has steps of all episodes and all their times
        for number in range(config.value_steps if config.baseline else 0):
            share = slice(number % shares, None, shares)
            value_loss = self._value_loss(value_params, encoder, batch.obs[:, share], returns[:, share])
            self._value_adam.descend(seeds, value_loss, config.value_lr, config.max_grad_norm)
            figures.setdefault("value_loss", value_loss)  # of what the advantages were taken from
        for name, figure in figures.items():
            self._figures[name][seeds] = figure.detach().cpu().numpy()
        self._figures["batch_steps"][seeds] = batch.obs.shape[1]
        self._news[seeds] = True

    def _improve(
        self, seeds: list[int], encoder: Encoder, batch: Episodes, judged: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Moves policies by their batches, with standardised advantages `judged` [S, B]; returns figures, [S] each."""
        config, params, (rows, steps) = self.config, self._adam.of(seeds), batch.obs.shape[:2]
        with torch.no_grad():
            policy, before = self.policy(params, encoder, batch.obs), clone(params)
            old = policy.log_prob(batch.action)
        latest: dict[str, torch.Tensor] = {}
        figures = {name: torch.zeros(rows, device=self.device) for name in ("loss", "entropy", "grad_norm", "kl")}
        # Generators of this update's own: seeds learn at different times.
        updates = self._figures["updates"]
        generators = [np.random.default_rng((self._shuffle_keys[seed], int(updates[seed]))) for seed in seeds]
        parts = -(-steps // config.minibatch) if config.minibatch else 1
        moving = np.ones(rows, bool)
        row = torch.arange(rows, device=self.device)[:, None]
        for _ in range(config.passes):
            order = torch.from_numpy(np.stack([generator.permutation(steps) for generator in generators]))
            split = order.to(self.device).tensor_split(parts, 1)
            for at in [(row, part) for part in split] if parts > 1 else [(slice(None), slice(None))]:
                now = self.policy(params, encoder, batch.obs[at])
                log_prob, entropy = now.log_prob(batch.action[at]), now.entropy()
                bonus, clip_ratio = config.entropy_bonus, config.clip_ratio
                loss = policy_loss(log_prob, old[at], judged[at], entropy, bonus, clip_ratio)
                norm = self._adam.descend(seeds, loss, self.lr, config.max_grad_norm, moving)
                latest = {"loss": loss.detach(), "entropy": entropy.detach().mean(-1), "grad_norm": norm}
            with torch.no_grad():
                latest["kl"] = kl = divergence(policy, self.policy(params, encoder, batch.obs)).mean(-1)
                for name, figure in latest.items():
                    figures[name][moving] = figure[moving]
                far = moving & (kl > config.max_kl).cpu().numpy()
                for place in np.flatnonzero(far).tolist():  # near the old policy it grows as the square of the way
                    share = float((config.max_kl / kl[place]).sqrt())
                    for name, tensor in params.items():
                        tensor[place] = before[name][place].lerp(tensor[place], share)
                moving &= ~far
                if not moving.any():
                    break
        figures["clipped"] = (figures["grad_norm"] > config.max_grad_norm).float()
        return figures

    def _judged(self, batch: Episodes, value_params: Params, encoder: Encoder) -> tuple[torch.Tensor, torch.Tensor]:
        """Advantages of a batch, and the returns that its baseline is to tell, [S, B] each."""
        config = self.config
        with torch.no_grad():
            value, last_value = torch.zeros_like(batch.reward), torch.zeros_like(batch.bootstrap)  # [T, M], [M]
            if config.baseline:
                value[batch.places] = self._values(value_params, encoder, batch.obs)
                last_value = self._values(value_params, encoder, batch.last_obs)[batch.last_places] * batch.bootstrap
            found = advantages(batch.reward, value, last_value, batch.length, config.gamma, config.gae_lambda)
            return found[batch.places], (found + value)[batch.places]

    def _value_loss(
        self, value_params: Params, encoder: Encoder, obs: torch.Tensor, returns: torch.Tensor
    ) -> torch.Tensor:
        """How far the baseline is from returns [S, B], squared, in units of the horizon: [S]."""
        error = (self._values(value_params, encoder, obs) - returns) / self._horizon
        return error.square().mean(-1)

    def objectives(self, streams: SeedStreams) -> dict[str, Objective]:
        """What policy and baseline of seed 0 are about to minimise; nothing until its batch is full."""
        if 0 not in self.memory.full_seeds():
            return {}
        config, encoder = self.config, self._encoder_of([0])
        batch = self._standard(self.memory.look([0]), encoder)
        value_params = self._value_adam.of([0])
        advantage, returns = self._judged(batch, value_params, encoder)
        judged, _ = standardised(advantage, self._scale[:1] * config.scale_memory)
        with torch.no_grad():
            old = self.policy(self._adam.of([0]), encoder, batch.obs).log_prob(batch.action)

        def loss_of_policy(params: Params) -> torch.Tensor:
            policy = self.policy(params, encoder, batch.obs)
            return policy_loss(policy.log_prob(batch.action), old, judged, policy.entropy(), config.entropy_bonus)

        found = {
            "policy": Objective(
                params=self._adam.of([0]),
                loss=loss_of_policy,
                move=lambda gradients: self._adam.preview(0, gradients, self.lr),
                max_norm=config.max_grad_norm,
                lr=self.lr,
                encoder=encoder,
                obs=batch.obs,
            )
        }
        if config.baseline:
            found["value"] = Objective(
                params=value_params,
                loss=lambda params: self._value_loss(params, encoder, batch.obs, returns),
                move=lambda gradients: self._value_adam.preview(0, gradients, config.value_lr),
                max_norm=config.max_grad_norm,
                lr=config.value_lr,
                encoder=encoder,
                obs=batch.obs,
            )
        return found

    @staticmethod
    def _standard(batch: Episodes, encoder: Encoder) -> Episodes:
        """A batch whose observations its encoder has standardised, once for all that will be done with them."""
        obs, last_obs = (encoder.standardise(encoder.prepare(seen)) for seen in (batch.obs, batch.last_obs))
        return dataclasses.replace(batch, obs=obs, last_obs=last_obs)

    def _encoder_of(self, seeds: list[int]) -> Encoder:
        """The encoder as some seeds' batch needs it, with the statistics of those seeds."""
        encoder = Encoder(self.task.observation_space, len(seeds), self.device)
        state = self.encoder.state_dict()
        encoder.load_state_dict(
            {name: value[seeds] if torch.is_tensor(value) else value for name, value in state.items()}
        )
        return encoder

    def _scaled(self, action: NDArray[np.floating]) -> NDArray[Any]:
        """From [-1, 1], beyond which it is clipped, to the bounds of the space: [S, E, D] -> [S, E, *action]."""
        space = self.task.action_space
        assert isinstance(space, gym.spaces.Box)
        share = (action.reshape(*action.shape[:2], *space.shape).clip(-1, 1) + 1) / 2
        return (space.low + share * (space.high - space.low)).clip(space.low, space.high).astype(space.dtype)

    def _unscaled(self, action: NDArray[Any]) -> NDArray[np.floating]:
        """Back again: [S, E, *action] -> [S, E, D]."""
        space = self.task.action_space
        assert isinstance(space, gym.spaces.Box)
        return ((action - space.low) / (space.high - space.low) * 2 - 1).reshape(*action.shape[:2], -1)

    @property
    def lr(self) -> float:
        """Learning rate of the policy now."""
        return halving(self.steps, self.config.lr, self.config.lr_half_steps)

    def metrics(self) -> dict[str, NDArray[np.floating]]:
        """Figures of each seed's newest batch; none before every seed has had one."""
        if not self._news.any() or not self._figures["updates"].all():
            return {}
        self._news[:] = False
        return {name: figure.copy() for name, figure in self._figures.items()}

    @property
    def most_threads(self) -> int:
        return self.encoder.most_threads

    def watched(self) -> Watched:
        return {
            "figures": {name: torch.from_numpy(self._figures[name]) for name in ("loss", "value_loss")},
            "weights": {**self.params, **self.value_params},
            "statistics": self.encoder.statistics,
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "params": self.params,
            "average": self.average,
            "value_params": self.value_params,
            "encoder": self.encoder.state_dict(),
            "adam": self._adam.state_dict(),
            "value_adam": self._value_adam.state_dict(),
            "memory": self.memory.state_dict(),
            "explore_streams": self._explore_streams.state_dict(),
            "scale": self._scale,
            "steps": self.steps,
            "figures": dict(self._figures),
            "news": self._news,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        load_params(self.params, state["params"])
        load_params(self.average, state["average"])
        load_params(self.value_params, state["value_params"])
        self.encoder.load_state_dict(state["encoder"])
        self._adam.load_state_dict(state["adam"])
        self._value_adam.load_state_dict(state["value_adam"])
        if "memory" in state:
            self.memory.load_state_dict(state["memory"])
        self._explore_streams.load_state_dict(state["explore_streams"])
        for name in ("scale", "news"):
            check_shape(name, state[name], self._scale.shape)
        check_shapes(state["figures"], dict.fromkeys(self.metric_names, self._scale.shape))
        self._scale = state["scale"].to(self.device).clone()
        self.steps = int(state["steps"])
        self._figures = {name: np.array(figure) for name, figure in state["figures"].items()}
        self._news = np.array(state["news"])


def _share(params: Params, seed: int) -> Params:
    """One seed's slices, [1, ...] each."""
    return {name: tensor.detach()[seed : seed + 1] for name, tensor in params.items()}


class SeedAdam:
    """An `Adam` for each seed's share of the parameters, since seeds need not take as many steps as each other.

    Args:
        params: stacked over seeds, moved in place.
        seeds: S.
    """

    def __init__(self, params: Params, seeds: int):
        self._adams = [Adam(_share(params, seed)) for seed in range(seeds if params else 0)]
        self._all: Params = {name: tensor.detach().requires_grad_() for name, tensor in params.items()}

    def of(self, seeds: Sequence[int]) -> Params:
        """The parameters of one seed, [1, ...] each, or of all, [S, ...] each, to be differentiated by."""
        return self._all if len(seeds) == len(self._adams) or not self._adams else self._adams[seeds[0]].params

    def descend(
        self,
        seeds: Sequence[int],
        loss: torch.Tensor,
        lr: float,
        max_norm: float,
        moving: NDArray[np.bool_] | None = None,
    ) -> torch.Tensor:
        """Moves one seed or all down the gradients of their losses, [S], but for those not `moving` [S].

        Returns the gradients' norms before clipping, [S].
        """
        gradients = torch.autograd.grad(loss.sum(), list(self.of(seeds).values()))
        norm = clip(gradients, max_norm)
        places = range(len(seeds)) if moving is None else np.flatnonzero(moving).tolist()
        moved = [self._adams[seeds[place]] for place in places]
        move(moved, [[gradient[place : place + 1] for gradient in gradients] for place in places], lr)
        return norm

    def preview(self, seed: int, gradients: Sequence[torch.Tensor], lr: float) -> list[torch.Tensor]:
        """What a step of one seed along clipped gradients would add to its parameters; nothing is changed."""
        return self._adams[seed].preview(gradients, lr)

    def state_dict(self) -> dict[str, Any]:
        """As one `Adam` of all seeds has it, with a count for each."""
        states = [adam.state_dict() for adam in self._adams]
        averages = {
            average: {name: torch.cat([state[average][name] for state in states]) for name in self._all}
            for average in ("mean", "square")
        }
        return {"count": torch.tensor([float(state["count"]) for state in states]), **averages}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        check_shape("count", state["count"], (len(self._adams),))
        for seed, adam in enumerate(self._adams):
            own = {
                average: {name: tensor[seed : seed + 1] for name, tensor in state[average].items()}
                for average in ("mean", "square")
            }
            adam.load_state_dict({"count": torch.as_tensor(float(state["count"][seed])), **own})
