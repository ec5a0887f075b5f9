"""Whether what agents learn is still made of numbers: asked at every step, without making a GPU wait for the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from agents.lazy import torch

Watched = Mapping[str, Mapping[str, "torch.Tensor | Sequence[torch.Tensor]"]]
"""By kind ("weights", "figures", ...) and name: a tensor [S, ...], or one for each seed."""

SEEN = "observation"
"""Kind of what did not come from learning."""


class NonFiniteError(RuntimeError):
    """A NaN or an infinity turned up; the message says where it came from."""


def check_finite(watched: Watched) -> None:
    """Raises NonFiniteError, with the name of the tensor and its seed, unless all numbers are finite."""
    watch = FiniteWatch()
    watch.ask(watched)
    watch.check()


class FiniteWatch:
    """Notices the first NaN or infinity among tensors.

    `ask` leaves the question with the device and returns; `check` waits for the answer, and belongs where the host
    waits for the device anyway: after actions have been fetched.
    """

    def __init__(self) -> None:
        self._watched: Watched = {}
        self._total: torch.Tensor | None = None

    def ask(self, watched: Watched) -> None:
        """Asks whether all numbers of some tensors are finite."""
        self._watched = watched
        # NaN and infinity survive a sum, which takes less time than looking at each number.
        sums = [
            part.detach().sum().float()
            for tensors in watched.values()
            for values in tensors.values()
            for part in ([values] if isinstance(values, torch.Tensor) else values)
        ]
        self._total = torch.stack(sums).sum() if sums else None

    def check(self) -> None:
        """Raises NonFiniteError, with the name of the tensor and its seed, if a number was not finite when asked."""
        if self._total is None or math.isfinite(self._total.item()):
            return
        for kind, tensors in self._watched.items():
            for name, values in tensors.items():
                for seed, part in enumerate(values):
                    if not part.isfinite().all():
                        learnt = "learning. Lower the learning rate, or look at the rewards"
                        source = "the environment" if kind == SEEN else learnt
                        raise NonFiniteError(f"{kind}: {name} of seed {seed} is not finite; it came from {source}")
        raise NonFiniteError("what was learnt is beyond all numbers; lower the learning rate, or look at the rewards")
