"""Processes that are killed while they save: what is left can be loaded, and is the newest that was promised."""

from __future__ import annotations

import os
import resource
import signal
import struct
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
from tests.campaigns.faults.row import Row

CHUNK = 1 << 12
"""Bytes of a chunk here: many small ones make many moments at which a save can be cut."""
ELSEWHERE = Path("/dev/shm")
"""Another filesystem than that of the checkpoints."""


def rows(count: int = 1000) -> Iterator[Row]:
    places = [None, *([str(ELSEWHERE)] if ELSEWHERE.is_dir() else [])]
    lost, stale, kills = [], 0, 0
    for place in places:
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"TMPDIR": place} if place else {}):
            found, left = killed_saves(Path(folder), count // len(places))
            lost, stale, kills = lost + found, max(stale, left), kills + count // len(places)
    yield Row(
        figure=f"checkpoints lost to SIGKILL during saves, TMPDIR {' and '.join(p or 'as it is' for p in places)}",
        ours=f"{len(lost)} of {kills:,}",
        wanted="0",
        met=not lost,
        failures=tuple(lost),
    )
    yield Row(figure="stale temporary files afterwards", ours=str(stale), wanted="at most 1", met=stale <= 1)
    with tempfile.TemporaryDirectory() as folder:
        faults, trials = full_disks(Path(folder))
    yield Row(
        figure="saves on a disk that is full after any number of bytes: old checkpoint lost, or no error",
        ours=f"{len(faults)} of {trials}",
        wanted="0",
        met=not faults,
        failures=tuple(faults),
    )


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


def _same(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    return (
        found["step"] == expected["step"]
        and torch.equal(found["agent"]["weights"], expected["agent"]["weights"])
        and np.array_equal(found["agent"]["memory"], expected["agent"]["memory"])
    )
