"""GridWorld: its rules by hand, its model by simulation, its two forms against each other."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs  # noqa: F401 - registers
from envs.gridworld import ACTION_NAMES, GridWorld, GridWorldConfig, GridWorldVectorEnv, exact_model
from envs.gridworld_drawing import draw_grid

NORTH, SOUTH, EAST, WEST = range(4)


def placed(square: int, **config: Any) -> GridWorldVectorEnv:
    """One column that stands on a square."""
    grid = GridWorldVectorEnv(1, **config)
    grid.reset(seed=0)
    grid.square[:] = square
    return grid


def test_actions_are_named_north_south_east_west():
    assert ACTION_NAMES == ("north", "south", "east", "west")
    env = gym.make("GridWorld-v0")
    assert env.metadata["action_names"] == ACTION_NAMES
    assert env.metadata["state_names"][7] == "(1, 2)"
    assert env.metadata["discount"] == 0.9
    assert gym.make_vec("GridWorld-v0", num_envs=3).metadata["action_names"] == ACTION_NAMES


@pytest.mark.parametrize(
    ("square", "action", "reached", "reward"),
    [
        (12, NORTH, 7, 0),
        (12, SOUTH, 17, 0),
        (12, EAST, 13, 0),
        (12, WEST, 11, 0),
        (0, NORTH, 0, -1),
        (0, WEST, 0, -1),
        (24, SOUTH, 24, -1),
        (24, EAST, 24, -1),
        (9, EAST, 9, -1),
        *((1, action, 21, 10) for action in range(4)),
        *((3, action, 13, 5) for action in range(4)),
    ],
)
def test_moves_by_hand(square: int, action: int, reached: int, reward: float):
    obs, earned, terminated, truncated, _ = placed(square).step(np.array([action]))
    assert (obs[0], earned[0], terminated[0], truncated[0]) == (reached, reward, False, False)


def test_an_episode_is_truncated_at_100_steps_and_never_terminated():
    env = gym.make("GridWorld-v0")
    env.reset(seed=1)
    ends = [env.step(step % 4)[2:4] for step in range(100)]
    assert ends == [(False, False)] * 99 + [(False, True)]
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)


def test_starts_are_uniform_over_the_squares():
    obs, _ = GridWorldVectorEnv(25_000).reset(seed=0)
    counts = np.bincount(obs, minlength=25)
    assert ((counts - 1000) ** 2 / 1000).sum() < 52.6  # chi-squared, 24 degrees of freedom, p = 0.0006


def test_the_exact_model_is_made_of_probabilities_and_the_books_rewards():
    transition, reward = exact_model(GridWorldConfig())
    assert transition.shape == (25, 4, 25) and reward.shape == (25, 4)
    np.testing.assert_array_equal(transition.sum(-1), 1.0)
    assert (reward == -1).sum() == 18  # 20 sides of squares lie at the edge; 2 belong to A and B
    assert (reward == 10).sum() == 4 and (reward == 5).sum() == 4
    np.testing.assert_array_equal(GridWorld().model()[0], transition)


def test_the_exact_model_is_what_a_slipping_grid_does():
    transition, reward = exact_model(GridWorldConfig(slip=0.4))
    columns = 20_000
    for square, action in ((12, EAST), (0, NORTH), (9, WEST), (3, SOUTH)):
        grid = GridWorldVectorEnv(columns, slip=0.4)
        grid.reset(seed=square)
        grid.square[:] = square
        obs, earned, *_ = grid.step(np.full(columns, action))
        np.testing.assert_allclose(np.bincount(obs, minlength=25) / columns, transition[square, action], atol=0.015)
        assert earned.mean() == pytest.approx(reward[square, action], abs=0.02)
    # By hand: east from the middle arrives in 0.6 + 0.4 / 4.
    assert transition[12, EAST, 13] == pytest.approx(0.7)
    assert reward[0, NORTH] == pytest.approx(-0.6 - 0.4 * 0.5)


def test_other_sizes_and_special_squares():
    # As they come from the command line: lists.
    config = {"size": 3, "specials": [[[0, 0], [2, 2], 4]], "bump_reward": -0.5, "max_steps": 2}
    obs, reward, *_ = placed(0, **config).step(np.array([WEST]))
    assert (obs[0], reward[0]) == (8, 4.0)
    grid = placed(8, **config)
    assert grid.step(np.array([EAST]))[1][0] == -0.5
    assert grid.step(np.array([EAST]))[3][0]


@pytest.mark.parametrize("config", [{}, {"slip": 0.3}])
def test_a_column_is_the_scalar_environment_to_the_bit(config: dict[str, Any]):
    many = gym.make_vec("GridWorld-v0", num_envs=5, **config)
    alone = [gym.make("GridWorld-v0", **config) for _ in range(5)]
    seeds = [3, 141, 59, 26, 5]
    obs, _ = many.reset(seed=seeds)  # pyright: ignore[reportArgumentType]
    assert obs.tolist() == [env.reset(seed=seed)[0] for env, seed in zip(alone, seeds, strict=True)]
    rng = np.random.default_rng(0)
    for _ in range(100):
        actions = rng.integers(4, size=5)
        obs, reward, _, truncated, _ = many.step(actions)
        for column, env in enumerate(alone):
            one = env.step(actions[column])
            assert one[:2] == (obs[column], reward[column]) and one[3] == truncated[column]


def test_state_dict_resumes_to_the_bit_among_reset_columns():
    grid = GridWorldVectorEnv(3, slip=0.5)
    grid.reset(seed=0)
    actions = np.random.default_rng(0).integers(4, size=(40, 3))
    for row in actions[:20]:
        grid.step(row)
    state = grid.state_dict()
    whole = [grid.step(row)[:2] for row in actions[20:]]
    other = GridWorldVectorEnv(3, slip=0.5)
    other.reset(seed=99)
    other.load_state_dict(state)
    for expected, row in zip(whole, actions[20:], strict=True):
        found = other.step(row)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


def test_columns_that_ended_are_passed_over():
    grid = GridWorldVectorEnv(2, max_steps=2)
    grid.reset(seed=0)
    grid.step(np.array([0, 0]))
    obs, *_ = grid.step(np.array([0, 0]))
    again, reward, _, truncated, _ = grid.step(np.array([1, 1]))
    assert again.tolist() == obs.tolist() and reward.tolist() == [0, 0] and not truncated.any()
    grid.reset(seed=[None, 7], options={"reset_mask": np.array([False, True])})
    # The action of a column that takes no part can be anything.
    after, *_ = grid.step(np.array([-1, 2]))
    assert after[0] == obs[0]


@pytest.mark.filterwarnings("ignore")
def test_gymnasiums_checker_accepts_it():
    check_env(gym.make("GridWorld-v0", render_mode="rgb_array").unwrapped)


def test_the_picture_shows_where_the_walker_stands():
    env = gym.make("GridWorld-v0", render_mode="rgb_array")
    env.reset(seed=0)
    frame: Any = env.render()
    assert frame.shape == (480, 480, 3) and frame.dtype == np.uint8
    pictures = [draw_grid(5, GridWorldConfig().specials, square=square) for square in (0, 24)]
    assert (pictures[0][60, 60] != pictures[1][60, 60]).any()
    assert (draw_grid(5, values=np.arange(25.0)) != draw_grid(5)).any()
    assert (draw_grid(5, policy=np.eye(4)[np.zeros(25, int)]) != draw_grid(5)).any()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"size": 0}, "size is 0"),
        ({"size": 4}, r"special square \(4, 1\) is not on the grid"),
        ({"slip": 1.2}, "slip is 1.2"),
        ({"slip": float("nan")}, "slip is nan"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"bump_reward": float("inf")}, "bump_reward is inf"),
        ({"specials": [[0, 1]]}, "special"),
        ({"specials": [7]}, "special 7"),
        ({"specials": 7}, "specials is 7"),
        ({"specials": [[[0, 0], [1, 1], float("nan")]]}, r"reward of special square \(0, 0\) is nan"),
        ({"specials": [[[0, 0], [1, 1], 1], [[0, 0], [2, 2], 1]]}, "twice"),
        ({"render_mode": "svg"}, "render_mode"),
    ],
)
def test_bad_grids_are_refused_in_one_line(config: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=rf"^[^\n]*{message}[^\n]*$"):
        gym.make("GridWorld-v0", **config)


@pytest.mark.parametrize("actions", [[4, 0], [-1, 0], [0.0, 1.0], [0]])
def test_bad_actions_are_refused(actions: list[Any]):
    grid = GridWorldVectorEnv(2)
    grid.reset(seed=0)
    with pytest.raises(ValueError, match="expected"):
        grid.step(np.array(actions))
