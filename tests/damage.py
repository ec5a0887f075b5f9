"""Files as accidents leave them: cut, empty, doubled, with other bytes, numbers or kinds of values in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator
ODD_CELLS = (b"", b"nan", b"inf", b"-1", b"1e999", b"x", b'"', b"\0", b"9" * 20, b"1.5", b"\xff\xfe", b"=1+1")
ODD_VALUES: tuple[Any, ...] = (None, True, -1, 0, 1.5, 1e308, 10**30, "", "x", [], {}, [1], {"a": 1}, float("nan"))


def damaged(data: bytes, rng: Rng) -> bytes:
    """A file with one accident in it."""
    kinds: list[Callable[[bytes, Rng], bytes]] = [_cut, _flipped, _overwritten, _without_line, _doubled_line, _odd_cell]
    if data.lstrip()[:1] == b"{":
        kinds += [_odd_value] * 6
    if rng.random() < 0.02:
        return b""
    return kinds[rng.integers(len(kinds))](data, rng)


def _cut(data: bytes, rng: Rng) -> bytes:
    return data[: rng.integers(len(data) + 1)]


def _flipped(data: bytes, rng: Rng) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(len(data), size=rng.integers(1, 4)):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _overwritten(data: bytes, rng: Rng) -> bytes:
    """As a bad block does."""
    start, length = int(rng.integers(len(data))), int(rng.integers(1, 200))
    filling = b"\0" * length if rng.random() < 0.5 else rng.bytes(length)
    return data[:start] + filling + data[start + length :]


def _without_line(data: bytes, rng: Rng) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[rng.integers(len(lines))]
    return b"".join(lines)


def _doubled_line(data: bytes, rng: Rng) -> bytes:
    lines = data.splitlines(keepends=True)
    lines.insert(int(rng.integers(len(lines))), lines[rng.integers(len(lines))])
    return b"".join(lines)


def _odd_cell(data: bytes, rng: Rng) -> bytes:
    cells = data.split(b",")
    cells[rng.integers(len(cells))] = ODD_CELLS[rng.integers(len(ODD_CELLS))]
    return b",".join(cells)


def _odd_value(data: bytes, rng: Rng) -> bytes:
    """Valid JSON in which one value is something else, or missing."""
    tree = json.loads(data)
    node: Any = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = keys[rng.integers(len(keys))]
        inner = node[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.8:
            node = inner
            continue
        if rng.random() < 0.2:
            del node[key]
        else:
            node[key] = ODD_VALUES[rng.integers(len(ODD_VALUES))]
        return json.dumps(tree).encode()
