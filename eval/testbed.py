"""The 10-armed testbed, and how regret grows.

Richard S. Sutton and Andrew G. Barto, Reinforcement Learning: An Introduction, 2nd ed., 2018, sections 2.3 and 2.7.
Arms have means from N(0, 1) and rewards of unit variance; every run has its own, which all policies share.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from agents.base import Agent, Task
from agents.lazy import torch
from agents.registry import find_agent
from eval.loop import Interaction, agent_seeds
from eval.plots import COLOURS, LINES, tidy
from eval.pulls import PullCurves, PullWatch
from eval.regret import fit_growth, lai_robbins_slope
from eval.tables import Grid
from eval.tasks import describe_task, make_envs

Policies = Mapping[str, tuple[str, dict[str, Any]]]
"""Agents and their settings, by what to call them."""

TESTBED: Policies = {
    "epsilon 0": ("egreedy", {"epsilon": 0.0}),
    "epsilon 0.01": ("egreedy", {"epsilon": 0.01}),
    "epsilon 0.1": ("egreedy", {"epsilon": 0.1}),
    "UCB c = 2": ("ucb", {"c": 2.0}),
    "Thompson": ("thompson", {}),
    "random": ("random", {}),
}
EPSILONS = ("epsilon 0", "epsilon 0.01", "epsilon 0.1")
"""Of figure 2.2; figure 2.4 has UCB against the last of them."""

STUDY: Policies = {
    "Thompson": ("thompson", {"posterior": "beta"}),
    "UCB1": ("ucb", {"c": 2.0**0.5}),
    "epsilon 0.1": ("egreedy", {"epsilon": 0.1}),
    "epsilon 0.01": ("egreedy", {"epsilon": 0.01}),
}
INSTANCES = {
    "favourable": (0.9, 0.4, 0.4, 0.4, 0.4),
    "unfavourable": (0.55, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5),
}
"""Probabilities of Bernoulli arms: a best one that a hundred pulls tell from the rest, and one that takes thousands."""
FIT_FROM = 100
"""Steps before which regret is not fitted: every rule tries the arms first."""
END = 50
"""Steps at the end of the runs that "at the end" means."""


@dataclass(frozen=True, kw_only=True)
class PolicyRuns:
    """What a policy did in all runs."""

    reward: NDArray[np.float64]
    """Mean over runs of each step's reward, [T]."""
    optimal: NDArray[np.float64]
    """Share of runs that pulled a best arm in each step, [T]."""
    pulls: PullCurves
    seconds: float


def build_policy(policy: tuple[str, dict[str, Any]], task: Task, runs: int, seed: int, device: str) -> Agent:
    """The agent of a policy, a seed for each run."""
    name, fields = policy
    entry = find_agent(name)
    return entry.build(entry.config_class()(**fields), task, agent_seeds(seed, runs), torch.device(device))


def play_policies(
    policies: Policies, env_id: str, env_args: dict[str, Any], runs: int, steps: int, seed: int, device: str = "cpu"
) -> dict[str, PolicyRuns]:
    """Every policy in the same `runs` runs of `steps` steps; a run is a seed of one column.

    Raises:
        ValueError: the environment refuses its keywords.
    """
    torch.set_num_threads(1)
    played = {}
    for label, policy in policies.items():
        began = time.perf_counter()
        venv = make_envs(env_id, runs, env_args={**env_args, "horizon": steps}, workers=0)
        task, _ = describe_task(env_id, venv)
        agent = build_policy(policy, task, runs, seed, device)
        watch = PullWatch(venv)

        def run_seed(column: int, episode: int) -> int | None:
            return seed * 1_000_003 + column if episode == 0 else None

        reward, optimal = np.zeros(steps), np.zeros(steps)
        for at, step in enumerate(Interaction(venv, agent, runs, run_seed, explore=True)):
            agent.observe(step)
            watch(step)
            reward[at], optimal[at] = step.reward.mean(), watch.optimal.mean()
        venv.close()
        played[label] = PolicyRuns(
            reward=reward, optimal=optimal, pulls=watch.curves(), seconds=time.perf_counter() - began
        )
    return played


def policies_grid(played: Mapping[str, PolicyRuns]) -> Grid:
    """The table of the testbed."""
    rows = [
        [
            label,
            f"{one.reward.mean():.3f}",
            f"{one.reward[-END:].mean():.3f}",
            f"{one.optimal[-END:].mean():.1%}",
            f"{one.pulls.regret[:, -1].mean():.1f} ± {_error(one.pulls.regret[:, -1]):.1f}",
            f"{one.seconds:.1f}",
        ]
        for label, one in played.items()
    ]
    headings = ["policy", "mean reward", "at the end", "best arm at the end", "regret", "seconds"]
    return Grid(
        "10-armed testbed", headings, rows, f"At the end: the last {END} steps. Regret with its standard error."
    )


def draw_testbed(played: Mapping[str, PolicyRuns], labels: Sequence[str], title: str) -> Figure:
    """Average reward and share of the best arm against steps, as in figures 2.2 and 2.4."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(7.5, 7), sharex=True, layout="constrained")
    for index, label in enumerate(labels):
        one = played[label]
        style: dict[str, Any] = {"color": COLOURS[index % len(COLOURS)], "linestyle": LINES[index % len(LINES)]}
        steps = np.arange(1, len(one.reward) + 1)
        above.plot(steps, one.reward, label=label, linewidth=1.2, **style)
        below.plot(steps, one.optimal, linewidth=1.2, **style)
    above.set(ylabel="average reward")
    below.set(ylabel="share of the best arm", xlabel="steps", ylim=(0, 1))
    above.set_title(title, loc="left", fontsize=10)
    above.legend(frameon=False, loc="lower right")
    tidy(above)
    tidy(below)
    return figure


def study_grid(name: str, played: Mapping[str, PolicyRuns]) -> Grid:
    """How the regret of each policy grows on an instance: lines fitted in log T and in T."""
    rows = []
    for label, one in played.items():
        late = one.pulls.steps >= min(FIT_FROM, one.pulls.steps[-1] // 2)
        fits = fit_growth(one.pulls.steps[late], one.pulls.regret.mean(0)[late])
        log, linear = fits["log"], fits["linear"]
        rows.append(
            [
                label,
                f"{one.pulls.regret[:, -1].mean():.1f} ± {_error(one.pulls.regret[:, -1]):.1f}",
                f"{log.slope:.2f}",
                f"{log.r_squared:.4f}",
                f"{linear.slope:.4f}",
                f"{linear.r_squared:.4f}",
                "log T" if log.r_squared > linear.r_squared else "T",
                f"{one.seconds:.1f}",
            ]
        )
    slope = float(lai_robbins_slope(np.array(INSTANCES[name]), bernoulli=True))
    steps = int(next(iter(played.values())).pulls.steps[-1])
    headings = ["policy", "regret", "per log T", "R^2", "per T", "R^2", "grows like", "seconds"]
    note = (
        f"Probabilities {', '.join(f'{p:g}' for p in INSTANCES[name])}. Fitted from T = {min(FIT_FROM, steps // 2)} to "
        f"{steps:,}, evenly in log T. Lai and Robbins: in the long run no consistent rule stays below {slope:.2f} per "
        "log T; and one that explores at a constant rate ends up paying in proportion to T, whatever fits so far."
    )
    return Grid(f"Growth of regret, {name} instance", headings, rows, note)


def _error(values: NDArray[np.floating]) -> float:
    """The standard error of a mean."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
