"""How many threads a CPU learns with: as many as turn out fastest while it learns.

Large products go faster on several, small ones do not, and where other work wants the cores too, threads that wait for
each other cost more than they give. None of that is known beforehand, and it changes. But where a product of one seed's
is done by one thread, every number is the same however many there are: so they are tried out on the run itself.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

from agents.lazy import torch

TRIES = 12
"""Steps of the loop that are timed with each number of threads before one is chosen."""
GAIN = 0.95
"""More threads are taken if a step takes less than this share of its time with fewer."""
HOLD = 60.0
"""Seconds before all are tried again."""


class ThreadChoice:
    """Sets the number of threads of torch, from what steps of the loop take.

    Args:
        numbers: of threads, the least first; where it is only one, there is no choice.
        set_threads: what sets them; torch's own by default.
        clock: seconds.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        set_threads: Callable[[int], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._numbers, self._set, self._clock = list(numbers), set_threads or torch.set_num_threads, clock
        self._tried: dict[int, list[float]] = {number: [] for number in numbers}
        self._until = 0.0
        self._change(self._numbers[0])

    def step(self, whole: float, learning: float) -> None:
        """Takes in what a step of the loop took, and the part of it that went into learning (s)."""
        # What is half of a step with one thread is at least this share of it with several.
        little = learning < whole / (self.now + 1)
        if len(self._numbers) == 1 or little or self._clock() < self._until:
            return
        self._tried[self.now].append(whole)
        if min(map(len, self._tried.values())) < TRIES:
            self._change(self._numbers[(self._numbers.index(self.now) + 1) % len(self._numbers)])
            return
        best, *others = self._numbers
        typical = {number: statistics.median(tried) for number, tried in self._tried.items()}
        for number in others:
            if typical[number] < GAIN * typical[best]:
                best = number
        self._change(best)
        self._tried = {number: [] for number in self._numbers}
        self._until = self._clock() + HOLD

    def _change(self, number: int) -> None:
        self.now = number
        """Threads that learn at present."""
        self._set(number)


@contextlib.contextmanager
def threads_kept() -> Iterator[None]:
    """Whatever is done meanwhile, torch has as many threads afterwards as before."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def up_to(most: int) -> list[int]:
    """Numbers of threads that are worth trying on so many cores: 1, 2, 4 ... and all."""
    return sorted({*(2**power for power in range(most.bit_length())), most})
