"""Bandits: their environments, the rules that play them, and the theory of regret."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from scipy import stats

import envs  # noqa: F401 - registers
from agents.bandits import (
    Bandit,
    EpsilonGreedyConfig,
    GreedyConfig,
    ThompsonConfig,
    UCBConfig,
    best_arm,
    beta_posterior,
    check_task,
    epsilon_greedy,
    gaussian_posterior,
    sample_beta,
    sample_gamma,
    thompson_scores,
    updated,
    upper_bounds,
)
from agents.base import Step, Task
from agents.streams import SeedStreams
from envs.bandits import BanditVectorEnv, BernoulliBanditVectorEnv, GaussianBanditVectorEnv
from eval.regret import bernoulli_divergence, fit_growth, gaussian_divergence, lai_robbins_bound, lai_robbins_slope
from tests.helpers import CPU, flat_state, make_step, seeds_of

IDS = ("BernoulliBandit-v0", "GaussianBandit-v0")
RULES = (GreedyConfig(), EpsilonGreedyConfig(), UCBConfig(), ThompsonConfig(), ThompsonConfig(posterior="gaussian"))


def streams(count: int) -> SeedStreams:
    return SeedStreams(seeds_of(count), CPU)


def bandit_task(arms: int = 4, columns: int = 1) -> Task:
    return Task(observation_space=gym.spaces.Discrete(1), action_space=gym.spaces.Discrete(arms), envs=columns)


def play(bandit: BanditVectorEnv, agent: Bandit, seeds: int, steps: int, seed: int = 0) -> np.ndarray:
    """Lets an agent of S seeds play; returns the arms pulled, [steps, N]."""
    obs, _ = bandit.reset(seed=seed)
    first = np.ones((seeds, bandit.num_envs // seeds), bool)
    pulled = []
    for _ in range(steps):
        action = agent.act(obs.reshape(first.shape), first, explore=True)
        next_obs, reward, *_ = bandit.step(action.reshape(-1))
        agent.observe(
            make_step(obs.reshape(first.shape), action, reward.reshape(first.shape), next_obs.reshape(first.shape))
        )
        first = np.zeros_like(first)
        pulled.append(action.reshape(-1))
    return np.array(pulled)


# Environments


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("config", [{}, {"arms": 3, "drift": 0.05}])
def test_a_column_is_the_scalar_environment_to_the_bit(env_id: str, config: dict[str, Any]):
    config = {"horizon": 60, **config}
    many = gym.make_vec(env_id, num_envs=4, **config)
    alone = [gym.make(env_id, **config) for _ in range(4)]
    seeds = [3, 141, 59, 26]
    _, info = many.reset(seed=seeds)  # pyright: ignore[reportArgumentType]
    arms = many.single_action_space.n  # pyright: ignore[reportAttributeAccessIssue]
    for column, env in enumerate(alone):
        _, one = env.reset(seed=seeds[column])
        np.testing.assert_array_equal(one["arm_means"], info["arm_means"][column])
    rng = np.random.default_rng(0)
    for step in range(60):
        actions = rng.integers(arms, size=4)
        obs, reward, terminated, truncated, info = many.step(actions)
        for column, env in enumerate(alone):
            one = env.step(actions[column])
            assert one[:4] == (obs[column], reward[column], terminated[column], truncated[column])
            if step == 59:
                assert one[4] == {key: info[key][column] for key in ("regret", "optimal_share")}


@pytest.mark.parametrize("env_id", IDS)
def test_state_dict_resumes_to_the_bit(env_id: str):
    whole, half = (gym.make_vec(env_id, num_envs=3, drift=0.1, horizon=40) for _ in range(2))
    actions = np.random.default_rng(0).integers(10, size=(40, 3))
    whole.reset(seed=0)
    for row in actions[:15]:
        whole.step(row)
    half.reset(seed=77)
    half.load_state_dict(whole.state_dict())  # pyright: ignore[reportAttributeAccessIssue]
    for row in actions[15:]:
        expected, found = whole.step(row), half.step(row)
        np.testing.assert_array_equal(found[1], expected[1])
    assert set(expected[4]) == {"regret", "_regret", "optimal_share", "_optimal_share"}
    for key, value in expected[4].items():
        np.testing.assert_array_equal(found[4][key], value)


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.filterwarnings("ignore")
def test_gymnasiums_checker_accepts_it(env_id: str):
    check_env(gym.make(env_id).unwrapped)


@pytest.mark.parametrize("env_id", IDS)
def test_arms_are_named_and_as_many_as_asked(env_id: str):
    for env in (gym.make(env_id, arms=3), gym.make_vec(env_id, num_envs=2, arms=3)):
        assert env.metadata["action_names"] == ("arm 0", "arm 1", "arm 2")
    assert gym.make(env_id).action_space == gym.spaces.Discrete(10)
    assert gym.make("BernoulliBandit-v0", probabilities=[0.5, 0.1]).action_space == gym.spaces.Discrete(2)


def test_means_are_drawn_anew_from_each_seed():
    gaussian, bernoulli = GaussianBanditVectorEnv(5_000, arms=2), BernoulliBanditVectorEnv(5_000, arms=2)
    for env, law in ((gaussian, stats.norm), (bernoulli, stats.uniform)):
        _, info = env.reset(seed=0)
        assert stats.kstest(info["arm_means"].reshape(-1), law.cdf).pvalue > 1e-3
        before = env.arm_means.copy()
        env.reset(seed=5_000)
        assert (env.arm_means != before).all()
        env.reset(seed=0)
        np.testing.assert_array_equal(env.arm_means, before)


def test_rewards_have_the_arms_means_and_unit_variance():
    n = 40_000
    gaussian, bernoulli = (
        GaussianBanditVectorEnv(n, means=[1.5, -2.0]),
        BernoulliBanditVectorEnv(n, probabilities=[0.3, 1]),
    )
    gaussian.reset(seed=1)
    bernoulli.reset(seed=1)
    reward = gaussian.step(np.ones(n, int))[1]
    assert stats.kstest(reward + 2.0, stats.norm.cdf).pvalue > 1e-3
    again = gaussian.step(np.ones(n, int))[1]
    assert abs(np.corrcoef(reward, again)[0, 1]) < 0.02
    paid = bernoulli.step(np.zeros(n, int))[1]
    assert set(paid) == {0.0, 1.0} and paid.mean() == pytest.approx(0.3, abs=0.01)
    assert bernoulli.step(np.ones(n, int))[1].min() == 1.0


def test_regret_and_optimal_share_by_hand():
    env = gym.make("BernoulliBandit-v0", probabilities=[0.9, 0.4, 0.9, 0.0], horizon=4)
    env.reset(seed=0)
    for arm in (1, 3, 2):
        assert env.step(arm)[4] == {}
    _, _, terminated, truncated, info = env.step(0)
    assert (terminated, truncated) == (False, True)
    assert info["regret"] == pytest.approx(0.5 + 0.9)
    assert info["optimal_share"] == 0.5  # two equal arms are both the best


def test_drift_is_a_random_walk_that_keeps_probabilities():
    gaussian, bernoulli = (
        GaussianBanditVectorEnv(5_000, means=[0.0, 1.0], drift=0.2),
        BernoulliBanditVectorEnv(500, drift=0.8),
    )
    gaussian.reset(seed=0)
    bernoulli.reset(seed=0)
    for _ in range(25):
        gaussian.step(np.zeros(5_000, int))
        bernoulli.step(np.zeros(500, int))
    np.testing.assert_allclose(gaussian.arm_means.mean(0), [0.0, 1.0], atol=0.06)
    np.testing.assert_allclose(gaussian.arm_means.std(0), 1.0, atol=0.05)  # 0.2 * sqrt(25)
    np.testing.assert_array_equal(gaussian.best_means, gaussian.arm_means.max(1))
    assert bernoulli.arm_means.min() >= 0 and bernoulli.arm_means.max() <= 1
    assert bernoulli.arm_means.std() == pytest.approx(12**-0.5, abs=0.02)  # nothing sticks to the ends


def test_drift_leaves_columns_that_ended_alone():
    env = GaussianBanditVectorEnv(2, drift=1.0, horizon=1)
    env.reset(seed=0)
    env.step(np.array([0, 0]))
    env.reset(seed=[None, 1], options={"reset_mask": np.array([False, True])})
    before = env.arm_means.copy()
    env.step(np.array([0, 0]))
    assert (env.arm_means[0] == before[0]).all() and (env.arm_means[1] != before[1]).all()


@pytest.mark.parametrize(
    ("env_id", "config", "message"),
    [
        ("BernoulliBandit-v0", {"arms": 0}, "arms is 0; expected"),
        ("BernoulliBandit-v0", {"arms": 2.5}, "arms is 2.5; expected"),
        ("BernoulliBandit-v0", {"probabilities": []}, "probabilities has 0 entries; expected"),
        ("BernoulliBandit-v0", {"probabilities": [0.2, 1.2]}, r"probabilities\[1\] is 1.2; expected"),
        ("BernoulliBandit-v0", {"probabilities": np.array([-0.1])}, r"probabilities\[0\] is -0.1; expected"),
        ("BernoulliBandit-v0", {"probabilities": [math.nan]}, r"probabilities\[0\] is nan; expected"),
        ("BernoulliBandit-v0", {"probabilities": ["a"]}, r"probabilities\[0\] is 'a'; expected"),
        ("BernoulliBandit-v0", {"probabilities": [[0.1]]}, r"probabilities\[0\] is \[0.1\]; expected"),
        ("BernoulliBandit-v0", {"probabilities": 0.5}, "probabilities is 0.5; expected"),
        ("BernoulliBandit-v0", {"probabilities": "0.5"}, "probabilities is '0.5'; expected"),
        ("BernoulliBandit-v0", {"arms": 3, "probabilities": [0.1, 0.2]}, "arms is 3 and probabilities has 2 entries"),
        ("BernoulliBandit-v0", {"drift": -0.1}, "drift is -0.1; expected"),
        ("BernoulliBandit-v0", {"horizon": 0}, "horizon is 0; expected"),
        ("GaussianBandit-v0", {"means": [math.inf]}, r"means\[0\] is inf; expected"),
        ("GaussianBandit-v0", {"means": [0.0, math.nan]}, r"means\[1\] is nan; expected"),
        ("GaussianBandit-v0", {"arms": 1, "means": [1.0, 2.0]}, "arms is 1 and means has 2 entries"),
        ("GaussianBandit-v0", {"drift": math.nan}, "drift is nan; expected"),
    ],
)
def test_bad_bandits_are_refused_in_one_line(env_id: str, config: dict[str, Any], message: str):
    for make in (gym.make, lambda *args, **kwargs: gym.make_vec(*args, num_envs=2, **kwargs)):
        with pytest.raises(ValueError, match=rf"^{message}[^\n]*$"):
            make(env_id, **config)


def test_bad_actions_are_refused():
    env = gym.make("GaussianBandit-v0", arms=2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="expected a member"):
        env.step(2)
    many = GaussianBanditVectorEnv(2, arms=2)
    many.reset(seed=0)
    with pytest.raises(ValueError, match="action of column 1 is 2; expected 0 to 1"):
        many.step(np.array([1, 2]))


# Rules


def test_values_are_means_or_recent_means():
    counts, values = torch.zeros(2, 1, 3, dtype=torch.float64), torch.zeros(2, 1, 3, dtype=torch.float64)
    for arm, reward in (([[1], [0]], [[4.0], [1.0]]), ([[1], [2]], [[1.0], [7.0]]), ([[1], [0]], [[4.0], [2.0]])):
        counts, values = updated(counts, values, torch.tensor(arm), torch.tensor(reward, dtype=torch.float64), 0.0)
    assert counts.tolist() == [[[0, 3, 0]], [[2, 0, 1]]]
    assert values.tolist() == [[[0, 3, 0]], [[1.5, 0, 7]]]
    _, values = updated(counts, values, torch.tensor([[1], [0]]), torch.tensor([[5.0], [0.0]]).double(), 0.1)
    np.testing.assert_allclose(values, [[[0, 3.2, 0]], [[1.35, 0, 7]]])


def test_upper_bounds_by_hand_and_untried_arms_first():
    counts = torch.tensor([[[4.0, 1.0, 0.0]], [[1.0, 1.0, 1.0]]])
    values = torch.tensor([[[1.0, 0.5, -9.0]], [[0.0, 0.0, 0.0]]])
    bounds = upper_bounds(counts, values, c=2.0)
    # The sixth pull: 1 + 2 sqrt(ln 6 / 4) = 2.3386, 0.5 + 2 sqrt(ln 6) = 3.1771.
    np.testing.assert_allclose(bounds[0, 0], [2.3386, 3.1771, np.inf], atol=1e-4)
    np.testing.assert_allclose(bounds[1, 0], [2 * math.sqrt(math.log(4))] * 3, rtol=1e-6)
    assert best_arm(bounds[:1], streams(1)).item() == 2


def test_posteriors_by_hand():
    counts, values = torch.tensor([[[3.0, 0.0]]]), torch.tensor([[[2.0, 0.0]]])
    mean, variance = gaussian_posterior(counts, values, prior_mean=1.0, prior_variance=0.5)
    # Precision 2 + 3; mean (2 x 1 + 3 x 2) / 5.
    np.testing.assert_allclose(mean, [[[1.6, 1.0]]])
    np.testing.assert_allclose(variance, [[[0.2, 0.5]]])
    a, b = beta_posterior(torch.tensor([[[4.0, 0.0]]]), torch.tensor([[[0.75, 0.0]]]), 1.0, 2.0)
    assert a.tolist() == [[[4.0, 1.0]]] and b.tolist() == [[[3.0, 2.0]]]


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (4.0, 3.0), (2001.0, 11.0)])
def test_beta_draws_are_beta_distributed(a: float, b: float):
    size = (2, 1, 5_000)
    wanted = torch.ones(size, dtype=torch.bool)
    drawn = sample_beta(torch.full(size, a).double(), torch.full(size, b).double(), wanted, streams(2))
    assert stats.kstest(drawn.reshape(-1), stats.beta(a, b).cdf).pvalue > 1e-3


def test_gamma_draws_are_gamma_distributed():
    size = (2, 5_000)
    drawn = sample_gamma(torch.full(size, 2.5).double(), torch.ones(size, dtype=torch.bool), streams(2))
    assert stats.kstest(drawn.reshape(-1), stats.gamma(2.5).cdf).pvalue > 1e-3


def test_thompson_scores_are_draws_from_each_columns_posterior():
    arms = 4_000
    counts, values = torch.full((2, 1, arms), 8.0).double(), torch.full((2, 1, arms), 0.25).double()
    binary = torch.tensor([[True], [False]])
    scores = thompson_scores(counts, values, binary, ThompsonConfig(), streams(2))
    assert stats.kstest(scores[0, 0], stats.beta(3, 7).cdf).pvalue > 1e-3
    assert stats.kstest(scores[1, 0], stats.norm(2 / 9, 1 / 3).cdf).pvalue > 1e-3


def test_ties_are_broken_at_random():
    scores = torch.tensor([1.0, 3.0, 3.0, -torch.inf]).expand(6_000, 1, 4)
    counts = torch.bincount(best_arm(scores, streams(6_000)).reshape(-1), minlength=4)
    assert counts[0] == counts[3] == 0
    assert abs(counts[1] - 3_000) < 200


def test_epsilon_is_the_share_of_random_arms():
    values = torch.tensor([0.0, 1.0, 0.0, 0.0]).expand(20_000, 1, 4)
    chosen = epsilon_greedy(values, 0.4, streams(20_000))
    assert (chosen == 1).double().mean() == pytest.approx(0.7, abs=0.015)


# Agents


@pytest.mark.parametrize("config", RULES, ids=lambda config: type(config).__name__)
def test_seeds_never_mix(config: Any):
    """Other rewards for seed 0, of another kind even, and seed 1's arms and tables stay the same to the bit."""
    histories, states = [], []
    for spoil in (False, True):
        agent = Bandit(config, bandit_task(columns=3), seeds_of(2), CPU)
        rng = np.random.default_rng(0)
        actions = []
        zeros, first = np.zeros((2, 3), int), np.ones((2, 3), bool)
        for _ in range(60):
            action = agent.act(zeros, first, explore=True)
            reward = (rng.random((2, 3)) < 0.5).astype(float)
            if spoil:
                reward[0] = rng.permutation(reward[0]) * 1.7
            else:
                rng.permutation(reward[0])
            agent.observe(make_step(zeros, action, reward, zeros))
            first = np.zeros_like(first)
            actions.append(action)
        histories.append(np.array(actions))
        states.append(flat_state({key: value for key, value in agent.state_dict().items() if key != "streams"}))
    np.testing.assert_array_equal(histories[0][:, 1], histories[1][:, 1])
    assert (histories[0][:, 0] != histories[1][:, 0]).any()
    for key, value in states[0].items():
        if value.ndim:
            np.testing.assert_array_equal(value[1], states[1][key][1], err_msg=key)


@pytest.mark.parametrize("config", RULES, ids=lambda config: type(config).__name__)
def test_a_seed_alone_pulls_the_arms_that_it_pulls_among_others(config: Any):
    arms = []
    for seeds in (1, 3):
        agent = Bandit(config, bandit_task(columns=2), seeds_of(seeds), CPU)
        arms.append(play(BernoulliBanditVectorEnv(2 * seeds, arms=4), agent, seeds, 80)[:, :2])
    np.testing.assert_array_equal(arms[0], arms[1])


@pytest.mark.parametrize("config", RULES, ids=lambda config: type(config).__name__)
def test_a_restored_agent_goes_on_to_the_bit(config: Any):
    def fresh() -> Bandit:
        return Bandit(config, bandit_task(), seeds_of(3), CPU)

    whole, other = fresh(), fresh()
    play(GaussianBanditVectorEnv(3, arms=4), whole, 3, 25)
    other.load_state_dict(whole.state_dict())
    no = np.zeros((3, 1), bool)
    for step in range(25):
        expected, found = (agent.act(np.zeros((3, 1), int), no, explore=True) for agent in (whole, other))
        np.testing.assert_array_equal(found, expected)
        for agent in (whole, other):
            agent.observe(make_step(no, expected, np.cos(expected + step), no))
    for key, value in flat_state(whole.state_dict()).items():
        np.testing.assert_array_equal(flat_state(other.state_dict())[key], value)


def test_a_new_episode_knows_nothing_unless_told_to_go_on():
    for forget in (True, False):
        agent = Bandit(GreedyConfig(forget=forget), bandit_task(columns=2), seeds_of(1), CPU)
        play(GaussianBanditVectorEnv(2, arms=4), agent, 1, 10)
        agent.act(np.zeros((1, 2), int), np.array([[True, False]]), explore=True)
        assert agent.counts.sum(-1).tolist() == [[0.0 if forget else 10.0, 10.0]]


def test_columns_that_take_no_part_learn_nothing():
    agent = Bandit(GreedyConfig(), bandit_task(columns=2), seeds_of(1), CPU)
    step = make_step([[0, 0]], [[1, 1]], [[2.0, 2.0]], [[0, 0]])
    agent.observe(Step(**{**step.__dict__, "running": np.array([[True, False]])}))
    assert agent.counts[0].tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]


def test_without_exploring_each_seed_pulls_the_arm_that_its_columns_know_as_the_best():
    agent = Bandit(UCBConfig(), bandit_task(columns=2), seeds_of(2), CPU)
    zeros = np.zeros((2, 2), int)
    agent.observe(make_step(zeros, [[1, 2], [3, 3]], [[1.0, 2.0], [-1.0, -1.0]], zeros))
    before = flat_state(agent.state_dict())
    # The number of columns is free, and nothing is forgotten or drawn.
    assert agent.act(np.zeros((2, 3), int), np.ones((2, 3), bool), explore=False).tolist() == [[2] * 3, [3] * 3]
    for key, value in flat_state(agent.state_dict()).items():
        np.testing.assert_array_equal(value, before[key])


def test_thompson_refuses_other_rewards_than_0_and_1_for_a_beta_posterior():
    agent = Bandit(ThompsonConfig(posterior="beta"), bandit_task(), seeds_of(1), CPU)
    with pytest.raises(ValueError, match=r"reward is 0.5; posterior 'beta' expects 0 and 1"):
        agent.observe(make_step([[0]], [[1]], [[0.5]], [[0]]))


def test_metrics_are_rewards_and_best_values_of_each_seed():
    agent = Bandit(GreedyConfig(), bandit_task(columns=2), seeds_of(2), CPU)
    zeros = np.zeros((2, 2), int)
    agent.observe(make_step(zeros, zeros, [[1.0, 3.0], [-1.0, 0.5]], zeros))
    figures = agent.metrics()
    assert set(figures) == set(agent.metric_names)
    assert figures["reward"].tolist() == [2.0, -0.25] and figures["best_value"].tolist() == [2.0, 0.25]
    assert agent.metrics() == {}


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        (EpsilonGreedyConfig, {"epsilon": 1.2}),
        (EpsilonGreedyConfig, {"epsilon": math.nan}),
        (GreedyConfig, {"step_size": -0.1}),
        (UCBConfig, {"c": -1.0}),
        (ThompsonConfig, {"prior_variance": 0.0}),
        (ThompsonConfig, {"prior_successes": 0.5}),
        (ThompsonConfig, {"posterior": "cauchy"}),
    ],
)
def test_bad_settings_are_refused_in_one_line(config: Any, fields: dict[str, Any]):
    with pytest.raises(ValueError, match=rf"^{next(iter(fields))} is [^\n]*; expected [^\n]*$"):
        config(**fields)


def test_only_bandits_are_accepted():
    check_task(bandit_task())
    for observation, action in (
        (gym.spaces.Discrete(2), gym.spaces.Discrete(2)),
        (gym.spaces.Discrete(1), gym.spaces.Box(0, 1)),
    ):
        with pytest.raises(ValueError, match=r"^[^\n]*expected Discrete[^\n]*$"):
            check_task(Task(observation_space=observation, action_space=action))


def test_the_ten_armed_testbed_ranks_the_rules_as_the_book_does():
    """Figures 2.2 and 2.4 after 400 steps: greedy is stuck, epsilon 0.1 explores, UCB and Thompson are better still."""
    runs, steps = 500, 400
    shares = []
    for config in (GreedyConfig(), EpsilonGreedyConfig(), UCBConfig(), ThompsonConfig()):
        bandit = GaussianBanditVectorEnv(runs)
        arms = play(bandit, Bandit(config, bandit_task(10), seeds_of(runs), CPU), runs, steps)
        shares.append((arms[-50:] == bandit.arm_means.argmax(1)).mean())
    greedy, epsilon, ucb, thompson = shares
    assert 0.28 < greedy < 0.43
    assert 0.65 < epsilon < 0.8
    assert epsilon < ucb < thompson
    assert thompson > 0.85


# Theory


def test_the_lai_robbins_bound_by_hand():
    # KL(0.25, 0.5) = 0.25 ln 0.5 + 0.75 ln 1.5 = 0.130812; 0.25 / that = 1.91114.
    assert bernoulli_divergence(np.array(0.25), np.array(0.5)) == pytest.approx(0.130812, abs=1e-6)
    assert lai_robbins_slope(np.array([0.5, 0.25, 0.5]), bernoulli=True) == pytest.approx(1.91114, abs=1e-5)
    # For unit variance KL is half the squared gap, so the slope is 2 / gap.
    assert gaussian_divergence(np.array(1.0), np.array(3.0)) == 2.0
    slopes = lai_robbins_slope(np.array([[0.0, 1.0, 0.5], [2.0, 2.0, 2.0]]), bernoulli=False)
    np.testing.assert_allclose(slopes, [2.0 + 4.0, 0.0])
    bound = lai_robbins_bound(np.array([0.0, 1.0]), np.array([1.0, math.e, math.e**2]), bernoulli=False)
    np.testing.assert_allclose(bound, [0.0, 2.0, 4.0])


def test_a_certain_arm_is_told_apart_at_once():
    assert lai_robbins_slope(np.array([1.0, 0.5, 0.0]), bernoulli=True) == 0.0
    assert bernoulli_divergence(np.array(0.0), np.array(0.5)) == pytest.approx(math.log(2))


def test_bad_means_have_no_bound():
    for means in ([], [math.nan], [1.2]):
        with pytest.raises(ValueError, match=r"^means [^\n]*expected"):
            lai_robbins_slope(np.array(means), bernoulli=True)


def test_fits_tell_logarithmic_from_linear_growth():
    steps = np.arange(1, 1001)
    log, linear = fit_growth(steps, 3 * np.log(steps) + 1), fit_growth(steps, 0.5 * steps)
    assert log["log"].slope == pytest.approx(3) and log["log"].r_squared == pytest.approx(1)
    assert log["linear"].r_squared < 0.8
    assert linear["linear"].slope == pytest.approx(0.5) and linear["linear"].intercept == pytest.approx(0, abs=1e-9)
    assert linear["log"].r_squared < 0.8
    with pytest.raises(ValueError, match="at least 3 points"):
        fit_growth(steps[:2], steps[:2])


def test_thompson_regret_is_logarithmic_and_greedy_regret_linear():
    runs, horizon, chances = 150, 3_000, np.array([0.7, 0.5, 0.3])
    steps = np.arange(100, horizon + 1)
    for config, kind in ((ThompsonConfig(), "log"), (GreedyConfig(), "linear")):
        bandit = BernoulliBanditVectorEnv(runs, probabilities=chances, horizon=horizon)
        arms = play(bandit, Bandit(config, bandit_task(3), seeds_of(runs), CPU), runs, horizon)
        regret = (0.7 - chances[arms]).mean(1).cumsum()[99:]
        fits = fit_growth(steps, regret)
        assert max(fits, key=lambda name: fits[name].r_squared) == kind
