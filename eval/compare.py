"""Runs side by side: outcomes with their spread over seeds, who probably beats whom, and what each does.

Sources: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (2021) for interquartile
means, performance profiles and the probability of improvement.
"""

from __future__ import annotations

import csv
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eval.episodes import parse_pairs
from eval.plots import COLOURS, LINES, tidy
from eval.reading import read_json, read_rows
from eval.runs import Run
from eval.stats import improvement_probability, seed_interval
from eval.tables import Grid

TRAINING_EPISODES = 200
"""Episodes of a seed at the beginning and at the end of training that are counted; a third of them where there are less
than three times as many."""
REPORT_LIMIT = 16 << 20
"""Bytes above which a report is none."""
PAIRS_SHOWN = 12
PROFILE_POINTS = 101
NUMBER = (int, float)
REPORT = {
    "agent": str,
    "library": str,
    "env": str,
    "world": (str, type(None)),
    "checkpoint_step": int,
    "episodes_per_seed": int,
    "modes": {
        "greedy": {
            "pooled": {
                "success_rate": (*NUMBER, type(None)),
                "return_deciles": [NUMBER] * 11,
                "action_names": [str],
                "action_proportions": [NUMBER],
                "action_reward_counts": [{"action": str, "reward": NUMBER, "count": int}],
            }
        }
    },
}
"""What is read of a report: types, dictionaries of them, and lists, of any length where one is given for all."""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """An evaluated run."""

    name: str
    report: dict[str, Any]
    returns: list[NDArray[np.float64]]
    """Greedy returns of each seed."""
    training: Path
    """Its `episodes.csv` of training."""

    @property
    def seed_means(self) -> NDArray[np.float64]:
        """Mean greedy return of each seed, [S]."""
        return np.array([one.mean() for one in self.returns])


def read_contestant(run: Run) -> Contestant:
    """What `cartbot eval` left in a run's folder.

    Raises:
        ValueError: the run was not evaluated yet, or the files are damaged.
    """
    folder = run.eval_folder
    try:
        report = read_json(folder / "report.json", REPORT_LIMIT)
        seeds: dict[int, array[float]] = {}
        for row in read_rows(folder / "episodes.csv"):
            if row["mode"] == "greedy":
                if int(row["seed"]) not in range(run.config.seeds):
                    raise ValueError(f"seed {row['seed'][:20]} of a run of {run.config.seeds} seeds")
                seeds.setdefault(int(row["seed"]), array("d")).append(float(row["return"]))
        if not seeds or not np.isfinite(np.concatenate(list(map(np.array, seeds.values())))).all():
            raise ValueError("no greedy returns, or some that are no numbers")
        _check_form(report, REPORT, "report.json")
    except FileNotFoundError:
        raise ValueError(f"{run.folder} was not evaluated yet: cartbot eval {run.folder}") from None
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise ValueError(f"{folder} is damaged ({error}); make it anew: cartbot eval {run.folder}") from None
    returns = [np.array(seeds[seed]) for seed in sorted(seeds)]
    training = run.folder / "episodes.csv"
    return Contestant(name=run.folder.resolve().name, report=report, returns=returns, training=training)


def _check_form(value: Any, form: Any, name: str) -> None:
    """Raises ValueError, with the place, where a value has not the form that is read; see `REPORT`."""
    if isinstance(form, dict):
        if not isinstance(value, dict):
            raise ValueError(f"{name} is no table")
        for key, inner in form.items():
            if key not in value:
                raise ValueError(f"{name} has no {key}")
            _check_form(value[key], inner, f"{name}: {key}")
    elif isinstance(form, list):
        if not isinstance(value, list) or len(form) not in (1, len(value)):
            raise ValueError(f"{name} is no list of what it should hold")
        for one in value:
            _check_form(one, form[0], name)
    elif not isinstance(value, form) or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}")


def comparison_grids(contestants: Sequence[Contestant]) -> list[Grid]:
    """All tables of a comparison."""
    grids = [_outcomes(contestants)]
    if len(contestants) > 1:
        grids.append(_improvement(contestants))
    for contestant in contestants:
        greedy = contestant.report["modes"]["greedy"]["pooled"]
        pairs = [(pair["action"], pair["reward"], pair["count"]) for pair in greedy["action_reward_counts"]]
        grids.append(_pairs(f"{contestant.name}: [action, reward], greedy", pairs))
        for title, counts in training_pairs(contestant.training, len(contestant.returns)):
            grids.append(_pairs(f"{contestant.name}: [action, reward], {title}", counts))
    grids += _proportions(contestants)
    return grids


def training_pairs(path: Path, seeds: int) -> list[tuple[str, list[tuple[str, float, int]]]]:
    """[action, reward] counts of the first and the last episodes of training; empty for a run that did not learn."""
    first: list[list[str]] = [[] for _ in range(seeds)]
    last: list[deque[str]] = [deque(maxlen=TRAINING_EPISODES) for _ in range(seeds)]
    played = Counter[int]()
    known = {str(seed): seed for seed in range(seeds)}
    try:
        for row in read_rows(path):
            seed = known.get(row.get("seed") or "")
            if seed is None:
                continue
            played[seed] += 1
            last[seed].append(row.get("action_rewards") or "")
            if len(first[seed]) < TRAINING_EPISODES:
                first[seed].append(last[seed][-1])
    except (OSError, csv.Error):
        return []
    count = min(TRAINING_EPISODES, min(played[seed] for seed in range(seeds)) // 3)
    found = []
    for title, texts in (("first", [rows[:count] for rows in first]), ("last", [list(rows)[-count:] for rows in last])):
        counts: Counter[tuple[str, float]] = Counter()
        for rows in texts if count else ():
            for text in rows:
                counts.update(parse_pairs(text))
        if counts:
            pairs = [(action, reward, times) for (action, reward), times in counts.most_common()]
            found.append((f"{title} {count} training episodes of each seed", pairs))
    return found


def draw_profiles(contestants: Sequence[Contestant]) -> Figure:
    """The share of greedy episodes that return more than tau, against tau, with 95% bands over seeds."""
    everything = np.concatenate([returns for one in contestants for returns in one.returns])
    tau = np.linspace(everything.min(), everything.max(), PROFILE_POINTS)
    figure, axes = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
    for index, contestant in enumerate(contestants):
        shares = np.array([(returns[:, None] > tau).mean(0) for returns in contestant.returns])  # [S, T]
        low, high = seed_interval(shares, np.random.default_rng(0))
        colour = COLOURS[index % len(COLOURS)]
        axes.fill_between(tau, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(
            tau, shares.mean(0), color=colour, linestyle=LINES[index % len(LINES)], linewidth=2, label=contestant.name
        )
    axes.set(xlabel="return tau", ylabel="share of episodes above tau", ylim=(0, 1.02))
    axes.set_title("Performance profiles, greedy: mean and 95% band over seeds", loc="left", fontsize=10)
    axes.legend(frameon=False, loc="lower left")
    tidy(axes)
    return figure


def _outcomes(contestants: Sequence[Contestant]) -> Grid:
    rows = []
    for one in contestants:
        report, greedy = one.report, one.report["modes"]["greedy"]["pooled"]
        low, high = seed_interval(one.seed_means[:, None], np.random.default_rng(0))
        blocked = greedy["success_rate"]
        rows.append(
            [
                one.name,
                f"{report['agent']} ({report['library']})",
                f"{report['env']}, {report['world']}",
                f"{report['checkpoint_step']:,}",
                f"{len(one.returns)} x {report['episodes_per_seed']}",
                "-" if blocked is None else f"{blocked:.1%}",
                f"{one.seed_means.mean():.1f}",
                f"{low[0]:.1f} - {high[0]:.1f}",
                f"{one.seed_means.min():.1f}",
                f"{greedy['return_deciles'][5]:.0f}",
                f"{greedy['return_deciles'][10]:.0f}",
            ]
        )
    headings = ["run", "agent", "env", "step", "seeds", "success", "mean", "95%", "worst seed", "median", "best"]
    return Grid("Greedy returns", headings, rows, "95%: bootstrap over seeds of their mean returns.")


def _improvement(contestants: Sequence[Contestant]) -> Grid:
    rows = []
    for one in contestants:
        cells = []
        for other in contestants:
            if one is other:
                cells.append("-")
                continue
            share, low, high = improvement_probability(one.seed_means, other.seed_means, np.random.default_rng(0))
            cells.append(f"{share:.2f} ({low:.2f}-{high:.2f})")
        rows.append([one.name, *cells])
    note = "Probability that a seed of the row's run returns more than one of the column's; 95% bootstrap over seeds."
    return Grid("Probability of improvement", ["", *(one.name for one in contestants)], rows, note)


def _pairs(title: str, pairs: Sequence[tuple[str, float, int]]) -> Grid:
    rows = [[f"[{action}, {reward:+g}]", f"{count:,}"] for action, reward, count in pairs[:PAIRS_SHOWN]]
    return Grid(title, ["pair", "count"], rows)


def _proportions(contestants: Sequence[Contestant]) -> list[Grid]:
    """Action proportions of runs that share their actions, a table for each set of actions."""
    tables: dict[tuple[str, ...], list[list[str]]] = {}
    for one in contestants:
        greedy = one.report["modes"]["greedy"]["pooled"]
        names = tuple(greedy["action_names"])
        tables.setdefault(names, []).append([one.name, *(f"{share:.3f}" for share in greedy["action_proportions"])])
    return [Grid("Action proportions, greedy", ["run", *names], rows) for names, rows in tables.items()]
