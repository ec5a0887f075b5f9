"""CartPole3D on tensors against the same world in compiled loops on the CPU.

Without a GPU the kernel runs on NumPy arrays, in float64 where that is of use, and the CPU's loops do too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from envs import cartpole3d_bodies, cartpole3d_lanes, lanes
from envs.cartpole3d_device import BODY_ROWS, SCRATCH_ROWS, STATE_ROWS, DeviceCartPole3D
from envs.cartpole3d_kernel import advance as device_advance
from envs.cartpole3d_vector import BatchedCartPole3D
from envs.kernel_language import DEVICE, INTERPRETED
from envs.streams import keys_of, uniform

WIDTH = lanes.WIDTH
KIND = np.float64 if DEVICE == "cpu" and not INTERPRETED else np.float32
NUDGE, TOLERANCE = (1e-7, 1e-5) if np.float64 == KIND else (1e-6, 1e-4)
IN_FLOAT32 = 1e-3  # the pole turns easily about its own axis: rounding shows there first
MANIFOLD_ROWS = 41
KEPT_ROWS = [lanes.AX, lanes.AY, lanes.AZ, lanes.BX, lanes.BY, lanes.BZ, lanes.NX, lanes.NY, lanes.NZ, lanes.GAP]
POSES = [*range(7), *range(13, 20)]
COUNTS = [2 * BODY_ROWS + pair * MANIFOLD_ROWS for pair in range(3)]
SHORT: dict[str, Any] = {"push_steps": 3, "repeats": 2, "steps_per_repeat": 1, "max_steps": 4}

State = tuple[NDArray[Any], NDArray[Any]]


def on_device(state: State) -> NDArray[Any]:
    """Groups of the compiled world, bodies and manifolds, as [STATE_ROWS, groups * WIDTH]."""
    bodies, manifolds = (part.reshape(*part.shape[:2], -1, WIDTH) for part in state)
    slots = [int(k * lanes.SLOT + row) // WIDTH for k in range(4) for row in KEPT_ROWS]
    parts = [bodies[:, :, :BODY_ROWS], manifolds[:, :, [0, *slots]]]
    rows = np.concatenate([part.reshape(len(part), -1, WIDTH) for part in parts], 1)  # [groups, STATE_ROWS, WIDTH]
    return rows.transpose(1, 0, 2).reshape(rows.shape[1], -1)


def on_cpu(state: State, force: NDArray[Any], steps: int) -> State:
    """The state after physics steps with `force` [2, groups * WIDTH], by compiled loops."""
    bodies, manifolds = (part.copy() for part in state)
    forces = force.reshape(2, -1, WIDTH).transpose(1, 0, 2).reshape(-1, 2 * WIDTH)
    cartpole3d_lanes.advance(bodies, manifolds, forces.astype(bodies.dtype), force.shape[1], 0, len(bodies), steps)
    return bodies, manifolds


def by_kernel(rows: NDArray[Any], force: NDArray[Any], steps: int) -> NDArray[Any]:
    """The same by the kernel: rows [STATE_ROWS, n]."""
    n = rows.shape[1]
    state = torch.as_tensor(rows.copy(), device=DEVICE)
    lane = torch.arange(n, dtype=torch.int32, device=DEVICE)
    snapshots, scratch = state.new_zeros(1, 14, n), state.new_zeros(SCRATCH_ROWS, n)
    forces = torch.as_tensor(force.astype(rows.dtype), device=DEVICE)
    device_advance[(n // WIDTH,)](
        state, lane, torch.ones_like(lane), forces, snapshots, scratch, n, n, 1, steps, BLOCK=WIDTH, num_warps=1
    )
    return state.cpu().numpy()


def spread_of(state: State, force: NDArray[Any], steps: int) -> NDArray[Any]:
    """How far nudges of the bodies' state change what the compiled loops make of it, [STATE_ROWS, groups * WIDTH].

    Boxes touch or they do not: where a nudge decides that, the kernel's rounding may as well.
    """
    rng = np.random.default_rng(1)
    expected, spread = on_device(on_cpu(state, force, steps)), 0.0
    for _ in range(12):
        nudged = state[0].copy()
        rows = nudged.reshape(len(nudged), 2, -1, WIDTH)[:, :, :BODY_ROWS]
        rows += rng.normal(size=rows.shape) * NUDGE
        spread = np.maximum(spread, np.abs(on_device(on_cpu((nudged, state[1]), force, steps)) - expected))
    return np.asarray(spread)


def start() -> State:
    bodies = np.zeros((1, 2, lanes.BODY_ROWS, WIDTH), KIND)
    bodies[:, :, 6] = 1
    bodies[:, :, 2] = np.array([[cartpole3d_bodies.CART_HEIGHT], [cartpole3d_bodies.POLE_HEIGHT]])
    return bodies.reshape(1, 2, -1), np.zeros((1, 3, lanes.MANIFOLD_ROWS * WIDTH), KIND)


@pytest.fixture(scope="module")
def states() -> State:
    """A group whose lanes are moments of episodes: at rest, pushed, and with the pole tipping, falling and lying."""
    rng = np.random.default_rng(5)
    still = np.zeros((2, WIDTH))
    state = on_cpu(start(), still, 100)
    angle = rng.uniform(0, 2 * np.pi, WIDTH)
    force = 55.0 * np.stack([np.cos(angle), np.sin(angle)])
    moments = [state, on_cpu(state, force, 15), on_cpu(state, force, 30)]
    for steps in (20, 30, 50, 60, 80, 250):  # after the push: over the edge, and at last on the ground
        moments.append(on_cpu(moments[-1], still, steps))
    chosen = [moments[lane % len(moments)] for lane in range(WIDTH)]
    parts = []
    for part in range(2):
        shape = chosen[0][part].shape
        columns = [one[part].reshape(*shape[:2], -1, WIDTH)[..., lane] for lane, one in enumerate(chosen)]
        parts.append(np.stack(columns, -1).reshape(shape))
    return parts[0], parts[1]


def test_a_step_is_that_of_the_compiled_world(states: State):
    rng = np.random.default_rng(6)
    force = rng.uniform(-50, 50, (2, WIDTH))
    expected = on_device(on_cpu(states, force, 10))
    got = by_kernel(on_device(states), force, 10)
    steady = spread_of(states, force, 10)[POSES].max(0) < TOLERANCE / 2
    assert steady.mean() > 0.7
    error = np.abs(got - expected)[POSES].max(0)
    assert (error[steady] < TOLERANCE).all(), dict(enumerate(error.round(7)))
    assert (got[COUNTS] == expected[COUNTS])[:, steady].all()
    # All kinds of contact were met: both standing, the cart tipping, the pole on an edge, in the air, on the ground.
    carts, both, poles = expected[COUNTS][:, steady]
    assert {4} < set(carts) and {0, 4} < set(both) and {0} < set(poles)
    assert ((both > 0) & (both < 4)).any() and ((poles > 0) & (both == 0)).any()


def test_boxes_in_any_position_meet_as_in_the_compiled_world():
    """A pole of any orientation in a cart of any, both turning: all axes that separate, faces clipped by faces."""
    rng, groups = np.random.default_rng(9), 4
    bodies = np.zeros((groups, 2, lanes.BODY_ROWS, WIDTH), KIND)
    centre, offset = rng.normal(size=(2, groups, 3, WIDTH))
    bodies[:, 0, :3], bodies[:, 1, :3] = centre, centre + 0.12 * offset
    bodies[:, :, 2] += 10.0  # far from the ground
    turned = rng.normal(size=(groups, 2, 4, WIDTH))
    bodies[:, :, 3:7] = turned / np.sqrt((turned**2).sum(2, keepdims=True))
    bodies[:, :, 7:BODY_ROWS] = rng.normal(size=(groups, 2, 6, WIDTH))
    state = bodies.reshape(groups, 2, -1), np.zeros((groups, 3, lanes.MANIFOLD_ROWS * WIDTH), KIND)
    still = np.zeros((2, groups * WIDTH))
    expected = on_device(on_cpu(state, still, 2))
    got = by_kernel(on_device(state), still, 2)
    moving = slice(0, 2 * BODY_ROWS)
    steady = spread_of(state, still, 2)[moving].max(0) < 1000 * NUDGE
    assert steady.mean() > 0.8
    assert np.abs(got - expected)[moving, steady].max() < 1000 * NUDGE
    assert (got[COUNTS] == expected[COUNTS])[:, steady].all()
    assert set(expected[COUNTS[1], steady]) == {0, 1, 2, 3, 4}


def seeds_from(first: int, count: int) -> torch.Tensor:
    return torch.arange(first, first + count, device=DEVICE)


def test_episodes_are_those_of_the_batched_world():
    """Same pushes, poses, rewards and ends, with resets by mask; columns that ended are passed over."""
    config = {**SHORT, "reward": "angle_action", "tilt_limit": 0.003}
    ours = DeviceCartPole3D(5, continuous=True, **config)
    peer = BatchedCartPole3D(5, continuous=True, overlap=False, threads=1, **config)
    obs, peer_obs = ours.reset(seeds_from(70, 5)), peer.reset(seed=70)[0]
    assert obs.shape == (5, 2, 2, 7) and obs.dtype == torch.float32
    assert ours.direction.cpu().numpy() == pytest.approx(2 * np.pi * uniform(keys_of(np.arange(70, 75)), np.uint64(0)))
    rng, ends = np.random.default_rng(8), []
    for step in range(7):
        assert obs.cpu().numpy() == pytest.approx(peer_obs, abs=IN_FLOAT32)
        actions = rng.uniform(-1, 1, (5, 2)).astype(np.float32)
        obs, reward, terminated, truncated, info = ours.step(torch.as_tensor(actions, device=DEVICE))
        peer_obs, *told, _ = peer.step(actions)
        assert reward.cpu().numpy() == pytest.approx(told[0], abs=IN_FLOAT32)
        assert (terminated.tolist(), truncated.tolist()) == (told[1].tolist(), told[2].tolist())
        assert not (info["is_success"] & ~truncated).any()
        ends += [(terminated.any().item(), truncated.any().item())]
        if step == 4:
            mask = np.array([False, True, False, False, True]) | peer.active
            obs = ours.reset(seeds_from(80, 5), torch.as_tensor(mask, device=DEVICE))
            peer_obs, _ = peer.reset(seed=80, options={"reset_mask": mask})
    assert (True, False) in ends and any(truncated for _, truncated in ends), ends


def test_discrete_actions_push_as_those_of_the_batched_world():
    ours, peer = DeviceCartPole3D(5, **SHORT, flatten=True), BatchedCartPole3D(5, threads=1, **SHORT, flatten=True)
    ours.reset(seeds_from(0, 5))
    peer.reset(seed=0)
    obs, *_ = ours.step(torch.arange(5, device=DEVICE))
    assert obs.cpu().numpy() == pytest.approx(peer.step(np.arange(5))[0], abs=IN_FLOAT32)
    peer.close()


def test_a_column_does_the_same_alone_and_among_others():
    one, many = DeviceCartPole3D(1, **SHORT), DeviceCartPole3D(67, **SHORT)
    seeds = seeds_from(0, 67)
    assert torch.equal(many.reset(seeds)[41:42], one.reset(seeds[41:42]))
    for _ in range(2):
        many_told, told = many.step(seeds % 5), one.step(seeds[41:42] % 5)
        assert torch.equal(many_told[0][41:42], told[0]) and torch.equal(many_told[1][41:42], told[1])


def test_a_state_goes_on_to_the_bit():
    first, second = DeviceCartPole3D(3, **SHORT), DeviceCartPole3D(3, **SHORT)
    actions = torch.tensor([1, 0, 4], device=DEVICE)
    first.reset(seeds_from(0, 3))
    obs = first.step(actions)[0]
    assert torch.equal(second.load_state_dict(first.state_dict()), obs)
    second.state += 0.0  # a copy: the first does not notice
    mask = torch.tensor([False, True, False], device=DEVICE)
    assert torch.equal(first.reset(seeds_from(5, 3), mask), second.reset(seeds_from(5, 3), mask))
    for mine, other in zip(first.step(actions)[:4], second.step(actions)[:4], strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"observation": "pixels"}, "expected 'poses' on tensors"),
        ({"device": "cuda" if DEVICE == "cpu" else "cpu"}, f"kernels run on {DEVICE} in this process"),
        ({"tilt": 0.2}, "did you mean 'tilt_limit'"),
        ({"reward": "action"}, "needs continuous control"),
    ],
)
def test_bad_keywords_are_refused_in_one_line(keywords: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message) as raised:
        DeviceCartPole3D(2, **keywords)
    assert "\n" not in str(raised.value)


def test_both_forms_of_the_world_have_the_same_bodies():
    for name in ("HALF_CART", "HALF_POLE", "CART_INERTIA", "POLE_INERTIA", "CART_MASS", "POLE_MASS", "SETTLE_STEPS"):
        assert getattr(cartpole3d_bodies, name) == getattr(cartpole3d_lanes, name)
    for name in ("FLOOR", "CART_REACH", "POLE_REACH", "DAMPING", "CART_HEIGHT", "POLE_HEIGHT"):
        assert getattr(cartpole3d_bodies, name) == pytest.approx(float(getattr(cartpole3d_lanes, name)), rel=1e-7)
    assert STATE_ROWS == 2 * BODY_ROWS + 3 * MANIFOLD_ROWS
