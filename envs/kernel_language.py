"""What kernels are written in: Triton where there is a GPU for it, else the little of it that they use, in NumPy.

A kernel is a function of blocks of lanes. On a GPU Triton compiles it, one lane a thread. Without one, the same
source runs on NumPy arrays, so that whatever it computes can be tested anywhere; a block is never changed in place
(`a += b`), which Triton would take for a new one and NumPy would not. Where Triton is installed and
TRITON_INTERPRET=1 is set, its own interpreter runs them, on the CPU too, many times slower.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch


class Pointer:
    """An address in a flat array, or a block of them: what Triton's pointers are.

    Args:
        array: with one axis.
        base: a place in it.
        block: places from there on, the addresses of a block; neighbours, if they are a slice.
    """

    __slots__ = ("array", "base", "block")

    def __init__(self, array: Any, base: int = 0, block: Any = None):
        self.array, self.base, self.block = array, base, block

    def __add__(self, offset: Any) -> Pointer:
        if isinstance(offset, int):
            return Pointer(self.array, self.base + offset, self.block)
        if np.ndim(offset) == 0:
            return self + int(offset)
        if isinstance(self.block, slice):
            offset = offset + np.arange(self.block.start, self.block.stop)
        elif (np.diff(offset) == 1).all():
            offset = slice(int(offset[0]), int(offset[-1]) + 1)
        return Pointer(self.array, self.base, offset)

    @property
    def places(self) -> Any:
        block = self.block
        return slice(self.base + block.start, self.base + block.stop) if type(block) is slice else self.base + block


class NumpyLanguage:
    """The part of `triton.language` that the kernels use, for one program at a time."""

    constexpr = staticmethod(lambda value: value)
    static_range = range
    int32, float32 = np.int32, np.float32
    sqrt, abs, maximum, minimum = np.sqrt, np.abs, np.maximum, np.minimum
    program = 0

    def program_id(self, axis: int) -> int:
        return self.program

    @staticmethod
    def arange(start: int, end: int) -> Any:
        return np.arange(start, end, dtype=np.int32)

    @staticmethod
    def zeros_like(block: Any) -> Any:
        return np.zeros_like(block)

    @staticmethod
    def where(condition: Any, yes: Any, no: Any) -> Any:
        # Of two plain numbers NumPy would make float64.
        return np.where(condition, np.float32(yes) if isinstance(yes, float) else yes, no)

    @staticmethod
    def max(block: Any, axis: int) -> Any:
        return block.max(axis)

    @staticmethod
    def cast(block: Any, kind: Any) -> Any:
        return np.asarray(block).astype(kind)

    @staticmethod
    def debug_barrier() -> None:
        pass

    @staticmethod
    def load(pointer: Pointer) -> Any:
        return pointer.array[pointer.places].copy()

    @staticmethod
    def store(pointer: Pointer, value: Any, mask: Any = None) -> None:
        if mask is None:
            pointer.array[pointer.places] = value
        elif isinstance(pointer.block, slice):
            np.copyto(pointer.array[pointer.places], value, where=mask)
        else:
            pointer.array[pointer.places[mask]] = np.broadcast_to(value, mask.shape)[mask]


class NumpyKernel:
    """A kernel, called `kernel[grid](...)` from outside and like a function by another."""

    def __init__(self, function: Callable[..., Any]):
        functools.update_wrapper(self, function)
        self._function = function

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._function(*arguments, **named)

    def __getitem__(self, grid: tuple[int]) -> Callable[..., None]:
        def launch(*arguments: Any, num_warps: int = 1, **named: Any) -> None:
            blocks = [Pointer(a.numpy().reshape(-1)) if isinstance(a, torch.Tensor) else a for a in arguments]
            with np.errstate(all="ignore"):  # lanes compute what others need, and throw it away
                for program in range(grid[0]):
                    tl.program = program
                    self._function(*blocks, **named)

        return launch


INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
HAS_TRITON = find_spec("triton") is not None and (INTERPRETED or torch.cuda.is_available())
DEVICE = "cuda" if HAS_TRITON and not INTERPRETED else "cpu"
"""Where kernels run in this process."""

tl: Any = import_module("triton.language") if HAS_TRITON else NumpyLanguage()
jit: Any = import_module("triton").jit if HAS_TRITON else NumpyKernel
constant: Any = tl.constexpr
"""Makes a number of a module known to kernels, which see no others."""
if TYPE_CHECKING:
    constexpr: TypeAlias = Any
else:
    constexpr = tl.constexpr  # annotates what a kernel is compiled for


def launched(*varying: str) -> Any:
    """As `jit`, for a kernel launched from outside: it is not compiled anew for special values of these arguments."""
    return jit(do_not_specialize=list(varying)) if HAS_TRITON else jit
