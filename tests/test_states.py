"""From observations to numbers of states: bins, bounds and names by hand-worked numbers."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from agents.base import Task
from agents.states import StateIndex


def index_of(space: gym.Space[Any], names: tuple[str, ...] = (), **bins: Any) -> StateIndex:
    task = Task(observation_space=space, action_space=gym.spaces.Discrete(2), state_names=names)
    return StateIndex(task, **bins)


def box(*bounds: tuple[float, float]) -> gym.spaces.Box:
    low, high = np.array(bounds, np.float32).T
    return gym.spaces.Box(low, high, dtype=np.float32)


def test_discrete_spaces_are_counted_from_their_start():
    index = index_of(gym.spaces.Discrete(3, start=5))
    assert index.states == 3
    assert index(np.array([[5, 7]])).tolist() == [[0, 2]]
    assert [index.name(state) for state in range(3)] == ["5", "6", "7"]


def test_the_environments_names_are_used_only_where_they_fit():
    assert index_of(gym.spaces.Discrete(2), ("here", "there")).name(1) == "there"
    assert index_of(gym.spaces.Discrete(2), ("a", "b", "c")).name(1) == "1"


def test_several_numbers_make_one_state_each():
    index = index_of(gym.spaces.MultiDiscrete([3, 2], start=[10, 0]))
    assert index.states == 6
    assert index(np.array([[[10, 0], [10, 1], [12, 1]]])).tolist() == [[0, 1, 5]]
    assert index.name(5) == "(12, 1)"
    assert index_of(gym.spaces.MultiBinary(3))(np.array([[[1, 0, 1]]])).tolist() == [[5]]


def test_bounded_numbers_get_equal_bins_and_what_is_outside_the_nearest():
    index = index_of(box((0, 4)), bins=(4,))
    seen = np.array([[[0.0], [0.99], [1.0], [3.9], [4.0], [-7.0], [99.0]]])
    assert index(seen).tolist() == [[0, 0, 1, 3, 3, 0, 3]]
    assert index.name(1) == "[1, 2)"


def test_numbers_without_bounds_get_bins_that_are_fine_around_zero():
    """12 bins: edges at 0, 0.2, 0.5, 1, 2, 5 and infinity, times the scale."""
    index = index_of(box((-np.inf, np.inf)), bins=(12,), scale=(10.0,))
    assert [index.name(state) for state in range(6, 12)] == [
        "[0, 2)", "[2, 5)", "[5, 10)", "[10, 20)", "[20, 50)", "[50, inf)",
    ]  # fmt: skip
    assert index(np.array([[[1e9], [-1e9], [0.0], [-0.1], [3.0]]])).tolist() == [[11, 0, 6, 5, 7]]


def test_numbers_with_one_bound_are_fine_there():
    above = index_of(box((3, np.inf)), bins=(4,))
    assert above(np.array([[[3.0], [3.4], [4.5], [1e9], [0.0]]])).tolist() == [[0, 1, 2, 3, 0]]
    assert above.name(3) == "[6, inf)"
    below = index_of(box((-np.inf, 3)), bins=(4,))
    assert below(np.array([[[2.9], [2.6], [1.5], [-1e9], [7.0]]])).tolist() == [[3, 2, 1, 0, 3]]
    assert below.name(0) == "[-inf, 0)"


@pytest.mark.parametrize("bounds", [(-2.0, 5.0), (-np.inf, np.inf), (1.0, np.inf), (-np.inf, 1.0)])
def test_a_name_tells_the_numbers_that_fall_into_the_state(bounds: tuple[float, float]):
    index = index_of(box(bounds), bins=(6,))
    edges = [index._edge(0, digit) for digit in range(7)]
    inside = np.array(edges[1:-1])
    assert index((inside + 1e-4).reshape(1, -1, 1)).tolist() == [[1, 2, 3, 4, 5]]
    assert index((inside - 1e-4).reshape(1, -1, 1)).tolist() == [[0, 1, 2, 3, 4]]


def test_bounds_can_be_given_and_huge_ones_are_none():
    index = index_of(box((-3.4e38, 3.4e38), (-1, 1)), bins=(2,), low=(-4.0, 0.0), high=(4.0, 1.0))
    assert index.name(3) == "[0, 4) [0.5, 1)"
    assert index_of(box((-3.4e38, 3.4e38)), bins=(2,)).name(1) == "[0, inf)"


@pytest.mark.parametrize(("dimensions", "states"), [(1, 12), (4, 12**4), (5, 8**5), (8, 2**8), (16, 2**16)])
def test_default_bins_keep_a_table_small(dimensions: int, states: int):
    assert index_of(box(*[(-1.0, 1.0)] * dimensions)).states == states


@pytest.mark.parametrize(
    ("bins", "message"),
    [
        ({"bins": (3, 4, 5)}, "one for each of 2"),
        ({"bins": (0,)}, "whole numbers from 1"),
        ({"bins": (2.5,)}, "whole numbers from 1"),
        ({"low": (2.0, 0.0)}, "expected bin_low below bin_high"),
        ({"low": (float("nan"),)}, "bin_low is"),
        ({"scale": (0.0,)}, "numbers above 0"),
    ],
)
def test_impossible_bins_are_refused_in_one_line(bins: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=rf"^[^\n]*{message}[^\n]*$"):
        index_of(box((-1, 1), (-1, 1)), **bins)


def test_bins_for_what_needs_none_are_refused():
    with pytest.raises(ValueError, match="leave them out"):
        index_of(gym.spaces.Discrete(3), bins=(4,))
