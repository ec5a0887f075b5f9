"""The reference tables of the README: trains, judges and prints every row, ours and Stable-Baselines3's.

    python -m tests.campaigns.reference_campaign [--out runs/reference] [--only cartpole3d pendulum] [--dry]

Agents have the settings that `cartbot train AGENT --env ID --help` shows, and seeds that no search of settings used.
CartPole3D is learnt in the batched world and judged in Bullet. A run that is there already is not trained again, and
one that has its report is not judged again: what was cut off goes on where it was. It takes hours on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.runs import find_run

SEED = 1
"""Root of randomness of all runs; settings were searched with 0."""
BATCHED = ("--env-args", "world=batched")
POSES, FORCE = "CartPole3D-v0", "CartPole3DContinuous-v0"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One run."""

    agent: str
    env: str
    steps: int
    seeds: int = 8
    episodes: int
    flags: tuple[str, ...] = ()
    """Of `cartbot train`, beside these."""

    @property
    def name(self) -> str:
        """Folder of the run."""
        return f"{self.agent}-{self.env}-{self.steps}-{self.seeds}"


def _beside(env: str, steps: int, ours: list[str], theirs: list[str], episodes: int, flags: Any = ()) -> list[Row]:
    """Rows with four seeds each of ours and of the peers."""
    return [Row(agent=name, env=env, steps=steps, seeds=4, episodes=episodes, flags=flags) for name in ours + theirs]


PARTS: dict[str, list[Row]] = {
    "cartpole3d": [
        Row(agent="dqn", env=POSES, steps=300_000, episodes=1000, flags=BATCHED),
        Row(agent="reinforce", env=POSES, steps=400_000, episodes=1000, flags=BATCHED),
        Row(agent="naf", env=FORCE, steps=500_000, episodes=1000, flags=BATCHED),
        Row(agent="ddpg", env=FORCE, steps=500_000, episodes=1000, flags=BATCHED),
        Row(agent="reinforce", env=FORCE, steps=300_000, episodes=1000, flags=BATCHED),
    ],
    "peers": [
        *_beside(POSES, 100_000, ["dqn", "reinforce"], ["sb3-ppo"], 250, BATCHED),
        *_beside(POSES, 100_000, [], ["sb3-dqn"], 250, (*BATCHED, "--hidden", "256", "256")),  # as dqn is tuned
        *_beside(FORCE, 100_000, ["naf", "ddpg", "reinforce"], ["sb3-ddpg", "sb3-sac", "sb3-ppo"], 250, BATCHED),
    ],
    "pendulum": [
        Row(agent="naf", env="Pendulum-v1", steps=20_000, episodes=100),
        Row(agent="ddpg", env="Pendulum-v1", steps=20_000, episodes=100),
        Row(agent="sb3-ddpg", env="Pendulum-v1", steps=20_000, seeds=4, episodes=100),
    ],
    "cartpole": [
        Row(agent="dqn", env="CartPole-v1", steps=50_000, episodes=100),
        Row(agent="reinforce", env="CartPole-v1", steps=400_000, episodes=100),
        Row(agent="sb3-dqn", env="CartPole-v1", steps=50_000, seeds=4, episodes=100),
        Row(agent="sb3-ppo", env="CartPole-v1", steps=400_000, seeds=4, episodes=100),
    ],
    "drivebot": [
        Row(agent="dqn", env="DriveBot-v0", steps=100_000, episodes=200),
        Row(agent="reinforce", env="DriveBot-v0", steps=1_000_000, episodes=200),
        Row(agent="sb3-dqn", env="DriveBot-v0", steps=100_000, seeds=4, episodes=200),
        Row(agent="sb3-ppo", env="DriveBot-v0", steps=1_000_000, seeds=4, episodes=200),
        Row(agent="ddpg", env="DriveBotContinuous-v0", steps=50_000, episodes=200),
        Row(agent="naf", env="DriveBotContinuous-v0", steps=100_000, episodes=200),
        Row(agent="sb3-ddpg", env="DriveBotContinuous-v0", steps=50_000, seeds=4, episodes=200),
    ],
}


def cartbot(*arguments: str) -> None:
    """Runs a command line.

    Raises:
        SystemExit: it failed.
    """
    print("$ cartbot", *arguments, file=sys.stderr, flush=True)
    done = subprocess.run([sys.executable, "-m", "train", *arguments], stdout=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(done.returncode)


def make(row: Row, folder: Path) -> None:
    """Trains and judges what is not there yet."""
    run, steps = folder / row.name, str(row.steps)
    if not (run / "config.json").exists():
        base = ("train", row.agent, "--env", row.env, "--steps", steps, "--seeds", str(row.seeds), "--seed", str(SEED))
        cartbot(*base, "--run", str(run), *row.flags)
    elif int(find_run(str(run)).checkpoint().name) < row.steps:
        cartbot("resume", str(run), "--steps", steps)
    if not (run / "eval" / "report.json").exists():
        cartbot("eval", str(run), "--episodes", str(row.episodes), "--greedy-only")


def told(row: Row, folder: Path) -> str:
    """A line of the table."""
    report = json.loads((folder / row.name / "eval" / "report.json").read_text())
    greedy = report["modes"]["greedy"]
    pooled, seeds = greedy["pooled"], greedy["seeds"]
    seconds = float(np.genfromtxt(folder / row.name / "metrics.csv", delimiter=",", names=True)["seconds"].max())
    cells = [f"`{row.agent}`", row.env, f"{row.steps:,}", f"{seconds / row.seeds:.0f} s"]
    if pooled["success_rate"] is None or row.env.startswith("DriveBot"):
        means = [one["return_mean"] for one in seeds]
        cells += [f"{np.mean(means):.1f}", " ".join(f"{mean:.0f}" for mean in means)]
    else:
        low, high = pooled["success_interval"]
        cells += [f"{pooled['success_rate']:.1%} ({100 * low:.1f} - {100 * high:.1f})"]
        cells += [" ".join(f"{100 * one['success_rate']:.3g}" for one in seeds)]
    return " | ".join(["", *cells, ""]).strip()


def baselines(rows: list[Row], folder: Path) -> Iterator[str]:
    """What the baselines of each environment reach on the same starts."""
    for env in dict.fromkeys(row.env for row in rows):
        name = next(row.name for row in rows if row.env == env)
        report = json.loads((folder / name / "eval" / "report.json").read_text())
        for baseline, figures in report["baselines"].items():
            rate, mean = figures["pooled"]["success_rate"], figures["pooled"]["return_mean"]
            yield f"{env}, {baseline}: mean return {mean:.1f}" + (f", success {rate:.1%}" if rate is not None else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/reference"))
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--dry", action="store_true", help="only the tables of what is there")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for part in arguments.only:
        if not arguments.dry:
            for row in PARTS[part]:
                make(row, arguments.out)
        rows = [row for row in PARTS[part] if (arguments.out / row.name / "eval" / "report.json").exists()]
        print("| agent | environment | steps a seed | training a seed | greedy | each seed |")
        print("| --- | --- | ---: | ---: | ---: | --- |")
        for row in rows:
            print(told(row, arguments.out))
        print(*baselines(rows, arguments.out), sep="\n", end="\n\n", flush=True)


if __name__ == "__main__":
    main()
