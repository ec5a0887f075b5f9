"""From observations to features: what the networks of every agent start with."""

from __future__ import annotations

import functools
from typing import Any

import gymnasium as gym
import numpy as np

from agents.lazy import torch
from agents.networks import Params, conv, init_conv
from agents.saved import check_shape
from agents.streams import SeedStreams

POSE = 7
"""Numbers of a pose: position x y z, quaternion x y z w."""
RATE_SCALE = 48.0
"""1/s: 240 physics steps a second, 5 between snapshots; turns their difference into m/s and rad/s, of order one."""
TILT_SCALE = 5.0
"""Tilts reach 0.3 before an episode ends."""
OFFSET_SCALE = 10.0
"""Metres between bodies that touch are of order 0.1."""
POSE_FAR = 3.0
"""Features of poses beyond this are cut off: a body that has come off another is metres away from it, which would
leave nothing of the centimetres that matter when features are divided by their deviation."""
POSE_NOISE = 0.1
"""Deviations of features of poses below this are not blown up to 1: they are noise."""

FAR = 10.0
"""Standard deviations beyond which a standardised number is cut off."""

CONV_CHANNELS, CONV_KERNELS, CONV_STRIDES = (16, 32, 32), (5, 3, 3), (2, 2, 2)


def pose_features(obs: torch.Tensor) -> torch.Tensor:
    """Snapshots of poses as poses and rates of order one, [S, B, repeats, bodies, 7] -> [S, B, F].

    Velocity hides in a small difference of snapshots, and the place of one body on another in a small difference of
    positions: a network learns many times faster when both are given to it. For the first body: where it is on the
    ground (x, y) and its tilt (the horizontal part of its upward axis); for each further one: the same, its place
    relative to the first. Then the rates of all of that. Heights and headings are left out: balancing does not depend
    on them.
    """
    placed = _placed(obs[:, :, :: max(1, obs.shape[2] - 1)])  # of the first and the last snapshot: [S, B, 2, F / 2]
    last = placed[:, :, -1]
    if obs.shape[2] > 1:
        last = torch.cat([last, (last - placed[:, :, 0]) * _rate_scale(*obs.shape[2:4], obs.device)], -1)
    return last.clamp(-POSE_FAR, POSE_FAR)


def _placed(poses: torch.Tensor) -> torch.Tensor:
    """Bodies' poses [..., bodies, 7] as four numbers a body, scaled to order one: [..., 4 * bodies]."""
    position = poses[..., :2]
    base, others = position[..., :1, :], position[..., 1:, :]
    position = torch.cat([base, (others - base) * OFFSET_SCALE], -2)
    x, y, z, w = poses[..., 3:].unbind(-1)
    tilt = 2 * torch.stack([x * z + w * y, y * z - w * x], -1)
    return torch.cat([position, tilt * TILT_SCALE], -1).flatten(-2)


@functools.cache
def _rate_scale(repeats: int, bodies: int, device: torch.device) -> torch.Tensor:
    """What turns the change of `_placed` over some snapshots into rates of order one, [4 * bodies]."""
    scale = torch.ones(bodies, 4, device=device)
    scale[1:, :2] = 1 / OFFSET_SCALE
    scale[:, 2:] = 1 / TILT_SCALE
    return scale.flatten() * (RATE_SCALE / (repeats - 1))


class Encoder:
    """The way from an observation space to features [S, B, `features`].

    Poses (Box (repeats, bodies, 7)) become `pose_features`; these and other numbers, flattened, are standardised by
    what each seed has seen so far; a Discrete space becomes one-hot; images (uint8 (height, width, channels)) pass a
    small convolutional network.

    Args:
        space: of one observation.
        seeds: S.
        device: where features are made.
        least_deviation: numbers that vary by less than this are not blown up to a deviation of 1. By default what
            suits the space: next to nothing for numbers of unknown unit.

    Raises:
        ValueError: the space is none of these.
    """

    def __init__(
        self, space: gym.Space[Any], seeds: int, device: torch.device, *, least_deviation: float | None = None
    ):
        check_observation_space(space)
        self.space, self.seeds = space, seeds
        self.shape = tuple(space.shape or ())
        if isinstance(space, gym.spaces.Discrete):
            self.kind, self.features = "one-hot", int(space.n)
        elif _is_image(space):
            self.kind = "pixels"
            height, width, _ = self.shape
            for kernel, stride in zip(CONV_KERNELS, CONV_STRIDES, strict=True):
                height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
            self.features = CONV_CHANNELS[-1] * height * width
        elif len(self.shape) == 3 and self.shape[-1] == POSE:
            self.kind = "poses"
            self.features = 4 * self.shape[1] * (2 if self.shape[0] > 1 else 1)
        else:
            self.kind, self.features = "flat", int(np.prod(self.shape))
        self.kept_space = gym.spaces.Box(-np.inf, np.inf, (self.features,)) if self.kind == "poses" else space
        """Of what `prepare` gives."""
        if least_deviation is None:
            least_deviation = POSE_NOISE if self.kind == "poses" else 1e-3
        self.least_deviation = least_deviation
        self._seen = 0
        # Of what was seen, [S, 1, F]; the start value of 1 leaves features as they are.
        self._mean = torch.zeros(seeds, 1, self.features, device=device)
        self._variance = torch.ones(seeds, 1, self.features, device=device)

    def observe(self, obs: torch.Tensor) -> torch.Tensor:
        """Takes observations of training, [S, E, *observation], into the statistics that standardise them.

        Returns what `prepare` makes of them.
        """
        kept = self.prepare(obs)
        if self.kind not in ("flat", "poses"):
            return kept
        obs = kept.flatten(2).float()
        count = obs.shape[1]
        self._seen += count
        share = count / self._seen
        within, mean = torch.var_mean(obs, 1, correction=0, keepdim=True)
        # Chan, Golub and LeVeque (1979): mean and variance of two samples from those of each.
        between = (mean - self._mean).square() * (share * (1 - share))
        self._variance = self._variance.lerp(within, share) + between
        self._mean = self._mean.lerp(mean, share)
        return kept

    def init(self, streams: SeedStreams) -> Params:
        """The parameters that it needs: none but for images."""
        params: Params = {}
        if self.kind == "pixels":
            inputs = self.shape[-1]
            for layer, (outputs, kernel) in enumerate(zip(CONV_CHANNELS, CONV_KERNELS, strict=True)):
                params |= init_conv(streams, f"conv.{layer}", inputs, outputs, kernel)
                inputs = outputs
        return params

    def __call__(self, params: Params, obs: torch.Tensor) -> torch.Tensor:
        """The whole way, [S, B, *observation] -> [S, B, features]."""
        return self.convolve(params, self.standardise(self.prepare(obs)))

    def prepare(self, obs: torch.Tensor) -> torch.Tensor:
        """Makes of observations what a memory keeps, [S, B, *observation] -> [S, B, *kept_space.shape].

        Poses become features, which take less memory and need not be computed each time they are drawn; everything
        else stays as it is.
        """
        return pose_features(obs.float()) if self.kind == "poses" else obs

    def standardise(self, kept: torch.Tensor) -> torch.Tensor:
        """The part of the way that no parameters are needed for, [S, B, *kept_space.shape] -> [S, B, ...].

        It ends with features, but for images, which stay as they are: as bytes they take the least memory.
        """
        if self.kind == "one-hot":
            start = int(self.space.start)  # pyright: ignore[reportAttributeAccessIssue]
            return torch.nn.functional.one_hot(kept.long() - start, self.features).float()
        if self.kind in ("flat", "poses"):
            deviation = (self._variance + self.least_deviation**2).sqrt()
            return ((kept.flatten(2).float() - self._mean) / deviation).clamp(-FAR, FAR)
        return kept

    def convolve(self, params: Params, standard: torch.Tensor) -> torch.Tensor:
        """The rest of the way: images become features."""
        if self.kind != "pixels":
            return standard
        x = self.activations(params, standard)[-1]  # [S, B, C, H, W]
        return x.flatten(2)

    def activations(self, params: Params, standard: torch.Tensor) -> list[torch.Tensor]:
        """What each convolution makes of images [S, B, H, W, channels]: [S, B, C, H', W'] each."""
        seeds, batch, height, width, channels = standard.shape
        x = standard.permute(1, 0, 4, 2, 3).reshape(batch, seeds * channels, height, width)  # [B, S * C, H, W]
        x = x.float() / 255
        layers = []
        for layer, stride in enumerate(CONV_STRIDES):
            x = torch.relu(conv(params, f"conv.{layer}", x, stride))
            layers.append(x.unflatten(1, (seeds, -1)).transpose(0, 1))
        return layers

    @property
    def most_threads(self) -> int:
        """On how many threads networks behind it learn the same to the bit as on one.

        A product of one seed's is done by one thread then. What convolutions learn is summed up in threads' shares.
        """
        return 1 if self.kind == "pixels" else self.seeds

    @property
    def statistics(self) -> dict[str, torch.Tensor]:
        """Of what was seen, [S, 1, F]."""
        return {"mean": self._mean, "variance": self._variance}

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self._seen, "mean": self._mean, "variance": self._variance}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, held in self.statistics.items():
            check_shape(name, state[name], held.shape)
        self._seen = int(state["seen"])
        self._mean, self._variance = (state[name].to(self._mean.device) for name in ("mean", "variance"))


def check_observation_space(space: gym.Space[Any]) -> None:
    """Whether an `Encoder` can be made for a space.

    Raises:
        ValueError: it is not a single array or number, or an image too small for the convolutions.
    """
    if not isinstance(space, gym.spaces.Box | gym.spaces.Discrete | gym.spaces.MultiBinary | gym.spaces.MultiDiscrete):
        raise ValueError(f"observation space {space}; expected Box, Discrete, MultiBinary or MultiDiscrete")
    if _is_image(space):
        height, width, _ = space.shape or (0, 0, 0)
        if min(height, width) < 36:
            raise ValueError(f"images of {height} x {width} pixels; expected at least 36 x 36")


def _is_image(space: gym.Space[Any]) -> bool:
    return isinstance(space, gym.spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3
