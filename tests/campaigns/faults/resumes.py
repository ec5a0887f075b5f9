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
from tests.campaigns.faults.row import Row
from tests.helpers import flat_state
from train.__main__ import main

SMALL = "--seeds 2 --envs 2 --workers 0 --device cpu --no-check"
KILLED = {
    "qtable": f"train qtable --env FrozenLake-v1 {SMALL} --steps 600 --checkpoint-interval 60",
    "dqn": f"train dqn --env CartPole-v1 {SMALL} --learning-starts 100 --batch-size 8 --memory-size 3000 --hidden 8 "
    "--steps 600 --checkpoint-interval 60",
    "reinforce": f"train reinforce --env CartPole-v1 {SMALL} --hidden 8 --steps 600 --checkpoint-interval 60",
}
"""Runs of a second or so."""
ENVS = (*OWN_ENVS, "CartPole-v1", "Pendulum-v1", "FrozenLake-v1")
TIMES = ("seconds",)
"""Columns of time."""


def rows(count: int = 50) -> Iterator[Row]:
    names = list(KILLED)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        faults, doubled, kills = [], 0, 0
        for name in names:
            found, repeated, done = killed_run(name, -(-count // len(names)))
            faults, doubled, kills = faults + found, doubled + repeated, kills + done
    yield Row(
        figure=f"runs of {', '.join(names)}: SIGKILL at random moments, resumed; ends other than the uninterrupted one",
        ours=f"{len(faults)} of {len(names)} after {kills} kills",
        wanted="0",
        met=not faults and kills >= count,
        failures=tuple(faults),
    )
    yield Row(
        figure=f"rows of logs lost or doubled after {kills} kills and resumes",
        ours=str(doubled),
        wanted="0",
        met=not doubled,
    )
    wrong, pairs = [], 0
    for agent in AGENTS:
        for env in ENVS:
            with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
                fault = resumed_otherwise(agent, env, cut=int(np.random.default_rng(pairs).integers(20, 80)))
            if fault is not None:
                pairs += 1
                wrong += [fault] if fault else []
    yield Row(
        figure="agents x environments, stopped at a random step and resumed: not bit-identical",
        ours=f"{len(wrong)} of {pairs}",
        wanted="0",
        met=not wrong and pairs > 30,
        failures=tuple(wrong),
    )


def killed_run(name: str, count: int) -> tuple[list[str], int, int]:
    """A run that is killed `count` times at least, and resumed: differences, rows lost or doubled, kills."""
    for module in ("train.trainer", "torch.utils.tensorboard"):
        importlib.import_module(module)  # once, before the forks
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


def resumed_otherwise(agent: str, env: str, *, cut: int, steps: int = 100) -> str | None:
    """How a run that is stopped at a step and resumed ends otherwise; "" where it does not, None for no such pair."""
    line = f"train {agent} --env {env} {SMALL} --steps {{}} --run {{}}"
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        if main(line.format(steps, "whole").split()):
            return None
        statuses = main(line.format(cut, "parts").split()), main(["resume", "parts", "--steps", str(steps)])
    if statuses != (0, 0):
        return f"{agent} on {env}, cut at {cut}: {said.getvalue().strip().splitlines()[-1]}"
    return "; ".join(f"{agent} on {env}, cut at {cut}: {one}" for one in differences(Path("whole"), Path("parts"))[:1])


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
