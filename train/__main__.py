"""The command `cartbot`, also `python -m train`."""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

ABOUT = """\
cartbot: reinforcement learning with simulators of its own

usage: cartbot VERB ...        (cartbot VERB --help says all about one)

"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status.

    0: done. 2: something that was asked for cannot be, told in one line, and nothing was written. 1: it failed on the
    way. 128 + N: a signal N stopped it.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    # Before numpy and torch read it: many small products, on which threads only wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    from train.usage import fail
    from train.verbs import VERBS

    if not argv or argv[0] in ("-h", "--help", "help"):
        with contextlib.suppress(BrokenPipeError):  # a reader who has seen enough
            print(ABOUT + "\n".join(f"  {name:<8} {(verb.__doc__ or '').strip()}" for name, verb in VERBS.items()))
        return 0 if argv else 2
    if argv[0] not in VERBS:
        near = difflib.get_close_matches(argv[0], VERBS, n=1, cutoff=0.4)
        fail(f"unknown verb {argv[0]!r}; " + (f"did you mean {near[0]!r}?" if near else f"one of {', '.join(VERBS)}"))
        return 2
    try:
        VERBS[argv[0]](argv[1:], _console())
    except SystemExit as stop:  # --help
        return int(stop.code or 0)
    except ValueError as error:
        fail(" ".join(str(error).split()))
        return 2
    except KeyboardInterrupt:
        return 130
    except (RuntimeError, OSError) as error:
        fail(_failure(error))
        return 1
    except Exception as error:
        from train.trainer import Interrupted

        if not isinstance(error, Interrupted):
            raise
        fail(str(error))
        return error.exit_status
    return 0


def _console() -> Console:
    """Where there is no terminal, lines may be longer than one."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=140)


def _failure(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror}{place}; the last checkpoint is intact"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
