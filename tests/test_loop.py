"""The loop: which episodes are played, what stops it, and how it goes on from where it stood."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from agents.base import Fixed, Step
from envs.vector import make_vector
from eval.episodes import Episode
from eval.evaluation import play
from eval.loop import EVALUATION_SEED, EvaluationSeeds, Interaction, NonFiniteError, agent_seeds, training_seeds
from eval.tasks import describe_task
from tests.helpers import build_agent, flat_state


class Rule(Fixed):
    """An agent whose actions are a function of the observations alone."""

    def __init__(self, rule: Callable[[NDArray[Any]], NDArray[Any]]):
        self.rule = rule

    def act(self, obs: NDArray[Any], first: NDArray[np.bool_], *, explore: bool) -> NDArray[Any]:
        return self.rule(obs)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


LEANING = Rule(lambda obs: (obs[..., 2] > 0).astype(np.int64))
"""Pushes CartPole-v1 to the side that the pole falls to."""


def leaning_length(seed: int) -> int:
    """How long that lasts from a reset seed, in an environment alone."""
    env = gym.make("CartPole-v1")
    obs, _ = env.reset(seed=seed)
    for length in range(1, 501):
        obs, _, terminated, truncated, _ = env.step(int(obs[2] > 0))
        if terminated or truncated:
            return length
    raise AssertionError


def evaluated(episodes: int, seeds: int, envs: int) -> list[Episode]:
    venv = make_vector("CartPole-v1", seeds * envs)
    _, table = describe_task("CartPole-v1", venv)
    interaction = Interaction(venv, LEANING, seeds, EvaluationSeeds(episodes, seeds, envs), explore=False)
    played = list(play(interaction, table, 1.0, LEANING))
    venv.close()
    return played


@pytest.mark.parametrize(("episodes", "seeds", "envs"), [(7, 2, 3), (5, 1, 1), (2, 3, 4)])
def test_evaluation_plays_each_episode_once_from_its_own_seed(episodes: int, seeds: int, envs: int):
    played = evaluated(episodes, seeds, envs)
    expected = {EVALUATION_SEED + number: leaning_length(EVALUATION_SEED + number) for number in range(episodes)}
    for seed in range(seeds):
        mine = [(e.info["reset_seed"], e.length) for e in played if e.seed == seed]
        assert sorted(mine) == sorted(expected.items())
    assert len(played) == episodes * seeds


def test_evaluation_seeds_start_at_ten_million():
    assert EVALUATION_SEED == 10_000_000
    seeds = EvaluationSeeds(2, 1, 3)
    assert [seeds(column, 0) for column in (2, 0, 1)] == [10_000_000, 10_000_001, None]


def test_an_evaluation_of_nothing_is_refused():
    venv = make_vector("CartPole-v1", 2)
    with pytest.raises(ValueError, match="no episode to run; expected at least 1"):
        next(iter(Interaction(venv, LEANING, 2, EvaluationSeeds(0, 2, 1), explore=False)))
    venv.close()


def trained_on(seeds: int, envs: int = 2) -> list[set[int]]:
    """The reset seeds of each seed's episodes in 60 steps of training."""
    venv = make_vector("CartPole-v1", seeds * envs)
    interaction = Interaction(venv, LEANING, seeds, training_seeds(3, envs), explore=True)
    found: list[set[int]] = [set() for _ in range(seeds)]
    for step in islice(interaction, 60):
        for seed in range(seeds):
            found[seed] |= set(step.reset_info["reset_seed"].reshape(seeds, envs)[seed].tolist())
    venv.close()
    return found


def test_a_seeds_training_episodes_do_not_depend_on_how_many_seeds_run():
    one, three = trained_on(1), trained_on(3)
    assert len(one[0]) >= 4
    assert one[0] == three[0]
    assert not three[0] & three[1] and not three[1] & three[2]


def test_reset_seeds_come_from_run_seed_column_and_episode():
    seed_of = training_seeds(5, envs=2)
    drawn = [seed_of(column, episode) for column in range(6) for episode in range(50)]
    assert len(set(drawn)) == len(drawn)
    assert seed_of(3, 7) == training_seeds(5, envs=2)(3, 7)
    assert seed_of(3, 7) != training_seeds(6, envs=2)(3, 7)
    key = (1, 1, 1, 7)  # the episodes' stream, seed 1, its column 1, episode 7
    assert seed_of(3, 7) == np.random.SeedSequence(5, spawn_key=key).generate_state(1)[0]


def test_agents_draw_alike_however_many_seeds_run():
    draws = [[one.generate_state(2).tolist() for one in agent_seeds(7, seeds)] for seeds in (2, 4)]
    assert draws[0] == draws[1][:2] and draws[1][2] != draws[1][3]


class Scripted:
    """A vector environment of 2 x 3 columns whose arrays a test may spoil at a step; column c ends at step 3 + c."""

    num_envs = 6
    single_action_space = gym.spaces.Box(-9, 9, (2,), np.float32)

    def __init__(self, spoil: Callable[[int, str, NDArray[Any]], None] = lambda step, what, values: None):
        self.spoil, self.steps, self.sent = spoil, 0, []
        self.resets: list[tuple[int, NDArray[np.bool_], list[int | None]]] = []

    def _given(self, what: str, values: NDArray[Any]) -> NDArray[Any]:
        self.spoil(self.steps, what, values)
        return values

    def reset(self, *, seed: list[int | None], options: dict[str, Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        mask = options["reset_mask"]
        self.resets.append((self.steps, mask.copy(), list(seed)))
        return self._given("reset", np.full((6, 2), 100.0 + self.steps)), {}

    def step_async(self, actions: NDArray[Any]) -> None:
        self.sent.append(actions.copy())

    def step_wait(self) -> tuple[Any, ...]:
        self.steps += 1
        obs = self._given("obs", np.full((6, 2), float(self.steps)))
        reward = self._given("reward", np.ones(6))
        ended = self.steps == 3 + np.arange(6)
        return obs, reward, ended, np.zeros(6, bool), {}


def loop(venv: Scripted, agent: Any = None, **options: Any) -> Interaction:
    agent = agent or Rule(lambda obs: np.zeros(obs.shape[:2]))
    options = {"episode_seed": training_seeds(0, 3), "explore": True, **options}
    return Interaction(cast(VectorEnv, venv), agent, 2, **options)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("what", "told"), [("obs", "observation"), ("reward", "reward")])
def test_what_is_not_finite_stops_the_loop_on_that_step(what: str, told: str, value: float):
    def spoil(step: int, part: str, values: NDArray[Any]) -> None:
        if part == what and step == 2:
            values[4] = value

    steps, venv = [], Scripted(spoil)
    with pytest.raises(NonFiniteError, match=rf"^{told} of seed 1, column 1 is not finite; .* the environment"):
        for step in islice(loop(venv), 20):
            steps.append(step)
    assert len(steps) == 1 and venv.steps == 2


def test_a_reset_that_is_not_finite_stops_the_loop():
    def spoil(step: int, part: str, values: NDArray[Any]) -> None:
        if part == "reset" and step == 3:
            values[0] = np.nan

    steps: list[Step] = []
    with pytest.raises(NonFiniteError, match=r"^observation after a reset of seed 0, column 0 is not finite"):
        steps.extend(islice(loop(Scripted(spoil)), 20))
    assert len(steps) == 2


def test_an_action_that_is_not_finite_is_never_sent():
    def rule(obs: NDArray[Any]) -> NDArray[Any]:
        action = np.zeros((*obs.shape[:2], 2), np.float32)
        if obs[0, 0, 0] == 2:  # what the second step led to
            action[1, 2, 1] = np.nan
        return action

    venv, steps = Scripted(), []
    with pytest.raises(NonFiniteError, match=r"^action of seed 1, column 2 is not finite; it came from the agent"):
        for step in islice(loop(venv, Rule(rule)), 20):
            steps.append(step)
    assert len(steps) == 2 and len(venv.sent) == 2
    assert all(np.isfinite(actions).all() and actions.shape == (6, 2) for actions in venv.sent)


def test_learning_happens_once_per_step_while_the_environments_step():
    calls: list[tuple[int, int]] = []
    venv = Scripted()
    interaction = loop(venv, meanwhile=lambda: calls.append((len(venv.sent), venv.steps)))
    for count, _ in enumerate(islice(interaction, 9), 1):
        assert len(calls) == count
    # At each call the actions were sent and the step was not yet waited for.
    assert calls == [(number + 1, number) for number in range(9)]


def test_an_agent_that_learns_before_acting_learns_once_per_step_and_then():
    class Beforehand(Rule):
        learns_before_acting = True

    told: list[str] = []
    venv = Scripted()
    agent = Beforehand(lambda obs: (told.append(f"act {venv.steps}"), np.zeros(obs.shape[:2]))[1])
    interaction = loop(venv, agent, meanwhile=lambda: told.append(f"learn {venv.steps}"))
    list(islice(interaction, 3))
    assert told == ["learn 0", "act 0", "learn 1", "act 1", "learn 2", "act 2"]


def test_a_step_shows_the_true_last_observation_and_the_next_its_own_start():
    venv = Scripted()
    steps = list(islice(loop(venv), 5))
    assert steps[0].first.all() and (steps[0].obs == 100).all()
    assert steps[2].terminated[0, 0] and steps[2].terminated.sum() == 1
    assert (steps[2].next_obs == 3).all()  # what the action led to, in the ended column too
    assert (steps[3].obs[0, 0] == 103).all()  # what its reset led to
    assert steps[3].first.tolist() == [[True, False, False], [False, False, False]]
    assert [step.reward.shape for step in steps] == [(2, 3)] * 5


def test_only_columns_that_ended_are_reset_each_with_its_next_seed():
    venv, seeds = Scripted(), training_seeds(0, 3)
    steps = list(islice(loop(venv), 4))
    (at_start, everything, first), (at_end, one, second), *_ = venv.resets
    assert (at_start, at_end) == (0, 3) and everything.all() and one.tolist() == [True] + [False] * 5
    assert first == [seeds(column, 0) for column in range(6)]
    assert second[0] == seeds(0, 1)
    assert steps[2].reset_info["reset_seed"].tolist() == first
    assert steps[3].reset_info["reset_seed"].tolist() == [second[0], *first[1:]]


def test_columns_are_shared_out_evenly():
    with pytest.raises(ValueError, match="6 columns cannot be shared by 4 seeds"):
        Interaction(cast(VectorEnv, Scripted()), LEANING, 4, training_seeds(0, 1), explore=True)


def record(steps: Iterator[Step], count: int) -> list[list[np.ndarray]]:
    """All arrays of the next steps."""
    names = ("obs", "action", "reward", "terminated", "truncated", "next_obs", "first", "running")
    return [[getattr(s, name).copy() for name in names] + [s.reset_info["reset_seed"]] for s in islice(steps, count)]


@pytest.mark.parametrize("cut", [1, 20, 75])
def test_an_interaction_restored_in_mid_episode_goes_on_to_the_bit(cut: int):
    def begin() -> tuple[Any, Interaction, Any]:
        venv = make_vector("CartPole-v1", 6)
        task, _ = describe_task("CartPole-v1", venv)
        agent = build_agent("random", task, 2)
        return venv, Interaction(venv, agent, 2, training_seeds(4, 3), explore=True), agent

    venv, whole, agent = begin()
    steps = iter(whole)
    record(steps, cut)
    states = whole.state_dict(), agent.state_dict()
    kept = {name: value.copy() for name, value in flat_state(states[0]).items()}
    fresh_venv, fresh, fresh_agent = begin()
    fresh.load_state_dict(states[0])
    fresh_agent.load_state_dict(states[1])
    expected, found = record(steps, 80), record(iter(fresh), 80)
    assert sum(step[3].sum() for step in expected) > 10  # episodes ended and began again
    for one, two in zip(expected, found, strict=True):
        for a, b in zip(one, two, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    for name, value in flat_state(states[0]).items():  # going on wrote nothing into what was saved
        np.testing.assert_array_equal(value, kept[name])
    np.testing.assert_array_equal(whole.episodes, fresh.episodes)
    venv.close()
    fresh_venv.close()
