"""Noise by its statistics, that columns and seeds have their own, and that it stays between the bounds."""

import numpy as np
import pytest
import torch

from agents.noise import Noise, in_turns, perturbed
from agents.streams import SeedStreams
from tests.helpers import CPU, seeds_of

NO = torch.zeros(2, 3, dtype=torch.bool)  # no episode opens: [S=2, E=3]


def noise_of(kind: str = "ornstein-uhlenbeck", theta: float = 0.25, seeds: int = 2, envs: int = 3) -> Noise:
    return Noise(kind, theta, envs, 4, SeedStreams(seeds_of(seeds), CPU))  # pyright: ignore[reportArgumentType]


def drawn(noise: Noise, steps: int, first: torch.Tensor = NO) -> np.ndarray:
    """[steps, S, E, D=4]."""
    return np.stack([noise(first).numpy() for _ in range(steps)])


@pytest.mark.parametrize(("kind", "kept"), [("gaussian", 0.0), ("ornstein-uhlenbeck", 0.75)])
def test_noise_has_deviation_one_and_forgets_at_its_rate(kind: str, kept: float):
    values = drawn(noise_of(kind, theta=0.25), 5_000)[50:]  # without the start from 0
    np.testing.assert_allclose(values.mean((0, 1, 2)), 0, atol=0.07)
    np.testing.assert_allclose(values.std((0, 1, 2)), 1, atol=0.05)
    again = (values[1:] * values[:-1]).mean((0, 1, 2))
    np.testing.assert_allclose(again, kept, atol=0.06)


def test_columns_dimensions_and_seeds_are_independent():
    flat = drawn(noise_of(), 5_000).reshape(5_000, -1)  # 2 * 3 * 4 series
    correlation = np.corrcoef(flat.T) - np.eye(flat.shape[1])
    assert np.abs(correlation).max() < 0.16  # of 5,000 * (1 - 0.75) / (1 + 0.75) independent pairs; 4 deviations


def test_wandering_noise_begins_anew_where_an_episode_opens_and_nowhere_else():
    """From 0: deviation sqrt(1 - 0.99^2) = 0.14 after one step. Column (1, 2) opens an episode at each step."""
    first = NO.clone()
    first[1, 2] = True
    values = drawn(noise_of(theta=0.01), 2_000, first)
    reset, running = values[500:, 1, 2], values[500:, 0, 1]
    assert np.abs(np.std(reset) - 0.141) < 0.01
    assert np.abs((reset[1:] * reset[:-1]).mean()) < 0.002
    assert (running[1:] * running[:-1]).mean() > 0.3


def test_noise_goes_on_from_its_state_to_the_bit():
    noise = noise_of()
    drawn(noise, 5)
    other = noise_of()
    other.load_state_dict(noise.state_dict())
    np.testing.assert_array_equal(drawn(noise, 5), drawn(other, 5))


def test_a_seed_draws_the_same_beside_others():
    np.testing.assert_array_equal(drawn(noise_of(seeds=1), 4, NO[:1])[:, 0], drawn(noise_of(), 4)[:, 0])


def test_it_serves_another_number_of_columns():
    noise = noise_of()
    drawn(noise, 3)
    assert drawn(noise, 2, torch.zeros(2, 7, dtype=torch.bool)).shape == (2, 2, 7, 4)


def test_actions_are_clipped_at_both_bounds():
    action = torch.tensor([[[0.9], [-0.9], [0.5], [-0.5]]])  # [S=1, B=4, D=1]
    noise = torch.tensor([[[0.3], [-0.3], [-0.25], [0.25]]])
    assert perturbed(action, noise).tolist() == [[[1.0], [-1.0], [0.25], [-0.25]]]


def test_noise_itself_is_limited_either_way():
    noise = torch.tensor([[[3.0], [-3.0], [0.125]]])
    assert perturbed(torch.zeros(1, 3, 1), noise, limit=0.25).tolist() == [[[0.25], [-0.25], [0.125]]]


def test_networks_explore_in_turns_over_the_columns():
    actions = torch.arange(2 * 3 * 5 * 4.0).reshape(2, 3, 5, 4)  # [K, S, E, D]
    taken = in_turns(actions)
    assert taken.shape == (3, 5, 4)
    for column in range(5):
        assert torch.equal(taken[:, column], actions[column % 2, :, column])
    assert torch.equal(in_turns(actions[:1]), actions[0])
