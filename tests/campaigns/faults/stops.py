"""Runs that are stopped by signals, and many that begin at once under one name."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np

from eval.checkpoint import newest_checkpoint
from eval.episodes import EpisodeRecorder
from tests.campaigns.faults.resumes import SMALL, import_trainer
from tests.campaigns.faults.row import Row
from train.__main__ import main

INTERVAL = 200
"""Environment steps per seed between checkpoints."""
ENDLESS = f"train qtable --env FrozenLake-v1 {SMALL} --steps 1000000000 --checkpoint-interval {INTERVAL} --run run"
BRIEF = f"train random --env CartPole-v1 {SMALL} --steps 20 --run run"
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}


def rows(count: int = 8, starts: int = 16) -> Iterator[Row]:
    import_trainer()
    found = {number: [lost_steps(number, trial) for trial in range(count)] for number in STATUS}
    faults = [fault for losses in found.values() for _, fault in losses if fault]
    worst = {number: max(lost for lost, _ in losses) for number, losses in found.items()}
    yield Row(
        figure=f"steps lost to SIGINT, SIGTERM, SIGKILL, {count} of each, with checkpoints every {INTERVAL}",
        ours=" / ".join(map(str, worst.values())),
        wanted=f"0 / 0 / at most {INTERVAL}",
        met=not faults and worst[signal.SIGINT] == worst[signal.SIGTERM] == 0 and worst[signal.SIGKILL] <= INTERVAL,
        others="not measured / all / all",
        failures=tuple(faults),
    )
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        faults = simultaneous_starts(starts)
        made = len(list(Path().glob("run*")))
    yield Row(
        figure=f"folders of {starts} simultaneous starts with one name",
        ours=f"{made}, {len(faults)} faults",
        wanted=str(starts),
        met=made == starts and not faults,
        others="6 of 8",
        failures=tuple(faults),
    )


def lost_steps(number: signal.Signals, trial: int) -> tuple[int, str]:
    """Steps that a run had made when a signal ended it and its newest checkpoint has not, and what else is wrong."""
    made = mmap.mmap(-1, 8)  # what the process writes there outlives it
    record = EpisodeRecorder.add

    def counted(self: EpisodeRecorder, step: object, **keywords: object) -> object:
        made[:] = struct.pack("q", struct.unpack("q", made[:])[0] + 2)  # a step of two columns
        return record(self, step, **keywords)  # pyright: ignore[reportArgumentType]

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        with mock.patch.object(EpisodeRecorder, "add", counted):
            child = _fork(ENDLESS)
        while struct.unpack("q", made[:])[0] < 2 * INTERVAL:
            time.sleep(0.01)
        time.sleep(float(np.random.default_rng(trial).uniform(0, 0.3)))
        os.kill(child, number)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        lost = struct.unpack("q", made[:])[0] - int(newest_checkpoint(Path("run/checkpoints")).name)
    return lost, "" if status == STATUS[number] else f"{number.name}, trial {trial}: status {status}"


def simultaneous_starts(count: int) -> list[str]:
    """Begins as many runs of one name at the same moment; those that failed."""
    reading, writing = os.pipe()  # all wait for its end
    children = [_fork(BRIEF, wait_for=(reading, writing)) for _ in range(count)]
    os.close(writing)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    os.close(reading)
    faults = [f"start {index}: status {status}" for index, status in enumerate(statuses) if status]
    whole = [path for path in Path().glob("run*") if int(newest_checkpoint(path / "checkpoints").name) == 20]
    return faults if len(whole) == count else [*faults, f"{len(whole)} whole runs of {count}"]


def _fork(line: str, wait_for: tuple[int, int] | None = None) -> int:
    child = os.fork()
    if child:
        return child
    status = 99
    try:
        if wait_for:
            os.close(wait_for[1])
            os.read(wait_for[0], 1)
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            status = main(line.split())
    finally:
        os._exit(status)
