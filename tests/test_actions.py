"""Counts of continuous actions, on a handful of them."""

import gymnasium as gym
import numpy as np
import pytest

from eval.actions import CELLS, SECTORS, at_bound, watch_actions
from tests.helpers import make_step

BOX = gym.spaces.Box(-1, 1, (2,), np.float32)


def watch_of(actions: list[list[list[float]]], space: gym.spaces.Box = BOX):
    """A watch that saw actions [S, E, D] once."""
    action = np.array(actions)
    watch = watch_actions(space, len(action))
    assert watch is not None
    nothing = np.zeros(action.shape[:2])
    watch(make_step(nothing, action, nothing, nothing))
    return watch


def test_discrete_actions_are_not_watched():
    assert watch_actions(gym.spaces.Discrete(3), 2) is None


def test_directions_are_centred_on_the_axes():
    watch = watch_of([[[1.0, 0.0], [0.5, 0.01], [0.5, -0.01], [0.0, 1.0], [-1.0, 0.0], [0.0, -0.2], [0.0, 0.0]]])
    counts = watch.figures(0)["direction_counts"]
    assert len(counts) == SECTORS == 24 and sum(counts) == 6  # what stands still has no direction
    assert (counts[0], counts[6], counts[12], counts[18]) == (3, 1, 1, 1)


def test_magnitudes_and_saturation_are_by_seed():
    watch = watch_of([[[0.6, 0.8], [0.0, 0.0]], [[1.0, 0.5], [-1.0, 1.0]]])
    first, second, both = watch.figures(0), watch.figures(1), watch.figures()
    assert (first["saturated_share"], second["saturated_share"], both["saturated_share"]) == (0.0, 0.75, 0.375)
    assert both["mean"] == pytest.approx([0.15, 0.575])
    assert both["magnitude_largest"] == pytest.approx(2**0.5)
    # Sorted magnitudes: 0, 1, 1.118, 1.414; bins are 0.0141 wide.
    assert first["magnitude_deciles"][10] == pytest.approx(1.0, abs=0.02)
    assert second["magnitude_deciles"][2] == pytest.approx(1.118, abs=0.02)
    assert sum(both["magnitude_counts"]) == 4 and both["magnitude_counts"][0] == both["magnitude_counts"][-1] == 1


def test_deciles_of_magnitude_agree_with_numpy():
    actions = np.random.default_rng(0).uniform(-1, 1, (2, 500, 2))
    found = watch_of(actions.tolist()).figures()["magnitude_deciles"]
    exact = np.percentile(np.linalg.norm(actions, axis=-1), range(0, 101, 10))
    np.testing.assert_allclose(found, exact, atol=2**0.5 / 50)


def test_the_cells_are_rows_of_the_second_component():
    figures = watch_of([[[1.0, -1.0], [1.0, -1.0], [0.0, 0.0]]]).figures()
    cells = np.array(figures["cells"])
    assert cells.shape == (CELLS, CELLS) and cells.sum() == 3
    assert cells[0, -1] == 2 and cells[CELLS // 2, CELLS // 2] == 1
    assert figures["bounds"] == [[-1, 1], [-1, 1]] and "cells" not in watch_of([[[0.0, 0.0]]]).figures(0)


def test_one_component_has_no_direction():
    figures = watch_of([[[2.0], [-1.0], [0.0]]], gym.spaces.Box(-2, 2, (1,), np.float32)).figures()
    assert figures["direction_counts"] is None and "cells" not in figures
    assert figures["saturated_share"] == pytest.approx(1 / 3)


def test_columns_that_have_run_out_do_not_count():
    watch = watch_actions(BOX, 1)
    assert watch is not None
    step = make_step(np.zeros((1, 2)), np.ones((1, 2, 2)), np.zeros((1, 2)), np.zeros((1, 2)))
    step.running[0, 1] = False
    watch(step)
    assert watch.steps.tolist() == [1]


def test_squashed_actions_are_saturated_when_they_come_close():
    low, high = np.array([-1.0, -np.inf]), np.array([1.0, np.inf])
    found = at_bound(np.array([[0.99, 1e9], [0.97, -1e9], [-0.985, 0.0]]), low, high)
    assert found.tolist() == [[True, False], [False, False], [True, False]]
