"""PyTorch, loaded when it is first used.

Importing it takes a second or two, for which `--help` and a mistyped flag should not wait. So agent modules say
`from agents.lazy import torch`, and touch none of its attributes while they are imported: no decorators, no
subclasses of its classes.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any


class _LazyModule(ModuleType):
    """Stands for a module that is imported when one of its attributes is asked for."""

    def __getattr__(self, name: str) -> Any:
        module = importlib.import_module(self.__name__)
        self.__dict__.update(module.__dict__)  # from now on a look-up costs what it costs in the module itself
        return getattr(module, name)


if TYPE_CHECKING:
    import torch
else:
    torch = _LazyModule("torch")

__all__ = ["torch"]
