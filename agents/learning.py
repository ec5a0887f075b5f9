"""What every gradient-based agent needs beside its rule: an optimiser with a plain state, averages, a compiler."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.lazy import torch
from agents.networks import Params, clip, clone, load_params
from agents.saved import check_shape

DECAY_MEAN, DECAY_SQUARE, LEAST_DEVIATION = 0.9, 0.999, 1e-8
"""Adam's beta 1, beta 2 and epsilon, as its authors have them."""


class Adam:
    """Adam (Kingma and Ba, 2015) over named parameters; elementwise, so seeds cannot mix in it.

    It makes the parameters require gradients, and keeps its state by their names.
    """

    def __init__(self, params: Params):
        self.params = params
        for tensor in params.values():
            tensor.requires_grad_(True)
        self._mean = {name: torch.zeros_like(tensor) for name, tensor in params.items()}
        self._square = {name: torch.zeros_like(tensor) for name, tensor in params.items()}
        self._count = torch.zeros((), device=next(iter(params.values())).device)

    def descend(self, loss: torch.Tensor, lr: float | torch.Tensor, max_norm: float) -> torch.Tensor:
        """Moves the parameters down the gradients of every seed's loss, [S]; returns the norms of those, [S].

        Gradients longer than `max_norm` are shortened to it. No gradient is left behind in the parameters.
        """
        # Over seeds the sum: no seed's gradient depends on how many there are.
        gradients = torch.autograd.grad(loss.sum(), list(self.params.values()))
        norm = clip(gradients, max_norm)
        self._move(gradients, lr)
        return norm

    def _move(self, gradients: Sequence[torch.Tensor], lr: float | torch.Tensor) -> None:
        if not torch.compiler.is_compiling():
            move([self], [gradients], lr)
            return
        # The compiler makes few kernels of this, and knows nothing of the fused one.
        params, means, squares = (list(of.values()) for of in (self.params, self._mean, self._square))
        with torch.no_grad():
            self._count += 1
            for param, way in zip(params, adam_step(gradients, means, squares, self._count, lr), strict=True):
                param.add_(way)

    def preview(self, gradients: Sequence[torch.Tensor], lr: float) -> list[torch.Tensor]:
        """What a step along clipped gradients would add to the parameters; nothing is changed."""
        means, squares = clone(self._mean).values(), clone(self._square).values()
        return adam_step(gradients, means, squares, float(self._count) + 1, lr)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self._count, "mean": self._mean, "square": self._square}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        check_shape("count", state["count"], self._count.shape)
        self._count.copy_(state["count"])
        load_params(self._mean, state["mean"])
        load_params(self._square, state["square"])


def move(adams: Sequence[Adam], gradients: Sequence[Sequence[torch.Tensor]], lr: float | torch.Tensor) -> None:
    """Moves the parameters of several along their gradients, in one go.

    It is what torch.optim.Adam(fused=True) comes to, without its bookkeeping, which takes longer than the numbers.
    """
    with torch.no_grad():
        for adam in adams:
            adam._count += 1
        torch._fused_adam_(  # pyright: ignore[reportPrivateImportUsage]
            [param for adam in adams for param in adam.params.values()],
            [gradient for of_one in gradients for gradient in of_one],
            [mean for adam in adams for mean in adam._mean.values()],
            [square for adam in adams for square in adam._square.values()],
            [],
            [adam._count for adam in adams for _ in adam.params],
            lr=lr,
            beta1=DECAY_MEAN,
            beta2=DECAY_SQUARE,
            eps=LEAST_DEVIATION,
            weight_decay=0.0,
            amsgrad=False,
            maximize=False,
        )


def adam_step(
    gradients: Sequence[torch.Tensor],
    means: Iterable[torch.Tensor],
    squares: Iterable[torch.Tensor],
    count: float | torch.Tensor,
    lr: float | torch.Tensor,
) -> list[torch.Tensor]:
    """Adam's step number `count`: moves the averages, in place, and returns what is to be added to the parameters."""
    moves = []
    for gradient, mean, square in zip(gradients, means, squares, strict=True):
        mean.lerp_(gradient, 1 - DECAY_MEAN)
        square.lerp_(gradient.square(), 1 - DECAY_SQUARE)
        deviation = (square / (1 - DECAY_SQUARE**count)).sqrt() + LEAST_DEVIATION
        moves.append(-lr / (1 - DECAY_MEAN**count) * mean / deviation)
    return moves


class Tally:
    """Running means of figures [S], kept on their device until somebody asks."""

    def __init__(self, seeds: int) -> None:
        self._seeds = seeds
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

    @property
    def sums(self) -> dict[str, torch.Tensor]:
        """The sums of each figure so far, in which a NaN or an infinity stays."""
        return self._sums

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self._sums), "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, total in state["sums"].items():
            check_shape(name, total, (self._seeds,))
        self._sums, self._count = dict(state["sums"]), int(state["count"])


@contextlib.contextmanager
def denormals_flushed() -> Iterator[None]:
    """Meanwhile numbers below 1.2e-38 count as 0, in this thread and in those that it starts.

    What Adam remembers of a dead unit shrinks with every step until it is that small, and a processor takes a hundred
    times as long over such numbers: updates at the end of a long run took up to half as long again.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def compiled(update: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    """On a GPU `update` as one program; on a CPU, where compiling takes longer than it saves, `update` itself.

    Real numbers among its arguments become tensors, so that they can change without compiling it again.
    """
    if device.type != "cuda":
        return update
    program = compile_whole(update)

    def run(*args: Any) -> Any:
        return program(*(torch.tensor(arg, device=device) if isinstance(arg, float) else arg for arg in args))

    return run


def compile_whole(update: Callable[..., Any], backend: str = "inductor") -> Callable[..., Any]:
    """`update` compiled in one piece, its gradients included; it is an error if that cannot be done."""
    torch._dynamo.config.trace_autograd_ops = True
    torch._dynamo.config.recompile_limit = 64  # programs of one function, which all agents of a process share
    return torch.compile(update, backend=backend, fullgraph=True, dynamic=False)
