"""Compiled loops: Numba's `njit` with settings of ours, and a cache that notices every change.

Numba stores machine code beside the source and looks only at the file of the outermost function before it takes it
again. Here a change in any of the files that make up the batched world leads to a cache of its own. The process that
compiles a loop also has the functions that the loop calls compiled alone, where products and sums are fused in other
places than within the loop, and takes those: its results would differ in the last bit from those of all later ones. So
compiling is left to a process of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
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
_CACHE = _HERE / "__pycache__" / f"compiled-{_FINGERPRINT}"


def compile_apart(statement: str) -> None:
    """Runs Python that calls compiled loops in a process of its own, unless their machine code is there already.

    Where that process cannot run or write, this one compiles them when it calls them.
    """
    # Numba compiles again for another processor, and for a file that was touched.
    stamps = [llvmlite.binding.get_host_cpu_name(), *(path.stat().st_mtime_ns for path in sorted(_SOURCES))]
    done = _CACHE / f"whole-{hashlib.sha256(repr((statement, stamps)).encode()).hexdigest()[:16]}"
    if done.exists():
        return
    places = [str(_HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        subprocess.run([sys.executable, "-c", statement], env=environment, check=True, capture_output=True)
        done.touch()


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
    before, _config.CACHE_DIR = _config.CACHE_DIR, str(_CACHE)
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=fastmath or False, **options)(function)
    finally:
        _config.CACHE_DIR = before
