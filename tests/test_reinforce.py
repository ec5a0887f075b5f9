"""REINFORCE's rule by hand-worked numbers, which episodes it learns from, and that it learns."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.base import Task
from agents.networks import Params, blend, clone
from agents.reinforce import Reinforce, ReinforceConfig, advantages, check_task, divergence, policy_loss, standardised
from agents.rollouts import EpisodeMemory
from envs.vector import make_vector
from eval.evaluation import play
from eval.loop import EvaluationSeeds, Interaction, training_seeds
from eval.tasks import describe_task
from tests.helpers import CPU, build_agent, control_task, make_step, seeds_of, vector_task

REWARD = torch.tensor([[1.0, 8.0], [2.0, 16.0], [4.0, 0.0]])  # [T=3, M=2]; the second episode has two steps
LENGTH = torch.tensor([3, 2])


def build(task: Task, seeds: int = 1, **fields: Any) -> Reinforce:
    agent = build_agent("reinforce", task, seeds, **fields)
    assert isinstance(agent, Reinforce)
    return agent


def test_returns_are_of_what_came_after_a_step_only():
    nothing = torch.zeros_like(REWARD)
    found = advantages(REWARD, nothing, torch.zeros(2), LENGTH, gamma=0.5)
    assert found.tolist() == [[3.0, 16.0], [4.0, 16.0], [4.0, 0.0]]


def test_what_follows_a_time_limit_counts_and_what_follows_a_termination_does_not():
    nothing, last_value = torch.zeros_like(REWARD), torch.tensor([0.0, 32.0])  # the second was cut off
    found = advantages(REWARD, nothing, last_value, LENGTH, gamma=0.5)
    assert found.tolist() == [[3.0, 24.0], [4.0, 32.0], [4.0, 0.0]]


def test_the_baseline_is_subtracted_step_by_step():
    value = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    found = advantages(REWARD, value, torch.zeros(2), LENGTH, gamma=0.5)
    assert found.tolist() == [[2.0, 14.0], [1.0, 12.0], [-1.0, 0.0]]


def test_generalised_advantages_are_discounted_sums_of_surprises():
    """Surprises of the first episode: 1 + 0.5 * 3 - 1 = 1.5, 2 + 0.5 * 5 - 3 = 1.5, 4 - 5 = -1; of the second, which is
    cut off before a value of 10: 8 + 0.5 * 4 - 2 = 8, 16 + 0.5 * 10 - 4 = 17."""
    value = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    found = advantages(REWARD, value, torch.tensor([0.0, 10.0]), LENGTH, gamma=0.5, gae_lambda=0.5)
    # 1.5 + 0.25 * (1.5 - 0.25), and 8 + 0.25 * 17
    assert found.tolist() == [[1.8125, 12.25], [1.25, 17.0], [-1.0, 0.0]]


def test_advantages_are_standardised_within_each_seed():
    values = torch.tensor([[1.0, 2.0, 3.0], [10.0, 10.0, 40.0]])  # [S=2, B=3]
    found, scale = standardised(values, torch.zeros(2))
    np.testing.assert_allclose(found[0], [-(1.5**0.5), 0, 1.5**0.5], rtol=1e-6)
    np.testing.assert_allclose(found[1], [-(0.5**0.5), -(0.5**0.5), 2**0.5], rtol=1e-6)
    np.testing.assert_allclose(scale, [(2 / 3) ** 0.5, 200**0.5], rtol=1e-6)
    assert standardised(torch.full((1, 4), 7.0), torch.zeros(1))[0].tolist() == [[0.0] * 4]


def test_where_all_goes_equally_well_chance_is_not_blown_up():
    found, scale = standardised(torch.tensor([[1.0, 3.0]]), torch.tensor([4.0]))
    assert found.tolist() == [[-0.25, 0.25]] and scale.tolist() == [4.0]


def test_the_gradient_is_that_of_the_likelihood_ratio():
    """d log softmax / d logits = one-hot of the action - probabilities."""
    logits = torch.zeros(1, 2, 4, requires_grad=True)  # [S=1, B=2, A=4]
    policy = torch.distributions.Categorical(logits=logits)
    action, advantage = torch.tensor([[1, 3]]), torch.tensor([[2.0, -1.0]])
    log_prob = policy.log_prob(action)
    policy_loss(log_prob, log_prob.detach(), advantage, policy.entropy(), 0.0, clip_ratio=0.2).sum().backward()
    assert logits.grad is not None
    expected = -np.array([[[-0.5, 1.5, -0.5, -0.5], [0.25, 0.25, 0.25, -0.75]]]) / 2
    np.testing.assert_allclose(logits.grad, expected, atol=1e-7)


def test_the_bonus_pulls_towards_uniform_actions():
    logits = torch.tensor([[[1.0, 0.0]]], requires_grad=True)
    policy = torch.distributions.Categorical(logits=logits)
    log_prob = policy.log_prob(torch.tensor([[0]]))
    policy_loss(log_prob, log_prob.detach(), torch.zeros(1, 1), policy.entropy(), 0.1).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 0, 0] > 0 > logits.grad[0, 0, 1]


def test_a_probability_that_has_changed_enough_is_not_rewarded_for_more():
    """But for coming back. Ratios 1.5, 1.5, 0.5, 0.5 with advantages of either sign, beyond 0.2 of 1."""
    log_prob = torch.tensor([[1.5, 1.5, 0.5, 0.5]]).log().requires_grad_()
    advantage = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    loss = policy_loss(log_prob, torch.zeros(1, 4), advantage, torch.zeros(1, 4), 0.0, clip_ratio=0.2)
    np.testing.assert_allclose(loss.detach(), [-(1.2 - 1.5 + 0.5 - 0.8) / 4], rtol=1e-6)
    loss.sum().backward()
    assert log_prob.grad is not None
    np.testing.assert_allclose(log_prob.grad, [[0, 1.5 / 4, -0.5 / 4, 0]], rtol=1e-6)


def test_passes_in_parts_see_every_step_as_often_and_in_another_order_each_time(monkeypatch: pytest.MonkeyPatch):
    agent = build(
        vector_task(features=3, actions=4, envs=6), passes=3, minibatch=4, max_kl=1e9, hidden=(16,), baseline=False
    )
    obs = np.random.default_rng(0).normal(size=(1, 6, 3)).astype(np.float32)
    agent.encoder.observe = lambda obs: obs  # what standardises stays as it is
    looked: list[list[float]] = []
    policy = agent.policy

    def watched(params: Params, encoder: Any, obs: torch.Tensor) -> torch.distributions.Distribution:
        if torch.is_grad_enabled():  # else it is about how far the policy has come
            looked.append(obs[0, :, 0].tolist())
        return policy(params, encoder, obs)

    monkeypatch.setattr(agent, "policy", watched)
    agent.observe(make_step(obs, np.zeros((1, 6), int), np.ones((1, 6)), obs, terminated=np.ones((1, 6))))
    agent.update()
    assert [len(part) for part in looked] == [3] * 6  # no part is larger than 4, and they are of one size
    passes = [looked[0] + looked[1], looked[2] + looked[3], looked[4] + looked[5]]
    shown = sorted(agent._standardised(obs)[0, :, 0].tolist())
    assert all(sorted(one) == shown for one in passes)
    assert len({tuple(one) for one in passes}) == 3


class Columns:
    """Columns of one seed whose episodes have given lengths; observation = 100 * episode + step, episodes from 1."""

    def __init__(self, lengths: list[list[int]], memory: EpisodeMemory, end: str = "terminated"):
        self.lengths, self.memory, self.end = lengths, memory, end
        self.episode, self.at = [0] * len(lengths), [0] * len(lengths)

    def step(self) -> None:
        obs = [100.0 * (episode + 1) + at for episode, at in zip(self.episode, self.at, strict=True)]
        ended = []
        for column, lengths in enumerate(self.lengths):
            self.at[column] += 1
            ended.append(self.at[column] == lengths[self.episode[column]])
            if ended[-1]:
                self.episode[column], self.at[column] = self.episode[column] + 1, 0
        ends: dict[str, Any] = {self.end: [ended]}
        step = make_step([[[o] for o in obs]], [[0] * len(obs)], [obs], [[[o + 1] for o in obs]], **ends)
        self.memory.add(step, torch.tensor([[int(o) % 3 for o in obs]]))


def memory_of(episodes: int = 1, steps: int = 0, limit: int = 50, seeds: int = 1, envs: int = 3) -> EpisodeMemory:
    space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    task = Task(observation_space=space, action_space=gym.spaces.Discrete(3), envs=envs)
    return EpisodeMemory(episodes, steps, limit, task, seeds, CPU)


def seen(memory: EpisodeMemory) -> list[list[float]]:
    """The observations of each episode of the batch."""
    batch = memory.take([0])
    grid = torch.full(batch.reward.shape, -1.0)
    grid[batch.places] = batch.obs[..., 0]
    assert (batch.reward[batch.places] == batch.obs[..., 0]).all()
    assert (batch.action[0] == batch.obs[0, :, 0] % 3).all()
    return [[x for x in column if x >= 0] for column in grid.T.tolist()]


def test_a_batch_is_the_same_number_of_whole_episodes_of_every_column():
    memory = memory_of(episodes=2)
    columns = Columns([[1] * 20, [2, 4, 5], [3, 3, 9]], memory)
    for _ in range(6):
        assert memory.full_seeds() == []
        columns.step()
    assert memory.full_seeds() == [0]
    # The first column has gone through six episodes, and only its first two count.
    assert seen(memory) == [[100], [100, 101], [100, 101, 102], [200], [200, 201, 202, 203], [200, 201, 202]]


def test_a_batch_of_steps_cuts_the_episodes_under_way_which_go_on_in_the_next():
    memory = memory_of(steps=9, envs=2)
    columns = Columns([[1, 3, 9, 9], [4, 6, 9]], memory)
    for _ in range(5):
        assert memory.full_seeds() == []
        columns.step()
    assert memory.full_seeds() == [0]
    batch = memory.look([0])
    # Five of each column: the first column's third episode and the second's second have only begun.
    assert batch.length.tolist() == [1, 4, 3, 1, 1]
    assert batch.bootstrap.tolist() == [0, 0, 0, 1, 1]
    assert batch.last_obs[0, 3:, 0].tolist() == [201, 301]
    assert seen(memory) == [[100], [100, 101, 102, 103], [200, 201, 202], [200], [300]]
    for _ in range(5):
        assert memory.full_seeds() == []
        columns.step()
    # The second column's episode ended with its last step: nothing follows.
    assert memory.look([0]).bootstrap.tolist() == [1, 0]
    assert seen(memory) == [[301, 302, 303, 304, 305], [201, 202, 203, 204, 205]]


@pytest.mark.parametrize("length", [1, 2, 30])
def test_a_batch_of_steps_has_them_whatever_the_lengths(length: int):
    memory = memory_of(steps=20, envs=2)
    columns = Columns([[length] * 90, [7] * 90], memory)
    for _ in range(3):
        for _ in range(10):
            assert memory.full_seeds() == []
            columns.step()
        assert memory.take([0]).obs.shape[1] == 20


@pytest.mark.parametrize("steps", [0, 11])
def test_a_memory_goes_on_from_its_state(steps: int):
    def batches(moves: bool) -> list[list[list[float]]]:
        memory, found = memory_of(episodes=2, steps=steps, envs=2), []
        columns = Columns([[1] * 60, [4, 2, 5] * 20], memory)
        for _ in range(40):
            if moves:  # in the midst of a batch, and with a whole one
                columns.memory = memory_of(episodes=2, steps=steps, envs=2)
                columns.memory.load_state_dict(memory.state_dict())
                memory = columns.memory
            if memory.full_seeds():
                found.append(seen(memory))
            columns.step()
        return found

    assert len(batches(False)) > 3
    assert batches(True) == batches(False)


def test_an_episode_that_the_old_policy_began_is_left_out():
    memory = memory_of()
    columns = Columns([[1, 7, 2, 1], [3, 2, 9], [2, 1, 2, 9]], memory)
    for _ in range(3):
        columns.step()
    seen(memory)
    # Now the first column is in the midst of its second episode, and the others stand at the beginning of one.
    for _ in range(6):
        columns.step()
        assert memory.full_seeds() == []
    columns.step()
    assert seen(memory) == [[300, 301], [200, 201], [300, 301]]


@pytest.mark.parametrize("episodes", [1, 3])
def test_batches_do_not_favour_short_episodes(episodes: int):
    """Half of the episodes have 1 step and half 9; those that finish first would mostly be short."""
    rng = np.random.default_rng(0)
    memory = memory_of(episodes=episodes, envs=4)
    columns = Columns(rng.choice([1, 9], (4, 6_000)).tolist(), memory)
    lengths: list[int] = []
    while len(lengths) < 1200:
        columns.step()
        if memory.full_seeds():
            lengths += memory.take([0]).length.tolist()
    assert abs(np.mean(lengths) - 5) < 4 * 4 / len(lengths) ** 0.5


def test_seeds_fill_their_batches_at_different_times():
    memory = memory_of(seeds=2, envs=1)
    obs = np.zeros((2, 1, 1))
    step = make_step(obs, np.zeros((2, 1)), np.zeros((2, 1)), obs, terminated=[[False], [True]])
    memory.add(step, torch.zeros(2, 1, dtype=torch.int64))
    assert memory.full_seeds() == [1]


def test_an_episode_beyond_the_limit_is_cut_there_and_would_have_gone_on():
    memory = memory_of(limit=4, envs=2)
    columns = Columns([[3, 6, 2, 9], [10, 2, 9]], memory)
    for _ in range(4):
        columns.step()
    batch = memory.take([0])
    assert batch.length.tolist() == [3, 4]
    assert batch.bootstrap.tolist() == [0.0, 1.0]
    assert batch.last_obs[0, :, 0].tolist() == [103.0, 104.0]
    for _ in range(8):  # what was cut must not begin the next batch
        columns.step()
    assert seen(memory) == [[300, 301], [200, 201]]


def test_seeds_that_learn_together_learn_what_each_would_alone():
    """Also where one of them has gone far enough after fewer passes than another."""
    config = ReinforceConfig(batch_steps=16, passes=6, minibatch=4, max_kl=0.003, hidden=(8,), value_steps=3, lr=0.02)
    task, roots = vector_task(features=3, envs=4), seeds_of(3)
    together = Reinforce(config, task, roots, CPU)
    alone = [Reinforce(config, task, roots[seed : seed + 1], CPU) for seed in range(3)]
    rng = np.random.default_rng(0)
    for _ in range(40):
        obs, next_obs, reward = rng.normal(size=(3, 4, 3)), rng.normal(size=(3, 4, 3)), rng.normal(size=(3, 4))
        action, terminated = rng.integers(2, size=(3, 4)), rng.random((3, 4)) < 0.2
        for agent, own in [(together, slice(None)), *((alone[seed], slice(seed, seed + 1)) for seed in range(3))]:
            step = make_step(obs[own], action[own], reward[own], next_obs[own], terminated=terminated[own])
            agent.observe(step)
            agent.update()
    whole = together.state_dict()
    for seed, agent in enumerate(alone):
        own = agent.state_dict()
        for part in ("params", "average", "value_params"):
            for name, tensor in own[part].items():
                torch.testing.assert_close(whole[part][name][seed], tensor[0], rtol=0, atol=0)
        assert whole["adam"]["count"][seed] == own["adam"]["count"][0]
    assert len(whole["adam"]["count"].unique()) > 1  # else no seed stopped before another


def test_truncation_keeps_what_the_episode_would_have_gone_on_to():
    memory = memory_of(envs=2)
    columns = Columns([[3, 9], [2, 9]], memory, end="truncated")
    for _ in range(3):
        columns.step()
    batch = memory.take([0])
    assert batch.bootstrap.tolist() == [1.0, 1.0]
    assert batch.last_obs[0, :, 0].tolist() == [103.0, 102.0]


def test_a_batch_that_cannot_fit_is_refused_with_the_number_of_bytes():
    with pytest.raises(ValueError, match=r"need \d{1,3}(,\d{3}){4,} bytes .* lower episode_limit"):
        memory_of(episodes=1000, limit=1_000_000_000)


def test_baseline_learns_what_follows_a_truncation_on_a_chain_with_known_values():
    """State 0 -> 1 -> terminal, rewards 1 and 2; every episode is cut off or ends after one step. gamma 0.5.

    V(1) = 2, and V(0) = 1 + 0.5 * 2 = 2, although no episode ever went on from 0 to 1.
    """
    agent = build(vector_task(features=2, actions=1, envs=2), gamma=0.5, hidden=(16,), value_lr=0.01)
    zero, one, end = np.eye(2)[0], np.eye(2)[1], np.zeros(2)
    step = make_step(
        [[zero, one]], [[0, 0]], [[1.0, 2.0]], [[one, end]], terminated=[[False, True]], truncated=[[True, False]]
    )
    for _ in range(100):
        agent.observe(step)
        agent.update()
    np.testing.assert_allclose(agent.value(np.array([[zero, one]], np.float32)), [[2.0, 2.0]], atol=1e-3)


@pytest.mark.parametrize("continuous", [False, True])
def test_every_step_of_a_batch_was_acted_by_the_policy_that_learns_from_it(continuous: bool):
    """The likelihood of each action when it was chosen is what the update begins from."""
    poses = gym.spaces.Box(-1000, 1000, (2, 2, 7), np.float32)
    space = gym.spaces.Box(-1, 1, (2,), np.float32) if continuous else gym.spaces.Discrete(5)
    agent = build(Task(observation_space=poses, action_space=space, envs=3), hidden=(8,), episode_limit=8, lr=0.1)
    agent.encoder.observe = lambda obs: obs  # what standardises observations moves a little with each of them
    rng = np.random.default_rng(0)
    chosen: dict[float, float] = {}  # by observation
    checked = 0

    def learn(seeds: list[int]) -> None:
        nonlocal checked
        batch = memory.take(seeds)
        seen = agent._standardised(batch.obs.numpy())
        log_prob = agent.policy(agent.params, agent.encoder, seen).log_prob(batch.action)
        for obs, found in zip(batch.obs[0, :, 0, 0, 0].tolist(), log_prob[0].tolist(), strict=True):
            assert chosen[obs] == pytest.approx(found, abs=1e-5)
            checked += 1
        for tensor in agent.params.values():  # not added to: what grows has likelihoods whose last digits grow too
            tensor.copy_(torch.as_tensor(0.5 * rng.normal(size=tensor.shape)))

    memory, agent._learn = agent.memory, learn
    with torch.no_grad():
        for _ in range(120):
            obs = rng.normal(size=(1, 3, 2, 2, 7)).astype(np.float32)
            agent.update()  # as the loop does it, before acting
            action = agent.act(obs, np.zeros((1, 3), bool), explore=True)
            sampled = agent._sampled if continuous else torch.as_tensor(action)
            assert sampled is not None
            log_prob = agent.policy(agent.params, agent.encoder, agent._standardised(obs)).log_prob(sampled)
            chosen |= dict(zip(obs[0, :, 0, 0, 0].tolist(), log_prob[0].tolist(), strict=True))
            agent.update()  # which must change nothing before the step is observed
            ended = rng.random((1, 3)) < 0.3
            agent.observe(make_step(obs, action, np.zeros((1, 3)), obs, terminated=ended))
    assert checked > 50


def test_the_divergence_of_a_policy_that_has_become_certain_is_a_number():
    old, new = (torch.distributions.Categorical(logits=torch.tensor([[[0.0, 0.0, gap]]])) for gap in (0.0, 300.0))
    assert torch.distributions.kl_divergence(old, new).isinf().all()
    torch.testing.assert_close(divergence(old, new), torch.tensor([[200.0 - math.log(3)]]))
    some, other = (torch.distributions.Categorical(logits=torch.randn(2, 5, 3)) for _ in range(2))
    torch.testing.assert_close(divergence(some, other), torch.distributions.kl_divergence(some, other))


def test_one_step_does_not_change_the_policy_beyond_the_limit():
    agent = build(vector_task(features=3, actions=4, envs=6), lr=0.5, max_kl=0.01, hidden=(16,))
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(1, 6, 3)).astype(np.float32)
    before = agent.policy(agent.params, agent.encoder, agent._standardised(obs))
    step = make_step(obs, rng.integers(4, size=(1, 6)), rng.normal(size=(1, 6)), obs, terminated=np.ones((1, 6)))
    agent.encoder.observe = lambda obs: obs  # which would change the policy too
    agent.observe(step)
    agent.update()
    after = agent.policy(agent.params, agent.encoder, agent._standardised(obs))
    changed = torch.distributions.kl_divergence(before, after).mean().item()
    assert agent.metrics()["kl"].item() > 0.1  # what the step would have done
    assert 0.002 < changed < 0.03


def test_greedily_a_slow_average_of_the_policies_acts():
    agent = build(vector_task(features=3, actions=4, envs=6), average_tau=0.25, hidden=(16,))
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(1, 6, 3)).astype(np.float32)
    expected: Params = {}
    for update in range(1, 7):
        step = make_step(obs, rng.integers(4, size=(1, 6)), rng.normal(size=(1, 6)), obs, terminated=np.ones((1, 6)))
        agent.observe(step)
        agent.update()
        if update == 1:
            expected = clone(agent.params)
        blend(expected, agent.params, max(0.25, 1 / update))  # the mean of all until there are four
        for name, tensor in expected.items():
            torch.testing.assert_close(agent.average[name], tensor)
    values = agent.policy(agent.average, agent.encoder, agent._standardised(obs)).probs  # pyright: ignore[reportAttributeAccessIssue]
    greedily = agent.act(obs, np.ones((1, 6), bool), explore=False)
    np.testing.assert_array_equal(greedily, values.argmax(-1))


def test_continuous_actions_reach_from_bound_to_bound_and_greedily_are_the_mean():
    agent = build(control_task(low=2.0, high=6.0), std_start=2.0, seeds=3)
    obs, first = np.zeros((3, 1, 3), np.float32), np.ones((3, 1), bool)
    drawn = np.stack([agent.act(obs, first, explore=True) for _ in range(200)])
    assert (drawn.min(), drawn.max()) == (2.0, 6.0)
    assert ((drawn > 2.0) & (drawn < 6.0)).mean() == pytest.approx(0.38, abs=0.06)  # a deviation is half of the way
    np.testing.assert_allclose(agent.act(obs, first, explore=False), 4.0, atol=0.2)


def test_likelihoods_are_of_what_was_sampled_not_of_what_was_clipped():
    agent = build(control_task(), std_start=2.5)
    obs, first = np.zeros((1, 1, 3), np.float32), np.ones((1, 1), bool)
    kept, clipped = [], 0
    for left in reversed(range(20)):
        action = agent.act(obs, first, explore=True)
        assert agent._sampled is not None
        kept.append(agent._sampled[0, 0].tolist())
        clipped += int((abs(action) == 1).any())
        agent.observe(make_step(obs, action, [[0.0]], obs, terminated=[[not left]]))
    np.testing.assert_array_equal(agent.memory.take([0]).action[0], np.array(kept, np.float32))
    assert clipped > 5


@pytest.mark.parametrize(
    ("space", "told"),
    [
        (gym.spaces.Box(-np.inf, np.inf, (2,)), "no bounds; expected a bounded Box"),
        (gym.spaces.Box(0, 255, (2,), np.uint8), "expected Discrete, or a Box of real numbers"),
        (gym.spaces.MultiDiscrete([2, 2]), "expected Discrete"),
    ],
)
def test_actions_that_it_cannot_draw_are_refused(space: gym.Space[Any], told: str):
    with pytest.raises(ValueError, match=told):
        check_task(Task(observation_space=gym.spaces.Box(-1, 1, (3,)), action_space=space))


@pytest.mark.parametrize(
    "fields",
    [
        {"gamma": 1.5},
        {"lr": 0.0},
        {"hidden": ()},
        {"batch_episodes": 0},
        {"baseline": False, "gae_lambda": 0.9},
        {"baseline": False, "batch_steps": 100},
        {"std_start": 0.0},
        {"max_kl": 0.0},
    ],
)
def test_absurd_settings_are_refused(fields: dict[str, float]):
    with pytest.raises(ValueError, match="expected"):
        ReinforceConfig(**fields)  # pyright: ignore[reportArgumentType]


def test_without_a_baseline_nothing_is_predicted_and_returns_are_all_there_is():
    agent = build(vector_task(envs=2), baseline=False, gae_lambda=1.0)
    assert not hasattr(agent, "value")
    obs = np.zeros((1, 2, 3), np.float32)
    agent.observe(make_step(obs, [[0, 1]], [[1.0, 0.0]], obs, truncated=[[True, True]]))
    agent.update()
    assert agent.metrics()["updates"].tolist() == [1.0]


def test_a_gaussian_policy_finds_the_best_action():
    """Reward -(a - target)^2 with other targets after other observations, within bounds of 0 and 10."""
    agent = build(control_task(dimensions=1, envs=32, low=0.0, high=10.0), seeds=2, hidden=(16,), max_kl=0.1)
    obs = np.zeros((2, 32, 3), np.float32)
    obs[:, ::2, 0] = 1.0
    target = np.where(obs[..., 0] == 1, 7.5, 3.0)
    for _ in range(250):
        action = agent.act(obs, np.ones((2, 32), bool), explore=True)
        reward = -np.square(action[..., 0] - target)
        agent.observe(make_step(obs, action, reward, obs, terminated=np.ones((2, 32))))
        agent.update()
    np.testing.assert_allclose(agent.act(obs, np.ones((2, 32), bool), explore=False)[..., 0], target, atol=0.7)


def test_it_learns_to_balance_the_classic_pole():
    """Far above the 22 steps of random actions, for both seeds, after 16,000 steps each."""
    venv = make_vector("CartPole-v1", 16)
    _, table = describe_task("CartPole-v1", venv)
    agent = build(vector_task(4, 2, envs=8), seeds=2)
    training = Interaction(venv, agent, 2, training_seeds(0, 8), explore=True, meanwhile=agent.update)
    for number, step in enumerate(training, 1):
        agent.observe(step)
        if number == 2000:
            break
    lengths: list[list[int]] = [[], []]
    for episode in play(Interaction(venv, agent, 2, EvaluationSeeds(20, 2, 8), explore=False), table, 0.99, agent):
        lengths[episode.seed].append(episode.length)
    venv.close()
    assert min(np.mean(one) for one in lengths) > 80
