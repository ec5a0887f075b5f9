"""Q-learning (Watkins, 1989) and SARSA (Rummery and Niranjan, 1994) with a table of a number per state and action.

Richard S. Sutton and Andrew G. Barto, Reinforcement Learning: An Introduction, 2nd ed., 2018, sections 6.4 and 6.5.

Each seed has one table, which all its columns learn into. When several of them are about the same entry in one step,
they move it one after the other, in the order of the columns, towards targets from before the step: nothing is lost,
and the result does not depend on how a device orders its writes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents import exploration
from agents.bandits import epsilon_greedy  # of equal values a random one: in a new table all are equal
from agents.base import Step, Task, check_bounds, check_choice
from agents.finite import Watched
from agents.lazy import torch
from agents.learning import Tally
from agents.saved import check_shape
from agents.schedules import ramp
from agents.states import MOST_DIMENSIONS, StateIndex
from agents.streams import SeedStreams

MOST_ENTRIES = 200_000_000
"""Entries of all tables, 16 bytes each."""
BLOCK = 64
"""Columns whose collisions are looked for at once; the next ones follow upon them."""


@dataclass(frozen=True, kw_only=True)
class TableConfig:
    """What Q-learning and SARSA can be told."""

    gamma: float = 0.99
    """Discount per environment step, in [0, 1]."""
    lr: float = 1.0
    """Share of the error that the first visit of an entry corrects, in (0, 1]."""
    lr_power: float = 1.0
    """The visit after n others corrects lr * (1 + n / lr_visits)^-lr_power. Above 0.5 values converge; 0: constant."""
    lr_visits: float = 30.0
    """Visits of an entry before its learning rate falls much. 1 is plain n^-lr_power, which hardly gets there."""
    initial_value: float = 0.0
    """Every entry at first. High values make the greedy policy try everything."""
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
    bins: tuple[int, ...] = ()
    """Bins of a Box, one number for each dimension or one for all. Default: 12, fewer above four dimensions."""
    bin_low: tuple[float, ...] = ()
    """Where the bins of each dimension begin. Default: the space's bounds; what is outside is in the first bin."""
    bin_high: tuple[float, ...] = ()
    """Where they end; what is outside is in the last bin."""
    bin_scale: tuple[float, ...] = (1.0,)
    """For dimensions without bounds, one number for each or for all: x is binned as x / (scale + |x|), finely around 0
    and ever more coarsely outwards, half of the bins within +-scale."""

    def __post_init__(self) -> None:
        check_bounds(
            self,
            gamma=(0, 1),
            lr=(1e-6, 1),
            lr_power=(0, 1),
            lr_visits=(1e-3, 1e12),
            initial_value=(-1e9, 1e9),
            epsilon_start=(0, 1),
            epsilon_end=(0, 1),
            rho_start=(0, 1000),
            rho_end=(0, 1000),
            burn_in=(0, 1e9),
            ramp_steps=(0, 1e9),
        )
        check_choice(self, exploration=("epsilon", "rho"))


@dataclass(frozen=True, kw_only=True)
class QTableConfig(TableConfig):
    """Q-learning: values of the greedy policy, whatever it does meanwhile."""


@dataclass(frozen=True, kw_only=True)
class SarsaConfig(TableConfig):
    """SARSA: values of the policy that it follows, exploration included."""


def q_learning_target(
    reward: torch.Tensor, next_q: torch.Tensor, terminated: torch.Tensor, gamma: float
) -> torch.Tensor:
    """r + gamma * max_a Q(s', a), cut where the episode terminated (eq. 6.8). [S, E], [S, E, A] -> [S, E]."""
    return reward + gamma * next_q.amax(-1) * ~terminated


def sarsa_target(reward: torch.Tensor, following: torch.Tensor, terminated: torch.Tensor, gamma: float) -> torch.Tensor:
    """r + gamma * Q(s', a') with the action that was taken next, cut where the episode terminated (eq. 6.7). [S, E]."""
    return reward + gamma * following * ~terminated


def moved(
    value: torch.Tensor,
    visits: torch.Tensor,
    target: torch.Tensor,
    same: torch.Tensor,
    step_size: Callable[[torch.Tensor], torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and visits of entries after each column has moved its own towards its target, one after the other.

    Columns about the same entry all get the same result, which is as if the first of them had moved it by its step
    size, then the second what the first had left ...

    Args:
        value, visits: of each column's entry before, [S, E].
        target: what each column thinks that it should be, [S, E].
        same: [S, E, E]; same[s, e, f] where column f counts and is about the entry of column e.
        step_size: share of the error to correct by, of the number of visits before, both [S, E].

    Returns:
        Values and visits, [S, E].
    """
    columns = same.shape[-1]
    earlier = same.new_ones(columns, columns).tril(-1)  # [e, f]: f < e
    size = step_size(visits + (same & earlier).sum(-1))
    left = torch.where(same & earlier.T, 1.0 - size.unsqueeze(-2), 1.0).prod(-1)  # by the columns after this one
    change = size * left * (target - value)
    return value + (same * change.unsqueeze(-2)).sum(-1), visits + same.sum(-1)


def check_task(task: Task) -> None:
    """Raises ValueError unless observations are states, or few enough numbers to be binned, and actions Discrete."""
    space = task.observation_space
    if isinstance(space, gym.spaces.Box):
        if int(np.prod(space.shape)) > MOST_DIMENSIONS:
            raise ValueError(
                f"observation space has shape {space.shape}; expected at most {MOST_DIMENSIONS} numbers to be binned"
            )
    elif not isinstance(space, gym.spaces.Discrete | gym.spaces.MultiDiscrete | gym.spaces.MultiBinary):
        raise ValueError(f"observation space {space}; expected Discrete, MultiDiscrete, MultiBinary or Box")
    if not isinstance(task.action_space, gym.spaces.Discrete):
        raise ValueError(f"action space {task.action_space}; expected Discrete")


@dataclass(frozen=True, kw_only=True)
class Table:
    """What was learnt, for printing: the L states that any seed has acted in."""

    states: NDArray[np.int64]
    """Their numbers, [L]."""
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    q_values: NDArray[np.float64]
    """[S, L, A]."""
    values: NDArray[np.float64]
    """Of the policy that the rule learns about, [S, L]: the greedy one, or for SARSA the exploring one."""
    visits: NDArray[np.int64]
    """[S, L, A]."""


class Tabular:
    """Tables of all seeds and the rule, chosen by the class of the config, that fills them."""

    metric_names: tuple[str, ...] = ("td_error", "q", "exploration")

    def __init__(self, config: TableConfig, task: Task, seeds: Sequence[np.random.SeedSequence], device: torch.device):
        check_task(task)
        assert isinstance(task.action_space, gym.spaces.Discrete)
        self.config, self.task, self.device, self.seeds = config, task, device, len(seeds)
        self.index = StateIndex(task, config.bins, config.bin_low, config.bin_high, config.bin_scale)
        self.actions, self._first_action = int(task.action_space.n), int(task.action_space.start)
        shape = (self.seeds, self.index.states, self.actions)
        if np.prod(shape, dtype=float) > MOST_ENTRIES:
            raise ValueError(
                f"tables of {' x '.join(f'{n:,}' for n in shape)} seeds, states, actions; expected at most "
                f"{MOST_ENTRIES:,} entries: use fewer bins or seeds"
            )
        # Doubles: with a small step size single precision would lose what it adds.
        self.q = torch.full(shape, config.initial_value, dtype=torch.float64, device=device)
        self.visits = torch.zeros(shape, dtype=torch.int64, device=device)
        self.steps = 0
        self._streams = SeedStreams(seeds, device)
        self._tally = Tally(self.seeds)
        nothing = torch.zeros(self.seeds, task.envs, dtype=torch.int64, device=device)
        self._pending = (nothing, nothing.double(), nothing.bool())
        """SARSA's steps that wait for the action taken next: entry, reward, whether there is one, each [S, E]."""

    @property
    def on_policy(self) -> bool:
        return isinstance(self.config, SarsaConfig)

    def act(self, obs: NDArray[Any], first: NDArray[np.bool_], *, explore: bool) -> NDArray[Any]:
        q = self._q_of(self._states(obs))
        if not explore:
            action = exploration.greedy(q)
        elif self.config.exploration == "epsilon":
            action = epsilon_greedy(q, self.epsilon, self._streams)
        else:
            action = exploration.sample(exploration.rho_probabilities(q, self.rho), self._streams)
        return exploration.founded(action, q).cpu().numpy() + self._first_action

    def value(self, obs: NDArray[Any]) -> NDArray[np.floating]:
        """Value of observations [S, E, ...] under the policy that the rule learns about, [S, E]."""
        return self._value_of(self._q_of(self._states(obs))).cpu().numpy()

    def observe(self, step: Step) -> None:
        # Learnt from at once: the next action depends on it, and costs less than waiting for an update would.
        self.steps += step.reward.shape[1]
        action = torch.as_tensor(step.action - self._first_action, device=self.device)
        entry = self._states(step.obs) * self.actions + action  # [S, E]
        reward, terminated, counts = (
            torch.as_tensor(values, device=self.device) for values in (step.reward, step.terminated, step.running)
        )
        if not self.on_policy:
            next_q = self._q_of(self._states(step.next_obs))
            self._learn(entry, q_learning_target(reward, next_q, terminated, self.config.gamma), counts)
            return
        before, before_reward, waits = self._pending
        waits = waits & ~torch.as_tensor(step.first, device=self.device)
        following = self.q.view(self.seeds, -1).gather(1, entry)
        goes_on = torch.zeros_like(terminated)
        self._learn(before, sarsa_target(before_reward, following, goes_on, self.config.gamma), waits)
        ended = step.terminated | step.truncated
        if ended.any():
            # Nothing was done after the last step. Where only time ran out, take what its policy expects there.
            following = self._value_of(self._q_of(self._states(step.next_obs)))
            ending = counts & torch.as_tensor(ended, device=self.device)
            self._learn(entry, sarsa_target(reward, following, terminated, self.config.gamma), ending)
        self._pending = (entry, reward, counts & torch.as_tensor(~ended, device=self.device))

    def update(self) -> None:
        pass

    def metrics(self) -> dict[str, NDArray[np.floating]]:
        figures = self._tally.drain()
        if figures:
            explored = self.epsilon if self.config.exploration == "epsilon" else self.rho
            figures["exploration"] = np.full(self.seeds, explored)
        return figures

    @property
    def epsilon(self) -> float:
        """Share of random actions now."""
        c = self.config
        return ramp(self.steps, c.epsilon_start, c.epsilon_end, c.ramp_steps, burn_in=c.burn_in)

    @property
    def rho(self) -> float:
        """Power of the values now."""
        c = self.config
        return ramp(self.steps, c.rho_start, c.rho_end, c.ramp_steps, burn_in=c.burn_in)

    def state_values(self) -> NDArray[np.float64]:
        """Value of every state under the policy that the rule learns about, [S, states]."""
        return self._value_of(self.q).cpu().numpy()

    def table(self) -> Table:
        """The table with its states and actions named."""
        states = torch.nonzero(self.visits.sum((0, 2))).flatten()  # [L]
        q, visits = self.q[:, states], self.visits[:, states]
        return Table(
            states=states.cpu().numpy(),
            state_names=tuple(map(self.index.name, states.tolist())),
            action_names=self.task.action_names or tuple(map(str, range(self.actions))),
            q_values=q.cpu().numpy(),
            values=self._value_of(q).cpu().numpy(),
            visits=visits.cpu().numpy(),
        )

    def watched(self) -> Watched:
        return {"figures": self._tally.sums}

    def state_dict(self) -> dict[str, Any]:
        return {
            "params": {"q": self.q},
            "visits": self.visits,
            "pending": list(self._pending),
            "streams": self._streams.state_dict(),
            "steps": self.steps,
            "tally": self._tally.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, saved in (("q", state["params"]["q"]), ("visits", state["visits"])):
            check_shape(name, saved, self.q.shape)
        for saved in state["pending"]:
            check_shape("pending", saved, (self.seeds, None))
        self.q = state["params"]["q"].clone().to(self.device)
        self.visits = state["visits"].clone().to(self.device)
        entry, reward, waits = (values.clone().to(self.device) for values in state["pending"])
        self._pending = (entry, reward, waits)
        self._streams.load_state_dict(state["streams"])
        self.steps = int(state["steps"])
        self._tally.load_state_dict(state["tally"])

    def _states(self, obs: NDArray[Any]) -> torch.Tensor:
        """Numbers of states, [S, E, *observation] -> [S, E]."""
        return torch.as_tensor(self.index(obs), device=self.device)

    def _q_of(self, states: torch.Tensor) -> torch.Tensor:
        """Rows of the tables, [S, E] -> [S, E, A]."""
        return self.q.gather(1, states.unsqueeze(-1).expand(-1, -1, self.actions))

    def _value_of(self, q: torch.Tensor) -> torch.Tensor:
        """What the policy that the rule learns about expects, [S, E, A] -> [S, E]."""
        if not self.on_policy:
            return q.amax(-1)
        if self.config.exploration == "epsilon":
            return (1.0 - self.epsilon) * q.amax(-1) + self.epsilon * q.mean(-1)
        return (exploration.rho_probabilities(q, self.rho) * q).sum(-1)

    def _step_size(self, visits: torch.Tensor) -> torch.Tensor:
        """Share of the error that a visit after so many others corrects."""
        c = self.config
        return c.lr * (1.0 + visits.double() / c.lr_visits) ** -c.lr_power

    def _learn(self, entry: torch.Tensor, target: torch.Tensor, counts: torch.Tensor) -> None:
        """Moves entries [S, E] (numbers of state and action) towards targets [S, E] where a column `counts` [S, E]."""
        q, visits = self.q.view(self.seeds, -1), self.visits.view(self.seeds, -1)  # [S, states * A]
        error = target - q.gather(1, entry)
        bounds = [*range(0, entry.shape[1], BLOCK), entry.shape[1]]
        for start, end in itertools.pairwise(bounds):
            part, goal = entry[:, start:end], target[:, start:end]
            same = (part.unsqueeze(-1) == part.unsqueeze(-2)) & counts[:, None, start:end]
            value, count = moved(q.gather(1, part), visits.gather(1, part), goal, same, self._step_size)
            # Columns about the same entry write the same: in whatever order they do, the result is one.
            q.scatter_(1, part, value)
            visits.scatter_(1, part, count)
        learnt = counts.sum(-1).clamp(min=1)
        self._tally.add(td_error=(error.abs() * counts).sum(-1) / learnt, q=(target * counts).sum(-1) / learnt)
