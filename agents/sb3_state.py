"""What Stable-Baselines3 keeps where others see it, and what makes S states into one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.random import mtrand


class Generators:
    """The global generators of NumPy and torch, which the library draws from, with a stream of its own for each seed.

    Whoever else draws from them, or seeds them, meets and leaves them as if the library were not there.
    """

    def __init__(self, seeds: int, device: torch.device):
        self._cuda = device if device.type == "cuda" else None
        self._numpy = [np.random.MT19937(seed) for seed in range(seeds)]
        self._torch = [self._torch_states()] * seeds

    def turns(self) -> Iterator[int]:
        """Each seed's number, with the global generators its own meanwhile."""
        numpy, states = mtrand.get_bit_generator(), self._torch_states()
        try:
            for seed, generator in enumerate(self._numpy):
                # Swapped, not copied, which would take longer than the step. It drops a second normal number that
                # NumPy has in store when an odd count of them was drawn; what is drawn instead is as normal.
                mtrand.set_bit_generator(generator)
                self._set_torch(self._torch[seed])
                yield seed
                self._torch[seed] = self._torch_states()
        finally:
            mtrand.set_bit_generator(numpy)
            self._set_torch(states)

    def state_dicts(self) -> list[dict[str, Any]]:
        """The state of each seed's generators."""
        inner = [generator.state["state"] for generator in self._numpy]
        return [
            {"key": one["key"], "pos": np.array(one["pos"]), **dict(zip(("torch", "cuda"), states, strict=False))}
            for one, states in zip(inner, self._torch, strict=True)
        ]

    def load_state_dicts(self, states: Sequence[dict[str, Any]]) -> None:
        for seed, state in enumerate(states):
            inner = {"key": state["key"], "pos": int(state["pos"])}
            self._numpy[seed].state = {"bit_generator": "MT19937", "state": inner}  # pyright: ignore[reportAttributeAccessIssue]
            # What learnt on a GPU is evaluated on a CPU, where its GPU's generator means nothing.
            own = [state["torch"], *([state["cuda"]] if self._cuda and "cuda" in state else self._torch[seed][1:])]
            self._torch[seed] = [one.clone() for one in own]  # torch crashes on one that is a part of another

    def _torch_states(self) -> list[torch.Tensor]:
        states = [torch.get_rng_state()]
        return [*states, torch.cuda.get_rng_state(self._cuda)] if self._cuda else states

    def _set_torch(self, states: Sequence[torch.Tensor]) -> None:
        torch.set_rng_state(states[0])
        if self._cuda:
            torch.cuda.set_rng_state(states[1], self._cuda)


def stack(trees: Sequence[Any]) -> Any:
    """One state with a leading seed axis of the states of all seeds; what is no array is the same for all."""
    if not trees:
        return {}
    if isinstance(trees[0], dict):
        return {key: stack([tree[key] for tree in trees]) for key in trees[0]}
    if isinstance(trees[0], torch.Tensor):
        return torch.stack(list(trees))
    return np.stack(trees) if isinstance(trees[0], np.ndarray) else trees[0]


def unstack(tree: Any, seed: int) -> Any:
    """The state of one seed of what `stack` made."""
    if isinstance(tree, dict):
        return {key: unstack(inner, seed) for key, inner in tree.items()}
    return tree[seed] if isinstance(tree, torch.Tensor | np.ndarray) else tree
