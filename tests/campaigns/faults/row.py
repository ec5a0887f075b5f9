"""A figure of the campaign: what was measured, what it must be, what others were measured to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    figure: str
    ours: str
    wanted: str
    met: bool
    others: str = ""
    """Measured in the same run."""
    failures: tuple[str, ...] = ()
    """What went wrong, a line each."""
