"""Reading JSON and CSV that may be damaged or hostile: what is read takes memory in proportion to the file's size."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

COSTS = {b"{": 250, b"[": 120, b",": 120, b":": 120}
"""Bytes that a JSON file can make of such a character, at most: objects, and the strings and numbers between them."""
SPARE = 40_000_000
"""Bytes that the objects of a JSON file may take beyond twice its size."""
LINE_LIMIT = 131_072
"""Characters above which a line is no row of a log."""


class TooLargeError(ValueError):
    """A file that is larger than what it should hold, or would be once it is read."""


def parse_json(data: bytes) -> Any:
    """The value of a JSON text in UTF-8.

    Raises:
        ValueError: it is none.
        TooLargeError: it would take far more memory than its size.
        RecursionError: it is nested too deeply.
    """
    check_cost(data)
    return json.loads(data.decode())  # bytes alone would be guessed to be UTF-16 too


def check_cost(data: bytes) -> None:
    """Raises TooLargeError where the objects of a JSON text could take far more memory than its size."""
    cost = sum(data.count(mark) * each for mark, each in COSTS.items())
    if cost > 2 * len(data) + SPARE:
        raise TooLargeError(f"{len(data):,} bytes of JSON that could take {cost:,} bytes of memory")


def read_json(path: Path, limit: int) -> Any:
    """The value in a JSON file of at most `limit` bytes.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON.
        TooLargeError: it is larger, or would take far more memory than its size.
        RecursionError: it is nested too deeply.
    """
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise TooLargeError(f"more than {limit:,} bytes")
    return parse_json(data)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a CSV file by the names in its first line, one at a time.

    Raises:
        OSError: it cannot be read.
        csv.Error: it is no CSV, or has a line longer than any that is written.
    """
    with open(path, newline="", errors="replace") as file:
        yield from csv.DictReader(_lines(file))


def _lines(file: Any) -> Iterator[str]:
    number = 0
    while line := file.readline(LINE_LIMIT):
        number += 1
        if len(line) == LINE_LIMIT:
            raise csv.Error(f"line {number} has {LINE_LIMIT:,} characters or more")
        yield line.replace("\0", "")
