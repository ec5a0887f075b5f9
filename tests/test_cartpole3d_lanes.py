"""The batched world of CartPole3D: Bullet's physics step by step, and the same numbers whatever runs beside."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import envs  # noqa: F401 - registers
from envs import bullet as reference
from envs import cartpole3d_lanes as lanes
from envs.bullet import BulletCartPole
from envs.cartpole3d_vector import BatchedCartPole3D
from envs.lanes import BATCH, BODY_ROWS, MANIFOLD_ROWS, VECTOR, WIDTH

DISCRETE, CONTINUOUS = "CartPole3D-v0", "CartPole3DContinuous-v0"
Pose = list[float]  # x y z, quaternion x y z w


class Started(BulletCartPole):
    """Bullet's world from poses of one's own, as yet without contacts."""

    def __init__(self, cart: Pose, pole: Pose):
        super().__init__()
        bullet, client = self._bullet, self._client
        bullet.resetSimulation(physicsClientId=client)
        bullet.setPhysicsEngineParameter(deterministicOverlappingPairs=1, physicsClientId=client)
        bullet.setGravity(0, 0, reference.GRAVITY, physicsClientId=client)
        bullet.setTimeStep(reference.TIMESTEP, physicsClientId=client)
        self._load("ground", (0.0, 0.0, 0.0), fixed=True)
        self.cart, self.pole = self._load("cart", reference.CART_START), self._load("pole", reference.POLE_START)
        for body, pose in ((self.cart, cart), (self.pole, pole)):
            bullet.resetBasePositionAndOrientation(body, pose[:3], pose[3:], client)

    def touching(self) -> tuple[int, int, int]:
        """Contacts of cart and ground, cart and pole, pole and ground."""
        pairs = ((self.cart, 0), (self.cart, self.pole), (self.pole, 0))
        contacts = self._bullet.getContactPoints
        counts = [len(contacts(*pair, physicsClientId=self._client)) for pair in pairs]
        return counts[0], counts[1], counts[2]


class Lanes:
    """One group of lanes in double precision, as Bullet computes."""

    def __init__(self, poses: np.ndarray):  # [columns, (cart, pole), 7]
        self.columns = len(poses)
        self.bodies = np.zeros((1, 2, BODY_ROWS, WIDTH))
        self.manifolds = np.zeros((1, 3, MANIFOLD_ROWS, WIDTH))
        self.bodies[:, :, 6] = 1.0
        self.bodies[0, :, :7, : self.columns] = poses.transpose(1, 2, 0)

    def push(self, forces: np.ndarray, steps: int) -> None:  # [columns, 2]
        rows = np.zeros((1, 2, WIDTH))
        rows[0, :, : self.columns] = forces.T
        flat = self.bodies.reshape(1, 2, -1), self.manifolds.reshape(1, 3, -1), rows.reshape(1, -1)
        lanes.advance(*flat, self.columns, 0, 1, steps)

    @property
    def poses(self) -> np.ndarray:  # [columns, (cart, pole), 7]
        return self.bodies[0, :, :7, : self.columns].transpose(2, 0, 1)

    def touching(self, column: int) -> tuple[int, ...]:
        return tuple(self.manifolds[0, :, 0, column].astype(int).tolist())


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference of poses [..., 7]; a quaternion and its negative are the same turn."""
    sign = np.sign((one[..., 3:] * other[..., 3:]).sum(-1, keepdims=True))
    return float(max(np.abs(one[..., :3] - other[..., :3]).max(), np.abs(one[..., 3:] - sign * other[..., 3:]).max()))


def turned(x: float, y: float, z: float, angle: float) -> Pose:
    half = np.array([x, y, z]) / math.hypot(x, y, z) * math.sin(angle / 2)
    return [*half.tolist(), math.cos(angle / 2)]


@pytest.fixture(scope="module")
def bullets() -> Iterator[list[BulletCartPole]]:
    pytest.importorskip("pybullet")
    worlds: list[BulletCartPole] = []
    yield worlds
    for world in worlds:
        world.close()


def test_it_follows_bullet_through_settling_push_and_sixty_steps(bullets: list[BulletCartPole]):
    upright = [0.0, 0.0, 0.0, 1.0]
    start = [[*reference.CART_START, *upright], [*reference.POLE_START, *upright]]
    ours = Lanes(np.array([start] * 3))
    theirs = [BulletCartPole() for _ in range(3)]
    bullets += theirs
    ours.push(np.zeros((3, 2)), reference.SETTLE_STEPS)
    # Slower than 0.69 m/s: beyond it rounding errors decide which contacts Bullet keeps, and it parts from itself.
    push, then = np.array([[55.0, 20.0], [40.0, 40.0], [0.0, -55.0]]), np.array([[-40.0, -9], [-22, -30], [0, 30]])
    for forces, steps in ((push, 30), (then, 60)):
        for _ in range(steps):
            ours.push(forces, 1)
            for column, world in enumerate(theirs):
                world.push(tuple(forces[column].tolist()), 1)
                found = np.zeros((2, 7))
                world.write_poses(found)
                assert apart(ours.poses[column], found) < 1e-6
    assert np.abs(ours.poses[:, 1, 3:5]).max(-1).min() > 0.01  # they tilt


SCENES: dict[str, tuple[Pose, Pose]] = {
    "standing over the cart's edge": ([0, 0, 0.075, 0, 0, 0, 1], [0.098, 0.097, 0.35, *turned(0, 0, 1, 0.4)]),
    "leaning on the edge": ([0, 0, 0.075, *turned(0, 0, 1, 0.3)], [0.25, 0.01, 0.18, *turned(0.02, 1, 0.1, -0.9)]),
    "tilted over the edge": ([0, 0, 0.075, 0, 0, 0, 1], [0.19, 0.01, 0.29, *turned(0.1, 1, 0.05, 0.5)]),
    "lying on the ground": ([0, 0, 0.075, 0, 0, 0, 1], [0.16, 0.02, 0.062, *turned(1, 0.02, 0, 1.53)]),
    "lying across the cart": ([0, 0, 0.075, 0, 0, 0, 1], [0.03, 0.02, 0.115, *turned(1, 0.1, 0.02, 1.57)]),
    "fallen apart": ([0, 0, 0.1, *turned(1, 0.4, 0, 0.1)], [0.6, 0.1, 0.3, *turned(1, 0.5, 0, 0.7)]),
    "tumbling": ([0, 0, 0.15, *turned(1, 0.4, 0.3, 0.6)], [0.05, 0.02, 0.5, *turned(1, 0.5, 0, 0.7)]),
}


def test_it_follows_bullet_where_the_pole_has_slid_or_fallen(bullets: list[BulletCartPole]):
    ours = Lanes(np.array(list(SCENES.values())))
    theirs = [Started(cart, pole) for cart, pole in SCENES.values()]
    bullets += theirs
    rng = np.random.default_rng(0)
    forces, kinds = np.zeros((len(SCENES), 2)), set()
    for step in range(80):
        if step % 20 == 0:
            forces = rng.uniform(-6, 6, (len(SCENES), 2))
        ours.push(forces, 1)
        for column, (scene, world) in enumerate(zip(SCENES, theirs, strict=True)):
            world.push(tuple(forces[column].tolist()), 1)
            found = np.zeros((2, 7))
            world.write_poses(found)
            assert apart(ours.poses[column], found) < 1e-6, (scene, step)
            assert ours.touching(column) == world.touching(), (scene, step)
            kinds.add(tuple(count > 0 for count in world.touching()))
    assert len(kinds) == 5  # nothing touches; the cart stands, alone, with the pole on it, beside it, leaning on it


def test_poles_lifted_from_the_ground_forget_where_they_lay():
    # All lanes that are reckoned: one pole near the ground would have all of them looked at.
    ours = Lanes(np.array([SCENES["lying on the ground"]] * VECTOR))
    ours.push(np.zeros((VECTOR, 2)), 5)
    assert ours.touching(0)[2] > 0
    ours.bodies[0, 1, 2, :VECTOR] = 5.0
    ours.push(np.zeros((VECTOR, 2)), 1)
    assert ours.touching(0)[2] == 0


def test_bodies_are_those_of_bullet(bullets: list[BulletCartPole]):
    world = BulletCartPole()
    bullets.append(world)
    expected = {
        world.cart: (lanes.CART_MASS, lanes.CART_FRICTION, lanes.CART_INERTIA, lanes.HALF_CART, lanes.CART_REACH),
        world.pole: (lanes.POLE_MASS, lanes.CART_FRICTION, lanes.POLE_INERTIA, lanes.HALF_POLE, lanes.POLE_REACH),
    }
    for body, (mass, friction, inertia, half, reach) in expected.items():
        dynamics = world._bullet.getDynamicsInfo(body, -1, world._client)
        np.testing.assert_allclose(dynamics[:2], (mass, friction))
        np.testing.assert_allclose(dynamics[2], inertia, rtol=1e-6)
        shape = world._bullet.getCollisionShapeData(body, -1, world._client)[0]
        np.testing.assert_allclose(np.array(shape[3]) / 2, half)
        np.testing.assert_allclose(reach, 0.02 * np.linalg.norm(half), rtol=1e-6)
    ground = world._bullet.getDynamicsInfo(0, -1, world._client)
    assert ground[1] * lanes.CART_FRICTION == lanes.FLOOR_FRICTION
    height = world._bullet.getCollisionShapeData(0, -1, world._client)[0][3][2] / 2
    assert float(lanes.FLOOR) == pytest.approx(height)
    assert (reference.CART_START[2], reference.POLE_START[2]) == (lanes.CART_HEIGHT, lanes.POLE_HEIGHT)
    assert lanes.SETTLE_STEPS == reference.SETTLE_STEPS
    assert float(lanes.DT) == pytest.approx(reference.TIMESTEP)
    assert float(lanes.FALL) == pytest.approx(reference.GRAVITY * reference.TIMESTEP)


def test_both_worlds_push_the_same_way_and_begin_alike(bullets: list[BulletCartPole]):
    venv, env = BatchedCartPole3D(3), gym.make(DISCRETE).unwrapped
    start, info = venv.reset(seed=[7, 2**40, 9])
    for column, seed in enumerate((7, 2**40, 9)):
        obs, told = env.reset(seed=seed)
        assert told["push_direction"] == info["push_direction"][column]
        np.testing.assert_allclose(start[column], obs, atol=1e-3)
    venv.close()
    env.close()


def played(venv: BatchedCartPole3D, seeds: np.ndarray, actions: np.ndarray) -> list[np.ndarray]:
    """Observations, rewards and ends of an episode of each column: [columns] seeds, [steps, columns] actions."""
    seen = [venv.reset(seed=seeds.tolist())[0]]
    for action in actions:
        seen += venv.step(action)[:4]
    return seen


def test_a_column_does_the_same_alone_and_among_others_on_any_number_of_threads():
    columns = 2 * WIDTH + 6
    seeds, actions = np.arange(columns), np.random.default_rng(0).integers(5, size=(12, columns))
    many = BatchedCartPole3D(columns, threads=1)
    seen = played(many, seeds, actions)
    assert seen[-2].any() and not seen[-2].all()  # some have fallen
    for chosen, threads in ((np.arange(columns), 2), (np.array([WIDTH + 5]), 1), (np.array([columns - 1, 3]), 3)):
        few = BatchedCartPole3D(len(chosen), threads=threads)
        for expected, found in zip(seen, played(few, seeds[chosen], actions[:, chosen]), strict=True):
            np.testing.assert_array_equal(found, expected[chosen])
        few.close()
    many.close()


def test_lanes_are_worked_on_alike_whatever_is_beside_them():
    columns = (BATCH + 1) * WIDTH + 6
    forces = np.random.default_rng(0).uniform(-40, 40, (20, columns, 2))

    def pushed(chosen: np.ndarray, threads: int = 1) -> tuple[lanes.LanesCartPole, np.ndarray]:
        world, seen = lanes.LanesCartPole(len(chosen), threads), np.zeros((20, len(chosen), 2, 7), np.float32)
        for force, poses in zip(forces, seen, strict=True):
            world.push(force[chosen], 15)
            world.write_poses(poses)
        world.close()
        return world, seen

    world, seen = pushed(np.arange(columns))
    on_cart, on_ground = world.manifolds.reshape(-1, 3, MANIFOLD_ROWS, WIDTH)[:BATCH, 1:, 0].transpose(1, 0, 2)
    # All kinds in one batch: poles that stand, lean, lie on the ground and on the cart, and touch nothing.
    assert len({*zip(on_cart.ravel().tolist(), on_ground.ravel().tolist(), strict=True)}) > 8
    shuffled = np.random.default_rng(1).permutation(columns)
    for chosen, threads in (
        (np.arange(columns)[::-1], 1),
        (shuffled, 3),  # in other batches
        (shuffled[: BATCH * WIDTH + 1], 1),
        (shuffled[: WIDTH + 3], 1),
        (shuffled[: VECTOR + 1], 1),
        (np.array([70]), 1),
    ):
        np.testing.assert_array_equal(pushed(chosen, threads)[1], seen[:, chosen])


def test_a_lane_that_is_no_longer_a_number_hinders_no_other():
    broken, whole = (lanes.LanesCartPole(WIDTH + 6) for _ in range(2))
    broken.bodies.reshape(-1, 2, BODY_ROWS, WIDTH)[0, 1, 7, 3] = np.nan  # the velocity of a pole
    seen = np.zeros((2, WIDTH + 6, 2, 7), np.float32)
    for world, poses in zip((broken, whole), seen, strict=True):
        world.push((5.0, 0.0), 10)
        world.write_poses(poses)
    assert np.isnan(seen[0, 3]).any()
    np.testing.assert_array_equal(np.delete(seen[0], 3, 0), np.delete(seen[1], 3, 0))


@pytest.mark.parametrize(
    ("env_id", "keywords"),
    [
        (DISCRETE, {}),
        (DISCRETE, {"observation": "pixels", "image_width": 24, "image_height": 20, "cameras": 2}),
        (DISCRETE, {"flatten": True, "repeats": 3, "reward": "angle", "max_steps": 6}),
        (CONTINUOUS, {"reward": "angle_action", "push_force": 20.0}),
    ],
)
def test_the_scalar_environment_is_a_column_to_the_bit(env_id: str, keywords: dict[str, Any]):
    venv: Any = gym.make_vec(env_id, num_envs=3, world="batched", **keywords)
    env = gym.make(env_id, world="batched", **keywords).unwrapped
    start, _ = venv.reset(seed=[4, 5, 6])
    venv.action_space.seed(0)
    actions = [venv.action_space.sample() for _ in range(12)]
    results = [venv.step(action) for action in actions]
    for column in range(3):
        np.testing.assert_array_equal(env.reset(seed=4 + column)[0], start[column])
        for action, result in zip(actions, results, strict=True):
            obs, reward, terminated, truncated, info = env.step(action[column])
            np.testing.assert_array_equal(obs, result[0][column])
            assert (reward, terminated, truncated) == tuple(part[column] for part in result[1:4])
            if terminated or truncated:
                assert info == {name: result[4][name][column] for name in info} != {}
                break
    venv.close()
    env.close()


def test_columns_are_reset_by_mask_each_with_its_seed_and_ended_ones_are_passed_over():
    venv, fresh = (BatchedCartPole3D(5, max_steps=2, push_force=20.0) for _ in range(2))
    venv.reset(seed=0)
    for _ in range(2):
        ended, _, _, truncated, info = venv.step(np.ones(5, int))
    assert truncated.all() and info["_is_success"].all()
    mask = np.array([False, True, False, True, False])
    obs, info = venv.reset(seed=[9, 31, 9, 32, 9], options={"reset_mask": mask})
    start, _ = fresh.reset(seed=[30, 31, 30, 32, 30])
    np.testing.assert_array_equal(obs[mask], start[mask])
    np.testing.assert_array_equal(obs[~mask], ended[~mask])
    np.testing.assert_array_equal(info["_push_direction"], mask)
    # An absurd action of a column that is over is not even looked at.
    after, reward, *_ = venv.step(np.where(mask, 1, 77))
    np.testing.assert_array_equal(after[mask], fresh.step(np.ones(5, int))[0][mask])
    np.testing.assert_array_equal(after[~mask], ended[~mask])
    np.testing.assert_array_equal(reward, mask)
    venv.close()
    fresh.close()


@pytest.mark.parametrize("keywords", [{}, {"observation": "pixels", "image_width": 20, "image_height": 24}])
def test_the_state_goes_on_to_the_bit_from_within_an_episode(keywords: dict[str, Any]):
    actions = np.random.default_rng(2).integers(5, size=(9, 4))
    venv, other = BatchedCartPole3D(4, **keywords), BatchedCartPole3D(4, **keywords)
    played(venv, np.arange(4), actions[:3])
    state = {name: value.copy() for name, value in venv.state_dict().items()}
    now, *_ = venv.step(actions[3])
    played(other, np.arange(10, 14), actions[:5])  # leaves contacts and ends behind
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.step(actions[3])[0], now)
    for step in range(4, 9):
        for one, two in zip(venv.step(actions[step])[:4], other.step(actions[step])[:4], strict=True):
            np.testing.assert_array_equal(one, two)
    venv.close()
    other.close()


@pytest.mark.parametrize("overlap", [True, False])
def test_a_step_in_the_background_is_a_step(overlap: bool):
    actions = np.random.default_rng(3).integers(5, size=(4, 6))
    venv, other = BatchedCartPole3D(6), BatchedCartPole3D(6, overlap=overlap)
    venv.reset(seed=1)
    other.reset(seed=1)
    for action in actions:
        other.step_async(action)
        for one, two in zip(venv.step(action)[:4], other.step_wait()[:4], strict=True):
            np.testing.assert_array_equal(one, two)
    other.step_async(np.full(6, 9))
    with pytest.raises(ValueError, match="expected 0 to 4"):
        other.step_wait()
    venv.close()
    other.close()


@pytest.mark.parametrize(
    ("env_id", "keywords", "message"),
    [
        (DISCRETE, {"threads": 0}, "threads is 0; expected at least 1"),
        (DISCRETE, {"num_envs": 0}, "num_envs is 0; expected at least 1"),
        (DISCRETE, {"repets": 3}, "did you mean 'repeats'"),
        (DISCRETE, {"repeats": 0}, r"repeats is 0; expected int in \[1, 100\]"),
        (DISCRETE, {"reward": "action"}, "needs continuous control"),
        (DISCRETE, {"renderer": "tiny"}, "needs world 'bullet'"),
        (CONTINUOUS, {"render_mode": "human"}, "render_mode is 'human'; expected one of rgb_array"),
    ],
)
def test_absurd_keywords_are_refused_in_one_line(env_id: str, keywords: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message) as refused:
        gym.make_vec(env_id, **{"num_envs": 2, "world": "batched", **keywords})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("env_id", "actions", "message"),
    [
        (DISCRETE, np.array([0, 5]), "action of column 1 is 5; expected 0 to 4"),
        (DISCRETE, np.array([0.0, 1.0]), "expected whole numbers"),
        (DISCRETE, np.array([1, 2, 3]), "expected whole numbers"),
        (CONTINUOUS, np.array([[0.0, 0.0], [1.5, 0.0]]), r"action of column 1 is \[1.5, 0.0\]"),
        (CONTINUOUS, np.array([[np.nan, 0.0], [0.0, 0.0]]), r"action of column 0 is \[nan, 0.0\]"),
        (CONTINUOUS, np.zeros((2, 3)), "expected numbers"),
    ],
)
def test_absurd_actions_are_refused_in_one_line(env_id: str, actions: np.ndarray, message: str):
    venv: Any = gym.make_vec(env_id, num_envs=2, world="batched")
    venv.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        venv.step(actions)
    venv.close()


PLAYED = """
import hashlib
import numpy as np
from envs.cartpole3d_lanes import LanesCartPole
world, poses = LanesCartPole(3), np.zeros((3, 2, 7), np.float32)
world.push([[55, 0], [40, 30], [-20, -50]], 60)
world.write_poses(poses)
print(hashlib.sha256(poses.tobytes()).hexdigest())
"""


def test_the_process_that_finds_nothing_compiled_gets_what_later_ones_get(tmp_path: Path):
    shutil.copytree(Path(lanes.__file__).parent, tmp_path / "envs", ignore=shutil.ignore_patterns("__pycache__"))
    first, second = (
        subprocess.run([sys.executable, "-c", PLAYED], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert first == second
    assert list((tmp_path / "envs" / "__pycache__").glob("compiled-*/whole-*"))  # of this copy, that is
