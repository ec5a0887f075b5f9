"""Stacked networks, and the parts that must not mix seeds."""

import pytest
import torch

from agents.networks import blend, check_widths, clip, clone, conv, init_conv, init_mlp, mlp
from agents.streams import SeedStreams
from tests.helpers import CPU, seeds_of


def test_a_stacked_network_is_each_seeds_network():
    params = init_mlp(SeedStreams(seeds_of(3), CPU), "q", (4, 6, 2))
    x = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    y = mlp(params, "q", x)  # [S=3, B=5, 2]
    for seed in range(3):
        hidden = torch.relu(x[seed] @ params["q.0.weight"][seed] + params["q.0.bias"][seed])
        expected = hidden @ params["q.1.weight"][seed] + params["q.1.bias"][seed]
        torch.testing.assert_close(y[seed], expected)


def test_a_stacked_convolution_is_each_seeds_convolution():
    params = init_conv(SeedStreams(seeds_of(2), CPU), "conv", 3, 4, 5)
    x = torch.randn(7, 2 * 3, 9, 8, generator=torch.Generator().manual_seed(0))  # [B, S * C, H, W]
    y = conv(params, "conv", x, 2)
    for seed in range(2):
        expected = torch.nn.functional.conv2d(
            x[:, 3 * seed : 3 * seed + 3], params["conv.weight"][seed], params["conv.bias"][seed], stride=2
        )
        torch.testing.assert_close(y[:, 4 * seed : 4 * seed + 4], expected)


def test_clipping_is_per_seed():
    weight = torch.tensor([[3.0, 0.0, 0.0], [0.1, 0.0, 0.0]])
    bias = torch.tensor([[4.0], [0.0]])
    norms = clip([weight, bias], limit=1.0)
    torch.testing.assert_close(norms, torch.tensor([5.0, 0.1]))
    torch.testing.assert_close(weight, torch.tensor([[0.6, 0.0, 0.0], [0.1, 0.0, 0.0]]))
    torch.testing.assert_close(bias, torch.tensor([[0.8], [0.0]]))


def test_blend_moves_by_tau_and_a_clone_shares_nothing():
    source = {"w": torch.ones(2, 3)}
    target = clone(source)
    target["w"].zero_()
    blend(target, source, 0.25)
    assert torch.equal(target["w"], torch.full((2, 3), 0.25))
    assert torch.equal(source["w"], torch.ones(2, 3))


def test_no_gradient_is_not_clipped():
    gradient = torch.zeros(2, 3)
    assert clip([gradient], limit=1.0).tolist() == [0.0, 0.0]
    assert torch.equal(gradient, torch.zeros(2, 3))


@pytest.mark.parametrize("widths", [(), (0,), (8, 70_000), (8.0,)])
def test_absurd_widths_are_refused(widths: tuple[int, ...]):
    check_widths((8, 16))
    with pytest.raises(ValueError, match="expected widths in"):
        check_widths(widths)
