"""The Bullet world of CartPole3D: three boxes, a private physics client, a reset that repeats to the bit.

PyBullet is imported when a world is built, not before, so that everything else works without it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.cartpole3d_task import TIMESTEP

GRAVITY = -9.81
"""Acceleration along z, m/s^2."""
SETTLE_STEPS = 100
"""Physics steps from the bodies' start poses to the state that every episode begins with."""
CART_START = (0.0, 0.0, 0.08)
"""Start of the cart's centre, m."""
POLE_START = (0.0, 0.0, 0.35)
"""Start of the pole's centre, m."""

_ASSETS = Path(__file__).parent / "assets"


class BulletCartPole:
    """A cart and an unattached pole on the ground, in a physics client of its own.

    Args:
        gui: show Bullet's own window instead of computing without one.

    Raises:
        ValueError: `gui` without a display, or PyBullet is not installed.
    """

    def __init__(self, *, gui: bool = False):
        if gui and sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
            # Bullet would end the whole process.
            raise ValueError(
                "render_mode 'human' needs a display and DISPLAY is not set; "
                "use render_mode 'rgb_array', or `cartbot record` for a video"
            )
        self._bullet = bullet = import_pybullet()
        with _silenced():
            self._client = client = bullet.connect(bullet.GUI if gui else bullet.DIRECT)
        if client < 0:
            raise ValueError("Bullet could not open a physics client; is another window holding its display?")
        # Without it, a restored state depends on which pairs of boxes met before.
        bullet.setPhysicsEngineParameter(deterministicOverlappingPairs=1, physicsClientId=client)
        bullet.setGravity(0, 0, GRAVITY, physicsClientId=client)
        bullet.setTimeStep(TIMESTEP, physicsClientId=client)
        self._load("ground", (0.0, 0.0, 0.0), fixed=True)
        self.cart = self._load("cart", CART_START)
        self.pole = self._load("pole", POLE_START)
        if gui:
            bullet.configureDebugVisualizer(bullet.COV_ENABLE_GUI, 0, physicsClientId=client)
            bullet.resetDebugVisualizerCamera(1.2, 50, -30, (0, 0, 0.2), physicsClientId=client)
        for _ in range(SETTLE_STEPS):
            bullet.stepSimulation(physicsClientId=client)
        self._settled = bullet.saveState(physicsClientId=client)

    def _load(self, name: str, position: tuple[float, float, float], *, fixed: bool = False) -> int:
        return self._bullet.loadURDF(
            str(_ASSETS / f"{name}.urdf"), position, useFixedBase=fixed, physicsClientId=self._client
        )

    def reset(self) -> None:
        """Puts the settled state back. Restoring it, and nothing else, leaves no stale contacts behind."""
        self._bullet.restoreState(self._settled, physicsClientId=self._client)

    def push(self, force: tuple[float, float], steps: int) -> None:
        """Advances `steps` physics steps with `force` (x, y; N) on the cart's centre of mass.

        Bullet forgets an external force after every step, so it is given before each.
        """
        bullet, client, cart = self._bullet, self._client, self.cart
        step, apply, pose = bullet.stepSimulation, bullet.applyExternalForce, bullet.getBasePositionAndOrientation
        x, y = force
        if x == 0.0 and y == 0.0:
            for _ in range(steps):
                step(client)
            return
        push = (x, y, 0.0)
        world_frame = bullet.WORLD_FRAME
        for _ in range(steps):
            apply(cart, -1, push, pose(cart, client)[0], world_frame, client)
            step(client)

    def write_poses(self, out: NDArray[np.floating]) -> None:
        """Writes the poses of cart and pole into `out`, [BODIES, POSE]."""
        pose, client = self._bullet.getBasePositionAndOrientation, self._client
        position, orientation = pose(self.cart, client)
        out[0] = position + orientation
        position, orientation = pose(self.pole, client)
        out[1] = position + orientation

    def photograph(
        self, eye: tuple[float, float, float], target: tuple[float, float, float], width: int, height: int
    ) -> NDArray[np.uint8]:
        """TinyRenderer's picture from `eye` towards `target` (m, up is z), uint8 [height, width, 3]."""
        bullet = self._bullet
        _, _, rgba, _, _ = bullet.getCameraImage(
            width,
            height,
            viewMatrix=bullet.computeViewMatrix(eye, target, (0, 0, 1)),
            # A near plane of 1 would clip cart and pole away in PyBullet 3.2.7.
            projectionMatrix=bullet.computeProjectionMatrixFOV(fov=60, aspect=width / height, nearVal=0.1, farVal=20),
            shadow=0,
            renderer=bullet.ER_TINY_RENDERER,
            physicsClientId=self._client,
        )
        return np.asarray(rgba, np.uint8).reshape(height, width, 4)[..., :3]

    def close(self) -> None:
        """Disconnects the physics client. Harmless when done twice."""
        if self._client >= 0:
            with contextlib.suppress(self._bullet.error), _silenced():
                self._bullet.disconnect(physicsClientId=self._client)
            self._client = -1


def import_pybullet() -> Any:
    """PyBullet, without the line that it prints on import.

    Raises:
        ValueError: it is not installed; the message says on which platforms it has wheels.
    """
    try:
        with _silenced():
            import pybullet
    except ImportError as error:
        raise ValueError(
            "world 'bullet' needs PyBullet, which is not installed: `pip install pybullet` "
            "(wheels for Python up to 3.11 on Linux x86_64; elsewhere it compiles from source)"
        ) from error
    return pybullet


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Sends file descriptors 1 and 2 to nowhere: Bullet prints from C, past Python's sys.stdout."""
    flush = getattr(ctypes.CDLL(None), "fflush", None) if os.name == "posix" else None
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [(fd, os.dup(fd)) for fd in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for fd, _ in saved:
            os.dup2(nowhere, fd)
        yield
    finally:
        if flush is not None:
            flush(None)  # what C has buffered goes to nowhere too, not to the restored descriptor
        for fd, copy in saved:
            os.dup2(copy, fd)
            os.close(copy)
        os.close(nowhere)
