"""DQN's rule by hand-worked numbers, and that it learns."""

import numpy as np
import pytest
import torch

from agents.dqn import DQN, DQNConfig, gap_of, next_value, td_target
from envs.vector import make_vector
from eval.evaluation import play
from eval.loop import EvaluationSeeds, Interaction, training_seeds
from eval.tasks import describe_task
from tests.helpers import CPU, build_agent, make_step, random_step, seeds_of, vector_task


def test_td_target_is_cut_by_termination_only():
    reward = torch.tensor([[1.0, 1.0]])  # [S=1, B=2]
    following = torch.tensor([[4.0, 4.0]])
    bootstrap = torch.tensor([[0.5, 0.0]])  # the second one terminated
    assert td_target(reward, following, bootstrap).tolist() == [[3.0, 1.0]]


def test_double_learning_values_the_online_choice_by_the_target():
    target_q = torch.tensor([[[2.0, 4.0, 3.0]]])
    online_q = torch.tensor([[[9.0, 0.0, 1.0]]])
    assert next_value(target_q, None).tolist() == [[4.0]]
    assert next_value(target_q, online_q).tolist() == [[2.0]]


@pytest.mark.parametrize("options", [{}, {"memory_size": 0, "n_step": 1, "target_interval": 0}])
def test_truncation_still_bootstraps_on_a_chain_with_known_values(options: dict[str, int]):
    """State 0 -> 1 -> terminal, rewards 1 and 2; every episode is cut off or ends after one step. gamma 0.5.

    Q(1) = 2, and Q(0) = 1 + 0.5 * 2 = 2, although no episode ever went on from 0 to 1.
    """
    task = vector_task(features=2, actions=1, envs=2)
    agent = build_agent(
        "dqn", task, 1, gamma=0.5, lr=0.01, hidden=(16,), learning_starts=8, steps_per_update=2,
        target_interval=options.pop("target_interval", 5), batch_size=16, n_step=options.pop("n_step", 1),
        memory_size=options.pop("memory_size", 500), double=False, average_tau=1.0, target_tau=1.0,
    )  # fmt: skip
    zero, one, end = np.eye(2)[0], np.eye(2)[1], np.zeros(2)
    step = make_step(
        [[zero, one]], [[0, 0]], [[1.0, 2.0]], [[one, end]], terminated=[[False, True]], truncated=[[True, False]]
    )
    for _ in range(1000):
        agent.observe(step)
        agent.update()
    q = agent.value(np.array([[zero, one]], np.float32))  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_allclose(q, [[2.0, 2.0]], atol=1e-3)


def test_without_a_memory_a_restored_agent_learns_from_the_step_before():
    """A checkpoint is written between a step and the update that it gives rise to."""
    task = vector_task(envs=3)
    whole, fresh = (build_agent("dqn", task, 2, memory_size=0, n_step=1, learning_starts=0) for _ in range(2))
    step = random_step(task, 2, np.random.default_rng(0))
    whole.observe(step)
    fresh.load_state_dict(whole.state_dict())
    for agent in (whole, fresh):
        agent.update()
    assert fresh.updates == whole.updates == 1  # pyright: ignore[reportAttributeAccessIssue]
    for name, tensor in whole.state_dict()["params"].items():
        assert torch.equal(fresh.state_dict()["params"][name], tensor)


def test_updates_keep_a_fixed_schedule():
    task = vector_task(envs=4)
    agent = build_agent("dqn", task, 2, learning_starts=40, steps_per_update=3, batch_size=8, hidden=(8,), n_step=1)
    rng = np.random.default_rng(0)
    for index in range(50):
        obs = rng.normal(size=(2, 4, 3)).astype(np.float32)
        agent.observe(make_step(obs, np.zeros((2, 4), int), np.zeros((2, 4)), obs))
        agent.update()
        assert agent.updates == max(0, (index + 1) * 4 - 40) // 3  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    "fields",
    [{"gamma": 1.5}, {"lr": 0.0}, {"hidden": ()}, {"memory_size": 5}, {"memory_size": 0, "n_step": 3}, {"n_step": 0}],
)
def test_absurd_settings_are_refused(fields: dict[str, float]):
    with pytest.raises(ValueError, match=r"expected|set n_step"):
        DQNConfig(**fields)  # pyright: ignore[reportArgumentType]


def test_it_learns_to_balance_the_classic_pole():
    """Far above the 22 steps of random actions, for both seeds, after 5,600 steps each."""
    venv = make_vector("CartPole-v1", 16)
    _, table = describe_task("CartPole-v1", venv)
    agent = build_agent("dqn", vector_task(4, 2, envs=8), 2, learning_starts=500, ramp_steps=3000)
    training = Interaction(venv, agent, 2, training_seeds(0, 8), explore=True, meanwhile=agent.update)
    for number, step in enumerate(training, 1):
        agent.observe(step)
        if number == 700:
            break
    lengths: list[list[int]] = [[], []]
    for episode in play(Interaction(venv, agent, 2, EvaluationSeeds(20, 2, 8), explore=False), table, 0.99, agent):
        lengths[episode.seed].append(episode.length)
    venv.close()
    assert min(np.mean(one) for one in lengths) > 80


def test_expected_backups_reckon_with_random_actions():
    target_q = torch.tensor([[[2.0, 4.0, 3.0]]])
    assert next_value(target_q, None, epsilon=0.5).item() == pytest.approx(0.5 * 4 + 0.5 * 3)


def test_an_action_gap_pushes_worse_actions_down_and_leaves_the_best_where_it_is():
    """One state that ends after either action, worth 2 and 1: the gap of 1 becomes 1 / (1 - 0.5)."""
    config = DQNConfig(
        gamma=0.5,
        action_gap=0.5,
        n_step=1,
        batch_size=8,
        learning_starts=8,
        steps_per_update=1,
        lr=1e-2,
        lr_half_steps=0,
    )
    agent = DQN(config, vector_task(features=3, actions=2, envs=2), seeds_of(1), CPU)
    obs = np.ones((1, 2, 3), np.float32)
    ends = np.ones((1, 2), bool)
    for _ in range(1_000):
        agent.observe(make_step(obs, np.array([[0, 1]]), [[2.0, 1.0]], obs, terminated=ends, first=ends))
        agent.update()
    q = agent.q_values(agent.average, agent.encoder.standardise(torch.ones(1, 1, 3)))
    np.testing.assert_allclose(q.detach().numpy()[0, 0], [2.0, 0.0], atol=0.1)


def test_what_is_learnt_does_not_depend_on_the_size_of_rewards():
    """Values are counted in a unit of the rewards' size; so no error is large only because rewards are."""
    config = DQNConfig(batch_size=8, learning_starts=8, steps_per_update=1, n_step=1)
    agents = [DQN(config, vector_task(features=3, actions=2, envs=4), seeds_of(2), CPU) for _ in range(2)]
    rng = np.random.default_rng(0)
    for _ in range(40):
        obs, next_obs = rng.normal(size=(2, 2, 4, 3)).astype(np.float32)
        action, reward, ends = rng.integers(2, size=(2, 4)), rng.normal(size=(2, 4)), rng.random((2, 4)) < 0.2
        for agent, size in zip(agents, (1, 64), strict=True):  # powers of two, so that rounding is the same
            agent.observe(make_step(obs, action, reward * size, next_obs, terminated=ends, first=ends))
            agent.update()
    for name, tensor in agents[0].params.items():
        assert torch.equal(tensor, agents[1].params[name]), name


def test_gaps_are_to_the_best_action():
    q = torch.tensor([[[1.0, 4.0, 3.0], [5.0, 2.0, 0.0]]])  # [S=1, B=2, A=3]
    assert gap_of(q, torch.tensor([[[0], [1]]])).tolist() == [[3.0, 3.0]]
