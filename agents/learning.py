"""What every gradient-based agent needs beside its rule: an optimiser with a plain state, and averages of figures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.lazy import torch
from agents.networks import Params


class Adam:
    """Adam (Kingma and Ba, 2015) over named parameters; elementwise, so seeds cannot mix in it.

    It makes the parameters require gradients, and keeps its state by their names.
    """

    def __init__(self, params: Params, lr: float):
        self.params = params
        for tensor in params.values():
            tensor.requires_grad_(True)
        self._adam = torch.optim.Adam(list(params.values()), lr=lr, fused=True)

    def zero_grad(self) -> None:
        self._adam.zero_grad(set_to_none=True)

    def step(self, lr: float | None = None) -> None:
        """Moves the parameters along their gradients, from now on with the learning rate `lr` if it is given."""
        if lr is not None:
            self._adam.param_groups[0]["lr"] = lr
        self._adam.step()

    def state_dict(self) -> dict[str, Any]:
        return {name: dict(self._adam.state[tensor]) for name, tensor in self.params.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, tensor in self.params.items():
            own = self._adam.state[tensor]
            for key, value in state[name].items():
                # Adam keeps its count of steps in float32 whatever the parameters are.
                own[key] = value.clone().to(tensor.device, torch.float32 if key == "step" else tensor.dtype)


class Tally:
    """Running means of figures [S], kept on their device until somebody asks."""

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}
        self._count = 0

    def add(self, **figures: torch.Tensor) -> None:
        """Adds one observation of each figure."""
        for name, value in figures.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._count += 1

    def drain(self) -> dict[str, NDArray[np.floating]]:
        """The means since the last call, and begins anew; empty when nothing was added."""
        means = {name: (total / self._count).cpu().numpy() for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return means

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self._sums), "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sums, self._count = dict(state["sums"]), int(state["count"])
