"""From the keywords of `gymnasium.make` to the config of an environment."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any, TypeVar

T = TypeVar("T")


def config_from(config_class: type[T], keywords: dict[str, Any]) -> T:
    """The config with these fields.

    Raises:
        ValueError: a keyword is no field (the message has the nearest one), or a value is out of its bounds.
    """
    known = [field.name for field in dataclasses.fields(config_class)]  # pyright: ignore[reportArgumentType]
    for name in keywords:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
            raise ValueError(f"unknown keyword {name!r}; {hint}")
    return config_class(**keywords)
