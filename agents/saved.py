"""Saved tensors have the shapes that are asked for, or are refused by name: torch and NumPy would stretch them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def check_shape(name: str, saved: Any, expected: Sequence[int | None]) -> None:
    """Holds a saved tensor or array against a shape; None is any length.

    Raises:
        ValueError: it has another.
    """
    found = list(saved.shape)
    if len(found) != len(expected) or any(want not in (None, size) for size, want in zip(found, expected, strict=True)):
        wanted = ", ".join("any" if want is None else str(want) for want in expected)
        raise ValueError(f"{name} is {found} in the saved state; expected [{wanted}]")


def check_shapes(saved: Mapping[str, Any], expected: Mapping[str, Sequence[int | None]]) -> None:
    """Holds saved tensors or arrays against the names and shapes that they should have, all of them and no others.

    Raises:
        ValueError: one is absent, unknown, or has another shape.
    """
    for name, shape in expected.items():
        if name not in saved:
            raise ValueError(f"{name} is absent in the saved state; expected {list(shape)}")
        check_shape(name, saved[name], shape)
    for name in saved.keys() - expected.keys():
        raise ValueError(f"{name} is {list(saved[name].shape)} in the saved state; expected none of that name")
