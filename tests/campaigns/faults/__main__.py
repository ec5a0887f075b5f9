"""Runs the modules of the campaign and prints their figures in one table."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.campaigns import faults


def main(arguments: Sequence[str] | None = None) -> int:
    names = sorted(one.name for one in pkgutil.iter_modules(faults.__path__) if one.name not in ("__main__", "row"))
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.faults", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON too")
    asked = parser.parse_args(arguments)
    console = Console(highlight=False, width=150)
    table = Table("figure", "ours", "must be", "met", "others", title="faults", title_justify="left")
    unmet = 0
    found = []
    for name in asked.only:
        began = time.monotonic()
        for row in importlib.import_module(f"tests.campaigns.faults.{name}").rows():
            table.add_row(*map(escape, (row.figure, row.ours, row.wanted, "yes" if row.met else "NO", row.others)))
            unmet += not row.met
            found.append({"module": name, **asdict(row)})
            for line in row.failures[:20]:
                console.print(f"  {escape(row.figure)}: {escape(line)}")
        console.print(f"{name}: {time.monotonic() - began:.0f} s")
    console.print(table)
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n")
    return min(unmet, 1)


if __name__ == "__main__":
    sys.exit(main())
