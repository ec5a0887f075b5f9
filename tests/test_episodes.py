"""Episodes put together from hand-made steps."""

from collections import Counter
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from agents.base import Step
from eval.episodes import Episode, EpisodeRecorder, format_pairs, parse_pairs
from eval.tasks import ActionTable, action_table

TABLE = ActionTable(names=("left", "right", "stay"))


def step(
    action: Any,
    reward: Any,
    *,
    terminated: Any = False,
    truncated: Any = False,
    first: Any = False,
    running: Any = True,
    info: dict[str, Any] | None = None,
    reset_info: dict[str, Any] | None = None,
) -> Step:
    """A step of [S, E] columns; what is given once counts for all."""
    reward = np.asarray(reward, float)

    def mask(values: Any) -> np.ndarray:
        return np.broadcast_to(np.asarray(values, bool), reward.shape).copy()

    return Step(
        obs=np.zeros(reward.shape),
        action=np.asarray(action),
        reward=reward,
        terminated=mask(terminated),
        truncated=mask(truncated),
        next_obs=np.zeros(reward.shape),
        first=mask(first),
        running=mask(running),
        info=info or {},
        reset_info=reset_info or {"reset_seed": np.arange(100, 100 + reward.size)},
    )


def one(action: int, reward: float, **ends: Any) -> Step:
    """A step of a single column."""
    return step([[action]], [[reward]], **ends)


def test_an_episode_adds_up_its_steps():
    recorder = EpisodeRecorder(TABLE, gamma=0.5)
    assert recorder.add(one(0, 1.0, first=True)) == []
    assert recorder.add(one(1, 2.0)) == []
    (episode,) = recorder.add(one(0, 4.0, terminated=True))
    assert (episode.seed, episode.number, episode.length, episode.end_step) == (0, 0, 3, 3)
    assert episode.total_reward == 7.0
    assert episode.discounted_return == 1.0 + 0.5 * 2.0 + 0.25 * 4.0
    assert episode.terminated
    assert episode.action_counts == (2, 1, 0)
    assert episode.action_rewards == {(0, 1.0): 1, (1, 2.0): 1, (0, 4.0): 1}
    assert episode.info == {"reset_seed": 100}
    assert episode.success is None and episode.saturated is None and episode.start_value is None


def test_the_next_episode_starts_from_nothing():
    recorder = EpisodeRecorder(TABLE)
    recorder.add(one(0, 5.0, first=True))
    recorder.add(one(0, 5.0, terminated=True))
    (episode,) = recorder.add(one(2, -1.0, first=True, truncated=True))
    assert (episode.number, episode.length, episode.total_reward, episode.end_step) == (1, 1, -1.0, 3)
    assert episode.action_counts == (0, 0, 1)
    assert not episode.terminated


def test_columns_and_seeds_are_kept_apart():
    # Two seeds with three columns each; those of seed 1 go on when seed 0's last column ends.
    recorder = EpisodeRecorder(TABLE)
    actions, rewards = [[0, 1, 2], [0, 0, 1]], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    recorder.add(step(actions, rewards, first=True))
    (episode,) = recorder.add(step(actions, rewards, terminated=[[False, False, True], [False] * 3]))
    assert (episode.seed, episode.length, episode.total_reward, episode.action_counts) == (0, 2, 6.0, (0, 0, 2))
    assert episode.info["reset_seed"] == 102
    assert episode.end_step == 6  # two steps of three columns
    ended = recorder.add(step(actions, rewards, truncated=[[True, False, False], [True, False, True]]))
    assert [(e.seed, e.number, e.length) for e in ended] == [(0, 1, 3), (1, 0, 3), (1, 1, 3)]
    assert [e.total_reward for e in ended] == [3.0, 12.0, 18.0]


def test_columns_that_do_not_run_add_nothing():
    recorder = EpisodeRecorder(TABLE)
    for _ in range(3):
        assert recorder.add(step([[0, 1]], [[1.0, 9.0]], running=[[True, False]])) == []
    ended = recorder.add(step([[0, 1]], [[1.0, 9.0]], running=[[True, False]], terminated=True))
    assert [(e.length, e.total_reward, e.action_counts) for e in ended] == [(4, 4.0, (4, 0, 0))]
    assert recorder.state_dict()["length"].tolist() == [0, 0]


def test_episodes_may_be_longer_than_any_buffer():
    recorder = EpisodeRecorder(TABLE)
    for number in range(299):
        assert recorder.add(step([[number % 3, 1]], [[number, 1.0]])) == []
    ended = recorder.add(step([[0, 1]], [[1000.0, 1.0]], truncated=True))
    assert [e.length for e in ended] == [300, 300]
    assert ended[0].total_reward == sum(range(299)) + 1000
    assert ended[0].action_counts == (101, 100, 99)


def test_rewards_are_counted_to_two_decimals_and_zero_has_no_sign():
    recorder = EpisodeRecorder(TABLE)
    for reward in (-0.001, 0.001, 0.126):
        recorder.add(one(1, reward))
    (episode,) = recorder.add(one(1, 0.131, terminated=True))
    assert episode.action_rewards == {(1, 0.0): 2, (1, 0.13): 2}
    assert "-0" not in format_pairs(episode.action_rewards, TABLE.names)


def test_info_is_that_of_the_reset_and_of_the_end():
    recorder = EpisodeRecorder(TABLE)
    reset_info = {"reset_seed": np.array([7, 8]), "push_direction": np.array([0.25, 0.5])}
    info = {
        "is_success": np.array([True, True]),
        "_is_success": np.array([False, True]),
        "place": np.array([[1, 2], [3, 4]]),
        "_place": np.array([True, True]),
        "note": np.array(["a", "b"], object),
        "_note": np.array([True, True]),
    }
    ended = recorder.add(step([[0, 1]], [[1.0, 1.0]], terminated=True, info=info, reset_info=reset_info))
    assert ended[0].info == {"reset_seed": 7, "push_direction": 0.25, "place": [1, 2]}
    assert ended[1].info == {"reset_seed": 8, "push_direction": 0.5, "place": [3, 4], "is_success": True}
    assert (ended[0].success, ended[1].success) == (None, True)
    assert type(ended[1].info["reset_seed"]) is int


def test_predictions_are_those_of_the_first_and_the_last_observation():
    recorder = EpisodeRecorder(TABLE)

    def values(*pair: float) -> np.ndarray:
        return np.array([pair])

    recorder.add(step([[0, 0]], [[1.0, 1.0]], first=True), values=values(10.0, 20.0))
    last = step([[0, 0]], [[1.0, 1.0]], terminated=[[True, False]], truncated=[[False, True]])
    ended = recorder.add(last, values=values(0, 0), last_values=values(3.0, 4.0))
    assert [e.start_value for e in ended] == [10.0, 20.0]
    assert [e.end_value for e in ended] == [0.0, 4.0]  # nothing follows a termination


BOX = gym.spaces.Box(-1, 1, (2,), np.float32)


def test_continuous_actions_are_counted_as_the_direction_they_go_towards():
    names, directions = ("idle", "+x", "-x", "+y"), [[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]
    table = action_table(BOX, names, directions)
    actions = np.array([[0.09, 0.08], [0.9, 0.3], [-0.6, 0.1], [0.3, 0.7], [0.12, 0.05], [-0.02, 0.2], [0.0, 0.0]])
    assert table.index(actions).tolist() == [0, 1, 2, 3, 1, 3, 0]
    last = action_table(BOX, ("+x", "+y", "-x", "idle"), [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, 0.0]])
    assert last.index(actions[:3]).tolist() == [3, 0, 2]


def test_unnamed_axes_are_counted_by_their_bounds():
    table = action_table(gym.spaces.Box(np.array([0, -4], np.float32), np.array([2, 4], np.float32)), None, None)
    assert table.names == ("middle", "+a0", "-a0", "+a1", "-a1")
    actions = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 0.5], [1.0, 3.5], [1.0, -3.0]])
    assert table.index(actions).tolist() == [0, 1, 2, 3, 4]


def test_discrete_actions_need_not_start_at_zero():
    table = action_table(gym.spaces.Discrete(3, start=5), None, None)
    assert table.names == ("5", "6", "7")
    assert table.index(np.array([[5, 7]])).tolist() == [[0, 2]]


def test_saturation_is_the_share_of_components_at_a_bound():
    table = action_table(BOX, None, None)
    recorder = EpisodeRecorder(table, action_bounds=(BOX.low, BOX.high))
    # One column; per step the components at a bound: 2 of 2, 1 of 2, none, none.
    for action in ([1.0, -1.0], [0.5, 1.0], [0.5, 0.5]):
        recorder.add(step([[action]], [[0.0]]))
    (episode,) = recorder.add(step([[[0.0, 0.0]]], [[0.0]], terminated=True))
    assert episode.saturated == pytest.approx(1.5 / 4)
    (episode,) = recorder.add(step([[[0.0, 0.0]]], [[0.0]], terminated=True))
    assert episode.saturated == 0.0


@pytest.mark.parametrize("cut", [0, 1, 70, 130])
def test_a_recorder_restored_in_mid_episode_goes_on_alike(cut: int):
    rng = np.random.default_rng(0)
    steps = [
        step(rng.integers(3, size=(2, 3)), rng.normal(size=(2, 3)), terminated=rng.random((2, 3)) < 0.01)
        for _ in range(200)
    ]
    whole, half, fresh = EpisodeRecorder(TABLE), EpisodeRecorder(TABLE), EpisodeRecorder(TABLE)
    expected = [whole.add(one_step) for one_step in steps]
    for one_step in steps[:cut]:
        half.add(one_step)
    state = half.state_dict()
    assert [half.add(one_step) for one_step in steps[cut:]] == expected[cut:]  # and writes nothing into the state
    fresh.load_state_dict(state)
    assert [fresh.add(one_step) for one_step in steps[cut:]] == expected[cut:]
    assert sum(map(len, expected[cut:])) > 3
    # What was restored from is not written to.
    other = EpisodeRecorder(TABLE)
    other.load_state_dict(state)
    assert [other.add(one_step) for one_step in steps[cut:]] == expected[cut:]


def test_the_state_holds_nothing_of_episodes_that_ended():
    def after(column_0: list[float]) -> dict[str, np.ndarray]:
        recorder = EpisodeRecorder(TABLE)
        for reward in column_0:
            recorder.add(step([[int(reward) % 3, 0]], [[reward, 1.0]], terminated=[[reward == column_0[2], False]]))
        return recorder.state_dict()

    one, two = after([1.0, 2.0, 3.0, 4.0, 4.5]), after([5.0, 6.0, 7.0, 4.0, 4.5])
    assert one["length"].tolist() == [2, 5]
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name])


def test_pairs_survive_the_csv_file():
    names = ("left", "pick up", "10 x")
    pairs = Counter({(0, 1.0): 23, (1, -0.25): 4, (2, 0.0): 1})
    text = format_pairs(pairs, names)
    assert text == "left +1 x 23; pick up -0.25 x 4; 10 x +0 x 1"
    assert parse_pairs(text) == {("left", 1.0): 23, ("pick up", -0.25): 4, ("10 x", 0.0): 1}


def test_damaged_pairs_are_passed_over():
    assert parse_pairs("left +1 x 23; right +1 x; x; ; up one x 3; left +1 x 2") == {("left", 1.0): 25}
    assert parse_pairs("") == {}


def test_too_many_pairs_are_not_listed():
    assert format_pairs(Counter({(0, float(reward)): 1 for reward in range(9)}), ("left", "right")) == ""


def test_success_is_what_the_environment_says():
    plain = {"seed": 0, "number": 0, "end_step": 1, "length": 1, "total_reward": 0.0, "discounted_return": 0.0}
    for told, success in (({}, None), ({"is_success": 1}, True), ({"is_success": False}, False)):
        assert Episode(**plain, terminated=True, action_counts=(1,), info=told).success is success
