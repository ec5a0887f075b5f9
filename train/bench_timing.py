"""Timing two contenders in turn, A B A B ..., so that whatever else befalls the machine befalls both."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.vector import cpu_count

Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Work:
    """A contender, built and ready to be timed."""

    run: Callable[[], float]
    """Does a piece of work; returns how much that was, such as the environment steps."""
    warm_up: Callable[[], object] | None = None
    """What is done once before any timing, where a whole piece is more than it takes to compile everything."""
    close: Callable[[], object] = lambda: None


Make = Callable[[str], Work]
"""Builds a contender that learns, if it does, on "cpu" or "cuda". ValueError: it cannot be built here."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What is reported of a contender: work per second, or the time that a piece of work takes."""

    name: str
    time_scale: float | None = None
    """None: work per second. Else the time per work, in units of which a second has so many."""

    def figure(self, rate: Any) -> Any:
        """From work per second."""
        return rate if self.time_scale is None else self.time_scale / rate


@dataclass(frozen=True, kw_only=True)
class Case:
    """Ours against a peer."""

    name: str
    about: str
    """What is measured, in a line."""
    unit: Unit
    ours: Make
    peer: Make
    peer_name: str
    cores: int = 1
    """Cores that ours may use."""
    peer_cores: int = 1
    most_rounds: int = 1_000
    """Rounds that are enough, where a piece of work takes long."""
    target: float | None = None
    """The least ratio that is wanted."""
    target_avx2: float | None = None
    """The same on a machine without AVX-512, where it is another."""
    learns: bool = False
    """Whether it runs on the device that was chosen; simulators do not."""
    target_cuda: float | None = None
    """The least ratio wanted of what learns on a GPU."""

    def target_on(self, device: str, vectors: str) -> float | None:
        """The target for a device and the machine's vector instructions."""
        if device == "cuda" and self.learns:
            return self.target_cuda
        return self.target if vectors == "AVX-512" or self.target_avx2 is None else self.target_avx2


@dataclass(frozen=True, kw_only=True)
class Curve:
    """How a figure of ours grows with a size."""

    name: str
    about: str
    unit: Unit
    axis: str
    """What the size is."""
    points: Mapping[int, Make]
    cores: int = 1


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a case came to: medians over the rounds, and the range of the ratios."""

    name: str
    about: str
    ours: float
    peer: float
    ratio: float
    """How many times as fast as the peer ours is: the median over rounds of each round's own ratio."""
    low: float
    """The least of any round."""
    high: float
    """The greatest of any round."""
    unit: str
    peer_name: str
    target: float | None
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Point:
    """A figure at a size: the median over the rounds, the least and the greatest."""

    size: int
    median: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class CurveResult:
    """What a curve came to."""

    name: str
    about: str
    unit: str
    axis: str
    points: Sequence[Point]
    rounds: int


def rate(run: Callable[[], float], seconds: float, clock: Clock = time.perf_counter) -> float:
    """Work per second over whole pieces, at least one, until `seconds` have passed."""
    done, began = 0.0, clock()
    while True:
        done += run()
        passed = clock() - began
        if passed >= seconds and passed > 0:
            return done / passed


def interleave(
    works: Sequence[tuple[Work, int]], rounds: int, seconds: float, clock: Clock = time.perf_counter
) -> NDArray[np.float64]:
    """Rates [rounds, works]: in every round each work in turn, on as many cores as stand beside it."""
    for work, cores in works:
        with pinned(cores):
            (work.warm_up or work.run)()
    rates = np.empty((rounds, len(works)))
    for row in rates:
        for column, (work, cores) in enumerate(works):
            with pinned(cores):
                row[column] = rate(work.run, seconds, clock)
    return rates


def time_case(
    case: Case, device: str, rounds: int, seconds: float, *, vectors: str = "", clock: Clock = time.perf_counter
) -> Result:
    """Builds both contenders, times them in turn, and closes them.

    Raises:
        ValueError: one of them cannot be built here, or there are too few cores.
    """
    with ExitStack() as stack:
        # Threads and worker processes keep the cores that were allowed when they began.
        works = [
            (_built(make, cores, device, stack), cores)
            for make, cores in ((case.ours, case.cores), (case.peer, case.peer_cores))
        ]
        rounds = min(rounds, case.most_rounds)
        ours, peer = interleave(works, rounds, seconds, clock).T  # [rounds] each
    ratio = ours / peer
    return Result(
        name=case.name,
        about=case.about,
        ours=float(case.unit.figure(np.median(ours))),
        peer=float(case.unit.figure(np.median(peer))),
        ratio=float(np.median(ratio)),
        low=float(ratio.min()),
        high=float(ratio.max()),
        unit=case.unit.name,
        peer_name=case.peer_name,
        target=case.target_on(device, vectors),
        rounds=rounds,
    )


def time_curve(
    curve: Curve, device: str, rounds: int, seconds: float, *, clock: Clock = time.perf_counter
) -> CurveResult:
    """Times all sizes in turn.

    Raises:
        ValueError: one of them cannot be built here.
    """
    with ExitStack() as stack:
        works = [(_built(make, curve.cores, device, stack), curve.cores) for make in curve.points.values()]
        figures = curve.unit.figure(interleave(works, rounds, seconds, clock))  # [rounds, sizes]
    points = [
        Point(size=size, median=float(np.median(column)), low=float(column.min()), high=float(column.max()))
        for size, column in zip(curve.points, figures.T, strict=True)
    ]
    return CurveResult(
        name=curve.name, about=curve.about, unit=curve.unit.name, axis=curve.axis, points=points, rounds=rounds
    )


def can_pin() -> bool:
    """Whether the platform lets a process choose its cores; Linux does."""
    return hasattr(os, "sched_setaffinity")


@contextmanager
def pinned(cores: int) -> Iterator[None]:
    """Keeps this thread, and the threads and processes that it starts meanwhile, on the first `cores` usable cores.

    Where the platform cannot, everything runs wherever it likes.

    Raises:
        ValueError: there are fewer.
    """
    if cores > cpu_count():
        raise ValueError(f"it needs {cores} cores and this process may use {cpu_count()}")
    if not can_pin():
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _built(make: Make, cores: int, device: str, stack: ExitStack) -> Work:
    with pinned(cores):
        work = make(device)
    stack.callback(work.close)
    return work
