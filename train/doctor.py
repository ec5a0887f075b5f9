"""Verbs that look whether things are sound: an environment, and the installation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from train import usage


@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """Hold an environment against what learning, replaying and reporting rest on."""

    env: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ENV")]
    """Environment: any Gymnasium id, or module:Id-v0 to import the module first."""
    env_args: tuple[str, ...] = ()
    """Keywords of the environment, KEY=VALUE ..., values as in TOML."""


def check(argv: Sequence[str], console: Console) -> None:
    """Check an environment, yours for instance, before anything is trained on it."""
    settings = usage.parse(CheckSettings, argv, prog="cartbot check", description=check.__doc__ or "")
    from envs.check import check_env
    from eval.tasks import make_envs

    env_args = usage.parse_pairs(settings.env_args, "--env-args")
    make_envs(settings.env, 1, env_args=env_args, workers=0).close()  # unknown ids and keywords, in plain words
    began = time.perf_counter()
    for claim in check_env(settings.env, env_args):
        console.print(f"[green]ok[/green]  {escape(claim)}")
    console.print(f"{escape(settings.env)} is sound ({time.perf_counter() - began:.1f} s)")


@dataclass(frozen=True, kw_only=True)
class DoctorSettings:
    """Look whether the installation, the simulators, pictures, videos and devices are sound."""


def doctor(argv: Sequence[str], console: Console) -> None:
    """Check the installation, the simulators' invariants, rendering and devices."""
    usage.parse(DoctorSettings, argv, prog="cartbot doctor", description=doctor.__doc__ or "")
    from train.health import CHECKS, Skipped, Unsound

    table = Table("check", "result", "what was found", "s", title="cartbot doctor", title_justify="left")
    failed = []
    for name, look in CHECKS.items():
        began = time.perf_counter()
        try:
            result, found = "[green]ok[/green]", look()
        except Skipped as why:
            result, found = "skipped", str(why)
        except Exception as error:  # whatever it is, the checks after it are still of use
            found = " ".join(str(error).split())
            result, found = (
                "[red]FAILED[/red]",
                found if isinstance(error, Unsound) else f"{type(error).__name__}: {found}",
            )
            failed.append(name)
        table.add_row(name, result, escape(found), f"{time.perf_counter() - began:.1f}")
    console.print(table)
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(CHECKS)} checks failed: {', '.join(failed)}")
