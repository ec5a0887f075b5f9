"""Networks with a seed axis: every weight is stacked, [S, ...], and every product is batched over it.

A network is a function of its parameters, a dictionary of named tensors; so copies, targets and derivatives are
operations on dictionaries.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from agents.lazy import torch
from agents.saved import check_shapes
from agents.streams import SeedStreams

Params = dict[str, "torch.Tensor"]


def init_linear(streams: SeedStreams, name: str, inputs: int, outputs: int, *, scale: float = 1.0) -> Params:
    """A layer's weight [S, inputs, outputs] and bias [S, 1, outputs], uniform within scale / sqrt(inputs)."""
    bound = scale / inputs**0.5
    return {
        f"{name}.weight": (streams.uniform(inputs, outputs) * 2 - 1) * bound,
        f"{name}.bias": (streams.uniform(1, outputs) * 2 - 1) * bound,
    }


def linear(params: Params, name: str, x: torch.Tensor) -> torch.Tensor:
    """[S, B, inputs] -> [S, B, outputs]."""
    return torch.baddbmm(params[f"{name}.bias"], x, params[f"{name}.weight"])


def init_mlp(streams: SeedStreams, name: str, sizes: Sequence[int], *, last_scale: float = 1.0) -> Params:
    """Layers from sizes[0] inputs to sizes[-1] outputs; the last one's weights are scaled by `last_scale`."""
    params: Params = {}
    for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
        scale = last_scale if layer == len(sizes) - 2 else 1.0
        params |= init_linear(streams, f"{name}.{layer}", inputs, outputs, scale=scale)
    return params


def mlp(params: Params, name: str, x: torch.Tensor) -> torch.Tensor:
    """A multi-layer perceptron with ReLU between its layers, [S, B, sizes[0]] -> [S, B, sizes[-1]]."""
    layer = 0
    while True:
        x = linear(params, f"{name}.{layer}", x)
        layer += 1
        if f"{name}.{layer}.weight" not in params:
            return x
        x = torch.relu(x)


def init_conv(streams: SeedStreams, name: str, inputs: int, outputs: int, kernel: int) -> Params:
    """A convolution's weight [S, outputs, inputs, kernel, kernel] and bias [S, outputs]."""
    bound = (inputs * kernel * kernel) ** -0.5
    return {
        f"{name}.weight": (streams.uniform(outputs, inputs, kernel, kernel) * 2 - 1) * bound,
        f"{name}.bias": (streams.uniform(outputs) * 2 - 1) * bound,
    }


def conv(params: Params, name: str, x: torch.Tensor, stride: int) -> torch.Tensor:
    """[B, S * inputs, H, W] -> [B, S * outputs, H', W']: each seed is a group of channels."""
    weight, bias = params[f"{name}.weight"], params[f"{name}.bias"]
    return torch.nn.functional.conv2d(x, weight.flatten(0, 1), bias.flatten(), stride=stride, groups=len(weight))


def clone(params: Params) -> Params:
    """A copy that shares nothing and needs no gradient."""
    return {name: tensor.detach().clone() for name, tensor in params.items()}


def blend(target: Params, source: Params, tau: float | torch.Tensor) -> None:
    """Moves `target` towards `source` by the share `tau`, in place; 1 copies."""
    with torch.no_grad():
        for name, tensor in target.items():
            tensor.lerp_(source[name], tau)


def load_params(params: Params, saved: Params) -> None:
    """Copies saved values into parameters or other named tensors, in place.

    Raises:
        ValueError: names or shapes differ: they were saved by another configuration.
    """
    check_shapes(saved, {name: tensor.shape for name, tensor in params.items()})
    with torch.no_grad():
        for name, tensor in params.items():
            tensor.copy_(saved[name])


def clip(gradients: Sequence[torch.Tensor], limit: float) -> torch.Tensor:
    """Scales gradients [S, ...] down to the norm `limit` within each seed, in place; returns the norms before, [S].

    Per seed: torch's own clipping would take one norm over all, and let one seed's gradients shrink another's.
    """
    norms = [torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients]
    norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)
    factor = (limit / norm).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.reshape(-1, *[1] * (gradient.dim() - 1)))
    return norm


def check_widths(widths: Sequence[int]) -> None:
    """Raises ValueError unless there are hidden layers, and none of an absurd width."""
    if not widths or not all(isinstance(width, int) and 1 <= width <= 65_536 for width in widths):
        raise ValueError(f"hidden is {widths!r}; expected widths in [1, 65536]")
