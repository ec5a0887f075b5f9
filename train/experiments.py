"""Verbs that need no run: planning in a known process, and the bandits' testbed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape

from train import usage
from train.outputs import say_made, writable
from train.usage import UsageError


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """Solve an environment whose Markov decision process is known."""

    env: str
    """Environment with a `model()`, such as GridWorld-v0, or one of Gymnasium's toy texts, such as FrozenLake-v1."""
    env_args: tuple[str, ...] = ()
    """Keywords of the environment, KEY=VALUE ..., values as in TOML."""
    gamma: float | None = None
    """Discount per step, in [0, 1]. Default: what the environment suggests, else 0.99."""
    transitions: int = 0
    """Transitions of the random policy from which TD(0) learns its values as well; on GridWorld-v0 4,000,000 bring all
    within 0.1. 0: none."""
    seed: int = 0
    """Root of their randomness."""
    out: str = "plan"
    """Folder for pictures, where the environment draws any."""

    def __post_init__(self) -> None:
        if not 0 <= self.transitions <= 10**9 or not 0 <= self.seed < 2**63:
            raise ValueError(
                f"transitions is {self.transitions} and seed {self.seed}; expected 0 to 1,000,000,000, and at least 0"
            )
        if self.gamma is not None and not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma is {self.gamma}; expected a number in [0, 1]")


def plan(argv: Sequence[str], console: Console) -> None:
    """Solve a known Markov decision process: the random policy's values, and the best ones."""
    settings = usage.parse(PlanSettings, argv, prog="cartbot plan", description=plan.__doc__ or "")
    import importlib

    import numpy as np

    from agents import planning
    from eval.exact import process_of, td0_values, value_grid
    from eval.tables import print_grid
    from train.findings import save_picture

    module, _, _ = settings.env.rpartition(":")
    importlib.import_module(module or "envs")
    env_args = usage.parse_pairs(settings.env_args, "--env-args")
    process = process_of(settings.env, env_args)
    if process is None:
        raise UsageError(f"environment {settings.env!r} tells no model(); expected one that does, such as GridWorld-v0")
    gamma = settings.gamma if settings.gamma is not None else process.discount or 0.99
    transition, reward = process.transition, process.reward
    random = planning.uniform_policy(*reward.shape)
    made: list[Path] = []
    random_values = planning.evaluate_policy(transition, reward, random, gamma)
    best, policy, evaluations = planning.policy_iteration(transition, reward, gamma)
    swept, _, sweeps = planning.value_iteration(transition, reward, gamma)
    note = (
        f"{evaluations} evaluations. Value iteration: {sweeps} sweeps, largest difference "
        f"{np.abs(swept - best).max():.1e}."
    )
    for name, title, values, actions, remark in (
        ("random", "The random policy, by policy evaluation", random_values, random, ""),
        ("optimal", "The optimum, by policy iteration", best, policy, note),
    ):
        heading = f"{title}, {settings.env}, discount {gamma:g}"
        print_grid(value_grid(process, heading, values, actions, remark), console)
        if process.draw is not None:
            made.append(save_picture(process.draw(values, actions), Path(settings.out) / f"{name}.png"))
    if settings.transitions:
        learned = td0_values(settings.env, env_args, process, gamma, settings.transitions, settings.seed)
        heading = f"The random policy, by TD(0) from {settings.transitions:,} transitions"
        remark = f"Largest error {np.abs(learned - random_values).max():.3f}."
        print_grid(value_grid(process, heading, learned, random, remark), console)
    say_made(console, made)


@dataclass(frozen=True, kw_only=True)
class TestbedSettings:
    """The 10-armed testbed of Sutton and Barto, chapter 2."""

    runs: int = 2_000
    """Runs of each policy, each with arms of its own."""
    steps: int = 1_000
    """Steps of a run."""
    seed: int = 0
    """Root of all randomness."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the policies learn; auto times one of them on both."""
    out: str = "testbed"
    """Folder for the figures."""
    regret: bool = False
    """Study instead how regret grows with time, on two instances of Bernoulli arms."""
    regret_runs: int = 200
    """Runs of each policy in that study."""
    regret_steps: int = 10_000
    """Steps of a run in that study."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("runs", 1, 100_000),
            ("steps", 10, 1_000_000),
            ("seed", 0, 10**9),
            ("regret_runs", 1, 100_000),
            ("regret_steps", 10, 1_000_000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}; expected {low} to {high:,}")


def testbed(argv: Sequence[str], console: Console) -> None:
    """Play the 10-armed testbed of Sutton and Barto: its two figures, a table; or how regret grows, with --regret."""
    settings = usage.parse(TestbedSettings, argv, prog="cartbot testbed", description=testbed.__doc__ or "")
    out = Path(settings.out)
    if out.is_file():  # before what takes longer to import
        raise usage.UsageError(f"--out {out}: File exists; choose another place")
    from eval import testbed as bed
    from eval.plots import save_figure
    from eval.pull_plots import draw_optimal, draw_regret
    from eval.tables import print_grid

    made = []
    if settings.regret:
        runs, steps = settings.regret_runs, settings.regret_steps
        device = _device_for(bed.STUDY["Thompson"], "BernoulliBandit-v0", runs, settings, console)
        for name, probabilities in bed.INSTANCES.items():
            env_args = {"probabilities": probabilities}
            played = bed.play_policies(bed.STUDY, "BernoulliBandit-v0", env_args, runs, steps, settings.seed, device)
            print_grid(bed.study_grid(name, played), console)
            pulls = {label: one.pulls for label, one in played.items()}
            made.append(save_figure(draw_regret(pulls, f"{name} Bernoulli arms"), out / f"regret-{name}.png"))
            made.append(save_figure(draw_optimal(pulls, f"{name} Bernoulli arms"), out / f"optimal-{name}.png"))
    else:
        runs, steps = settings.runs, settings.steps
        device = _device_for(bed.TESTBED["Thompson"], "GaussianBandit-v0", runs, settings, console)
        played = bed.play_policies(bed.TESTBED, "GaussianBandit-v0", {}, runs, steps, settings.seed, device)
        print_grid(bed.policies_grid(played), console)
        about = f"10-armed testbed, {runs:,} runs"
        for labels, name in ((bed.EPSILONS, "epsilon-greedy"), (("UCB c = 2", bed.EPSILONS[-1]), "ucb")):
            made.append(save_figure(bed.draw_testbed(played, labels, about), out / f"{name}.png"))
        pulls = {label: one.pulls for label, one in played.items()}
        made.append(save_figure(draw_regret(pulls, about), out / "regret.png"))
    say_made(console, made)


def _device_for(
    policy: tuple[str, dict[str, Any]], env_id: str, runs: int, settings: TestbedSettings, console: Console
) -> str:
    """The device on which all policies learn, asked for, or faster for this one; once all else is known to be sound."""
    from eval.tasks import describe_task, make_envs
    from eval.testbed import build_policy
    from train.devices import choose_device

    probe = make_envs(env_id, 1, env_args={}, workers=0)
    task, _ = describe_task(env_id, probe)
    probe.close()
    device, reason = choose_device(
        settings.device, lambda device: build_policy(policy, task, runs, settings.seed, str(device)), task, runs
    )
    writable(Path(settings.out) / "regret.png")
    console.print(f"learning on {device} ({escape(reason)})")
    return device
