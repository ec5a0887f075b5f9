"""The report of an evaluation: figures as a dictionary, from which every presentation is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from agents.registry import AGENTS, find_agent
from eval.collapse import Check, collapse_check, collapse_history
from eval.episodes import Episode
from eval.evaluation import Evaluation, pooled
from eval.plots import EpisodeRows, windows
from eval.runs import Run
from eval.stats import deciles, share_interval

SCHEMA = 1
PAIRS = 40
"""[action, reward] pairs listed at most."""
WINDOWS = 20
"""Parts of training whose action proportions are told."""


def build_report(
    run: Run, evaluation: Evaluation, checkpoint_step: int, training: EpisodeRows | None = None
) -> dict[str, Any]:
    """The whole of `report.json`.

    Args:
        run: what was evaluated.
        evaluation: what was played.
        checkpoint_step: of the agent that played.
        training: the episodes in which it learnt, where there are any.
    """
    config, names = run.config, evaluation.table.names
    check = collapse_check(evaluation.task, names)
    modes = {}
    for mode, seeds in evaluation.modes.items():
        modes[mode] = {
            "pooled": summarise(seeds, evaluation),
            "seeds": [summarise([seed], evaluation) for seed in seeds],
        }
        if mode in evaluation.actions:
            modes[mode]["pooled"]["continuous"] = evaluation.actions[mode].figures()
            for seed, figures in enumerate(modes[mode]["seeds"]):
                figures["continuous"] = evaluation.actions[mode].figures(seed)
        for place, figures in (("all seeds", modes[mode]["pooled"]), *enumerate(modes[mode]["seeds"])):
            figures["warnings"] = [
                f"{place if isinstance(place, str) else f'seed {place}'}: {text}"
                for text in check(figures["action_proportions"])
            ]
    baselines = {name: {"pooled": summarise([one], evaluation)} for name, one in evaluation.baselines.items()}
    for name in baselines.keys() & evaluation.actions.keys():
        baselines[name]["pooled"]["continuous"] = evaluation.actions[name].figures()
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
        "learns_within_episodes": bool(getattr(evaluation.agent, "learns_within_episodes", False)),
        "modes": modes,
        "baselines": baselines,
        "training": None if training is None else over_training(training, check),
        "config": asdict(config),
        "command": run.extra.get("command"),
        "versions": run.extra.get("versions"),
        "git": run.extra.get("git"),
    }


def over_training(rows: EpisodeRows, check: Check) -> dict[str, Any]:
    """Action proportions in equal parts of training, from its episodes: how a policy came to what it does.

    Returns:
        `steps` [T], at which the parts end; `action_names` [A]; `action_proportions` [S, T, A] by seed and [T, A]
        pooled; `warnings`, of seeds that have collapsed.
    """
    lengths = np.maximum(rows.length, 1).astype(float)
    parts = [windows(rows, counts / lengths, lengths, WINDOWS) for counts in rows.action_counts.T]
    steps = parts[0][0].round().astype(int).tolist()
    shares = np.stack([shares for _, shares in parts], -1)  # [S, T, A]
    return {
        "steps": steps,
        "action_names": list(rows.action_names),
        "pooled": {"action_proportions": shares.mean(0).tolist()},
        "seeds": [{"action_proportions": seed.tolist()} for seed in shares],
        "warnings": [
            f"seed {seed}: {text}"
            for seed, one in enumerate(shares)
            for text in collapse_history(check, one.tolist(), steps)
        ],
    }


def library_of(run: Run) -> str:
    """Whose implementation of the agent was trained, and the version."""
    if run.config.agent not in AGENTS:  # `cartbot play`
        return "none: a person"
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
