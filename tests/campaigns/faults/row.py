"""A figure of the campaign: what was measured, what it must be, what others were measured to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    figure: str
    ours: str
    wanted: str
    met: bool
    others: str = ""
    """The same done to others: in the same run where their number is computed, else as it was found once."""
    failures: tuple[str, ...] = ()
    """What went wrong, a line each."""

    @classmethod
    def none_of(cls, figure: str, failures: Sequence[str], count: int, *, least: int = 1, others: str = "") -> Row:
        """What must never happen, in `count` trials, of which there must be `least`."""
        return cls(
            figure=figure,
            ours=f"{len(failures):,} of {count:,}",
            wanted="0",
            met=not failures and count >= least,
            others=others,
            failures=tuple(failures),
        )
