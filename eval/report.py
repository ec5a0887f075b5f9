"""The report of an evaluation: figures as a dictionary, from which every presentation is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import gymnasium as gym
import numpy as np

from agents.registry import find_agent
from eval.episodes import Episode
from eval.evaluation import Evaluation, pooled
from eval.runs import Run
from eval.stats import deciles, share_interval

SCHEMA = 1
MOST, MOST_IDLE = 0.9, 0.7
"""Shares of all actions above which a policy counts as collapsed onto one: any, and the one that does nothing.

A good driver goes forward four times in five; nobody does well by doing nothing as often.
"""
NEVER = 0.005
"""Share below which it counts as never using one."""
PAIRS = 40
"""[action, reward] pairs listed at most."""


def build_report(run: Run, evaluation: Evaluation, checkpoint_step: int) -> dict[str, Any]:
    """The whole of `report.json`."""
    config, names = run.config, evaluation.table.names
    idle = evaluation.task.idle_action
    idle_name = names[idle] if idle is not None and idle < len(names) else None
    # A bandit is there to be collapsed onto its best arm.
    sees = evaluation.task.observation_space != gym.spaces.Discrete(1)
    modes = {}
    for mode, seeds in evaluation.modes.items():
        modes[mode] = {
            "pooled": summarise(seeds, evaluation),
            "seeds": [summarise([seed], evaluation) for seed in seeds],
        }
        for place, figures in (("all seeds", modes[mode]["pooled"]), *enumerate(modes[mode]["seeds"])):
            figures["warnings"] = [
                f"{place if isinstance(place, str) else f'seed {place}'}: {text}"
                for text in (collapse_warnings(names, figures["action_proportions"], idle_name) if sees else ())
            ]
    return {
        "schema": SCHEMA,
        "env": config.env,
        "env_args": config.env_args,
        "world": evaluation.world,
        "agent": config.agent,
        "library": library_of(run),
        "checkpoint_step": checkpoint_step,
        "episodes_per_seed": len(next(iter(evaluation.modes.values()))[0]),
        "gamma": evaluation.gamma,
        "modes": modes,
        "baselines": {name: {"pooled": summarise([one], evaluation)} for name, one in evaluation.baselines.items()},
        "command": run.extra.get("command"),
        "versions": run.extra.get("versions"),
        "git": run.extra.get("git"),
    }


def library_of(run: Run) -> str:
    """Whose implementation of the agent was trained, and the version."""
    name = find_agent(run.config.agent).library
    trained = (run.extra.get("versions") or {}).get(name)
    try:
        return f"{name} {trained or version(name)}"
    except PackageNotFoundError:
        return name


def summarise(seeds: Sequence[list[Episode]], evaluation: Evaluation) -> dict[str, Any]:
    """The figures of some seeds' episodes together."""
    episodes = pooled(seeds)
    names = evaluation.table.names
    lengths = [episode.length for episode in episodes]
    returns = [episode.total_reward for episode in episodes]
    outcomes = [[success_of(episode, evaluation) for episode in seed] for seed in seeds]
    known = all(outcome is not None for seed in outcomes for outcome in seed)
    successes = [[bool(outcome) for outcome in seed] for seed in outcomes]
    successful = [episode for episode in episodes if success_of(episode, evaluation)]
    pairs: Counter[tuple[int, float]] = Counter()
    for episode in episodes:
        pairs.update(episode.action_rewards)
    figures: dict[str, Any] = {
        "episodes": len(episodes),
        "length_mean": float(np.mean(lengths)),
        "length_deciles": deciles(lengths),
        "return_mean": float(np.mean(returns)),
        "return_deciles": deciles(returns),
        "success_rate": float(np.mean(np.concatenate(successes))) if known else None,
        # One generator per table, so that the interval does not depend on what was computed before.
        "success_interval": list(share_interval(successes, np.random.default_rng(0))) if known else None,
        "action_names": list(names),
        "action_proportions": proportions(episodes, len(names)),
        "action_proportions_successful": proportions(successful, len(names)) if successful else None,
        "action_reward_counts": [
            {"action": names[action], "reward": reward, "count": count}
            for (action, reward), count in pairs.most_common(PAIRS)
        ],
    }
    figures |= _means_of_info(episodes, evaluation.outcomes)
    if all(episode.saturated is not None for episode in episodes):
        weights = np.array(lengths, float)
        figures["saturated_share"] = float(
            np.average([episode.saturated or 0.0 for episode in episodes], weights=weights)
        )
    if all(episode.start_value is not None for episode in episodes):
        followed = [e.discounted_return + evaluation.gamma**e.length * e.end_value for e in episodes]
        predicted = [e.start_value or 0.0 for e in episodes]
        figures["start_value"] = {
            "predicted_mean": float(np.mean(predicted)),
            "followed_mean": float(np.mean(followed)),
            "followed_without_bootstrap_mean": float(np.mean([e.discounted_return for e in episodes])),
            "mean_error": float(np.mean(np.subtract(predicted, followed))),
            "mean_absolute_error": float(np.mean(np.abs(np.subtract(predicted, followed)))),
        }
    return figures


def success_of(episode: Episode, evaluation: Evaluation) -> bool | None:
    """What the environment calls success, else a return of at least its reward threshold, else None."""
    if episode.success is not None:
        return episode.success
    threshold = evaluation.reward_threshold
    return None if threshold is None else episode.total_reward >= threshold


def proportions(episodes: Sequence[Episode], actions: int) -> list[float]:
    """The share of each action in all steps."""
    counts = np.sum([episode.action_counts for episode in episodes], axis=0)
    return (counts / max(1, counts.sum())).tolist() if len(episodes) else [0.0] * actions


def collapse_warnings(names: Sequence[str], shares: Sequence[float], idle: str | None) -> list[str]:
    """What is suspicious in a policy's action proportions.

    A policy that takes nearly always the same action, does mostly nothing, or never takes one which does something,
    has often got stuck there: it explored, and then locked into what it had tried most.
    """
    found = []
    for name, share in zip(names, shares, strict=True):
        if share > (MOST_IDLE if name == idle else MOST):
            found.append(f"collapsed onto {name!r}: {share:.1%} of all actions")
        elif share < NEVER and name != idle and max(shares) <= MOST:
            found.append(f"hardly ever takes {name!r}: {share:.2%} of all actions")
    return found


def _means_of_info(episodes: Sequence[Episode], outcomes: Sequence[str]) -> dict[str, Any]:
    """Means of what all episodes told: of every yes-or-no, such as `off_cart`, and of the numbers in `outcomes`.

    Shares are called NAME_share, other numbers NAME_mean.
    """
    means = {}
    for name in sorted(set.intersection(*(set(episode.info) for episode in episodes)) - {"is_success"}):
        values = [episode.info[name] for episode in episodes]
        if all(isinstance(value, bool) for value in values):
            means[f"{name}_share"] = float(np.mean(values))
        elif name in outcomes:
            means[name if name.endswith("_share") else f"{name}_mean"] = float(np.mean(values))
    return means
