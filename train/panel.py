"""What long work shows while it lasts: a live panel on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from types import TracebackType

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from eval.collapse import Check, kind_of
from eval.episodes import Episode

RECENT = 50
"""Episodes of a seed that its row of the panel averages over."""
REDRAW = 0.5
"""Seconds between redraws."""
LINE_EVERY = 15.0
"""Seconds between plain lines."""


class TrainingPanel:
    """Progress, speed, where the time goes, what each seed does, and whether it has collapsed onto few actions.

    `collapse` tells what is suspicious in action proportions [A].
    """

    def __init__(
        self,
        console: Console,
        title: str,
        total: int,
        start: int,
        action_names: Sequence[str],
        seeds: int,
        collapse: Check,
    ):
        self._console, self._names, self._collapse = console, action_names, collapse
        self._told: set[tuple[int, str]] = set()
        self._title, self._total, self._step = title, total, start
        self._recent: list[deque[Episode]] = [deque(maxlen=RECENT) for _ in range(seeds)]
        self._seconds: dict[str, float] = {}
        self._threads = 1
        self._began, self._began_step, self._drawn = time.monotonic(), start, 0.0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._bar = self._progress.add_task("steps per seed", total=total, completed=start)
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> TrainingPanel:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw()
        if self._live:
            self._live.stop()

    def add(self, episodes: Sequence[Episode], step: int, seconds: dict[str, float], threads: int) -> None:
        """Takes in what happened up to `step`; redraws when it is time."""
        for episode in episodes:
            self._recent[episode.seed].append(episode)
        self._step, self._seconds, self._threads = step, seconds, threads
        if time.monotonic() - self._drawn >= (REDRAW if self._live else LINE_EVERY):
            self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if self._live:
            self._progress.update(self._bar, completed=min(self._step, self._total))
            warnings = [f"[yellow]warning[/yellow]: {escape(text)}" for _, _, text in self._warnings()]
            self._live.update(Group(self._title, self._progress, self._speed(), self._seeds(), *warnings), refresh=True)
            return
        returns = " ".join(f"{np.mean([e.total_reward for e in seed]):.1f}" if seed else "-" for seed in self._recent)
        self._console.print(f"{self._step:,} of {self._total:,} steps; {self._speed()}; return per seed: {returns}")

        now = self._warnings()
        for seed, kind, text in now:
            if (seed, kind) not in self._told:
                self._console.print(f"[yellow]warning[/yellow]: {escape(text)}")
        # One that has gone may come again, and is told again.
        self._told = {(seed, kind) for seed, kind, _ in now}

    def _warnings(self) -> list[tuple[int, str, str]]:
        """Seed, kind and text of every sign of collapse in the episodes of late."""
        found = []
        for seed, episodes in enumerate(self._recent):
            if len(episodes) == RECENT:
                for text in self._collapse(self._shares(episodes)):
                    where = f"seed {seed}, last {RECENT} episodes at step {self._step:,}"
                    found.append((seed, kind_of(text), f"{where}: {text}"))
        return found

    @staticmethod
    def _shares(episodes: Iterable[Episode]) -> list[float]:
        counts = np.sum([episode.action_counts for episode in episodes], axis=0)
        return (counts / max(1, counts.sum())).tolist()

    def _speed(self) -> str:
        rate = (self._step - self._began_step) * len(self._recent) / max(1e-9, time.monotonic() - self._began)
        total = sum(self._seconds.values()) or 1.0
        parts = ", ".join(f"{part} {spent / total:.0%}" for part, spent in sorted(self._seconds.items()))
        threads = f"learning on {self._threads} thread{'s' if self._threads > 1 else ''}"
        return f"{rate:,.0f} steps/s over all seeds, {threads} ({parts})"

    def _seeds(self) -> Table:
        table = Table(title=f"last {RECENT} episodes", title_justify="left")
        for heading in ("seed", "return", "length", "success", *self._names):
            table.add_column(heading, justify="right")
        for seed, episodes in enumerate(self._recent):
            if not episodes:
                table.add_row(str(seed), *["-"] * (3 + len(self._names)))
                continue
            known = [e.success for e in episodes if e.success is not None]
            table.add_row(
                str(seed),
                f"{np.mean([e.total_reward for e in episodes]):.1f}",
                f"{np.mean([e.length for e in episodes]):.0f}",
                f"{np.mean(known):.0%}" if known else "-",
                *(f"{share:.2f}" for share in self._shares(episodes)),
            )
        return table


class EpisodePanel:
    """A bar for each thing that is played in an evaluation."""

    def __init__(self, console: Console):
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        )
        self._bars: dict[str, int] = {}

    def __enter__(self) -> EpisodePanel:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """`done` of `total` episodes of `what` are played."""
        if self._console.is_terminal:
            if what not in self._bars:
                self._bars[what] = self._progress.add_task(what, total=total)
            self._progress.update(self._bars[what], completed=done)  # pyright: ignore[reportArgumentType]
        elif done == total:
            self._console.print(f"played {total:,} episodes: {what}")
