"""Worker processes that raise, are killed or hang, and whose parent is killed: what is said, when, and who is left."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.campaigns.faults.row import Row

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT = 60.0
"""Seconds after which a worker counts as hung."""
SPARE = 30.0
"""Seconds more for starting and ending processes on a busy machine."""
LAST_WORDS = {
    "raise": r"KeyError: 'no such gear'$",
    "die": r"a worker process died with exit code -9$",
    "hang": r"a worker process has not answered for 60 s: ",
}


def rows() -> Iterator[Row]:
    for trouble, expected in LAST_WORDS.items():
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            process = _train(trouble, Path(folder))
            _, told = process.communicate(timeout=300)
            seconds = time.monotonic() - began
            left = _settled(process)
        last = told.rstrip().rpartition("\n")[2]
        met = process.returncode == 1 and re.search(expected, last) is not None and not left
        yield Row(
            figure=f"a worker that is to {trouble}: what is last on stderr, after how long, processes left",
            ours=f"{last[-60:]!r}, {seconds:.0f} s, {left}",
            wanted=f"its cause, {TIMEOUT if trouble == 'hang' else 0:.0f} s + {SPARE:.0f} s, 0",
            met=met and seconds < SPARE + (TIMEOUT if trouble == "hang" else 0),
        )
    for trouble in ("none", "hang"):
        with tempfile.TemporaryDirectory() as folder:
            process = _train(trouble, Path(folder))
            deadline = time.monotonic() + SPARE
            while _left(process) < 3 and time.monotonic() < deadline:
                time.sleep(0.1)
            time.sleep(3)
            started = _left(process)
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            left = _settled(process)
        yield Row(
            figure=f"the parent is killed while workers {'hang' if trouble == 'hang' else 'work'}: processes left",
            ours=f"{left} of {started}",
            wanted="0",
            met=left == 0 and started >= 3,
        )


def _train(trouble: str, folder: Path) -> subprocess.Popen[str]:
    """A training run with two workers, in a process group of its own."""
    line = f"""train random --env tests.broken_env:Broken-v0 --env-args 'trouble="{trouble}"' everywhere=true --no-check
        --workers 2 --seeds 1 --envs 2 --steps 100000000 --device cpu --run r"""
    return subprocess.Popen(
        [sys.executable, "-m", "train", *shlex.split(line)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _settled(process: subprocess.Popen[str]) -> int:
    """Processes that are still there after a few seconds, in which multiprocessing's own helper notices its end."""
    deadline = time.monotonic() + 5
    while (left := _left(process)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _left(process: subprocess.Popen[str]) -> int:
    """Processes of its group that live, itself included."""
    count = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            count += int(fields[2]) == process.pid and fields[0] != "Z"
    return count
