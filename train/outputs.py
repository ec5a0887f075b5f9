"""Files that verbs write beside runs: where they may go, and what is said of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from train.usage import UsageError


def writable(path: Path) -> Path:
    """The path, once it is sure that a file can be written there: before minutes of work, not after.

    Raises:
        UsageError: it cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise UsageError(f"--out {path}: a file cannot be written there; choose another place")
    except OSError as error:
        raise UsageError(f"--out {path}: {error.strerror}; choose another place") from None
    return path


def free_name(path: Path) -> Path:
    number, place = 1, path
    while place.exists():
        number += 1
        place = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return place


def write_text(path: Path, text: str) -> None:
    """Replaces a file by a whole new one."""
    writing = path.with_name(f".{path.name}.writing")
    writing.write_text(text)
    os.replace(writing, path)


def say_made(console: Console, paths: Sequence[Path]) -> None:
    for path in paths:
        console.print(f"wrote {escape(str(path))}", soft_wrap=True)
