"""Whether an environment keeps the promises that learning, replaying and reporting rest on.

Instances are played from the same seeds with the same actions, alone and in turns, whole and interrupted, under rules
of which some keep an episode going. (`gymnasium.utils.env_checker` looks at the first steps.)
"""

from __future__ import annotations

import copy
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from envs.trial import Budget, EnvFault, Played, Policy, brief, heard, lent, play, replay

MAX_STEPS = 10_000
"""Steps of an episode after which it counts as endless, where no limit is registered."""
EPISODE_STEPS = 250
"""Steps of the episodes that are played several times over."""
SEEDS = (1, 2, 3)
TRUSTED = ("gymnasium.envs.", "envs.")
"""Modules whose environments are tested where they come from."""


class Trial:
    """An environment on trial.

    Args:
        make: builds an instance; called twice.
        seconds: that the look at whole episodes takes, and the first playing of those that are played again.
    """

    def __init__(self, make: Callable[[], gym.Env[Any, Any]], seconds: float = 0.3):
        self.seconds = seconds
        self.env: gym.Env[Any, Any]
        self.env, self.other = heard("making it", make), heard("making it again", make)
        self.limit: int | None = getattr(self.env.spec, "max_episode_steps", None)
        self.played: list[Played] = []
        """An episode from each of `SEEDS`, the first that were played."""

    def close(self) -> None:
        self.env.close()
        self.other.close()

    def random_policy(self, seed: int) -> Policy:
        space = copy.deepcopy(self.env.action_space)
        space.seed(seed)
        return lambda obs: space.sample()

    def linear_policy(self, seed: int) -> Policy:
        """Actions that follow the observation by random weights: some such rule keeps many an episode going."""
        space, rng = self.env.action_space, np.random.default_rng(seed)
        inputs = int(np.prod(self.env.observation_space.shape or ()))
        if isinstance(space, gym.spaces.Discrete):
            weights = rng.normal(size=(int(space.n), inputs))
            return lambda obs: space.start + space.dtype.type((weights @ np.ravel(obs)).argmax())
        if not isinstance(space, gym.spaces.Box) or not space.is_bounded():
            return self.random_policy(seed)
        weights = rng.normal(size=(int(np.prod(space.shape)), inputs))

        def act(obs: Any) -> Any:
            share = (np.tanh(weights @ np.ravel(obs)).reshape(space.shape) + 1) / 2
            return (space.low + share * (space.high - space.low)).clip(space.low, space.high).astype(space.dtype)

        return act


def check_spaces(trial: Trial) -> None:
    """spaces are single arrays or numbers with proper bounds, the same in every instance"""
    for name in ("observation_space", "action_space"):
        space = getattr(trial.env, name, None)
        if not isinstance(space, gym.Space):
            raise EnvFault(f"{name} is {brief(space)}; expected a gymnasium.Space")
        if space.shape is None or space.dtype is None:
            raise EnvFault(f"{name} is {space}; expected a single array or number: flatten it first")
        if 0 in space.shape:
            raise EnvFault(f"{name} has shape {space.shape}; expected at least one number")
        if isinstance(space, gym.spaces.Box):
            if np.isnan(space.low).any() or np.isnan(space.high).any():
                raise EnvFault(f"{name} has bounds that are NaN; expected numbers, or infinity for no bound")
            if not (space.low <= space.high).all():
                raise EnvFault(f"{name} has a lower bound above the upper one")
        if getattr(trial.other, name) != space:
            raise EnvFault(f"{name} differs from instance to instance; expected the same space in all of them")


def check_order(trial: Trial) -> None:
    """nothing can be done before the first reset"""
    try:
        trial.env.step(lent(trial.random_policy(0)(None)))
    except Exception:
        return
    raise EnvFault("it steps before its first reset; expected an exception: register it with order_enforce")


def check_form(trial: Trial) -> None:
    """what reset and step return has the form, dtype and bounds that the spaces say, and stays as it is"""
    for seed in SEEDS:
        policy = trial.linear_policy(seed) if seed == SEEDS[-1] else trial.random_policy(seed)
        trial.played.append(play(trial.env, seed, policy, EPISODE_STEPS, seconds=trial.seconds / len(SEEDS)))


def check_actions(trial: Trial) -> None:
    """every action of the space can be taken, those at its edges too"""
    space = trial.env.action_space
    edges: list[Any] = []
    if isinstance(space, gym.spaces.Discrete):
        numbers = range(int(space.n)) if space.n <= 64 else (0, int(space.n) - 1)
        edges = [space.start + space.dtype.type(number) for number in numbers]
    elif isinstance(space, gym.spaces.Box):
        edges = [bound for bound in (space.low, space.high) if np.isfinite(bound).all()]
    for action in edges:
        play(trial.env, 0, lambda obs, action=action: action, 3)


def check_repeats(trial: Trial) -> None:
    """an episode is a function of its seed and its actions, whatever was played before"""
    with _told_as("an episode played again after others goes another way: {}; expected reset to leave nothing behind"):
        for episode in reversed(trial.played):
            for _ in replay(trial.env, episode):
                pass
            # Some refuse to be stepped beyond an end, some warn, some go on: it is to have no consequences.
            with warnings.catch_warnings(), suppress(Exception):
                warnings.simplefilter("ignore")
                for action in episode.actions[:3]:
                    trial.env.step(lent(action))


def check_instances(trial: Trial) -> None:
    """another instance plays the same episode from the same seed, with others beside it"""
    with _told_as(
        "another instance plays an episode otherwise: {}; expected the seed alone to decide, and instances to share "
        "nothing"
    ):
        paces = [replay(trial.other, trial.played[0]), replay(trial.env, trial.played[1])]
        while paces:  # in turns, so that what they share shows
            paces = [pace for pace in paces if next(pace, "over") != "over"]


def check_ownership(trial: Trial) -> None:
    """what is written into a returned observation changes nothing in the environment"""
    with _told_as(
        "writing into the observations that it returned changes it: {}; expected each to be an array of its own: "
        "return a copy"
    ):
        for _ in replay(trial.env, trial.played[0], spoil=True):
            pass


def check_globals(trial: Trial) -> None:
    """the global random generators are not drawn from, nor seeded"""
    before = _global_states()
    play(trial.env, SEEDS[0], trial.random_policy(0), 60, seconds=trial.seconds / 4)
    play(trial.env, None, trial.random_policy(0), 60, seconds=trial.seconds / 4)
    for name, state in _global_states().items():
        if state != before.get(name, state):
            raise EnvFault(f"it draws from the global generator of {name}, or seeds it; expected self.np_random")


def check_seeds(trial: Trial) -> None:
    """seeds are heeded: where episodes differ at all, they differ from seed to seed"""
    actions = trial.played[0].actions[:20]

    def opening(seed: int | None) -> list[Any]:
        ahead = iter(actions)
        played = play(trial.env, seed, lambda obs: next(ahead), len(actions))
        return [np.asarray(part).tolist() for step in played.seen for part in step]

    seeded = [opening(seed) for seed in range(11, 15)]
    if all(one == seeded[0] for one in seeded):
        unseeded = [opening(None) for _ in range(4)]
        if any(one != seeded[0] for one in unseeded):
            raise EnvFault(
                "seeds 11 to 14 begin the same episode, and episodes without a seed differ; expected reset to call "
                "super().reset(seed=seed) and draw from self.np_random"
            )


def check_ends(trial: Trial) -> None:
    """episodes end; a time limit truncates them and does not terminate; the last observation is the episode's own"""
    budget, number, played = Budget(trial.seconds), 0, []
    steps = min(trial.limit or MAX_STEPS, MAX_STEPS)
    while number < 4 or budget.left() > 0:
        policy = trial.random_policy(number) if number % 8 == 0 else trial.linear_policy(number)
        left = max(budget.left(), trial.seconds / 4)
        if trial.limit is None and number == 0:
            left = 5 * trial.seconds  # to see whether there is an end at all
        episode = play(trial.env, 100 + number, policy, steps, seconds=left)
        number += 1
        if episode.ended:
            played.append(episode)
        elif len(episode.actions) == steps and steps == (trial.limit or MAX_STEPS):
            told = f"max_episode_steps {trial.limit} is registered" if trial.limit else "no limit is registered"
            raise EnvFault(
                f"an episode goes on after {steps:,} steps, and {told}; expected every episode to end: register it "
                "with max_episode_steps"
            )
    _check_time_limits(played)
    _check_last_observations(played)


CLAIMS: tuple[Callable[[Trial], None], ...] = (
    check_spaces,
    check_order,
    check_form,
    check_actions,
    check_repeats,
    check_instances,
    check_ownership,
    check_globals,
    check_seeds,
    check_ends,
)
"""In this order: each rests on those before it. The docstring is the claim."""


def check_env(env_id: str, env_args: dict[str, Any] | None = None) -> Iterator[str]:
    """Holds a registered environment against the claims, and yields each that it keeps.

    It takes about a second, more where a few hundred steps take longer than that.

    Raises:
        ValueError: one that it does not keep; the message says what is wrong and what was expected.
    """

    def make() -> gym.Env[Any, Any]:
        return gym.make(env_id, disable_env_checker=True, **(env_args or {}))

    of_random, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - they are what a claim is about
    try:
        trial = Trial(make)
        try:
            for claim in CLAIMS:
                claim(trial)
                yield (claim.__doc__ or "").strip()
        finally:
            trial.close()
    except EnvFault as fault:
        raise EnvFault(f"environment {env_id!r} cannot be trusted: {fault}") from fault
    finally:
        # Whoever else draws from them should not notice that there was a check.
        random.setstate(of_random)
        np.random.set_state(of_numpy)  # noqa: NPY002


def is_third_party(spec: EnvSpec) -> bool:
    """Whether an environment is neither ours nor one that comes with Gymnasium."""
    entry = spec.entry_point
    place = entry if isinstance(entry, str) else f"{getattr(entry, '__module__', '')}."
    return not place.startswith(TRUSTED)


def _check_time_limits(played: list[Played]) -> None:
    """Where many episodes reach one length, hardly any come near, none lasts longer, it is a limit of time."""
    lengths = [len(one.actions) for one in played]
    longest = max(lengths, default=0)
    at_longest = [one for one in played if len(one.actions) == longest and one.terminated]
    near = sum(longest - 3 <= length < longest for length in lengths)
    if len(at_longest) >= 4 and longest >= 10 and near < len(at_longest) / 2:
        raise EnvFault(
            f"{len(at_longest)} of {len(played)} episodes terminated at step {longest}, whatever was done, and none "
            "lasted longer; expected a time limit to set truncated and leave terminated False"
        )


def _check_last_observations(played: list[Played]) -> None:
    """An environment that resets itself at the end returns a start where the last observation belongs."""
    starts = np.array([np.ravel(one.seen[0][0]) for one in played])
    ends = [one for one in played if one.terminated and len(one.actions) > 1]
    if len(ends) < 4:
        return
    span = np.ptp(starts, axis=0)
    low, high = starts.min(0) - span / 4, starts.max(0) + span / 4  # not all starts have been seen

    def starting(back: int) -> float:
        """Share of the episodes whose observation from `back` before the end might be one of a start."""
        found = np.array([np.ravel(one.seen[-1 - back][0]) for one in ends])
        return float(((low <= found) & (found <= high)).all(1).mean())

    if starting(0) >= 0.9 and starting(1) <= 0.1:
        raise EnvFault(
            f"where {len(ends)} episodes terminate, the observation is one of a start; expected the episode's own last "
            "one, and the next episode to wait for reset"
        )


@contextmanager
def _told_as(text: str) -> Iterator[None]:
    try:
        yield
    except EnvFault as fault:
        raise EnvFault(text.format(fault)) from fault


def _global_states() -> dict[str, Any]:
    _, numbers, *rest = np.random.get_state()  # noqa: NPY002
    states: dict[str, Any] = {"random": random.getstate(), "numpy.random": (np.asarray(numbers).tobytes(), rest)}
    if "torch" in sys.modules:  # who has not imported it draws nothing from it
        states["torch"] = sys.modules["torch"].get_rng_state().numpy().tobytes()
    return states
