"""DDPG: a deterministic policy that climbs the values of a Q-network (Lillicrap et al., 2016).

The critic learns Q(s, a) as in Q-learning, with the actor's action in the place of the best one; the actor follows the
critic's gradient by the action. Options, those of TD3 (Fujimoto et al., 2018): two critics of which the lower is
believed, noise on the actions that targets reckon with, and an actor that moves more rarely than its critic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

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


@dataclass(frozen=True, kw_only=True)
class DDPGConfig:
    """Deep deterministic policy gradient."""

    gamma: float = 0.99
    """Discount per environment step, in [0, 1]."""
    critic_lr: float = 1e-3
    """Learning rate of the critic's Adam at first."""
    actor_lr: float = 1e-3
    """Learning rate of the actor's Adam at first."""
    lr_half_steps: int = 100_000
    """Environment steps per seed after which learning rates are half, after twice as many a third ... 0: constant."""
    hidden: tuple[int, ...] = (128, 128)
    """Units of each hidden layer, of the actor and of each critic."""
    last_scale: float = 0.01
    """Size of the weights of last layers at first: actions and values begin near 0, whatever is seen."""
    batch_size: int = 64
    """Transitions per update and seed."""
    memory_size: int = 200_000
    """Transitions kept per seed."""
    learning_starts: int = 1_000
    """Environment steps per seed before the first update."""
    steps_per_update: int = 4
    """Environment steps per seed for each update."""
    target_tau: float = 0.02
    """How far the target networks move towards the others at each update, in (0, 1]."""
    average_tau: float = 0.001
    """Share by which a slow average of the weights, the greedy policy, follows them at each update; 1: no average."""
    n_step: int = 3
    """Steps of reward before bootstrapping."""
    twin_critics: bool = False
    """Learn two critics, and believe the lower one in targets."""
    twin_actors: bool = False
    """Learn an actor for each of two critics. Each explores in half of the columns, where it meets what its mistakes
    lead to; greedy is the action of the two that both critics together value most."""
    target_noise: float = 0.1
    """Deviation of the noise on the actions that targets reckon with, where actions reach from -1 to 1; at most 2.5
    times that either way. 0: none."""
    policy_delay: int = 1
    """Updates of the critic for each of the actor."""
    saturation_penalty: float = 1e-3
    """Weight of the squared pre-activations of the actor's tanh, which has no gradient left where they are large."""
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
    """Gradients of a seed's critic, and of its actor, longer than this are shortened to it."""

    def __post_init__(self) -> None:
        check_bounds(
            self,
            gamma=(0, 1),
            critic_lr=(1e-8, 1),
            actor_lr=(1e-8, 1),
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
            policy_delay=(1, 1e6),
            saturation_penalty=(0, 1e6),
            noise_start=(0, 10),
            noise_end=(0, 10),
            noise_theta=(1e-6, 1),
            ramp_steps=(0, 1e9),
            max_grad_norm=(1e-6, 1e9),
        )
        check_choice(self, noise=("gaussian", "ornstein-uhlenbeck"))
        check_flags(self, "twin_critics", "twin_actors")
        if self.twin_actors and not self.twin_critics:
            raise ValueError("twin_actors is true and twin_critics false; expected a critic for each actor")
        check_widths(self.hidden)
        if self.memory_size < self.batch_size:
            raise ValueError(f"memory_size is {self.memory_size}; expected at least batch_size {self.batch_size}")


def td_target(reward: torch.Tensor, next_q: Sequence[torch.Tensor], bootstrap: torch.Tensor) -> torch.Tensor:
    """What Q(s, a) should be: the reward on the way plus the discounted value of what follows, all [S, B].

    `next_q` has each target critic's word on its target actor's action, and the lowest counts. `bootstrap` is
    gamma ^ steps, and 0 where the episode terminated; truncation never cuts it.
    """
    return reward + bootstrap * torch.stack(list(next_q)).amin(0)


class DDPG:
    """Actors and critics of all seeds, what they remember, and how they explore."""

    takes_tensors = True
    metric_names: tuple[str, ...] = (
        "loss",
        "q",
        "grad_norm",
        "clipped",
        "actor_grad_norm",
        "actor_clipped",
        "saturated",
        "exploration",
        "updates",
    )

    def __init__(self, config: DDPGConfig, task: Task, seeds: Sequence[np.random.SeedSequence], device: torch.device):
        check_task(task)
        self.config, self.task, self.device, self.seeds = config, task, device, len(seeds)
        init, explore, self._replay_streams, self._target_streams = spawn_streams(seeds, 4, device)
        self.encoder = Encoder(task.observation_space, self.seeds, device)
        # First, since what does not fit is refused, and that at once.
        self.memory = ReplayMemory(config.memory_size, task, self.encoder, device)
        self.actions = ActionBounds(task.action_space, device)  # pyright: ignore[reportArgumentType]
        features, dimensions = self.encoder.features, self.actions.dimensions
        self.actor: Params = {}
        self._actors = ("actor", "actor2") if config.twin_actors else ("actor",)
        for name in self._actors:
            self.actor |= init_mlp(init, name, (features, *config.hidden, dimensions), last_scale=config.last_scale)
        # What images are turned into is learnt by the critic, and given to the actor.
        self.critic = self.encoder.init(init)
        self._critics = ("q1", "q2") if config.twin_critics else ("q1",)
        for name in self._critics:
            sizes = (features + dimensions, *config.hidden, 1)
            self.critic |= init_mlp(init, name, sizes, last_scale=config.last_scale)
        self.target_actor, self.target_critic = clone(self.actor), clone(self.critic)
        self.average_actor, self.average_critic = clone(self.actor), clone(self.critic)
        self.actor_optimizer = Adam(self.actor)
        self.critic_optimizer = Adam(self.critic)
        self.noise = Noise(config.noise, config.noise_theta, task.envs, dimensions, explore)
        self.reachable = ValueBounds(config.gamma, self.seeds, device)
        self.steps = 0
        self.updates = 0
        self._tally, self._actor_tally = Tally(self.seeds), Tally(self.seeds)
        self._step = compiled(self._step_of_descent, device)

    def policies(self, actor: Params, features: torch.Tensor) -> torch.Tensor:
        """Each actor's actions between -1 and 1 for features, [S, B, F] -> [K, S, B, D]."""
        return torch.stack(self._drives(actor, features)).tanh()

    def best(self, critic: Params, features: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Of the actors' actions the one that the critics together value most, [K, S, B, D] -> [S, B, D]."""
        if len(actions) == 1:
            return actions[0]
        worth = torch.stack([torch.stack(self.q_values(critic, features, action)).sum(0) for action in actions])
        return actions.take_along_dim(worth.argmax(0)[None, ..., None], 0)[0]

    def _drives(self, actor: Params, features: torch.Tensor) -> list[torch.Tensor]:
        """Each actor's actions before the tanh, [S, B, F] -> [S, B, D] each."""
        return [mlp(actor, name, features) for name in self._actors]

    def q_values(self, critic: Params, features: torch.Tensor, action: torch.Tensor) -> list[torch.Tensor]:
        """Each critic's word on actions, [S, B, F], [S, B, D] -> [S, B] each."""
        return [self.q_value(critic, name, features, action) for name in self._critics]

    def q_value(self, critic: Params, name: str, features: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """One critic's word on actions, [S, B, F], [S, B, D] -> [S, B]."""
        return mlp(critic, name, torch.cat([features, action], -1)).squeeze(-1) * self.reachable.unit

    def features(self, critic: Params, obs: NDArray[Any]) -> torch.Tensor:
        """What actor and critics see of observations, [S, B, ...] -> [S, B, F]."""
        return self.encoder(critic, torch.as_tensor(obs, device=self.device))

    def act(self, obs: NDArray[Any], first: NDArray[np.bool_], *, explore: bool) -> NDArray[Any]:
        with torch.no_grad():
            actor, critic = (self.actor, self.critic) if explore else (self.average_actor, self.average_critic)
            features = self.features(critic, obs)
            every = self.policies(actor, features)  # [K, S, E, D]
            action = in_turns(every) if explore else self.best(critic, features, every)  # [S, E, D]
            if explore:
                noise = self.noise(torch.as_tensor(first, device=self.device))
                action = perturbed(action, noise * self.exploration)
            return self.actions.to_space(action)

    def value(self, obs: NDArray[Any]) -> NDArray[np.floating]:
        """Predicted Q of the greedy action for observations, [S, E, ...] -> [S, E]."""
        with torch.no_grad():
            features = self.features(self.average_critic, obs)
            action = self.best(self.average_critic, features, self.policies(self.average_actor, features))
            return self.q_value(self.average_critic, "q1", features, action).cpu().numpy()

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
            self._learn(batch)

    def _learn(self, batch: Batch) -> None:
        """One step of every seed's critic, and one of its actor where it is due."""
        config = self.config
        self.updates += 1
        moves_actor = self.updates % config.policy_delay == 0
        # Early on the average is short, so that it does not hold on to the initial weights.
        average_tau = max(config.average_tau, 1 / self.updates)
        noise = self._drawn_noise(batch, self._target_streams)
        rates = self._decayed(config.critic_lr), self._decayed(config.actor_lr)
        figures, actor_figures = self._step(batch, noise, moves_actor, *rates, average_tau)
        self._tally.add(**figures)
        if moves_actor:
            self._actor_tally.add(**actor_figures)

    def _step_of_descent(
        self,
        batch: Batch,
        noise: torch.Tensor | None,
        moves_actor: bool,
        critic_lr: float | torch.Tensor,
        actor_lr: float | torch.Tensor,
        average_tau: float | torch.Tensor,
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """The rule, as a function of tensors that waits for none of them; returns figures of both, [S] each."""
        features = self.encoder.convolve(self.critic, self.encoder.standardise(batch.obs))
        figures = self._improve_critic(batch, features, noise, critic_lr)
        actor_figures = self._improve_actor(batch, features.detach(), actor_lr) if moves_actor else {}
        for source, target, average in (
            (self.actor, self.target_actor, self.average_actor),
            (self.critic, self.target_critic, self.average_critic),
        ):
            blend(target, source, self.config.target_tau)
            blend(average, source, average_tau)
        return figures, actor_figures

    def _improve_critic(
        self, batch: Batch, features: torch.Tensor, noise: torch.Tensor | None, lr: float | torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """One step of the critics; returns figures."""
        loss, q = self._critic_loss(self.critic, batch, features, self._critic_target(batch, noise))
        norm = self.critic_optimizer.descend(loss, lr, self.config.max_grad_norm)
        clipped = (norm > self.config.max_grad_norm).float()
        return {"loss": loss.detach(), "q": q.detach().mean(-1), "grad_norm": norm, "clipped": clipped}

    def _drawn_noise(self, batch: Batch, streams: SeedStreams) -> torch.Tensor | None:
        """Noise of deviation 1 for the actions that a batch's targets reckon with, [S, B, D]; None without."""
        if not self.config.target_noise:
            return None
        return streams.normal(batch.reward.shape[1], self.actions.dimensions)

    def _critic_target(self, batch: Batch, noise: torch.Tensor | None) -> torch.Tensor:
        """What the critics' words on a batch should be, [S, B], with drawn noise on future actions."""
        with torch.no_grad():
            next_features = self.encoder.convolve(self.target_critic, self.encoder.standardise(batch.next_obs))
            next_actions = self.policies(self.target_actor, next_features)  # [K, S, B, D]
            if noise is not None:
                deviation = self.config.target_noise
                next_actions = perturbed(next_actions, deviation * noise, limit=2.5 * deviation)
            next_q = [
                self.q_value(self.target_critic, name, next_features, next_action)
                for name, next_action in zip(self._critics, cycle(next_actions), strict=False)
            ]
            return td_target(batch.reward, [self.reachable.clamp(q) for q in next_q], batch.bootstrap)

    def _critic_loss(
        self, critic: Params, batch: Batch, features: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The critics' loss [S] on a batch, and the first one's values [S, B]."""
        q_values = self.q_values(critic, features, self.actions.from_space(batch.action))
        unit = self.reachable.unit
        errors = [torch.nn.functional.smooth_l1_loss(q / unit, target / unit, reduction="none") for q in q_values]
        return batch.mean(torch.stack(errors).sum(0)), q_values[0]

    def _improve_actor(self, batch: Batch, features: torch.Tensor, lr: float | torch.Tensor) -> dict[str, torch.Tensor]:
        """One step of the actor; returns figures."""
        loss, drive = self._actor_loss(self.actor, batch, features)
        norm = self.actor_optimizer.descend(loss, lr, self.config.max_grad_norm)
        saturated = (drive.detach().tanh().abs() > 0.99).float().mean((1, 2))
        clipped = (norm > self.config.max_grad_norm).float()
        return {"actor_grad_norm": norm, "actor_clipped": clipped, "saturated": saturated}

    def _actor_loss(self, actor: Params, batch: Batch, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The actors' loss [S] on a batch, and their actions before the tanh, [S, B, D] side by side."""
        drives = self._drives(actor, features)
        critic = {name: tensor.detach() for name, tensor in self.critic.items()}
        losses = []
        for name, drive in zip(self._critics, drives, strict=False):  # one actor climbs the first critic
            q = self.q_value(critic, name, features, drive.tanh()) / self.reachable.unit
            losses.append(-q + self.config.saturation_penalty * drive.square().mean(-1))
        return batch.mean(torch.stack(losses).sum(0)), torch.cat(drives, -1)

    def objectives(self, streams: SeedStreams) -> dict[str, Objective]:
        """What critic and actor minimise, on a batch that `streams` draw."""
        if not self.updates:
            return {}
        config, encoder = self.config, self.encoder
        batch = self.memory.sample(config.batch_size, config.gamma, config.n_step, streams)
        target = self._critic_target(batch, self._drawn_noise(batch, streams))
        obs = encoder.standardise(batch.obs)
        features = encoder.convolve(self.critic, obs).detach()

        def critic_loss(critic: Params) -> torch.Tensor:
            return self._critic_loss(critic, batch, encoder.convolve(critic, obs), target)[0]

        return {
            "critic": Objective.of(
                self.critic_optimizer,
                critic_loss,
                lr=self._decayed(config.critic_lr),
                max_norm=config.max_grad_norm,
                encoder=encoder,
                obs=obs,
            ),
            "actor": Objective.of(
                self.actor_optimizer,
                lambda actor: self._actor_loss(actor, batch, features)[0],
                lr=self._decayed(config.actor_lr),
                max_norm=config.max_grad_norm,
                encoder=encoder,
                obs=obs,
            ),
        }

    def _decayed(self, lr: float) -> float:
        """A learning rate as it is now."""
        return halving(self.steps, lr, self.config.lr_half_steps)

    @property
    def exploration(self) -> float:
        """Deviation of exploration noise now."""
        c = self.config
        return ramp(self.steps, c.noise_start, c.noise_end, c.ramp_steps)

    def metrics(self) -> dict[str, NDArray[np.floating]]:
        figures = self._tally.drain() | self._actor_tally.drain()
        if figures:
            figures["exploration"] = np.full(self.seeds, self.exploration)
            figures["updates"] = np.full(self.seeds, float(self.updates))
        return figures

    @property
    def most_threads(self) -> int:
        return self.encoder.most_threads

    def watched(self) -> Watched:
        return {
            "figures": {**self._tally.sums, **self._actor_tally.sums},
            "weights": {**self.actor, **self.critic},
            "statistics": self.encoder.statistics,
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "params": {**self.actor, **self.critic},
            "target": {**self.target_actor, **self.target_critic},
            "average": {**self.average_actor, **self.average_critic},
            "encoder": self.encoder.state_dict(),
            "actor_optimizer": self.actor_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
            "memory": self.memory.state_dict(),
            "noise": self.noise.state_dict(),
            "replay_streams": self._replay_streams.state_dict(),
            "target_streams": self._target_streams.state_dict(),
            "reachable": self.reachable.state_dict(),
            "steps": self.steps,
            "updates": self.updates,
            "tally": self._tally.state_dict(),
            "actor_tally": self._actor_tally.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        load_params({**self.actor, **self.critic}, state["params"])
        load_params({**self.target_actor, **self.target_critic}, state["target"])
        load_params({**self.average_actor, **self.average_critic}, state["average"])
        self.encoder.load_state_dict(state["encoder"])
        self.actor_optimizer.load_state_dict(state["actor_optimizer"])
        self.critic_optimizer.load_state_dict(state["critic_optimizer"])
        if "memory" in state:
            self.memory.load_state_dict(state["memory"])
        self.noise.load_state_dict(state["noise"])
        self._replay_streams.load_state_dict(state["replay_streams"])
        self._target_streams.load_state_dict(state["target_streams"])
        self.reachable.load_state_dict(state["reachable"])
        self.steps, self.updates = int(state["steps"]), int(state["updates"])
        self._tally.load_state_dict(state["tally"])
        self._actor_tally.load_state_dict(state["actor_tally"])
