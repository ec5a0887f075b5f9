"""Exploration rules and schedules, by hand-worked numbers."""

import numpy as np
import pytest
import torch

from agents.exploration import Explorer, epsilon_greedy, greedy, rho_probabilities, sample
from agents.schedules import halving, ramp
from agents.streams import SeedStreams
from tests.helpers import CPU, seeds_of


def test_rho_probabilities_are_powers_of_the_value_above_the_least():
    q = torch.tensor([[[1.0, 2.0, 3.0]]])
    # (Q - min) / range + 0.1: 0.1, 0.6, 1.1
    expected = np.array([0.1, 0.6, 1.1]) ** 2
    np.testing.assert_allclose(rho_probabilities(q, 2.0, share=0.1)[0, 0], expected / expected.sum(), rtol=1e-5)
    np.testing.assert_allclose(rho_probabilities(q, 0.0)[0, 0], [1 / 3] * 3, rtol=1e-6)
    assert rho_probabilities(q, 500.0)[0, 0, 2] > 0.99


def test_equal_values_are_explored_equally_at_any_power():
    assert rho_probabilities(torch.full((1, 1, 4), 7.0), 50.0).tolist() == [[[0.25] * 4]]


def test_epsilon_is_the_share_of_random_actions():
    q = torch.zeros(2, 20_000, 5)
    q[..., 3] = 1.0
    action = epsilon_greedy(q, 0.3, SeedStreams(seeds_of(2), CPU))
    share = (action == 3).float().mean(1)
    torch.testing.assert_close(share, torch.full((2,), 0.7 + 0.3 / 5), atol=0.01, rtol=0)
    assert torch.equal(greedy(q), torch.full((2, 20_000), 3))


def test_sampling_follows_the_probabilities():
    p = torch.tensor([0.1, 0.0, 0.6, 0.3]).expand(1, 50_000, 4)
    counts = np.bincount(sample(p, SeedStreams(seeds_of(1), CPU))[0].numpy(), minlength=4) / 50_000
    np.testing.assert_allclose(counts, [0.1, 0, 0.6, 0.3], atol=0.01)
    assert counts[1] == 0


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 1.0), (100, 1.0), (150, 0.75), (200, 0.5), (300, 0.0), (10**9, 0.0)]
)
def test_ramp_waits_then_goes_straight(step: int, expected: float):
    assert ramp(step, 1.0, 0.0, 200, burn_in=100) == expected


@pytest.mark.parametrize(("step", "expected"), [(0, 0.6), (200, 0.3), (400, 0.2), (600, 0.15)])
def test_halving_goes_as_one_over_time(step: int, expected: float):
    assert halving(step, 0.6, 200) == pytest.approx(expected)
    assert halving(step, 0.6, 0) == 0.6


def test_an_explorer_explores_less_and_less():
    q = torch.zeros(2, 20_000, 5)
    q[..., 3] = 1.0
    explorer = Explorer("epsilon", 1.0, 0.2, burn_in=10, ramp_steps=40, streams=SeedStreams(seeds_of(2), CPU))
    for step, epsilon in ((0, 1.0), (30, 0.6), (1000, 0.2)):
        assert explorer.amount(step) == pytest.approx(epsilon)
        share = (explorer.choose(q, step) == 3).float().mean(1)
        torch.testing.assert_close(share, torch.full((2,), 1 - epsilon + epsilon / 5), atol=0.015, rtol=0)


def test_an_explorer_by_rho_chooses_by_a_power_of_the_value():
    q = torch.tensor([0.0, 1.0, 2.0]).expand(1, 50_000, 3)
    explorer = Explorer("rho", 0.0, 2.0, burn_in=0, ramp_steps=10, streams=SeedStreams(seeds_of(1), CPU))
    for step, rho in ((0, 0.0), (5, 1.0), (10, 2.0)):
        expected = np.array([0.01, 0.51, 1.01]) ** rho
        shares = np.bincount(explorer.choose(q, step)[0].numpy(), minlength=3) / 50_000
        np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.01)
