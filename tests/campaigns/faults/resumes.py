"""Training runs that are killed, or stopped in mid-episode, and resumed: they end as if nothing had been."""

from __future__ import annotations

import contextlib
import csv
import importlib
import io
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.registry import AGENTS
from envs.catalog import OWN_ENVS
from eval.checkpoint import list_checkpoints, load_checkpoint, newest_checkpoint
from eval.tasks import describe_task, make_envs
from tests.campaigns.faults.row import Row
from tests.helpers import flat_state
from train.__main__ import main
from train.usage import parse_pairs

SMALL = "--seeds 2 --envs 2 --workers 0 --device cpu --no-check"
REPLAY = "--learning-starts 10 --batch-size 8 --memory-size 500 --hidden 8"
LEARN_SOON = {
    **dict.fromkeys(("dqn", "ddpg", "naf", "sb3-dqn", "sb3-ddpg", "sb3-sac"), REPLAY),
    "reinforce": "--episode-limit 10 --hidden 8",
    "sb3-ppo": "--rollout-steps 16 --batch-size 8 --hidden 8",
}
"""Flags with which an agent learns in its first few steps; those that are not here do anyway."""
KILLED = {
    "qtable": f"train qtable --env FrozenLake-v1 {SMALL} --steps 600 --checkpoint-interval 60",
    "dqn": f"train dqn --env CartPole-v1 {SMALL} --learning-starts 100 --batch-size 8 --memory-size 3000 --hidden 8 "
    "--steps 600 --checkpoint-interval 60",
    "reinforce": f"train reinforce --env CartPole-v1 {SMALL} --hidden 8 --steps 600 --checkpoint-interval 60",
}
"""Runs of a second or so."""
ENVS = (
    *OWN_ENVS,
    *("CartPole3D-v0 world=batched", "CartPole3DContinuous-v0 world=batched", "CartPole3D-v0 observation=pixels"),
    *("DriveBot-v0 observation=furthest history=3", "CartPole-v1", "Pendulum-v1", "FrozenLake-v1"),
)
"""Environments with their keywords."""
TIMES = ("seconds",)
"""Columns of time."""


def rows(count: int = 50) -> Iterator[Row]:
    names = list(KILLED)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        faults, doubled, kills = [], 0, 0
        for name in names:
            found, repeated, done = killed_run(name, -(-count // len(names)))
            faults, doubled, kills = faults + found, doubled + repeated, kills + done
    yield Row.none_of(
        f"SIGKILL of training runs ({', '.join(names)}) at random moments, resumed: weights or logs that differ",
        faults,
        kills,
        least=count,
    )
    yield Row(
        figure=f"rows of logs lost or doubled after {kills} kills and resumes",
        ours=str(doubled),
        wanted="0",
        met=not doubled,
        others="SB3 keeps them in 0 of 198",
    )
    fitting = pairs()
    cuts = np.random.default_rng(0).integers(20, 80, len(fitting)).tolist()
    found = [resumed_otherwise(agent, env, cut=cut) for (agent, env), cut in zip(fitting, cuts, strict=True)]
    yield Row.none_of(
        "agents x environments, stopped at a random step, in mid-episode, and resumed: not bit-identical",
        [fault for fault in found if fault],
        len(found),
        least=40,
        others="SB3 4 of 4",
    )


def pairs() -> list[tuple[str, str]]:
    """Every agent with every environment that it fits."""
    found = []
    for env in ENVS:
        env_id, *keywords = env.split()
        probe = make_envs(env_id, 1, env_args=parse_pairs(keywords, "--env-args"), workers=0)
        task, _ = describe_task(env_id, probe)
        probe.close()
        for agent, entry in AGENTS.items():
            with contextlib.suppress(ValueError):
                entry.check_task(task)
                found.append((agent, env))
    return found


def killed_run(name: str, count: int) -> tuple[list[str], int, int]:
    """A run that is killed `count` times at least, and resumed: differences, rows lost or doubled, kills."""
    import_trainer()
    line = KILLED[name]
    whole, began = Path(f"{name}-whole"), time.monotonic()
    assert in_child(f"{line} --run {whole}") == 0
    took = time.monotonic() - began
    rng, kills, faults, doubled = np.random.default_rng(0), 0, [], 0
    attempt = 0
    while kills < count:
        attempt += 1
        parts = Path(f"{name}-{attempt}")
        command, status = f"{line} --run {parts}", None
        while status != 0:
            # Early enough to come before the end, late enough to come after the next checkpoint as a rule.
            status = in_child(command, kill_after=float(rng.uniform(0.2, 0.9)) * took if kills < count else None)
            kills += status is None
            if status not in (0, None):
                return [f"{name}: {command} ended with status {status}"], doubled, kills
            if list_checkpoints(parts / "checkpoints"):
                command = f"resume {parts}"
                done = int(newest_checkpoint(parts / "checkpoints").name)
                if done == int(newest_checkpoint(whole / "checkpoints").name):
                    break  # killed after its last checkpoint: there is nothing left to do
            elif status is None:  # before its first checkpoint: it starts anew, under a new name
                attempt += 1
                parts = Path(f"{name}-{attempt}")
                command = f"{line} --run {parts}"
        faults += differences(whole, parts)
        doubled += rows_amiss(whole, parts)
    return faults, doubled, kills


def import_trainer() -> None:
    """Imports what training takes a second or more to import: once, before processes are forked."""
    for module in ("train.trainer", "torch.utils.tensorboard", "agents.tabular", "agents.dqn", "agents.reinforce"):
        importlib.import_module(module)


def in_child(line: str, kill_after: float | None = None) -> int | None:
    """The status of a command in a forked process; None where it was killed, after so many seconds."""
    child = os.fork()
    if not child:
        status = 99
        try:
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                status = main(line.split())
        finally:
            os._exit(status)
    deadline = None if kill_after is None else time.monotonic() + kill_after
    while True:
        done, result = os.waitpid(child, 0 if deadline is None else os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(result)
        if deadline is not None and time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.005)


def resumed_otherwise(agent: str, env: str, *, cut: int, steps: int = 100) -> str:
    """How a run that is stopped at a step and resumed ends otherwise than one that is not; empty where it does not.

    `env` may have keywords after its id.
    """
    env_id, *keywords = env.split()
    line = f"train {agent} --env {env_id} {SMALL} {LEARN_SOON.get(agent, '')} --steps {{}} --run {{}}"
    line += f" --env-args {' '.join(keywords)}" if keywords else ""
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            statuses = [main(line.format(n, run).split()) for n, run in ((steps, "whole"), (cut, "parts"))]
            statuses.append(main(["resume", "parts", "--steps", str(steps)]))
        if any(statuses):
            return f"{agent} on {env}, cut at {cut}: {said.getvalue().strip().splitlines()[-1]}"
        found = differences(Path("whole"), Path("parts"))
    return f"{agent} on {env}, cut at {cut}: {found[0]}" if found else ""


def differences(one: Path, other: Path) -> list[str]:
    """In what the ends of two runs differ, but for times."""
    found = []
    states = [_state(path) for path in (one, other)]
    if list(states[0]) != list(states[1]):
        found.append("the parts of the checkpoints differ")
    else:
        found += [name for name, value in states[0].items() if not _equal(value, states[1][name])]
    for name in ("metrics.csv", "episodes.csv"):
        if _rows(one / name) != _rows(other / name):
            found.append(name)
    return [f"{other}: {name}" for name in found]


def rows_amiss(whole: Path, parts: Path) -> int:
    """Rows of the logs that are doubled, or not there."""
    count = 0
    for name in ("metrics.csv", "episodes.csv"):
        expected, found = _rows(whole / name), _rows(parts / name)
        count += len(found) - len(set(found)) + len(set(expected) - set(found))
    return count


def _state(run: Path) -> dict[str, np.ndarray]:
    state = load_checkpoint(newest_checkpoint(run / "checkpoints"))
    for part in ("seconds", "log"):  # the log's sizes change with the digits of its times
        state.pop(part)
    return flat_state(state)


def _equal(one: Any, other: Any) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def _rows(path: Path, without: Sequence[str] = TIMES) -> list[tuple[str | None, ...]]:
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return [tuple(v for k, v in row.items() if k not in without) for row in csv.DictReader(file)]
