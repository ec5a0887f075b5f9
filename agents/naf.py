"""NAF: Q-learning for continuous actions, by values that are quadratic in the action (Gu et al., 2016).

    Q(s, a) = V(s) - 1/2 (a - mu(s))' L(s) L(s)' (a - mu(s))

so that the best action is mu(s) and its value V(s), without any search. V, mu and L, a lower-triangular matrix, are
functions of the state alone. Two bounds keep learning from diverging: mu passes a tanh, so that no action beyond the
space is ever the best, and the logarithm of L's diagonal another, so that the quadratic is neither flat nor a needle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.base import Step, Task, check_bounds, check_choice, check_flags
from agents.bounds import ActionBounds, ValueBounds, check_task
from agents.encoders import Encoder
from agents.finite import Watched
from agents.lazy import torch
from agents.learning import Adam, Tally, compiled
from agents.networks import Params, blend, check_widths, clone, init_mlp, load_params, mlp
from agents.noise import Kind, Noise, in_turns, perturbed
from agents.objectives import Objective
from agents.replay import Batch, ReplayMemory
from agents.schedules import halving, ramp
from agents.streams import SeedStreams, spawn_streams

LOG_DIAGONAL = 3.0
"""Greatest size of the logarithms of L's diagonal, where values are counted in their unit."""


@dataclass(frozen=True, kw_only=True)
class NAFConfig:
    """Q-learning with normalised advantage functions."""

    gamma: float = 0.99
    """Discount per environment step, in [0, 1]."""
    lr: float = 1e-3
    """Learning rate of Adam at first."""
    lr_half_steps: int = 100_000
    """Environment steps per seed after which the learning rate is half, after twice as many a third ... 0: constant."""
    hidden: tuple[int, ...] = (128, 128)
    """Units of each hidden layer."""
    last_scale: float = 0.01
    """Size of the weights of the last layer at first: actions and values begin near 0, whatever is seen."""
    batch_size: int = 64
    """Transitions per update and seed."""
    memory_size: int = 200_000
    """Transitions kept per seed."""
    learning_starts: int = 1_000
    """Environment steps per seed before the first update."""
    steps_per_update: int = 4
    """Environment steps per seed for each update."""
    target_tau: float = 0.02
    """How far the target network moves towards the other at each update, in (0, 1]."""
    average_tau: float = 0.001
    """Share by which a slow average of the weights, the greedy policy, follows them at each update; 1: no average."""
    n_step: int = 3
    """Steps of reward before bootstrapping."""
    twin_networks: bool = False
    """Learn two networks, and believe the lower value in targets. Each explores in half of the columns, where it meets
    what its mistakes lead to; greedy is halfway between their best actions, where mistakes of one count for half."""
    target_noise: float = 0.1
    """Deviation of the noise on future actions that values reckon with, where actions reach from -1 to 1. 0: none."""
    noise: Kind = "gaussian"
    """Kind of exploration: drawn afresh at each step, or wandering."""
    noise_start: float = 1.0
    """Deviation of exploration noise at first, where actions reach from -1 to 1."""
    noise_end: float = 0.1
    """Deviation of exploration noise after the ramp."""
    noise_theta: float = 0.15
    """Share of the wandering noise that is forgotten at each step, in (0, 1]."""
    ramp_steps: int = 10_000
    """Environment steps per seed that the ramp of the noise takes."""
    max_grad_norm: float = 10.0
    """Gradients of a seed longer than this are shortened to it."""

    def __post_init__(self) -> None:
        check_bounds(
            self,
            gamma=(0, 1),
            lr=(1e-8, 1),
            lr_half_steps=(0, 1e12),
            last_scale=(0, 1),
            batch_size=(1, 1_000_000),
            memory_size=(1, 1e9),
            learning_starts=(0, 1e9),
            steps_per_update=(1, 1e6),
            target_tau=(1e-6, 1),
            average_tau=(1e-6, 1),
            n_step=(1, 1000),
            target_noise=(0, 10),
            noise_start=(0, 10),
            noise_end=(0, 10),
            noise_theta=(1e-6, 1),
            ramp_steps=(0, 1e9),
            max_grad_norm=(1e-6, 1e9),
        )
        check_choice(self, noise=("gaussian", "ornstein-uhlenbeck"))
        check_flags(self, "twin_networks")
        check_widths(self.hidden)
        if self.memory_size < self.batch_size:
            raise ValueError(f"memory_size is {self.memory_size}; expected at least batch_size {self.batch_size}")


class Parts(NamedTuple):
    """What Q is made of, for B states of each seed."""

    value: torch.Tensor
    """V, [S, B]."""
    mu: torch.Tensor
    """The best actions, [S, B, D], between -1 and 1."""
    lower: torch.Tensor
    """L, lower-triangular with a positive diagonal, [S, B, D, D]."""


def parts(output: torch.Tensor, dimensions: int) -> Parts:
    """V, mu and L from a network's output: [S, B, 1 + D + D (D + 1) / 2]."""
    value, mu, log_diagonal, below = output.split([1, dimensions, dimensions, dimensions * (dimensions - 1) // 2], -1)
    lower = (LOG_DIAGONAL * (log_diagonal / LOG_DIAGONAL).tanh()).exp().diag_embed()  # [S, B, D, D]
    rows, columns = torch.tril_indices(dimensions, dimensions, -1, device=output.device)
    lower[..., rows, columns] = below
    return Parts(value.squeeze(-1), mu.tanh(), lower)


def advantage(parts: Parts, action: torch.Tensor) -> torch.Tensor:
    """-1/2 (a - mu)' L L' (a - mu) of actions [S, B, D]: [S, B], never above 0."""
    turned = (parts.lower * (action - parts.mu).unsqueeze(-1)).sum(-2)  # L' (a - mu), [S, B, D]
    return -0.5 * turned.square().sum(-1)


def noisy_value(parts: Parts, deviation: float) -> torch.Tensor:
    """The mean of Q over actions mu + deviation * N(0, I): V - deviation^2 / 2 trace(L L'), [S, B]."""
    return parts.value - 0.5 * deviation**2 * parts.lower.square().sum((-2, -1))


def td_target(reward: torch.Tensor, next_value: Sequence[torch.Tensor], bootstrap: torch.Tensor) -> torch.Tensor:
    """What Q(s, a) should be: the reward on the way plus the discounted value of what follows, all [S, B].

    `next_value` has each target network's word, and the lowest counts. `bootstrap` is gamma ^ steps, and 0 where the
    episode terminated; truncation never cuts it.
    """
    return reward + bootstrap * torch.stack(list(next_value)).amin(0)


class NAF:
    """Networks of all seeds, what they remember, and how they explore."""

    takes_tensors = True
    metric_names: tuple[str, ...] = (
        "loss",
        "q",
        "grad_norm",
        "clipped",
        "advantage",
        "saturated",
        "exploration",
        "updates",
    )

    def __init__(self, config: NAFConfig, task: Task, seeds: Sequence[np.random.SeedSequence], device: torch.device):
        check_task(task)
        self.config, self.task, self.device, self.seeds = config, task, device, len(seeds)
        init, explore, self._replay_streams = spawn_streams(seeds, 3, device)
        self.encoder = Encoder(task.observation_space, self.seeds, device)
        # First, since what does not fit is refused, and that at once.
        self.memory = ReplayMemory(config.memory_size, task, self.encoder, device)
        self.actions = ActionBounds(task.action_space, device)  # pyright: ignore[reportArgumentType]
        dimensions = self.actions.dimensions
        outputs = 1 + dimensions + dimensions * (dimensions + 1) // 2
        sizes = (self.encoder.features, *config.hidden, outputs)
        self.params: Params = self.encoder.init(init)
        self._networks = ("q1", "q2") if config.twin_networks else ("q1",)
        for name in self._networks:
            self.params |= init_mlp(init, name, sizes, last_scale=config.last_scale)
        self.target: Params = clone(self.params)
        self.average: Params = clone(self.params)
        self.optimizer = Adam(self.params)
        self.noise = Noise(config.noise, config.noise_theta, task.envs, dimensions, explore)
        self.reachable = ValueBounds(config.gamma, self.seeds, device)
        self.steps = 0
        self.updates = 0
        self._tally = Tally(self.seeds)
        self._learn = compiled(self._step_of_descent, device)

    def parts(self, params: Params, standard: torch.Tensor) -> list[Parts]:
        """What each network makes of observations that the encoder has standardised, [S, B, ...]."""
        features = self.encoder.convolve(params, standard)
        unit = self.reachable.unit  # the networks count values in it
        found = [parts(mlp(params, name, features), self.actions.dimensions) for name in self._networks]
        return [Parts(value * unit, mu, lower * unit[..., None, None].sqrt()) for value, mu, lower in found]

    def _standardised(self, obs: NDArray[Any]) -> torch.Tensor:
        return self.encoder.standardise(self.encoder.prepare(torch.as_tensor(obs, device=self.device)))

    def act(self, obs: NDArray[Any], first: NDArray[np.bool_], *, explore: bool) -> NDArray[Any]:
        with torch.no_grad():
            every = self.parts(self.params if explore else self.average, self._standardised(obs))
            best = torch.stack([one.mu for one in every])  # [K, S, E, D]
            action = in_turns(best) if explore else best.mean(0)  # [S, E, D]
            if explore:
                noise = self.noise(torch.as_tensor(first, device=self.device))
                action = perturbed(action, noise * self.exploration)
            return self.actions.to_space(action)

    def value(self, obs: NDArray[Any]) -> NDArray[np.floating]:
        """Predicted value of observations, which is max_a Q, [S, E, ...] -> [S, E]."""
        with torch.no_grad():
            every = self.parts(self.average, self._standardised(obs))
            return torch.stack([one.value for one in every]).mean(0).cpu().numpy()

    def observe(self, step: Step) -> None:
        self.steps += step.reward.shape[1]
        kept = self.encoder.observe(torch.as_tensor(step.obs, device=self.device))
        self.reachable.observe(step.reward)
        self.memory.add(step, kept)

    def update(self) -> None:
        config = self.config
        # Every column needs n_step + 1 rows before its outcomes are known.
        start = max(config.learning_starts, self.task.envs * (config.n_step + 1))
        due = (self.steps - start) // config.steps_per_update - self.updates
        for batch in self.memory.batches(due, config.batch_size, config.gamma, config.n_step, self._replay_streams):
            self.updates += 1
            # Early on the average is short, so that it does not hold on to the initial weights.
            average_tau = max(config.average_tau, 1 / self.updates)
            self._tally.add(**self._learn(batch, self.lr, average_tau))

    def _step_of_descent(
        self, batch: Batch, lr: float | torch.Tensor, average_tau: float | torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The rule, as a function of tensors that waits for none of them; returns figures, [S] each."""
        config = self.config
        loss, found, below = self._loss(self.params, batch)
        norm = self.optimizer.descend(loss, lr, config.max_grad_norm)
        blend(self.target, self.params, config.target_tau)
        blend(self.average, self.params, average_tau)
        log_diagonal = found.lower.detach().diagonal(dim1=-2, dim2=-1).log().mean((1, 2))
        return {
            "loss": loss.detach(),
            "q": (found.value + below).detach().mean(-1),
            "grad_norm": norm,
            "clipped": (norm > config.max_grad_norm).float(),
            "advantage": below.detach().mean(-1),
            "saturated": (found.mu.detach().abs() > 0.99).float().mean((1, 2)),
            "logdiag": log_diagonal - 0.5 * self.reachable.unit.log().squeeze(-1),
        }

    def _loss(self, params: Params, batch: Batch) -> tuple[torch.Tensor, Parts, torch.Tensor]:
        """The loss [S] of parameters on a batch, what Q is made of there, and the actions' advantages [S, B]."""
        obs, next_obs = self.encoder.standardise(batch.obs), self.encoder.standardise(batch.next_obs)
        with torch.no_grad():
            following = [noisy_value(one, self.config.target_noise) for one in self.parts(self.target, next_obs)]
            target = td_target(batch.reward, [self.reachable.clamp(value) for value in following], batch.bootstrap)
        action, unit = self.actions.from_space(batch.action), self.reachable.unit
        both = self.parts(params, obs)
        advantages = [advantage(one, action) for one in both]
        errors = [
            torch.nn.functional.smooth_l1_loss((one.value + below) / unit, target / unit, reduction="none")
            for one, below in zip(both, advantages, strict=True)
        ]
        return batch.mean(torch.stack(errors).sum(0)), both[0], advantages[0]

    def objectives(self, streams: SeedStreams) -> dict[str, Objective]:
        """What is minimised, on a batch that `streams` draw."""
        if not self.updates:
            return {}
        config = self.config
        batch = self.memory.sample(config.batch_size, config.gamma, config.n_step, streams)
        return {
            "q": Objective.of(
                self.optimizer,
                lambda params: self._loss(params, batch)[0],
                lr=self.lr,
                max_norm=config.max_grad_norm,
                encoder=self.encoder,
                obs=self.encoder.standardise(batch.obs),
            )
        }

    @property
    def lr(self) -> float:
        """Learning rate now."""
        return halving(self.steps, self.config.lr, self.config.lr_half_steps)

    @property
    def exploration(self) -> float:
        """Deviation of exploration noise now."""
        c = self.config
        return ramp(self.steps, c.noise_start, c.noise_end, c.ramp_steps)

    def metrics(self) -> dict[str, NDArray[np.floating]]:
        figures = self._tally.drain()
        if figures:
            figures["exploration"] = np.full(self.seeds, self.exploration)
            figures["updates"] = np.full(self.seeds, float(self.updates))
        return figures

    @property
    def most_threads(self) -> int:
        return self.encoder.most_threads

    def watched(self) -> Watched:
        return {"figures": self._tally.sums, "weights": self.params, "statistics": self.encoder.statistics}

    def state_dict(self) -> dict[str, Any]:
        return {
            "params": self.params,
            "target": self.target,
            "average": self.average,
            "encoder": self.encoder.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "memory": self.memory.state_dict(),
            "noise": self.noise.state_dict(),
            "replay_streams": self._replay_streams.state_dict(),
            "reachable": self.reachable.state_dict(),
            "steps": self.steps,
            "updates": self.updates,
            "tally": self._tally.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        load_params(self.params, state["params"])
        load_params(self.target, state["target"])
        load_params(self.average, state["average"])
        self.encoder.load_state_dict(state["encoder"])
        self.optimizer.load_state_dict(state["optimizer"])
        if "memory" in state:
            self.memory.load_state_dict(state["memory"])
        self.noise.load_state_dict(state["noise"])
        self._replay_streams.load_state_dict(state["replay_streams"])
        self.reachable.load_state_dict(state["reachable"])
        self.steps, self.updates = int(state["steps"]), int(state["updates"])
        self._tally.load_state_dict(state["tally"])
