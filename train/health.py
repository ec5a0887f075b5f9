"""What `cartbot doctor` looks at: each check returns what it found in a few words, or raises."""

from __future__ import annotations

import importlib.util
import math
import os
import platform
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from packaging.requirements import Requirement

from envs.catalog import OWN_ENVS
from eval.tasks import make_envs

UPRIGHT_STEPS = 200
"""Steps that an untouched pole stands, at least: what CartPole3D truncates at."""
SONAR_TOLERANCE = 0.002
"""Metres between the closed form of a sonar and a thousand rays, which miss what lies between them."""
RANDOM_VALUES = (
    *(3.3, 8.8, 4.4, 5.3, 1.5),
    *(1.5, 3.0, 2.3, 1.9, 0.5),
    *(0.1, 0.7, 0.7, 0.4, -0.4),
    *(-1.0, -0.4, -0.4, -0.6, -1.2),
    *(-1.9, -1.3, -1.2, -1.4, -2.0),
)
"""GridWorld-v0 under the random policy, discount 0.9, rows from the top (Sutton and Barto, figure 3.2)."""
BEST_VALUES = (
    *(22.0, 24.4, 22.0, 19.4, 17.5),
    *(19.8, 22.0, 19.8, 17.8, 16.0),
    *(17.8, 19.8, 17.8, 16.0, 14.4),
    *(16.0, 17.8, 16.0, 14.4, 13.0),
    *(14.4, 16.0, 14.4, 13.0, 11.7),
)
"""The same under the best policy (figure 3.5)."""


class Unsound(Exception):
    """A check found something wrong; the message says what, and what was expected."""


class Skipped(Exception):
    """A check has nothing to look at here; the message says why."""


def check_versions() -> str:
    try:
        wanted = [Requirement(line) for line in requires("cartbot") or ()]
    except PackageNotFoundError:
        raise Skipped("cartbot is not installed: it runs from its folder") from None
    wrong, count = [], 0
    for requirement in wanted:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            if requirement.name == "pybullet":
                continue  # all but the Bullet world does without
            found = "absent"
        if found == "absent" or not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} is {found}, expected {requirement.specifier}")
    if wrong:
        raise Unsound("; ".join(wrong) + ": pip install -e .")
    return f"Python {platform.python_version()}, {count} requirements met"


def check_bullet_balance() -> str:
    return _balance("bullet")


def check_batched_balance() -> str:
    return _balance("batched")


def check_bullet_restore() -> str:
    return _restore("bullet")


def check_batched_restore() -> str:
    return _restore("batched")


def check_sonars() -> str:
    from envs.drivebot import DriveBotVector
    from envs.drivebot_world import NUMPY, sonar_distances
    from envs.sonar_rays import brute_force

    robots = DriveBotVector(50)
    robots.reset(seed=0)
    pose, config = robots.pose, robots.config
    with np.errstate(divide="ignore", invalid="ignore"):
        ours = np.minimum(sonar_distances(NUMPY, robots.world, pose), config.sonar_range)  # [N, sonars]
    worst, heading = 0.0, pose[:, 2]
    for sonar, (x, y, facing) in enumerate(config.layout()):
        ahead, left = np.cos(heading), np.sin(heading)
        apex = pose[:, :2] + np.column_stack([x * ahead - y * left, x * left + y * ahead])
        rays = brute_force(robots.track, apex, heading + facing, config.sonar_cone / 2, 1000)
        worst = max(worst, float(np.abs(ours[:, sonar] - np.minimum(rays, config.sonar_range)).max()))
    robots.close()
    if worst > SONAR_TOLERANCE:
        raise Unsound(f"a sonar is {worst * 1000:.2f} mm off 1,000 rays; expected at most {SONAR_TOLERANCE * 1000:g}")
    return f"within {worst * 1000:.2f} mm of 1,000 rays at 50 poses"


def check_drivebot_forms() -> str:
    seen = []
    for form in ("arrays", "compiled"):
        robots = make_envs("DriveBot-v0", 20, env_args={"form": form})
        actions = np.random.default_rng(0).integers(3, size=(30, 20))
        seen.append([robots.reset(seed=0)[0], *(robots.step(action)[0] for action in actions)])
        robots.close()
    if not all(np.array_equal(one, two) for one, two in zip(*seen, strict=True)):
        raise Unsound("the compiled robots and those of NumPy part; expected the same to the bit")
    return "compiled and NumPy alike to the bit over 30 steps"


def check_gridworld() -> str:
    from agents import planning
    from eval.exact import process_of

    process = process_of("GridWorld-v0", {})
    assert process is not None
    random = planning.uniform_policy(*process.reward.shape)
    values = planning.evaluate_policy(process.transition, process.reward, random, 0.9)
    best, _, _ = planning.policy_iteration(process.transition, process.reward, 0.9)
    for name, found, expected in (("random", values, RANDOM_VALUES), ("best", best, BEST_VALUES)):
        off = float(np.abs(found - np.array(expected)).max())
        if off > 0.05 + 1e-9:  # they are printed to a tenth
            raise Unsound(f"values of the {name} policy are {off:.2f} off Sutton and Barto's; expected at most 0.05")
    return "values of the random and the best policy as in Sutton and Barto"


def check_rendering() -> str:
    drawn = []
    for env_id in OWN_ENVS:
        world = {"world": "batched"} if env_id.startswith("CartPole3D") and not _has_bullet() else {}
        envs: Any = make_envs(env_id, 1, env_args=world, workers=0)
        draws = "rgb_array" in envs.metadata.get("render_modes", ())
        envs.close()
        if not draws:
            continue
        envs = make_envs(env_id, 1, env_args={"render_mode": "rgb_array", **world}, workers=0)
        try:
            envs.reset(seed=0)
            envs.step(envs.action_space.sample())
            _look_at(envs.render_column(0), env_id)
        finally:
            envs.close()
        drawn.append(env_id)
    for env_id, keywords in (("CartPole3D-v0", {"world": "batched"}), ("DriveBot-v0", {})):
        envs = make_envs(env_id, 1, env_args={"observation": "pixels", **keywords})
        _look_at(envs.reset(seed=0)[0][0], f"{env_id} as pixels")
        envs.close()
    return f"{len(drawn)} environments and 2 pixel observations, none blank"


def check_tiny_renderer() -> str:
    _need_bullet()
    env = gym.make("CartPole3D-v0", observation="pixels", renderer="tiny")
    _look_at(env.reset(seed=0)[0], "TinyRenderer's picture")
    env.close()
    return "TinyRenderer's picture is not blank"


def check_video() -> str:
    from eval.video import write_video

    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    frames = [np.roll(np.tile(ramp[None, :, None], (48, 1, 3)), number, axis=1) for number in range(6)]
    sizes = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix, mark in ((".mp4", b"ftyp"), (".gif", b"GIF8")):
            path = Path(folder, f"clip{suffix}")
            write_video(frames, path, 12)
            if mark not in path.read_bytes()[:16]:
                raise Unsound(f"the {suffix} file that was written is none")
            sizes.append(f"{suffix[1:]} {path.stat().st_size:,} bytes")
    return ", ".join(sizes)


def check_workers() -> str:
    envs: Any = make_envs("CartPole-v1", 2, env_args={}, workers=2)
    try:
        envs.reset(seed=0)
        envs.step(np.zeros(2, int))
    finally:
        envs.close()
    return f"2 processes stepped; {os.cpu_count()} processors"


def check_devices() -> str:
    from agents.lazy import torch

    names = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    left, right = np.arange(12.0, dtype=np.float32).reshape(3, 4), np.ones((4, 2), np.float32)
    for name in names:
        product = (torch.as_tensor(left, device=name) @ torch.as_tensor(right, device=name)).cpu().numpy()
        if not np.array_equal(product, left @ right):
            raise Unsound(f"torch multiplies wrongly on {name}")
    cuda = torch.cuda.get_device_name() if len(names) > 1 else "no CUDA device"
    return f"torch {torch.__version__} on the CPU; {cuda}"


CHECKS: dict[str, Callable[[], str]] = {
    "versions": check_versions,
    "Bullet: an untouched pole stands": check_bullet_balance,
    "batched: an untouched pole stands": check_batched_balance,
    "Bullet: a reset restores all": check_bullet_restore,
    "batched: a reset restores all": check_batched_restore,
    "sonars against rays": check_sonars,
    "DriveBot's two forms": check_drivebot_forms,
    "gridworld tables": check_gridworld,
    "pictures": check_rendering,
    "TinyRenderer": check_tiny_renderer,
    "video": check_video,
    "worker processes": check_workers,
    "devices": check_devices,
}


def _has_bullet() -> bool:
    return importlib.util.find_spec("pybullet") is not None


def _need_bullet() -> None:
    if not _has_bullet():
        raise Skipped("PyBullet is not installed: world=batched does without")


def _balance(world: str) -> str:
    """No push and no action: physics that shakes, sinks or drifts would bring the pole down."""
    if world == "bullet":
        _need_bullet()
    env = gym.make("CartPole3D-v0", world=world, push_force=0.0, max_steps=UPRIGHT_STEPS)
    try:
        env.reset(seed=0)
        for step in range(1, UPRIGHT_STEPS + 1):
            obs, _, terminated, _, _ = env.step(0)
            if terminated:
                raise Unsound(f"the pole fell at step {step}; expected it to stand for {UPRIGHT_STEPS}")
        drift = math.hypot(*obs[-1, 1, :2])
    finally:
        env.close()
    return f"{UPRIGHT_STEPS} steps, {drift * 1000:.3f} mm from where it stood"


def _restore(world: str) -> str:
    if world == "bullet":
        _need_bullet()
    env = gym.make("CartPole3D-v0", world=world)
    rng, episodes = np.random.default_rng(0), []
    actions = rng.integers(5, size=40).tolist()
    try:
        for seed in (7, 8, 7):
            obs, _ = env.reset(seed=seed)
            seen = [obs]
            for action in actions:
                obs, _, terminated, truncated, _ = env.step(action)
                seen.append(obs)
                if terminated or truncated:
                    break
            episodes.append(np.array(seen))
    finally:
        env.close()
    if not np.array_equal(episodes[0], episodes[2]):
        raise Unsound("an episode played again from its seed differs; expected the same to the bit")
    return f"the same to the bit over {len(episodes[0]) - 1} steps"


def _look_at(picture: Any, name: str) -> None:
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.ndim != 3:
        raise Unsound(f"{name} gives no picture")
    if picture.std() < 1:
        raise Unsound(f"{name} is blank: all of it is {picture.flat[0]}")
