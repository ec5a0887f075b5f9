"""Features of observations."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.encoders import Encoder, pose_features
from agents.streams import SeedStreams
from tests.helpers import CPU, seeds_of


def test_pose_features_are_pose_and_scaled_rate():
    tilt = 0.06  # the pole's upward axis leans by this towards +x, over the two snapshots from upright
    turned = [0.0, float(np.sin(np.arcsin(tilt) / 2)), 0.0, float(np.cos(np.arcsin(tilt) / 2))]
    upright = [0.0, 0.0, 0.0, 1.0]
    cart = [[0.0, 0.0, 0.07, *upright], [0.02, 0.0, 0.07, *upright]]
    pole = [[0.0, 0.0, 0.35, *upright], [0.03, 0.0, 0.35, *turned]]
    obs = torch.tensor([[[[cart[0], pole[0]], [cart[1], pole[1]]]]])  # [S=1, B=1, repeats=2, bodies=2, 7]
    features = pose_features(obs)[0, 0]
    assert features.shape == (16,)
    torch.testing.assert_close(features[:2], torch.tensor([0.02, 0.0]))  # the cart's place
    torch.testing.assert_close(features[4:6], torch.tensor([0.1, 0.0]))  # the pole's on the cart, x 10
    torch.testing.assert_close(features[6], torch.tensor(0.3))  # its tilt, x 5
    torch.testing.assert_close(features[8], torch.tensor(0.02 * 48))  # the cart's speed, m/s
    torch.testing.assert_close(features[12], torch.tensor(0.01 * 48))  # the pole's on the cart, m/s
    torch.testing.assert_close(features[14], torch.tensor(0.06 * 48))  # its tilt rate, rad/s


def test_a_pole_that_has_come_off_its_cart_does_not_dwarf_the_others():
    on_cart = np.zeros((1, 99, 2, 2, 7), np.float32)
    on_cart[..., 6] = 1.0
    on_cart[:, :, :, 1, 0] = np.linspace(-0.1, 0.1, 99)[None, :, None]  # m, from one edge to the other
    off_cart = on_cart[:, :1].copy()
    off_cart[..., 1, 0] = 400.0
    seen = torch.from_numpy(np.concatenate([on_cart, off_cart], 1))
    encoder = Encoder(gym.spaces.Box(-1000, 1000, (2, 2, 7), np.float32), 1, CPU)
    encoder.observe(seen)
    place = encoder({}, seen)[0, :99, 4]
    assert float(place.max() - place.min()) > 2


def test_what_hardly_moves_is_not_blown_up():
    shaking = np.zeros((1, 50, 2, 2, 7), np.float32)
    shaking[..., 6] = 1.0
    shaking[:, :, :, 0, 0] = np.random.default_rng(1).normal(0, 0.001, (1, 50, 1))  # a millimetre
    encoder = Encoder(gym.spaces.Box(-1000, 1000, (2, 2, 7), np.float32), 1, CPU)
    encoder.observe(torch.from_numpy(shaking))
    assert float(encoder({}, torch.from_numpy(shaking)).abs().max()) < 0.5


def test_numbers_are_standardised_by_what_each_seed_has_seen():
    encoder = Encoder(gym.spaces.Box(-100, 100, (3,), np.float32), 2, CPU)
    rng = np.random.default_rng(0)
    seen = rng.normal([[[5.0, -3.0, 0.0]]], [[[2.0, 0.1, 1.0]]], size=(2, 500, 3)).astype(np.float32)
    for part in np.split(seen, 100, axis=1):
        encoder.observe(torch.from_numpy(part))
    out = encoder({}, torch.from_numpy(seen)).numpy()
    np.testing.assert_allclose(out.mean(1), 0, atol=1e-3)
    np.testing.assert_allclose(out.std(1), 1, atol=1e-3)


def test_discrete_observations_become_one_hot():
    encoder = Encoder(gym.spaces.Discrete(4, start=2), 1, CPU)
    assert encoder({}, torch.tensor([[2, 5]])).tolist() == [[[1, 0, 0, 0], [0, 0, 0, 1]]]


def test_images_become_the_features_that_were_announced():
    encoder = Encoder(gym.spaces.Box(0, 255, (50, 40, 6), np.uint8), 2, CPU)
    params = encoder.init(SeedStreams(seeds_of(2), CPU))
    obs = torch.randint(0, 256, (2, 3, 50, 40, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    out = encoder(params, obs)
    assert out.shape == (2, 3, encoder.features)
    alone = encoder(params, torch.cat([obs[:1], torch.zeros_like(obs[1:])]))
    torch.testing.assert_close(alone[0], out[0])  # the other seed's picture plays no part


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Box(-9, 9, (3, 2, 7), np.float32),
        gym.spaces.Box(-9, 9, (4,), np.float64),
        gym.spaces.Discrete(4, start=2),
        gym.spaces.Box(0, 255, (40, 38, 3), np.uint8),
    ],
)
def test_the_way_to_features_may_be_gone_in_parts(space: gym.Space[Any]):
    """A memory keeps what `observe` and `prepare` give; going on from there ends where the whole way does."""
    encoder = Encoder(space, 2, CPU)
    params = encoder.init(SeedStreams(seeds_of(2), CPU))
    space.seed(0)
    obs = torch.as_tensor(np.array([[space.sample() for _ in range(5)] for _ in range(2)]))  # [S=2, B=5, ...]
    kept = encoder.observe(obs)
    assert kept.shape == (2, 5, *(encoder.kept_space.shape or ()))
    assert torch.equal(kept, encoder.prepare(obs))
    assert torch.equal(encoder.convolve(params, encoder.standardise(kept)), encoder(params, obs))


def test_spaces_that_cannot_be_encoded_are_refused():
    with pytest.raises(ValueError, match="expected Box, Discrete"):
        Encoder(gym.spaces.Dict({"a": gym.spaces.Discrete(2)}), 1, CPU)
    with pytest.raises(ValueError, match="at least 36 x 36"):
        Encoder(gym.spaces.Box(0, 255, (20, 20, 3), np.uint8), 1, CPU)
