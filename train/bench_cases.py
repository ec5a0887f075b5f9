"""What `cartbot bench` measures: ours against its peers, and how our costs grow with size."""

from __future__ import annotations

from typing import Any

from train.bench_learners import Recipe, our_training, our_updates, plain_updates, sb3_training
from train.bench_timing import Case, Curve, Unit
from train.bench_worlds import (
    async_steps,
    gymnasium_cartpole_steps,
    mujoco_steps,
    our_frames,
    scalar_steps,
    subproc_steps,
    tiny_frames,
    vector_steps,
)

STEPS = Unit(name="env steps/s")
FRAMES = Unit(name="frames/s")
SECONDS = Unit(name="s for 8 seeds", time_scale=1.0)
MILLISECONDS = Unit(name="ms per update", time_scale=1e3)

CARTPOLE, CONTINUOUS, DRIVEBOT = "CartPole3D-v0", "CartPole3DContinuous-v0", "DriveBot-v0"
ENVS, ROBOTS = 1024, 4096
BATCHED: dict[str, Any] = {"world": "batched", "threads": 1}
LONE: dict[str, Any] = {"push_steps": 0}
"""Without the opening push a reset of Bullet is the restoring of a state, and steps are what is compared; in training,
episodes are soon as long as those with a push are late in a long run, so that resets have the share they have there."""
COMPILED: dict[str, Any] = {"form": "compiled"}
ASYNC, SUBPROC = "Gymnasium AsyncVectorEnv, 2 workers", "SB3 SubprocVecEnv, 2 workers"


def _training(agent: str, algorithm: str, env: str, world: str, *, target: float, target_cuda: float) -> Case:
    recipe = Recipe(env=env, env_args={"world": world, **LONE})
    return Case(
        name=f"{agent}-{world}",
        about=(
            f"{algorithm} training, {recipe.seeds} seeds x {recipe.steps:,} steps in {recipe.envs} envs, "
            f"{world} world, no opening push"
        ),
        unit=SECONDS,
        ours=our_training(agent, recipe),
        peer=sb3_training(algorithm, recipe),
        peer_name=f"SB3 {algorithm}, one seed, times {recipe.seeds}",
        cores=2,
        peer_cores=2,
        most_rounds=3,
        target=target,
        learns=True,
        target_cuda=target_cuda,
    )


_CASES = (
    Case(
        name="batched-bullet",
        about=f"CartPole3D poses, batched world, {ENVS:,} envs, no opening push",
        unit=STEPS,
        ours=vector_steps(CARTPOLE, ENVS, **BATCHED, **LONE),
        peer=scalar_steps(CARTPOLE, **LONE),
        peer_name="our Bullet scalar env, lean loop",
        target=50,
        target_avx2=25,
    ),
    *(
        Case(
            name=f"batched-{short}",
            about=f"CartPole3D poses, batched world, {ENVS:,} envs, 2 threads, resets included",
            unit=STEPS,
            ours=vector_steps(CARTPOLE, ENVS, **BATCHED | {"threads": 2}),
            peer=peer,
            peer_name=f"{name}, our Bullet env",
            cores=2,
            peer_cores=2,
            target=50,
        )
        for short, peer, name in (
            ("async", async_steps(CARTPOLE, 2), ASYNC),
            ("subproc", subproc_steps(CARTPOLE, 2), SUBPROC),
        )
    ),
    Case(
        name="batched-mujoco",
        about=f"CartPole3D poses, batched world, {ENVS:,} envs, no opening push",
        unit=STEPS,
        ours=vector_steps(CARTPOLE, ENVS, **BATCHED, **LONE),
        peer=mujoco_steps(),
        peer_name="MuJoCo's step of the same scene",
        target=8,
    ),
    *(
        Case(
            name=f"bullet-{short}",
            about="CartPole3D poses, Bullet vector env, 32 envs, 2 workers, resets included",
            unit=STEPS,
            ours=vector_steps(CARTPOLE, 32, workers=2),
            peer=peer,
            peer_name=f"{name}, our Bullet env",
            cores=2,
            peer_cores=2,
            target=1.3,
        )
        for short, peer, name in (
            ("async", async_steps(CARTPOLE, 2), ASYNC),
            ("subproc", subproc_steps(CARTPOLE, 2), SUBPROC),
        )
    ),
    Case(
        name="renderer",
        about=f"pictures of 50 x 50, {ENVS:,} at a time",
        unit=FRAMES,
        ours=our_frames(ENVS),
        peer=tiny_frames(),
        peer_name="TinyRenderer",
        target=70,
    ),
    Case(
        name="pixels",
        about=f"CartPole3D pixels, batched world and renderer, {ENVS:,} envs, no opening push",
        unit=STEPS,
        ours=vector_steps(CARTPOLE, ENVS, observation="pixels", **BATCHED, **LONE),
        peer=scalar_steps(CARTPOLE, observation="pixels", renderer="tiny", **LONE),
        peer_name="our Bullet scalar env with TinyRenderer",
        target=70,
    ),
    Case(
        name="drivebot-async",
        about=f"DriveBot sonars, {ROBOTS:,} robots on one core",
        unit=Unit(name="robot steps/s"),
        ours=vector_steps(DRIVEBOT, ROBOTS),
        peer=async_steps(DRIVEBOT, 2, **COMPILED),
        peer_name=f"{ASYNC} on 2 cores, our scalar env, compiled",
        peer_cores=2,
        target=50,
    ),
    Case(
        name="drivebot-cartpole",
        about=f"DriveBot sonars, {ROBOTS:,} robots on one core",
        unit=STEPS,
        ours=vector_steps(DRIVEBOT, ROBOTS),
        peer=gymnasium_cartpole_steps(ROBOTS),
        peer_name=f"Gymnasium's vectorised CartPole-v1, {ROBOTS:,} envs",
        target=0.2,
    ),
    _training("dqn", "DQN", CARTPOLE, "bullet", target=3, target_cuda=20),
    _training("dqn", "DQN", CARTPOLE, "batched", target=8, target_cuda=20),
    _training("ddpg", "DDPG", CONTINUOUS, "bullet", target=1.5, target_cuda=20),
    _training("ddpg", "DDPG", CONTINUOUS, "batched", target=2.5, target_cuda=20),
    Case(
        name="update",
        about="one DQN update of one seed, drawing its batch included, no simulator",
        unit=MILLISECONDS,
        ours=our_updates(1),
        peer=plain_updates(),
        peer_name="the same in plain torch",
        target=1,
        learns=True,
    ),
)

_CURVES = (
    Curve(
        name="update-seeds",
        about="one DQN update of all seeds, drawing their batches included",
        unit=MILLISECONDS,
        axis="seeds",
        points={seeds: our_updates(seeds) for seeds in (1, 2, 4, 8, 16, 32)},
    ),
    *(
        Curve(
            name=f"{short}-envs",
            about=f"{about}, on one core",
            unit=STEPS,
            axis="envs",
            points={
                num_envs: vector_steps(env, num_envs, **env_args) for num_envs in (1, 4, 16, 64, 256, 1024, 4096, 16384)
            },
        )
        for short, about, env, env_args in (
            ("batched", "CartPole3D poses, batched world, no opening push", CARTPOLE, BATCHED | LONE),
            ("drivebot", "DriveBot sonars", DRIVEBOT, COMPILED),
        )
    ),
)

CASES: dict[str, Case | Curve] = {one.name: one for one in (*_CASES, *_CURVES)}
"""Everything that can be measured, by name, in the order of the table."""
