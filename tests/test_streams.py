"""Random streams on the seed axis."""

import numpy as np
import pytest
import torch

from agents.streams import SeedStreams, spawn_streams
from tests.helpers import CPU, seeds_of


def test_a_seed_draws_the_same_whatever_seeds_run_beside_it():
    three, two = SeedStreams(seeds_of(3), CPU), SeedStreams(seeds_of(2), CPU)
    for draw in ("uniform", "normal", "bits"):
        assert torch.equal(getattr(three, draw)(5, 7)[:2], getattr(two, draw)(5, 7))


def test_draws_do_not_depend_on_how_they_are_cut():
    whole, pieces = SeedStreams(seeds_of(2), CPU), SeedStreams(seeds_of(2), CPU)
    assert torch.equal(whole.uniform(10), torch.cat([pieces.uniform(4), pieces.uniform(6)], 1))


def test_draws_do_not_depend_on_how_many_are_hashed_ahead(monkeypatch: pytest.MonkeyPatch):
    whole, pieces = SeedStreams(seeds_of(2), CPU), SeedStreams(seeds_of(2), CPU)
    expected = whole.bits(60)
    monkeypatch.setattr("agents.streams.AHEAD", 2 * 16)  # of which 16 for each seed
    found = [pieces.bits(*shape) for shape in ((5,), (2, 3), (0,), (7,), (40,), (2,))]
    assert [part.shape[1:] for part in found[:2]] == [(5,), (2, 3)]
    assert torch.equal(torch.cat([part.flatten(1) for part in found], 1), expected)
    pieces.counter = 3  # back, or anywhere
    assert torch.equal(pieces.bits(4), expected[:, 3:7])


def test_state_dict_continues_the_stream():
    streams = SeedStreams(seeds_of(2), CPU)
    streams.uniform(13)
    state = streams.state_dict()
    expected = streams.normal(4)
    fresh = SeedStreams(seeds_of(2, root=9), CPU)
    fresh.load_state_dict(state)
    assert torch.equal(fresh.normal(4), expected)


def test_moments_are_those_of_the_distributions():
    streams = SeedStreams(seeds_of(2), CPU)
    uniform, normal = streams.uniform(200_000).double(), streams.normal(200_000).double()
    assert uniform.min() >= 0 and uniform.max() < 1
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.003)
    assert (uniform**2).mean().item() == pytest.approx(1 / 3, abs=0.003)
    assert normal.mean().item() == pytest.approx(0, abs=0.01)
    assert normal.std().item() == pytest.approx(1, abs=0.01)
    assert (normal**4).mean().item() == pytest.approx(3, abs=0.1)


def test_integers_are_uniform_below_high_and_high_broadcasts():
    streams = SeedStreams(seeds_of(2), CPU)
    counts = np.bincount(streams.integers(7, 70_000)[0].numpy(), minlength=7)
    assert len(counts) == 7 and abs(counts / 10_000 - 1).max() < 0.05
    high = torch.tensor([[1, 2, 3], [1, 2, 3]])
    assert (streams.integers(high, 3) < high).all()


def test_uses_and_seeds_have_unrelated_streams():
    one, two = spawn_streams(seeds_of(2), 2, CPU)
    draws = torch.cat([one.uniform(10_000), two.uniform(10_000)]).numpy()
    correlations = np.corrcoef(draws) - np.eye(4)
    assert abs(correlations).max() < 0.04
