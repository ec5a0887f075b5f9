"""The verb that lists what there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from agents.registry import AGENTS
from train import usage


@dataclass(frozen=True)
class _NoSettings:
    """Nothing to set."""


def show_list(argv: Sequence[str], console: Console) -> None:
    """List environments and agents, and which goes with which."""
    usage.parse(_NoSettings, argv, prog="cartbot list", description=show_list.__doc__ or "")
    from envs.catalog import OWN_ENVS
    from eval.tasks import describe_task, make_envs

    agents = Table(title="Agents: cartbot train AGENT --env ID", title_justify="left")
    agents.add_column("agent")
    agents.add_column("what it is")
    agents.add_column("learns")
    for name, entry in AGENTS.items():
        agents.add_row(name, entry.summary, "yes" if entry.learns else "no")
    console.print(agents)
    envs = Table(title="Environments (any Gymnasium id works too)", title_justify="left")
    for heading in ("environment", "what it is", "agents that fit"):
        envs.add_column(heading)
    for env_id, summary in (*OWN_ENVS.items(), ("CartPole-v1", "Gymnasium's classic, as an example")):
        try:
            probe = make_envs(env_id, 1, env_args={}, workers=0)
        except ValueError as error:
            envs.add_row(env_id, summary, f"cannot be made here: {error}")
            continue
        task, _ = describe_task(env_id, probe)
        probe.close()
        fitting = [name for name, entry in AGENTS.items() if _fits(entry.check_task, task)]
        envs.add_row(env_id, summary, ", ".join(fitting))
    console.print(envs)


def _fits(check: Any, task: Any) -> bool:
    try:
        check(task)
    except ValueError:
        return False
    return True
