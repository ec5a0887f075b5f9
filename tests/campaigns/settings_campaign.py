"""Which settings suit an agent on CartPole3D, and how it fails where it does.

    python -m tests.campaigns.settings_campaign naf 'noise_end=0.2' 'noise_end=0.2 twin_networks=true' [--steps 100000]
    python -m tests.campaigns.settings_campaign reinforce --force 'passes=10 minibatch=64'

Each argument is a set of fields that differ from the agent's own defaults ('' for none). Every set is trained in the
batched world with the same seeds, and judged there greedily: the share of episodes that reach 200 steps, of each seed,
and what ended the others: the pole drifted beyond the track while it was upright, or it fell. Outcomes of the searches
that led to the tuned settings are in `train/tuned.md`. Settings are to be confirmed with other root seeds.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from agents.registry import find_agent
from envs.cartpole3d_task import roll_pitch
from eval.evaluation import restore_agent
from eval.loop import EVALUATION_SEED
from eval.runs import Run, RunConfig, create_run
from eval.tasks import describe_task, make_envs
from train.trainer import train
from train.usage import parse_pairs

BATCHED = {"world": "batched"}
LIMIT = 200
"""Steps of an episode."""
UPRIGHT = 0.25
"""Radians; an episode ends by a fall at 0.3."""


def trained(agent: str, env: str, fields: dict[str, object], steps: int, seeds: int, seed: int, folder: Path) -> Run:
    """A run of an agent with its own defaults but for `fields`."""
    agent_config = find_agent(agent).config_class()(**fields)
    config = RunConfig(
        agent=agent, env=env, env_args=BATCHED, agent_args=dataclasses.asdict(agent_config), steps=steps, seeds=seeds,
        envs=8, seed=seed, checkpoint_interval=steps,
    )  # fmt: skip
    return train(config, agent_config, lambda config: create_run(config, folder), Console(quiet=True))


def judged(run: Run, episodes: int) -> tuple[np.ndarray, int, int]:
    """Whether each episode reached the limit, [S, episodes]; failures that drifted off upright; all failures."""
    config = run.config
    columns = config.seeds * episodes
    venv: Any = make_envs(config.env, columns, env_args=BATCHED, workers=0)
    try:
        task = dataclasses.replace(describe_task(config.env, venv)[0], envs=config.envs)
        agent, _ = restore_agent(run, task)
        obs, _ = venv.reset(seed=[EVALUATION_SEED + column % episodes for column in range(columns)])
        alive, upright = np.ones(columns, bool), np.zeros(columns, bool)
        first = np.ones((config.seeds, episodes), bool)
        for _ in range(LIMIT):
            action = agent.act(obs.reshape(config.seeds, episodes, *obs.shape[1:]), first, explore=False)
            obs, _, terminated, _, _ = venv.step(action.reshape(columns, *action.shape[2:]))
            ended = alive & terminated
            for column in np.flatnonzero(ended):
                upright[column] = max(abs(angle) for angle in roll_pitch(*obs[column, -1, 1, 3:].tolist())) < UPRIGHT
            alive &= ~terminated
            first[:] = False
    finally:
        venv.close()
    return alive.reshape(config.seeds, episodes), int(upright.sum()), int((~alive).sum())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("agent", choices=("dqn", "naf", "ddpg", "reinforce"))
    parser.add_argument("fields", nargs="+", help="KEY=VALUE ... of one set")
    parser.add_argument("--force", action="store_true", help="continuous, also where an agent has a choice")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=128)
    arguments = parser.parse_args()
    force = arguments.force or arguments.agent in ("naf", "ddpg")
    env = "CartPole3DContinuous-v0" if force else "CartPole3D-v0"
    for text in arguments.fields:
        fields = parse_pairs(text.split(), "FIELDS")
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            run = trained(
                arguments.agent, env, fields, arguments.steps, arguments.seeds, arguments.seed, Path(folder) / "run"
            )
            seconds = time.monotonic() - began
            reached, upright, failed = judged(run, arguments.episodes)
        shares = " ".join(f"{share:5.1%}" for share in reached.mean(1))
        print(
            f"{text or 'defaults':40} {reached.mean():6.1%} ({shares}); {failed} failed, {upright} of them drifted off "
            f"upright; {seconds:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
