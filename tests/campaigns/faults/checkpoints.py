"""Checkpoints with accidents in them: refused by name and with a remedy, or read as they were written."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from agents.lazy import torch
from eval import checkpoint
from eval.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from tests.campaigns.faults.row import Row
from tests.campaigns.faults.saves import ELSEWHERE
from tests.damage import damaged
from tests.helpers import flat_state

HUNG = 10
"""Seconds after which reading a small checkpoint counts as hung."""
CODE = {"exec", "compile", "os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "pickle.find_class"}
"""Audit events of code that is made or run."""


def rows(count: int = 10_000) -> Iterator[Row]:
    # In memory where there is such a place: a disk takes minutes to remove so many folders.
    with tempfile.TemporaryDirectory(dir=ELSEWHERE if ELSEWHERE.is_dir() else None) as folder:
        make_checkpoints(Path(folder, "whole"))
        found = [wrong(Path(folder), index) for index in range(count)]
    faults = [fault for fault, _ in found if fault]
    yield Row.none_of(
        "damaged checkpoints that load with a value changed, crash, hang or run code",
        faults,
        count,
        others="load silently: safetensors 6,611, torch.load 5,738",
    )
    told = [message for _, message in found if message]
    poor = [message for message in told if not is_helpful(message)]
    yield Row(
        figure="refusals whose one line names file, cause and remedy",
        ours=f"{len(told) - len(poor):,} of {len(told):,}",
        wanted="all",
        met=bool(told) and not poor,
        others="SB3 0 of 3",
        failures=tuple(poor),
    )


def contents(step: int) -> dict[str, Any]:
    """A small state with all that a checkpoint may hold, and two chunked parts of which one never changes."""
    rng = np.random.default_rng(step)
    return {
        "agent": {
            "params": {"weight": torch.from_numpy(rng.normal(size=(2, 3, 5))), "steps": torch.tensor(step)},
            "memory": {"obs": rng.integers(0, 256, (40, 50), np.uint8), "actions": np.arange(700)},
        },
        "streams": [{"state": 2**127 + step, "kind": "PCG64"}, None, True],
        "seconds": 1.5 * step,
    }


def make_checkpoints(folder: Path) -> None:
    """The checkpoints of steps 10 and 20, in small chunks."""
    with mock.patch.object(checkpoint, "CHUNK_BYTES", 500):
        for step in (10, 20):
            save_checkpoint(folder, step, contents(step))


def wrong(folder: Path, index: int) -> tuple[str, str]:
    """What goes wrong with accident number `index`, and what is said of the accident."""
    rng = np.random.default_rng(index)
    place = folder / "damaged"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder / "whole", place)
    accident = _accident(place, rng)
    newest = place / f"{20:012d}"
    try:
        with _no_code(), _alarm():
            found = load_checkpoint(newest)
    except CheckpointError as error:
        return "", str(error)
    except Exception as error:
        return f"accident {index}, {accident}: {type(error).__name__}: {error}", ""
    expected, found = flat_state(contents(20)), flat_state(found)
    same = list(expected) == list(found) and all(
        value.dtype == found[name].dtype and np.array_equal(value, found[name]) for name, value in expected.items()
    )
    return ("" if same else f"accident {index}, {accident}: loaded with another value"), ""


def is_helpful(message: str) -> bool:
    """Names a file, says more than that, and what to do."""
    remedy = "--checkpoint 10" in message or "train again" in message or "use the version" in message
    named = any(name in message for name in ("manifest.json", ".safetensors"))
    return named and remedy and "\n" not in message


def _accident(place: Path, rng: np.random.Generator) -> str:
    """Does something to the checkpoints; says what."""
    old, new = place / f"{10:012d}", place / f"{20:012d}"
    files = sorted(path for path in place.rglob("*") if path.is_file())
    mine = [path for path in files if path.parent != old]
    # The manifest and the tensors are two among many chunks: each is a third of the accidents.
    path = [new / "manifest.json", new / "state.safetensors", mine[rng.integers(len(mine))]][rng.integers(3)]
    other = files[rng.integers(len(files))]
    kind = ("missing", "swapped", "copied", "folders swapped", *["damaged"] * 12)[rng.integers(16)]
    if kind == "missing":
        path.unlink()
    elif kind == "swapped":
        path.rename(place / "aside")
        if other != path:
            other.rename(path)
        (place / "aside").rename(other)
    elif kind == "copied":
        path.write_bytes(other.read_bytes())
    elif kind == "folders swapped":
        new.rename(place / "aside")
        old.rename(new)
        (place / "aside").rename(old)
    else:
        path.write_bytes(damaged(path.read_bytes(), rng))
    return f"{kind} {path.name} {other.name}"


_watching = False
_installed = False


def _watch(event: str, _: Any) -> None:
    if _watching and event in CODE:
        raise RuntimeError(f"code was run: {event}")


@contextmanager
def _no_code() -> Iterator[None]:
    global _watching, _installed
    if not _installed:
        sys.addaudithook(_watch)  # for good: Python has no way to take one away
        _installed = True
    _watching = True
    try:
        yield
    finally:
        _watching = False


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise RuntimeError(f"hung for {HUNG} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(HUNG)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
