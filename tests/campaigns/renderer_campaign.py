"""The renderer of CartPole3D's pixels beside TinyRenderer: how far the pictures differ, and how long both take.

`python -m tests.campaigns.renderer_campaign` takes half a minute. The tests run the same comparison on a few poses.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from envs.bullet import BulletCartPole
from envs.cartpole3d_pixels import PixelRenderer
from envs.cartpole3d_task import BODIES, CAMERA_EYES, CAMERA_TARGET, POSE

Poses = NDArray[np.float64]  # [N, 2, 7]


def rotations(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quaternions x y z w [N, 4] of rotations about vectors [N, 3] by their length, rad."""
    half = np.linalg.norm(vectors, axis=1, keepdims=True) / 2
    return np.concatenate([vectors * np.sinc(half / np.pi) / 2, np.cos(half)], axis=1)


def upright(count: int, rng: np.random.Generator, spread: float = 0.5, tilt: float = 0.3) -> Poses:
    """As in episodes: the cart on the ground within `spread` m of the origin, the pole on it, tilted up to `tilt`."""
    poses = np.zeros((count, BODIES, POSE))
    poses[:, 0, :2] = rng.uniform(-spread, spread, (count, 2))
    poses[:, 0, 2] = 0.075
    poses[:, 0, 3:] = rotations(rng.normal(size=(count, 3)) * (0.01, 0.01, 0.5))
    poses[:, 1, :2] = poses[:, 0, :2] + rng.uniform(-0.1, 0.1, (count, 2))
    poses[:, 1, 2] = 0.35
    poses[:, 1, 3:] = rotations(rng.uniform(-1, 1, (count, 3)) * (tilt, tilt, 0.5))
    return poses


def far(count: int, rng: np.random.Generator) -> Poses:
    """Carts up to 2 m away and more, falling poles; many partly or wholly out of the picture, some close to an eye."""
    return upright(count, rng, spread=2.2, tilt=1.5)


def lying(count: int, rng: np.random.Generator) -> Poses:
    """Poles on the ground around a cart, before and behind it, some a little sunk into the one or the other."""
    poses = upright(count, rng)
    heading, tilt = rng.uniform(-np.pi, np.pi, count), np.pi / 2 + rng.normal(0, 0.05, count)
    poses[:, 1, :2] = poses[:, 0, :2] + rng.uniform(-0.35, 0.35, (count, 2))
    poses[:, 1, 2] = rng.uniform(0.05, 0.08, count)
    poses[:, 1, 3:] = rotations(np.stack([np.cos(heading), np.sin(heading), 0 * heading], axis=1) * tilt[:, None])
    return poses


def tumbling(count: int, rng: np.random.Generator) -> Poses:
    """Both bodies turned anyhow, anywhere around the cameras: within one another, in the ground, through the eyes."""
    poses = rng.normal(size=(count, BODIES, POSE))
    poses[..., :3] = rng.uniform(-1, 1, (count, BODIES, 3)) + np.array([0.0, 0.0, 0.4])
    poses[..., 3:] /= np.linalg.norm(poses[..., 3:], axis=-1, keepdims=True)
    return poses


KINDS: tuple[Callable[[int, np.random.Generator], Poses], ...] = (upright, far, lying, tumbling)


class Pair:
    """The same cameras in both renderers."""

    def __init__(self, width: int, height: int):
        self.width, self.height = width, height
        self.ours = PixelRenderer(width, height, CAMERA_EYES, CAMERA_TARGET)
        self._world = BulletCartPole()

    def close(self) -> None:
        self._world.close()

    def place(self, poses: Poses) -> None:
        """Puts Bullet's bodies where `poses` [2, 7] says."""
        bullet, client = self._world._bullet, self._world._client
        for body, pose in zip((self._world.cart, self._world.pole), poses, strict=True):
            bullet.resetBasePositionAndOrientation(body, pose[:3], pose[3:], client)

    def photograph(self, camera: int) -> NDArray[np.uint8]:
        """TinyRenderer's picture [height, width, 3]."""
        return self._world.photograph(CAMERA_EYES[camera], CAMERA_TARGET, self.width, self.height)

    def draw(self, poses: Poses) -> NDArray[np.uint8]:
        """Our pictures [N, height, width, cameras, 3] of poses [N, 2, 7]."""
        out = np.empty((len(poses), *self.ours.shape), np.uint8)
        self.ours.draw(poses[:, None], out)
        return out.reshape(len(poses), self.height, self.width, len(CAMERA_EYES), 3)

    def differences(self, poses: Poses) -> NDArray[np.int16]:
        """Ours minus TinyRenderer's, [N, height, width, cameras, 3]."""
        found = self.draw(poses).astype(np.int16)
        for picture, both in zip(found, poses, strict=True):
            self.place(both)
            for camera in range(len(CAMERA_EYES)):
                picture[:, :, camera] -= self.photograph(camera)
        return found

    def times(self, poses: Poses, rounds: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Seconds that a picture takes us, and TinyRenderer, in turn; [rounds] each."""
        ours = PixelRenderer(self.width, self.height, CAMERA_EYES, CAMERA_TARGET, snapshots=2)
        snapshots = poses.astype(np.float32).reshape(-1, 2, BODIES, POSE)
        out = np.empty((len(snapshots), *ours.shape), np.uint8)
        ours.draw(snapshots, out)  # compiles
        seconds = np.empty((2, rounds))
        for turn in range(rounds):
            began = time.perf_counter()
            ours.draw(snapshots, out)
            seconds[0, turn] = (time.perf_counter() - began) / (len(poses) * len(CAMERA_EYES))
            self.place(poses[turn % len(poses)])
            began = time.perf_counter()
            for camera in range(len(CAMERA_EYES)):
                self.photograph(camera)
            seconds[1, turn] = (time.perf_counter() - began) / len(CAMERA_EYES)
        return seconds[0], seconds[1]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--poses", type=int, default=1000, help="in all")
    parser.add_argument("--width", type=int, default=50)
    parser.add_argument("--height", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=300, help="of timing")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    rng = np.random.default_rng(args.seed)
    pair = Pair(args.width, args.height)
    for kind in KINDS:
        found = np.abs(pair.differences(kind(args.poses // len(KINDS), rng)))
        for camera in range(len(CAMERA_EYES)):
            of = found[:, :, :, camera]
            print(
                f"{kind.__name__:9} camera {camera}: mean difference {of.mean():.6f} of 255, worst {of.max()}, "
                f"pixels that differ {of.any(-1).sum()} of {of[..., 0].size}"
            )
    ours, theirs = pair.times(upright(256, rng), args.rounds)
    low, ratio, high = np.percentile(theirs / ours, (10, 50, 90))
    print(
        f"a picture takes {np.median(ours) * 1e6:.2f} us, TinyRenderer's {np.median(theirs) * 1e6:.0f} us: "
        f"{ratio:.0f} times (10th to 90th percentile {low:.0f} to {high:.0f})"
    )


if __name__ == "__main__":
    main()
