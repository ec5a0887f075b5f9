"""The two worlds of CartPole3D side by side: how long episodes last, and how far one step leads apart.

`python -m tests.campaigns.worlds_campaign` takes about three minutes on two cores. Episode lengths are compared by a
two-sample Kolmogorov-Smirnov test, and what the test would have noticed is found by simulation. Single steps begin from
states that Bullet's episodes met, its contacts included; and since rounding errors decide which contacts are kept when
the cart slides faster than 0.69 m/s, Bullet is also held against itself, with a force that hardly differs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.transform import Rotation

import envs  # noqa: F401 - registers
from agents.baselines import DIRECTIONS, LinearConfig, linear_control
from envs.bullet import BulletCartPole
from envs.cartpole3d_lanes import advance
from envs.cartpole3d_task import CartPole3DConfig, has_fallen, roll_pitch
from envs.lanes import BODY_ROWS, MANIFOLD_ROWS, WIDTH

WORLDS = ("bullet", "batched")
LEVEL, POWER = 0.001, 0.9
"""Of the test: what p value tells the worlds apart, and how surely it is to notice what it can notice."""
COLUMNS, STEPS = 100, CartPole3DConfig().max_steps
NUDGE = 1e-5
"""Newtons by which the force differs when Bullet is held against itself."""

Policy = Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]  # observations [N, 2, 2, 7] -> actions


def idle(obs: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    return np.zeros(len(obs), np.int64)


def at_random(obs: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    return rng.integers(len(DIRECTIONS), size=len(obs))


def linear(config: LinearConfig) -> Policy:
    def act(obs: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        return linear_control(obs[None].astype(np.float64), config)[0].astype(np.float32)

    return act


@dataclass(frozen=True)
class Row:
    name: str
    policy: Policy
    env_id: str = "CartPole3D-v0"
    env_args: dict[str, Any] = field(default_factory=dict)


CONTINUOUS = "CartPole3DContinuous-v0"
ROWS = (
    Row("no push, random actions", at_random, env_args={"push_steps": 0}),
    Row("push, action 0", idle),
    Row("push, random actions", at_random),
    Row("push, linear control", linear(LinearConfig()), CONTINUOUS),
    Row("the same, blind to the tilt's rate", linear(LinearConfig(tilt_rate=0.0)), CONTINUOUS),
)


def lengths(row: Row, world: str, episodes: int, seed: int) -> NDArray[np.int64]:
    """How long episodes last; every column plays as many, so that short ones are not favoured."""
    venv = gym.make_vec(row.env_id, num_envs=COLUMNS, world=world, workers=2, **row.env_args)
    rng, found = np.random.default_rng(seed), []
    lasted, played, each = np.zeros(COLUMNS, np.int64), np.zeros(COLUMNS, np.int64), -(-episodes // COLUMNS)
    obs, _ = venv.reset(seed=rng.integers(2**62, size=COLUMNS).tolist())
    while (played < each).any():
        obs, _, terminated, truncated, _ = venv.step(row.policy(obs, rng))
        lasted += 1
        ended = terminated | truncated
        found += lasted[ended].tolist()
        played[ended] += 1
        lasted[ended] = 0
        again = ended & (played < each)
        if again.any():
            obs, _ = venv.reset(seed=rng.integers(2**62, size=COLUMNS).tolist(), options={"reset_mask": again})
    venv.close()
    return np.array(found)


def p_value(one: NDArray[Any], other: NDArray[Any]) -> float:
    result: Any = stats.ks_2samp(one, other, method="asymp")
    return float(result.pvalue)


def noticed(sample: NDArray[np.int64], size: int, rng: np.random.Generator) -> str:
    """The smallest difference that the test notices with `POWER`: by how many steps, or what share of falls."""

    def power(differ: Callable[[NDArray[np.int64]], NDArray[np.int64]], trials: int = 200) -> float:
        draws = (rng.choice(sample, (2, size)) for _ in range(trials))
        return float(np.mean([p_value(one, differ(other)) < LEVEL for one, other in draws]))

    def longer(by: float) -> Callable[[NDArray[np.int64]], NDArray[np.int64]]:
        # A fraction of a step is one step more for that share of the episodes.
        return lambda drawn: np.minimum(drawn + np.floor(by + rng.random(len(drawn))).astype(np.int64), STEPS)

    def falling(share: float) -> Callable[[NDArray[np.int64]], NDArray[np.int64]]:
        return lambda drawn: np.where(rng.random(len(drawn)) < share, rng.integers(1, STEPS, len(drawn)), drawn)

    saturated = np.median(sample) >= STEPS
    sizes = np.linspace(0.01, 0.5, 50) if saturated else np.geomspace(0.05, 60, 64)
    low, high = 0, len(sizes) - 1
    while low < high:
        middle = (low + high) // 2
        enough = power((falling if saturated else longer)(float(sizes[middle]))) >= POWER
        low, high = (low, middle) if enough else (middle + 1, high)
    return f"{sizes[low]:.0%} more falls" if saturated else f"a shift by {sizes[low]:.2f} steps"


def compare_lengths(episodes: int, seed: int) -> None:
    for world in WORLDS:
        still = Row("", idle, env_args={"push_steps": 0})
        print(f"no push, action 0: {world:7} min {lengths(still, world, COLUMNS, seed).min()} steps (all are alike)")
    for number, row in enumerate(ROWS):
        found = [lengths(row, world, episodes, seed + 2 * number + k) for k, world in enumerate(WORLDS)]
        print(f"{row.name}: p = {p_value(*found):.3f}; {len(found[0])} episodes each; the test notices ", end="")
        print(noticed(found[0], len(found[0]), np.random.default_rng(seed)), f"(p < {LEVEL}, {POWER:.0%} of times)")
        for world, sample in zip(WORLDS, found, strict=True):
            deciles = " ".join(f"{value:3.0f}" for value in np.percentile(sample, np.arange(0, 101, 10)))
            print(f"  {world:7} deciles {deciles}, mean {sample.mean():.2f}, to the end {(sample == STEPS).mean():.1%}")


@dataclass
class Moments:
    """States of Bullet between two steps, the force of the step that follows, and what it led to."""

    bodies: list[NDArray[np.float64]] = field(default_factory=list)
    """Cart and pole: position, quaternion, velocity, angular velocity, [2, 13]."""
    manifolds: list[NDArray[np.float64]] = field(default_factory=list)
    """Contacts as lanes remember them, [3, MANIFOLD_ROWS]."""
    forces: list[NDArray[np.float64]] = field(default_factory=list)
    """On the cart, N, [2]."""
    after: list[NDArray[np.float64]] = field(default_factory=list)
    """The bodies after the step."""
    nudged: list[NDArray[np.float64]] = field(default_factory=list)
    """The same after a step with a force that differs by `NUDGE`."""

    def play(self, world: BulletCartPole, policy: Policy, keep: int, rng: np.random.Generator) -> None:
        """An episode, of which every `keep`-th step is noted."""
        config = CartPole3DConfig()
        steps = config.repeats * config.steps_per_repeat
        world.reset()
        angle = rng.uniform(0, 2 * np.pi)
        force = config.push_force * np.array([np.cos(angle), np.sin(angle)])
        poses = np.zeros((config.repeats, 2, 7))
        manifolds = advance_noting(world, force, config.push_steps)
        world.write_poses(poses[1])
        poses[0] = poses[1]
        for step in range(STEPS):
            action = policy(poses[None], rng)[0]
            force = config.action_force * (action if np.ndim(action) else DIRECTIONS[action]).astype(np.float64)
            noted = step % keep == 0
            if noted:
                self.bodies.append(bodies_of(world))
                self.manifolds.append(manifolds)
                self.forces.append(force)
                saved = world._bullet.saveState(world._client)
                world.push((force[0] + NUDGE, force[1] - NUDGE), steps)
                self.nudged.append(bodies_of(world))
                world._bullet.restoreState(saved, physicsClientId=world._client)
                world._bullet.removeState(saved, world._client)
            world.push((force[0], force[1]), config.steps_per_repeat)
            world.write_poses(poses[0])
            manifolds = advance_noting(world, force, config.steps_per_repeat)
            world.write_poses(poses[1])
            if noted:
                self.after.append(bodies_of(world))
            x, y, _, qx, qy, qz, qw = poses[1, 1].tolist()
            if has_fallen(x, y, *roll_pitch(qx, qy, qz, qw), config.position_limit, config.tilt_limit):
                break


def bodies_of(world: BulletCartPole) -> NDArray[np.float64]:
    """Cart and pole: position, quaternion, velocity, angular velocity, [2, 13]."""
    pose, velocity, client = world._bullet.getBasePositionAndOrientation, world._bullet.getBaseVelocity, world._client
    return np.array([np.concatenate(pose(i, client) + velocity(i, client)) for i in (world.cart, world.pole)])


def advance_noting(world: BulletCartPole, force: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """Advances physics steps; returns the contacts of the last one as lanes remember them, [3, MANIFOLD_ROWS].

    Bullet tells where contacts were before the bodies moved on, so their poses of then give the places on both.
    """
    world.push((force[0], force[1]), steps - 1)
    ground = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    before = {0: ground} | dict(zip((world.cart, world.pole), bodies_of(world)[:, :7], strict=True))
    world.push((force[0], force[1]), 1)
    manifolds = np.zeros((3, MANIFOLD_ROWS))
    for manifold, pair in zip(manifolds, ((0, world.cart), (world.cart, world.pole), (0, world.pole)), strict=True):
        contacts = world._bullet.getContactPoints(*pair, physicsClientId=world._client)
        manifold[0] = len(contacts)
        for slot, contact in zip(manifold[1:].reshape(-1, 16), contacts, strict=False):
            assert contact[1:3] == pair
            on_both = np.array(contact[5:7])  # [2, 3]
            for place, on, body in zip((slot[0:3], slot[3:6]), on_both, pair, strict=True):
                place[:] = Rotation.from_quat(before[body][3:]).inv().apply(on - before[body][:3])
            slot[6:12], slot[12:15], slot[15] = on_both.ravel(), contact[7], contact[8]
    return manifolds


def tilts(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Horizontal part of the upward axis, [..., 4] -> [..., 2]."""
    x, y, z, w = np.moveaxis(quaternions, -1, 0)
    return np.stack([2 * (x * z + w * y), 2 * (y * z - w * x)], -1)


def lanes_after(moments: Moments, kind: type[np.floating]) -> NDArray[np.float64]:
    """The bodies of all moments after a step in lanes of floating-point numbers of a kind, [N, 2, 13]."""
    config, count = CartPole3DConfig(), len(moments.bodies)
    groups = -(-count // WIDTH)

    def spread(rows: Sequence[NDArray[np.float64]], total: int) -> NDArray[Any]:
        """[N] of [part, row] -> [groups, part, total * lanes]; the last stands in for columns that are left."""
        padded = np.array([*rows, *[rows[-1]] * (groups * WIDTH - count)])
        out = np.zeros((groups, padded.shape[1], total, WIDTH), kind)
        out[:, :, : padded.shape[2]] = padded.reshape(groups, WIDTH, *padded.shape[1:]).transpose(0, 2, 3, 1)
        return out.reshape(groups, padded.shape[1], -1)

    bodies, manifolds = spread(moments.bodies, BODY_ROWS), spread(moments.manifolds, MANIFOLD_ROWS)
    forces = spread([force[None] for force in moments.forces], 2)[:, 0]
    advance(bodies, manifolds, forces, count, 0, groups, config.repeats * config.steps_per_repeat)
    rows = bodies.reshape(groups, 2, BODY_ROWS, WIDTH)[:, :, :13].transpose(0, 3, 1, 2)
    return rows.reshape(-1, 2, 13)[:count].astype(np.float64)


def compare_steps(states: int, seed: int) -> None:
    rng, world, moments = np.random.default_rng(seed), BulletCartPole(), Moments()
    while len(moments.bodies) < states // 2:
        moments.play(world, at_random, 1, rng)
    while len(moments.bodies) < states:
        moments.play(world, linear(LinearConfig()), 4, rng)
    world.close()
    after = np.array(moments.after)
    print(f"one step from {len(after)} states of Bullet: median, 90%, 99% and largest")
    for name, other in (
        ("what a step changes", np.array(moments.bodies)),
        ("lanes, float32 (as the batched world)", lanes_after(moments, np.float32)),
        ("lanes, float64", lanes_after(moments, np.float64)),
        (f"Bullet, {NUDGE:g} N more along x, less along y", np.array(moments.nudged)),
    ):
        print(f"  {name}")
        difference = np.linalg.norm((after - other)[..., :3], axis=-1).max(-1)
        for quantity, unit, error in (
            ("position", "m", difference),
            ("tilt of the pole", "", np.linalg.norm(tilts(after[:, 1, 3:7]) - tilts(other[:, 1, 3:7]), axis=-1)),
            ("velocity", "m/s", np.linalg.norm((after - other)[..., 7:10], axis=-1).max(-1)),
        ):
            figures = " ".join(f"{value:8.1e}" for value in np.percentile(error, (50, 90, 99, 100)))
            print(f"    {quantity:16} {figures} {unit}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=2000, help="of each row and world")
    parser.add_argument("--states", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    compare_steps(args.states, args.seed)
    compare_lengths(args.episodes, args.seed)


if __name__ == "__main__":
    main()
