"""Bad command lines and config files, each as a process of its own: status, what is said, what is left, how long."""

from __future__ import annotations

import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bad_input import BAD_CONFIGS, BAD_LINES
from tests.campaigns.faults.row import Row

ROOT = Path(__file__).resolve().parents[3]
RUN = "train random --env CartPole-v1 --steps 40 --seeds 1 --envs 1 --workers 0 --device cpu --checkpoint-interval 20"


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run = folder / "trained"
        assert _process([*_cartbot(), *shlex.split(RUN), "--run", str(run)], folder)[0] == 0
        torch = statistics.median(_process([sys.executable, "-c", "import torch"], folder)[2] for _ in range(3))
        wrong, seconds = [], []
        for index, case in enumerate([*BAD_LINES, *BAD_CONFIGS]):
            elsewhere = folder / str(index)
            elsewhere.mkdir()
            (elsewhere / "file").touch()
            if isinstance(case, bytes):
                (elsewhere / "bad.toml").write_bytes(case)
                env = "" if case.startswith(b"env =") else "--env CartPole-v1"
                line = f"train dqn --config bad.toml {env}"
            else:
                line = case.replace("RUN", str(run))
            before = sorted(os.listdir(elsewhere))
            status, told, taken = _process([*_cartbot(), *shlex.split(line)], elsewhere)
            seconds.append(taken - torch)
            clean = status == 2 and told.startswith("cartbot: ") and told.count("\n") == 1
            if not clean or sorted(os.listdir(elsewhere)) != before or taken - torch >= 1:
                shown = repr(case)[:60] if isinstance(case, bytes) else case
                wrong.append(f"{shown}: status {status}, {taken - torch:+.1f} s, {told[-100:]!r}")
    yield Row(
        figure="bad command lines and config files told in one line, status 2, nothing left, in time",
        ours=f"{len(seconds) - len(wrong)} of {len(seconds)}; import torch ({torch:.1f} s) {max(seconds):+.1f} s",
        wanted="all of at least 100, under + 1 s",
        met=not wrong and len(seconds) >= 100,
        failures=tuple(wrong),
    )


def _cartbot() -> list[str]:
    return [sys.executable, "-m", "train"]


def _process(words: list[str], folder: Path) -> tuple[int, str, float]:
    """Status, stderr, and the seconds that it computed, whoever else computes."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.returncode, done.stderr, seconds
