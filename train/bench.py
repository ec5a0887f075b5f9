"""`cartbot bench`: how fast the simulators and the learners are, against their peers in the same run."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from train import usage
from train.bench_timing import Case, Curve, CurveResult, Result, can_pin, time_case, time_curve
from train.outputs import writable
from train.usage import UsageError

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """Speed of simulators and learners, against their peers, in turn in one run."""

    case: tuple[str, ...] = ()
    """Names of what to measure. Default: everything, in ten minutes or so."""
    list: bool = False
    """Only say what there is."""
    rounds: int = 5
    """Times that ours and the peer are timed in turn; ratios are medians over rounds, their spread is the range."""
    seconds: float = 1.0
    """Seconds of each measurement, at least; training runs take what they take."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where what learns does so, ours and the peer; "cuda" changes nothing for simulators."""
    out: str | None = None
    """JSON file for the results. Default: none."""

    def __post_init__(self) -> None:
        if not 1 <= self.rounds <= 1_000:
            raise ValueError(f"rounds is {self.rounds}; expected 1 to 1,000")
        if not 0 < self.seconds <= 3_600:
            raise ValueError(f"seconds is {self.seconds}; expected more than 0, at most 3,600")


def bench(argv: Sequence[str], console: Console) -> None:
    """Measure the speed of simulators and learners against their peers."""
    settings = usage.parse(BenchSettings, argv, prog="cartbot bench", description=bench.__doc__ or "")
    from train.bench_cases import CASES

    for name in settings.case:
        if name not in CASES:
            raise UsageError(f"--case: there is no {name!r}; {usage.nearest(name, list(CASES))}")
    chosen = [CASES[name] for name in dict.fromkeys(settings.case or CASES)]
    if settings.list:
        console.print(list_table(chosen))
        return
    _check_device(settings.device)
    out = None if settings.out is None else writable(Path(settings.out))
    here = machine(settings.device)
    console.print(escape(machine_line(here)))
    results: list[Result] = []
    curves: list[CurveResult] = []
    skipped: dict[str, str] = {}
    for one in chosen:
        console.print(f"{one.name}: {escape(one.about)}", style="dim")
        timing = (settings.device, settings.rounds, settings.seconds)
        try:
            if isinstance(one, Case):
                result = time_case(one, *timing, vectors=here["vectors"])
                results.append(result)
                console.print(f"{one.name}: {_figure(result.ratio)} times as fast as {escape(result.peer_name)}")
            else:
                curves.append(time_curve(one, *timing))
        except ValueError as error:
            skipped[one.name] = " ".join(str(error).split())
            console.print(f"{one.name}: skipped: {escape(skipped[one.name])}")
    if results:
        console.print(results_table(results))
    for curve in curves:
        console.print(curve_table(curve))
    if out is not None:
        record = {
            "schema": SCHEMA,
            "machine": here,
            "settings": {name: getattr(settings, name) for name in ("rounds", "seconds", "device")},
            "cases": [dataclasses.asdict(one) for one in results],
            "curves": [dataclasses.asdict(one) for one in curves],
            "skipped": skipped,
        }
        writing = out.with_name(f".{out.name}.writing")
        writing.write_text(json.dumps(record, indent=1) + "\n")
        os.replace(writing, out)
        console.print(f"wrote {escape(str(out))}", soft_wrap=True)


def machine(device: str) -> dict[str, Any]:
    """What the figures depend on beside the code: processor, cores, GPU, versions."""
    from importlib.metadata import PackageNotFoundError, version

    from envs.vector import cpu_count
    from eval.runs import versions

    told = _cpu_info()
    found = versions()
    for name in ("numba", "mujoco"):
        try:
            found["versions"][name] = version(name)
        except PackageNotFoundError:
            found["versions"][name] = None
    gpu = None
    if device == "cuda":
        from agents.lazy import torch

        gpu = torch.cuda.get_device_name()
    return {
        "cpu": told.get("model name") or platform.processor() or platform.machine(),
        "vectors": vector_level(told.get("flags", "").split()),
        "cores": cpu_count(),
        "pinned": can_pin(),
        "gpu": gpu,
        **found,
    }


def vector_level(flags: Iterable[str]) -> str:
    """The widest vector instructions among a processor's flags; "" where they are not told."""
    for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX"), ("asimd", "NEON")):
        if flag in flags:
            return name
    return ""


def machine_line(here: dict[str, Any]) -> str:
    """The machine in a line."""
    parts = [here["cpu"], here["vectors"], f"{here['cores']} cores", here["gpu"]]
    parts += [f"{name} {version}" for name, version in here["versions"].items() if version]
    if not here["pinned"]:
        parts.append("processes cannot be pinned to cores on this platform")
    return ", ".join(part for part in parts if part)


def list_table(chosen: Sequence[Case | Curve]) -> Table:
    """What can be measured."""
    texts = ("case", "what", "the peer")
    table = _table("cartbot bench --case NAME ...", (*texts, "wanted"), texts)
    for one in chosen:
        peer, target = (one.peer_name, one.target) if isinstance(one, Case) else ("none: a curve", None)
        table.add_row(one.name, one.about, peer, _figure(target))
    return table


def results_table(results: Sequence[Result]) -> Table:
    """Ours against the peers."""
    texts = ("case", "unit", "reached", "the peer")
    headings = ("case", "ours", "peer", "unit", "ratio", "spread", "rounds", "wanted", "reached", "the peer")
    table = _table("Ours against peers", headings, texts)
    for one in results:
        reached = "" if one.target is None else "yes" if one.ratio >= one.target else "no"
        spread = f"{_figure(one.low)} - {_figure(one.high)}"
        figures = (_figure(one.ours), _figure(one.peer), one.unit, _figure(one.ratio), spread)
        table.add_row(one.name, *figures, str(one.rounds), _figure(one.target), reached, one.peer_name)
    table.caption = (
        "Ratio: how many times as fast as the peer ours is, the median over rounds in which both were timed in turn; "
        "spread: from the least to the greatest of them. Ours and peer: medians."
    )
    return table


def curve_table(curve: CurveResult) -> Table:
    """A figure against a size."""
    table = _table(f"{curve.name}: {curve.about}", (curve.axis, curve.unit, "spread"))
    for one in curve.points:
        table.add_row(f"{one.size:,}", _figure(one.median), f"{_figure(one.low)} - {_figure(one.high)}")
    return table


def _table(title: str, headings: Sequence[str], texts: Sequence[str] = ()) -> Table:
    """An empty table; columns that are no texts are numbers, aligned to the right."""
    table = Table(title=title, title_justify="left", caption_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, justify="left" if heading in texts else "right", no_wrap=heading == "case")
    return table


def _figure(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _check_device(device: str) -> None:
    if device == "cuda":
        from agents.lazy import torch

        if not torch.cuda.is_available():
            raise UsageError(
                f"--device cuda: no CUDA device is available (torch {torch.__version__}); use --device cpu"
            )


def _cpu_info() -> dict[str, str]:
    """What Linux tells of the first core; nothing elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
