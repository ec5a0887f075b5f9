"""How an objective bends: gradients, extreme eigenvalues of the Hessian, and what the optimiser's next step should do.

Nothing here changes a tensor of an agent's, and what is drawn comes from streams of the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from agents.lazy import torch
from agents.networks import Params
from agents.objectives import Objective
from agents.streams import SeedStreams

Verdict = Literal["descending", "uphill", "too large a step", "saddle"]

SADDLE = 0.1
"""Share of the greatest positive curvature from which negative curvature counts: next to rounding and to the ripples
that every network has, a little of it is nothing."""
TOLERANCE = 1e-4
"""Relative error of an eigenvalue at which Lanczos stops."""
DENSE = 32
"""Parameters up to which the whole Hessian is made: Lanczos needs more dimensions than it looks for."""
RESTARTS = 30
"""Of Lanczos; an eigenvalue that has not converged by then is not told."""


@dataclass(frozen=True, kw_only=True)
class Curvature:
    """The second-order picture of one seed's loss."""

    loss: float
    gradient_norm: float
    """Before clipping."""
    smallest: float
    """Smallest eigenvalue of the Hessian; NaN where it did not converge."""
    largest: float
    """Greatest eigenvalue of the Hessian; NaN where it did not converge."""
    along_gradient: float
    """g'Hg / g'g: the curvature along the gradient; 0 where there is no gradient. Gradient descent with a rate above 2
    by this goes up."""
    slope: float
    """g'd: what the optimiser's step d changes, to first order."""
    bend: float
    """d'Hd / 2: what curvature adds to that."""

    @property
    def verdict(self) -> Verdict:
        """What the numbers come to.

        Uphill: the step, which momentum has its share in, goes up however short. Too large a step: it slopes down, and
        the loss curves up more along it. Saddle: some direction curves down at least `SADDLE` times as much as any
        curves up. Else descending.
        """
        if self.slope > 0:
            return "uphill"
        if self.slope + self.bend > 0:
            return "too large a step"
        if self.smallest < -SADDLE * max(0.0, self.largest):
            return "saddle"
        return "descending"


def gradients(objective: Objective, seed: int = 0) -> tuple[float, Params]:
    """The loss of a seed and its gradient, before clipping, in the shapes of all parameters, [S, ...]."""
    leaves, loss = _differentiable(objective, seed)
    return loss.item(), dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


def curvature(objective: Objective, streams: SeedStreams, seed: int = 0) -> Curvature:
    """Measures the loss of one seed; `streams` give Lanczos its first vector."""
    leaves, loss = _differentiable(objective, seed)
    params = list(leaves.values())
    slopes = torch.autograd.grad(loss, params, create_graph=True)
    gradient = _flat([one[seed] for one in slopes])
    norm = gradient.detach().norm()

    def product(vector: NDArray[np.floating]) -> NDArray[np.floating]:
        """The Hessian times a vector: the gradient of gradient . vector (Pearlmutter, 1994)."""
        along = gradient @ torch.as_tensor(vector.ravel(), dtype=gradient.dtype, device=gradient.device)
        if not along.requires_grad:  # a loss that is linear has no second derivative
            return np.zeros(gradient.numel())
        found = torch.autograd.grad(along, params, retain_graph=True, materialize_grads=True)
        return _flat([one[seed] for one in found]).cpu().numpy().astype(np.float64)

    clipped = [one.detach() * (objective.max_norm / norm).clamp(max=1.0) for one in slopes]
    step = _flat([one[seed] for one in objective.move(clipped)]).cpu().numpy().astype(np.float64)
    plain = gradient.detach().cpu().numpy().astype(np.float64)
    start = streams.normal(gradient.numel())[seed].cpu().numpy().astype(np.float64)
    smallest, largest = extreme_eigenvalues(product, start)
    square = float(plain @ plain)
    return Curvature(
        loss=loss.item(),
        gradient_norm=norm.item(),
        smallest=smallest,
        largest=largest,
        along_gradient=float(plain @ product(plain)) / square if square else 0.0,
        slope=float(plain @ step),
        bend=0.5 * float(step @ product(step)),
    )


def extreme_eigenvalues(
    product: Callable[[NDArray[np.floating]], NDArray[np.floating]], start: NDArray[np.floating]
) -> tuple[float, float]:
    """The smallest and the greatest eigenvalue of a symmetric matrix of which only products with vectors are known.

    By Lanczos with restarts (Lehoucq, Sorensen and Yang, 1998) from the vector `start`; small matrices as they are.

    Returns:
        Both; NaN for one that did not converge.
    """
    size = len(start)
    if size <= DENSE:
        matrix = np.stack([product(row) for row in np.eye(size)])
        values = np.linalg.eigvalsh((matrix + matrix.T) / 2)
        return float(values[0]), float(values[-1])
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    found = []
    for end in ("SA", "LA"):
        try:
            options: dict[str, Any] = {"which": end, "v0": start, "tol": TOLERANCE, "maxiter": RESTARTS}
            values = eigsh(operator, 1, return_eigenvectors=False, **options)
            found.append(float(values[0]))
        except ArpackNoConvergence:
            found.append(float("nan"))
    return found[0], found[1]


def _differentiable(objective: Objective, seed: int) -> tuple[Params, torch.Tensor]:
    """Copies of the parameters to differentiate by, and the seed's loss of them."""
    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in objective.params.items()}
    return leaves, objective.loss(leaves)[seed]


def _flat(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([part.reshape(-1) for part in parts])
