"""Compiled loops: Numba's `njit` with settings of ours, and a cache that notices every change.

Numba stores machine code beside the source and looks only at the file of the outermost function before it takes it
again. Here a change in any of the files that make up the batched world leads to a cache of its own.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba

# Compilers tend to use half of what AVX-512 offers, which suits mixed code and not these loops.
_config: Any = numba.config  # pyright: ignore[reportPrivateImportUsage]
if _config.CPU_FEATURES is None and _config.CPU_NAME is None:
    _features = llvmlite.binding.get_host_cpu_features()
    if _features.get("avx512f"):
        _config.CPU_FEATURES = f"{_features.flatten()},-prefer-256-bit"

_HERE = Path(__file__).parent
_SOURCES = [*_HERE.glob("*lanes*.py"), *_HERE.glob("cartpole3d_task.py"), *_HERE.glob("cartpole3d_vector.py")]
_FINGERPRINT = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(_SOURCES))).hexdigest()[:16]


def compiled(function: Any) -> Any:
    """Compiles a loop when it is first called, and keeps the machine code for later processes.

    Products and sums may be fused into one operation: results are the same for every lane, whatever is beside it, but
    not those of unfused arithmetic. The interpreter lock is released while it runs.
    """
    return _compiled(function, {"contract", "nsz"})


def inlined(function: Any) -> Any:
    """As `compiled`, for what is done for one lane: it becomes part of the loops that call it."""
    return _compiled(function, {"contract", "nsz"}, forceinline=True)


def exact(function: Any) -> Any:
    """As `compiled`, with every operation rounded as Python rounds it."""
    return _compiled(function, set())


def approximate(function: Any) -> Any:
    """As `inlined`, and quotients and roots may be off in the last bit: several times faster."""
    return _compiled(function, True, forceinline=True)


def _compiled(function: Any, fastmath: bool | set[str], **options: Any) -> Any:
    before, _config.CACHE_DIR = _config.CACHE_DIR, str(_HERE / "__pycache__" / f"compiled-{_FINGERPRINT}")
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=fastmath or False, **options)(function)
    finally:
        _config.CACHE_DIR = before
