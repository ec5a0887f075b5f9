"""What several verbs take, and its bounds."""

from __future__ import annotations

from typing import Annotated

import tyro

RunName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


def check_episodes(episodes: int) -> None:
    if not 1 <= episodes <= 10_000_000:
        raise ValueError(f"episodes is {episodes}; expected 1 to 10,000,000")


def check_workers(workers: int | None) -> None:
    if workers is not None and not 0 <= workers <= 1024:
        raise ValueError(f"workers is {workers}; expected 0 to 1,024")
