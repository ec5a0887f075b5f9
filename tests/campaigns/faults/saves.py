"""Processes that are killed while they save: what is left can be loaded, and is the newest that was promised."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from agents.lazy import torch
from eval import checkpoint
from eval.checkpoint import list_checkpoints, load_checkpoint, newest_checkpoint, save_checkpoint
from tests.campaigns.faults.bombs import forked
from tests.campaigns.faults.resumes import KILLED, differences, import_trainer, in_child
from tests.campaigns.faults.row import Row
from train.__main__ import main

CHUNK = 1 << 12
"""Bytes of a chunk here: many small ones make many moments at which a save can be cut."""
ROOM = (0, 4096, 8192, 16384)
"""Bytes that are free on the tiny disk; a checkpoint of the run that is tried on it takes more."""
ELSEWHERE = Path("/dev/shm")
"""Another filesystem than that of the checkpoints."""


def rows(count: int = 1000) -> Iterator[Row]:
    places = [None, *([str(ELSEWHERE)] if ELSEWHERE.is_dir() else [])]
    lost, stale, kills = [], 0, 0
    for place in places:
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"TMPDIR": place} if place else {}):
            found, left = killed_saves(Path(folder), count // len(places))
            lost, stale, kills = lost + found, max(stale, left), kills + count // len(places)
    yield Row.none_of(
        f"checkpoints lost to SIGKILL during saves, TMPDIR {' and '.join(p or 'as it is' for p in places)}",
        lost,
        kills,
        others="SB3 178 of 200, torch.save 161 of 200, Lightning 73 of 200, safetensors 0",
    )
    yield Row(
        figure="stale temporary files afterwards",
        ours=str(stale),
        wanted="at most 1",
        met=stale <= 1,
        others="32 to 250",
    )
    with tempfile.TemporaryDirectory() as folder:
        faults, trials = full_disks(Path(folder))
    yield Row.none_of(
        "saves with any limit on the size of files: old checkpoint lost, or no error",
        faults,
        trials,
        others="SB3 and torch.save lose it",
    )
    with tempfile.TemporaryDirectory() as folder, small_disk(Path(folder)) as mounted, contextlib.chdir(folder):
        faults = full_training() if mounted else []
    if mounted:
        yield Row.none_of(
            "training on a tiny disk that fills: old checkpoint lost, no error, more than a line, not resumed later",
            faults,
            len(ROOM),
            others="SB3 and torch.save lose it",
        )
    else:
        yield Row(figure="training on a tiny disk that fills", ours="cannot mount one here", wanted="root", met=True)


def state_of(step: int) -> dict[str, Any]:
    """A state that tells of which step it is in every number, with a memory that is cut into chunks."""
    memory = np.zeros((64, 64), np.int64)
    memory[: step % 64] = step  # some chunks are as they were
    return {"agent": {"weights": torch.full((3, 50), step), "memory": memory}, "step": step}


def killed_saves(folder: Path, count: int) -> tuple[list[str], int]:
    """Kills a process that saves, `count` times; what was lost, and the most temporary files that were left."""
    lost, stale = [], 0
    rng = np.random.default_rng(0)
    torch.zeros(1)  # imported once, before the forks
    with mock.patch.object(checkpoint, "CHUNK_BYTES", CHUNK):
        save_checkpoint(folder, 1, state_of(1))
        for index in range(count):
            promised = _kill(folder, int(newest_checkpoint(folder).name), float(rng.uniform(0, 0.03)))
            stale = max(
                stale, sum(path.name.startswith(".") for path in folder.rglob("*") if path.parent.name[:1] != ".")
            )
            try:
                newest = newest_checkpoint(folder)
                step = int(newest.name)
                if step < promised or not _same(load_checkpoint(newest), state_of(step)):
                    lost.append(f"kill {index}: step {promised} was promised, found {step}")
            except ValueError as error:
                lost.append(f"kill {index}: {error}")
    return lost, stale


def _kill(folder: Path, step: int, seconds: float) -> int:
    """Forks a process that saves one step after the other, and kills it; the last step it said it had saved."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            while True:
                step += 1
                save_checkpoint(folder, step, state_of(step))
                os.write(writing, struct.pack("q", step))
        finally:
            os._exit(1)
    os.close(writing)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    return struct.unpack("q", said[-8:])[0] if said else step


def full_disks(folder: Path, stride: int = 997) -> tuple[list[str], int]:
    """Saves with a limit on the size of files, at every `stride` bytes of it; a full disk in any file looks so."""
    faults, trials = [], 0
    large = {"agent": {"weights": torch.zeros(20_000)}, "step": 2}
    save_checkpoint(folder, 1, state_of(1))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error instead of a signal
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for limit in range(0, 80_000, stride):
            trials += 1
            try:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
                save_checkpoint(folder, 2, large)
                faults.append(f"limit {limit}: saved without an error")
            except OSError:
                pass
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            if [int(path.name) for path in list_checkpoints(folder)] != [1]:
                faults.append(f"limit {limit}: the list of checkpoints changed")
            elif not _same(load_checkpoint(newest_checkpoint(folder)), state_of(1)):
                faults.append(f"limit {limit}: the old checkpoint changed")
    finally:
        signal.signal(signal.SIGXFSZ, before)
    return faults, trials


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[bool]:
    """Mounts a disk of 4 MiB at `place`; whether that was allowed."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    mounted = shutil.which("mount") is not None and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)


def full_training() -> list[str]:
    """Goes on with a run here, on a disk on which some bytes are free: what is wrong with how that ends."""
    faults = []
    import_trainer()
    assert in_child(f"{KILLED['qtable']} --run whole") == 0
    assert in_child(f"{KILLED['qtable'].replace('--steps 600', '--steps 300')} --run run") == 0
    old = load_checkpoint(newest_checkpoint(Path("run/checkpoints")))
    for room in ROOM:
        with open("filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(4096))
        os.truncate("filler", max(0, os.path.getsize("filler") - room))
        status, _, said = forked(lambda: main(["resume", "run", "--steps", "600"]))
        found = load_checkpoint(newest_checkpoint(Path("run/checkpoints")))
        if status != 1 or said.count("\n") != 1 or "No space left" not in said:
            faults.append(f"{room:,} bytes free: status {status}, {said[-300:]!r}")
        if found["step"] < old["step"]:
            faults.append(f"{room:,} bytes free: the checkpoint of step {old['step']} is lost")
        os.remove("filler")
    assert in_child("resume run --steps 600") == 0
    return [*faults, *differences(Path("whole"), Path("run"))]


def _same(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    return (
        found["step"] == expected["step"]
        and torch.equal(found["agent"]["weights"], expected["agent"]["weights"])
        and np.array_equal(found["agent"]["memory"], expected["agent"]["memory"])
    )
