"""DQN: Q-learning with a replay memory and a target network (Mnih et al., 2015).

Options: double Q-learning (van Hasselt et al., 2016), n-step returns (Sutton, 1988), advantage learning (Bellemare et
al., 2016), a target network that is copied or blended, and exploration by epsilon or by a power of the values. Without
memory and without target network it is the naive network of the first drive-bot, whose failure is worth seeing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.base import Step, Task, check_bounds, check_choice, check_flags
from agents.bounds import ValueBounds
from agents.encoders import Encoder, check_observation_space
from agents.exploration import Explorer, greedy
from agents.finite import Watched
from agents.lazy import torch
from agents.learning import Adam, Tally, compiled
from agents.networks import Params, blend, check_widths, clone, init_mlp, load_params, mlp
from agents.objectives import Objective
from agents.replay import Batch, ReplayMemory, latest_batch
from agents.saved import check_shape
from agents.schedules import halving
from agents.streams import SeedStreams, spawn_streams


@dataclass(frozen=True, kw_only=True)
class DQNConfig:
    """Deep Q-network."""

    gamma: float = 0.99
    """Discount per environment step, in [0, 1]."""
    lr: float = 1e-3
    """Learning rate of Adam at first."""
    lr_half_steps: int = 100_000
    """Environment steps per seed after which the learning rate is half, after twice as many a third ... 0: constant."""
    hidden: tuple[int, ...] = (128, 128)
    """Units of each hidden layer."""
    batch_size: int = 64
    """Transitions per update and seed."""
    memory_size: int = 200_000
    """Transitions kept per seed. 0: learn from each step as it comes, and never again."""
    learning_starts: int = 1_000
    """Environment steps per seed before the first update."""
    steps_per_update: int = 4
    """Environment steps per seed for each update."""
    target_interval: int = 1
    """Updates between moves of the target network towards the online one. 0: no target network."""
    target_tau: float = 0.02
    """How far such a move goes, in (0, 1]: 1 copies, less blends."""
    average_tau: float = 0.001
    """Share by which a slow average of the weights, the greedy policy, follows them at each update; 1: no average."""
    double: bool = True
    """Choose the next action by the online network and value it by the target network."""
    backup_epsilon: float = 0.1
    """Share of random actions that values reckon with in the future (expected Sarsa); 0: none, the textbook's maximum.
    Where any one mistake can be made good again, it is what makes a safe state worth more than a risky one."""
    n_step: int = 3
    """Steps of reward before bootstrapping."""
    action_gap: float = 0.0
    """How much further apart than they are the values of a state's actions are learnt, in [0, 1): by 1 / (1 - it).
    Where steps are short one action hardly matters, and differences drown in the errors of the network; the best
    action stays the best (advantage learning). 0: as they are."""
    value_unit: bool = True
    """Whether networks count values in a unit of the rewards' size; else as they are, where errors beyond 1 are taken
    for outliers, however large the rewards."""
    exploration: Literal["epsilon", "rho"] = "epsilon"
    """"epsilon": a random action now and then. "rho": probability proportional to a power of the value."""
    epsilon_start: float = 1.0
    """Share of random actions at first."""
    epsilon_end: float = 0.1
    """Share of random actions after the ramp."""
    rho_start: float = 0.5
    """Power of the values at first: small explores."""
    rho_end: float = 50.0
    """Power of the values after the ramp: large exploits."""
    burn_in: int = 0
    """Environment steps per seed before the ramp begins."""
    ramp_steps: int = 10_000
    """Environment steps per seed that the ramp of epsilon or rho takes."""
    max_grad_norm: float = 10.0
    """Gradients of a seed longer than this are shortened to it."""

    def __post_init__(self) -> None:
        check_bounds(
            self,
            gamma=(0, 1),
            lr=(1e-8, 1),
            lr_half_steps=(0, 1e12),
            batch_size=(1, 1_000_000),
            memory_size=(0, 1e9),
            learning_starts=(0, 1e9),
            steps_per_update=(1, 1e6),
            target_interval=(0, 1e9),
            target_tau=(1e-6, 1),
            average_tau=(1e-6, 1),
            backup_epsilon=(0, 1),
            action_gap=(0, 0.999),
            n_step=(1, 1000),
            epsilon_start=(0, 1),
            epsilon_end=(0, 1),
            rho_start=(0, 1000),
            rho_end=(0, 1000),
            burn_in=(0, 1e9),
            ramp_steps=(0, 1e9),
            max_grad_norm=(1e-6, 1e9),
        )
        check_choice(self, exploration=("epsilon", "rho"))
        check_flags(self, "double", "value_unit")
        check_widths(self.hidden)
        if 0 < self.memory_size < self.batch_size:
            raise ValueError(f"memory_size is {self.memory_size}; expected 0 or at least batch_size {self.batch_size}")
        if self.memory_size == 0 and self.n_step > 1:
            raise ValueError(
                f"n_step is {self.n_step} and memory_size 0; n-step returns need a memory: set n_step to 1"
            )


def td_target(reward: torch.Tensor, next_value: torch.Tensor, bootstrap: torch.Tensor) -> torch.Tensor:
    """What Q(s, a) should be: the reward on the way plus the discounted value of what follows, all [S, B].

    `bootstrap` is gamma ^ steps, and 0 where the episode terminated; truncation never cuts it.
    """
    return reward + bootstrap * next_value


def next_value(
    next_target_q: torch.Tensor, next_online_q: torch.Tensor | None = None, epsilon: float = 0.0
) -> torch.Tensor:
    """The value of the next state, [S, B, A] -> [S, B].

    The target network's maximum or, with the online network's values, the target's value of the online choice (van
    Hasselt et al., 2016). With `epsilon`, what that is worth when actions are random now and then: expected Sarsa (van
    Seijen et al., 2009).
    """
    if next_online_q is None:
        best = next_target_q.amax(-1)
    else:
        best = next_target_q.gather(-1, next_online_q.argmax(-1, keepdim=True)).squeeze(-1)
    return best.lerp(next_target_q.mean(-1), epsilon) if epsilon else best


def gap_of(q_values: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """How much worse than the best the chosen actions are, [S, B, A], [S, B, 1] -> [S, B], never below 0."""
    return q_values.amax(-1) - q_values.gather(-1, chosen).squeeze(-1)


def check_task(task: Task) -> None:
    """Raises ValueError unless observations can be encoded and actions are Discrete."""
    check_observation_space(task.observation_space)
    if not isinstance(task.action_space, gym.spaces.Discrete):
        raise ValueError(f"action space {task.action_space}; expected Discrete")


class DQN:
    """Q-networks of all seeds, what they remember, and how they explore."""

    takes_tensors = True
    metric_names = ("loss", "q", "grad_norm", "clipped", "exploration", "updates")

    def __init__(self, config: DQNConfig, task: Task, seeds: Sequence[np.random.SeedSequence], device: torch.device):
        check_task(task)
        self.config, self.task, self.device, self.seeds = config, task, device, len(seeds)
        init, explore, self._replay_streams = spawn_streams(seeds, 3, device)
        self.encoder = Encoder(task.observation_space, self.seeds, device)
        # First, since what does not fit is refused, and that at once.
        self.memory = ReplayMemory(config.memory_size or task.envs, task, self.encoder, device)
        self.actions = int(task.action_space.n)  # pyright: ignore[reportAttributeAccessIssue]
        self._first_action = int(task.action_space.start)  # pyright: ignore[reportAttributeAccessIssue]
        sizes = (self.encoder.features, *config.hidden, self.actions)
        self.params: Params = self.encoder.init(init) | init_mlp(init, "q", sizes)
        self.target: Params = clone(self.params)
        self.average: Params = clone(self.params)
        self.optimizer = Adam(self.params)
        self.explorer = Explorer(
            config.exploration,
            config.epsilon_start if config.exploration == "epsilon" else config.rho_start,
            config.epsilon_end if config.exploration == "epsilon" else config.rho_end,
            config.burn_in,
            config.ramp_steps,
            explore,
        )
        self.reachable = ValueBounds(config.gamma, self.seeds, device)
        self.steps = 0
        self.updates = 0
        self._latest: Batch | None = None
        """What there is to learn from without a memory."""
        self._tally = Tally(self.seeds)
        self._learn = compiled(self._step_of_descent, device)

    def q_values(self, params: Params, standard: torch.Tensor) -> torch.Tensor:
        """Of observations that the encoder has standardised, [S, B, ...] -> [S, B, A]."""
        return mlp(params, "q", self.encoder.convolve(params, standard)) * self._unit.unsqueeze(-1)

    @property
    def _unit(self) -> torch.Tensor:
        """What networks count values in, [S, 1]."""
        unit = self.reachable.unit
        return unit if self.config.value_unit else torch.ones_like(unit)

    def _standardised(self, obs: NDArray[Any]) -> torch.Tensor:
        return self.encoder.standardise(self.encoder.prepare(torch.as_tensor(obs, device=self.device)))

    def act(self, obs: NDArray[Any], first: NDArray[np.bool_], *, explore: bool) -> NDArray[Any]:
        with torch.no_grad():
            q = self.q_values(self.params if explore else self.average, self._standardised(obs))  # [S, E, A]
            action = self.explorer.choose(q, self.steps) if explore else greedy(q)
            return action.cpu().numpy() + self._first_action

    def value(self, obs: NDArray[Any]) -> NDArray[np.floating]:
        """Predicted max_a Q of observations, [S, E, ...] -> [S, E]."""
        with torch.no_grad():
            return self.q_values(self.average, self._standardised(obs)).amax(-1).cpu().numpy()

    def observe(self, step: Step) -> None:
        config = self.config
        self.steps += step.reward.shape[1]
        kept = self.encoder.observe(torch.as_tensor(step.obs, device=self.device))
        self.reachable.observe(step.reward)
        if config.memory_size:
            self.memory.add(step, kept)
        elif self.steps > config.learning_starts:
            next_kept = self.encoder.prepare(torch.as_tensor(step.next_obs, device=self.device))
            self._latest = latest_batch(step, kept, next_kept, config.gamma)

    def update(self) -> None:
        config = self.config
        if self._latest is not None:
            self._improve(self._latest)
            self._latest = None
        if not config.memory_size:
            return
        # Every column needs n_step + 1 rows before its outcomes are known.
        start = max(config.learning_starts, self.task.envs * (config.n_step + 1))
        due = (self.steps - start) // config.steps_per_update - self.updates
        for batch in self.memory.batches(due, config.batch_size, config.gamma, config.n_step, self._replay_streams):
            self._improve(batch)

    def _improve(self, batch: Batch) -> None:
        """One update of every seed by its batch."""
        config = self.config
        self.updates += 1
        moves_target = config.target_interval > 0 and self.updates % config.target_interval == 0
        # Early on the average is short, so that it does not hold on to the initial weights.
        average_tau = max(config.average_tau, 1 / self.updates)
        self._tally.add(**self._learn(batch, moves_target, self.lr, average_tau))

    def _step_of_descent(
        self, batch: Batch, moves_target: bool, lr: float | torch.Tensor, average_tau: float | torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The rule, as a function of tensors that waits for none of them; returns figures, [S] each."""
        config = self.config
        loss, q = self._loss(self.params, batch)
        norm = self.optimizer.descend(loss, lr, config.max_grad_norm)
        if moves_target:
            blend(self.target, self.params, config.target_tau)
        blend(self.average, self.params, average_tau)
        clipped = (norm > config.max_grad_norm).float()
        return {"loss": loss.detach(), "q": q.detach().mean(-1), "grad_norm": norm, "clipped": clipped}

    def _loss(self, params: Params, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss [S] of parameters on a batch, and their values of what was done there, [S, B]."""
        config = self.config
        obs, next_obs = self.encoder.standardise(batch.obs), self.encoder.standardise(batch.next_obs)
        chosen = (batch.action - self._first_action).unsqueeze(-1)  # [S, B, 1]
        with torch.no_grad():
            believed = self.target if config.target_interval else self.params
            next_target_q = self.q_values(believed, next_obs)
            next_online_q = self.q_values(self.params, next_obs) if config.double else None
            following = self.reachable.clamp(next_value(next_target_q, next_online_q, config.backup_epsilon))
            target = td_target(batch.reward, following, batch.bootstrap)
            if config.action_gap:  # eq. 11 of Bellemare et al. (2016)
                target = target - config.action_gap * gap_of(self.q_values(believed, obs), chosen)
        q = self.q_values(params, obs).gather(-1, chosen).squeeze(-1)  # [S, B]
        unit = self._unit  # this loss takes errors beyond 1 for outliers
        return batch.mean(torch.nn.functional.smooth_l1_loss(q / unit, target / unit, reduction="none")), q

    def objectives(self, streams: SeedStreams) -> dict[str, Objective]:
        """What is minimised, on a batch that `streams` draw or, without a memory, on the latest step."""
        config, batch = self.config, self._latest
        if self.updates and config.memory_size:
            batch = self.memory.sample(config.batch_size, config.gamma, config.n_step, streams)
        if batch is None:
            return {}
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

    def metrics(self) -> dict[str, NDArray[np.floating]]:
        figures = self._tally.drain()
        if figures:
            figures["exploration"] = np.full(self.seeds, self.explorer.amount(self.steps))
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
            "encoder": self.encoder.state_dict(),
            "target": self.target,
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "memory": self.memory.state_dict(),
            "explorer": self.explorer.state_dict(),
            "replay_streams": self._replay_streams.state_dict(),
            "reachable": self.reachable.state_dict(),
            "latest": vars(self._latest) if self._latest else {},
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
        self.explorer.load_state_dict(state["explorer"])
        self._replay_streams.load_state_dict(state["replay_streams"])
        self.reachable.load_state_dict(state["reachable"])
        row = self.encoder.kept_space.shape or ()
        for name, tensor in state["latest"].items():
            check_shape(name, tensor, (self.seeds, None, *(row if name in ("obs", "next_obs") else ())))
        latest = {name: tensor.to(self.device) for name, tensor in state["latest"].items()}
        self._latest = Batch(**latest) if latest else None
        self.steps, self.updates = int(state["steps"]), int(state["updates"])
        self._tally.load_state_dict(state["tally"])
