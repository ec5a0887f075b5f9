"""Environments that are each broken in one way, and the sound one that they were made from."""

from __future__ import annotations

import random
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray


class Rolling(gym.Env[Any, Any]):
    """A ball on a shaking board, to be kept within 1 of the middle by pushes to the left and to the right."""

    observation_space: gym.Space[Any] = gym.spaces.Box(-3, 3, (3,), np.float32)
    action_space: gym.Space[Any] = gym.spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.state: NDArray[np.float32] = self.drawn(3).astype(np.float32) * np.float32(0.1)
        self.count = 0
        return self.seen(), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        self.state[1] += 0.05 * (self.push(action) + 0.5 * self.drawn(1)[0] + 0.3 * self.state[0])
        self.state[0] += 0.2 * self.state[1]
        return self.seen(), float(1 - abs(self.state[0])), self.over(), False, {}

    def push(self, action: Any) -> float:
        return float(action) - 1

    def drawn(self, count: int) -> NDArray[np.floating]:
        return self.np_random.uniform(-1, 1, count)

    def seen(self) -> Any:
        return self.state.clip(-3, 3)

    def over(self) -> Any:
        return bool(abs(self.state[0]) > 1)


class NanAfter50Steps(Rolling):
    """From its 51st step on, all episodes together, an observation is NaN."""

    steps = 0

    def step(self, action: Any) -> Any:
        self.steps += 1
        obs, *rest = super().step(action)
        return (obs * np.nan if self.steps > 50 else obs, *rest)


class InfiniteObservation(Rolling):
    """An observation without bounds is infinite where the episode ends."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)

    def seen(self) -> Any:
        return np.array([np.inf, 0, 0], np.float32) if self.over() else self.state.copy()


class OutsideTheSpace(Rolling):
    """The space ends before the observations do."""

    observation_space = gym.spaces.Box(-0.5, 0.5, (3,), np.float32)


class WrongDtype(Rolling):
    """Observations are float64, and float32 according to the space."""

    def seen(self) -> Any:
        return self.state.astype(np.float64).clip(-3, 3)


class WrongShape(Rolling):
    """Observations after the reset have an axis more."""

    def step(self, action: Any) -> Any:
        obs, *rest = super().step(action)
        return (obs[None], *rest)


class ListObservation(Rolling):
    """Observations are lists."""

    def seen(self) -> Any:
        return self.state.tolist()


class ReusedArray(Rolling):
    """Every observation is the same array, written anew."""

    kept = np.zeros(3, np.float32)

    def seen(self) -> Any:
        self.kept[:] = self.state.clip(-3, 3)
        return self.kept


class LendsItsState(Rolling):
    """The observation is the state itself, which whoever writes to it changes."""

    def step(self, action: Any) -> Any:
        self.state = self.state.copy()
        return super().step(action)

    def seen(self) -> Any:
        return self.state


class TimeoutTerminates(Rolling):
    """After 60 steps an episode terminates instead of being truncated."""

    def over(self) -> Any:
        return super().over() or self.count >= 60


class NeverEnds(Rolling):
    """It has a limit of steps, which it never tells."""

    max_episode_steps = 100

    def step(self, action: Any) -> Any:
        obs, reward, *_ = super().step(action)
        self.state.clip(-1, 1, self.state)
        return obs, reward, False, False, {}


class ResetsItself(Rolling):
    """At its end the next episode begins at once, and its first observation is returned."""

    def step(self, action: Any) -> Any:
        obs, reward, terminated, *rest = super().step(action)
        if terminated:
            obs, _ = self.reset()
        return obs, reward, terminated, *rest


class StepsBeforeReset(Rolling):
    """It can be stepped before it was ever reset."""

    count = 0

    def __init__(self) -> None:
        self.state = np.zeros(3, np.float32)


class OwnGenerator(Rolling):
    """It draws from a generator of its own, which no seed reaches: the same seed gives other episodes."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng()

    def drawn(self, count: int) -> NDArray[np.floating]:
        return self.rng.uniform(-1, 1, count)


class GlobalNumpy(Rolling):
    """It draws from numpy's global generator."""

    def drawn(self, count: int) -> NDArray[np.floating]:
        return np.random.uniform(-1, 1, count)  # noqa: NPY002 - the fault


class SeedsGlobalNumpy(GlobalNumpy):
    """It seeds numpy's global generator too, and is repeatable as long as it is alone."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if seed is not None:
            np.random.seed(seed)  # noqa: NPY002 - the fault
        return super().reset(seed=seed)


class GlobalRandom(Rolling):
    """A rare event is drawn from Python's global generator."""

    def step(self, action: Any) -> Any:
        if random.random() < 1e-9:
            self.state[1] *= -1
        return super().step(action)


class SeedIgnored(Rolling):
    """Any seed is the same seed."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return super().reset(seed=None if seed is None else 0)


class RewardArray(Rolling):
    """The reward is an array of one number."""

    def step(self, action: Any) -> Any:
        obs, reward, *rest = super().step(action)
        return obs, np.array([reward]), *rest


class RewardComplex(Rolling):
    """The reward is a complex number."""

    def step(self, action: Any) -> Any:
        obs, reward, *rest = super().step(action)
        return obs, complex(reward), *rest


class RewardNan(Rolling):
    """The reward is NaN where the ball rests far out."""

    def step(self, action: Any) -> Any:
        obs, reward, *rest = super().step(action)
        return obs, reward if reward > 0.3 else float("nan"), *rest


class RewardInfinite(Rolling):
    """The penalty for the end is infinite."""

    def step(self, action: Any) -> Any:
        obs, reward, terminated, *rest = super().step(action)
        return obs, -float("inf") if terminated else reward, terminated, *rest


class TerminatedNumber(Rolling):
    """Whether an episode terminated is a number."""

    def over(self) -> Any:
        return int(super().over())


class InfoMissing(Rolling):
    """The info of a step is None."""

    def step(self, action: Any) -> Any:
        return (*super().step(action)[:4], None)


class ResetWithoutInfo(Rolling):
    """A reset returns the observation alone."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return super().reset(seed=seed)[0]


class FourResults(Rolling):
    """A step returns one `done`, as it was before Gymnasium 0.26."""

    def step(self, action: Any) -> Any:
        obs, reward, terminated, *_ = super().step(action)
        return obs, reward, terminated, {}


class ActionChanged(Rolling):
    """The array of an action is clipped in place."""

    action_space = gym.spaces.Box(-2, 2, (1,), np.float32)

    def push(self, action: Any) -> float:
        action.clip(-1, 1, action)
        return float(action[0])


class ActionRefused(Rolling):
    """Of three actions it takes two."""

    def push(self, action: Any) -> float:
        return {0: -1.0, 1: 1.0}[int(action)]


class LeaksAcrossResets(Rolling):
    """The board wears out: each episode shakes a little more than the one before."""

    episodes = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.episodes += 1
        return super().reset(seed=seed)

    def drawn(self, count: int) -> NDArray[np.floating]:
        return super().drawn(count) * (1 + 0.01 * self.episodes)


class SharedBetweenInstances(Rolling):
    """All instances move one ball."""

    ball: ClassVar[dict[str, NDArray[np.float32]]] = {}

    @property
    def state(self) -> NDArray[np.float32]:
        return self.ball["state"]

    @state.setter
    def state(self, value: NDArray[np.float32]) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self.ball["state"] = value


class NanBounds(Rolling):
    """The bounds of the observations became NaN, by a division of nothing by nothing."""

    observation_space = gym.spaces.Box(-3, 3, (3,), np.float32)
    observation_space.high[2] = np.nan


MUTANTS: dict[str, type[Rolling]] = {
    mutant.__name__: mutant
    for mutant in (
        NanAfter50Steps,
        InfiniteObservation,
        OutsideTheSpace,
        WrongDtype,
        WrongShape,
        ListObservation,
        ReusedArray,
        LendsItsState,
        TimeoutTerminates,
        NeverEnds,
        ResetsItself,
        StepsBeforeReset,
        OwnGenerator,
        GlobalNumpy,
        SeedsGlobalNumpy,
        GlobalRandom,
        SeedIgnored,
        RewardArray,
        RewardComplex,
        RewardNan,
        RewardInfinite,
        TerminatedNumber,
        InfoMissing,
        ResetWithoutInfo,
        FourResults,
        ActionChanged,
        ActionRefused,
        LeaksAcrossResets,
        SharedBetweenInstances,
        NanBounds,
    )
}

_mutant: Any
for _name, _mutant in {"Rolling": Rolling, **MUTANTS}.items():
    # What is wrong with these two is what Gymnasium's wrappers would set right.
    _wrapped = _mutant not in (NeverEnds, StepsBeforeReset)
    gym.register(f"{_name}-v0", _mutant, max_episode_steps=200 if _wrapped else None, order_enforce=_wrapped)
