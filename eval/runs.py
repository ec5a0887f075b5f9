"""Run folders: all that later commands need of a run, and nothing else.

config.json      every setting, versions, git revision, the command
metrics.csv      figures of learning, a row per seed and interval
episodes.csv     a row per finished episode
checkpoints/     see `eval.checkpoint`
diagnostics.csv  with --diagnostics: see `train.diagnostics`; also layers.csv and, for images, diagnostics/
tensorboard/     the figures again, for TensorBoard
eval/            what `cartbot eval` made
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, get_origin, get_type_hints

from eval.checkpoint import list_checkpoints, newest_checkpoint
from eval.reading import TooLargeError, read_json

SCHEMA = 1
RUNS = Path("runs")
CONFIG = "config.json"
CONFIG_LIMIT = 256 << 10
"""Bytes above which a config is none."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What a run is: enough to repeat it."""

    agent: str
    """Name of the agent in the registry."""
    env: str
    """Environment id, "module:Id-v0" included."""
    env_args: dict[str, Any] = field(default_factory=dict)
    """Keywords of the environment."""
    agent_args: dict[str, Any] = field(default_factory=dict)
    """Every field of the agent's config."""
    steps: int = 0
    """Environment steps per seed."""
    seeds: int = 1
    """Seeds trained at once."""
    envs: int = 1
    """Environments per seed."""
    seed: int = 0
    """Root of all randomness."""
    device: str = "cpu"
    """Where the agent learns."""
    device_reason: str = ""
    """Why there."""
    threads: int | None = None
    """Threads that learn on a CPU; None: as many as turn out fastest while it learns."""
    workers: int | None = None
    """Processes that simulate; None: as many as the environment likes."""
    checkpoint_interval: int = 0
    """Environment steps per seed between checkpoints."""
    diagnostics_interval: int = 0
    """Environment steps per seed between looks at the losses; 0: none."""


class Run:
    """A run's folder and its config."""

    def __init__(self, folder: Path, config: RunConfig, extra: dict[str, Any]):
        self.folder, self.config, self.extra = folder, config, extra

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def eval_folder(self) -> Path:
        return self.folder / "eval"

    def checkpoint(self, step: int | Literal["previous"] | None = None) -> Path:
        """The newest checkpoint, the one before it, or the one of a step.

        Raises:
            ValueError: there is none.
        """
        if step is None:
            return newest_checkpoint(self.checkpoints)
        if step == "previous":
            found = list_checkpoints(self.checkpoints)
            if len(found) < 2:
                raise ValueError(f"{self.folder} has {len(found)} checkpoints, none before the newest: train it again")
            return found[-2]
        for path in list_checkpoints(self.checkpoints):
            if int(path.name) == step:
                return path
        steps = ", ".join(str(int(path.name)) for path in list_checkpoints(self.checkpoints))
        raise ValueError(f"{self.folder} has no checkpoint of step {step}; expected one of: {steps or 'none there'}")

    def misfit(self, path: Path, error: Exception) -> str:
        """What is said of a whole checkpoint whose parts are not those of the agent as it is here and now."""
        cause = " ".join(str(error).split())[:200]
        writer = self.extra.get("git") or "of no known revision"
        return (
            f"{path} does not fit the run's config, or this version's {self.config.agent} "
            f"({type(error).__name__}: {cause}); was the config edited? "
            f"Otherwise use the cartbot that wrote it ({writer}), or train again"
        )


def create_run(config: RunConfig, folder: Path | None) -> Run:
    """Makes a new folder for a run; a name that is taken becomes NAME-2, NAME-3 ...

    Raises:
        ValueError: the folder cannot be made.
    """
    if folder is None:
        env = config.env.split(":")[-1].split("/")[-1]
        folder = RUNS / f"{env}-{config.agent}-{time.strftime('%Y%m%d-%H%M%S')}"
    if folder.name in ("", ".."):
        raise ValueError(f"run is {str(folder)!r}; expected the name of a new folder")
    taken, place = 1, folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                place.mkdir()  # atomic: of two that try at once one gets the name
                break
            except FileExistsError:
                taken += 1
                place = folder.with_name(f"{folder.name}-{taken}")
    except OSError as error:
        raise ValueError(f"cannot make the run folder {place}: {error.strerror}; choose another with --run") from None
    extra = {"command": " ".join(sys.argv), "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **versions()}
    run = Run(place, config, extra)
    save_config(run)
    return run


def extend_run(run: Run, steps: int) -> Run:
    """The run with a new total of steps; `save_config` writes it down."""
    return Run(run.folder, replace(run.config, steps=steps), run.extra)


def save_config(run: Run) -> None:
    """Writes down the config of a run, all of it or nothing."""
    record = {"schema": SCHEMA, **asdict(run.config), **run.extra}
    writing = run.folder / f"{CONFIG}.writing"
    writing.write_text(json.dumps(record, indent=2) + "\n")
    os.replace(writing, run.folder / CONFIG)


def find_run(name: str) -> Run:
    """The run in a folder; `latest` is the newest under runs/.

    Raises:
        ValueError: there is none, or its config is damaged.
    """
    folder = _latest() if name == "latest" else Path(name)
    path = folder / CONFIG
    _check_links(folder)
    if not path.is_file():
        near = sorted(p.parent.name for p in RUNS.glob(f"*/{CONFIG}"))[-3:]
        hint = f"; the newest here: {', '.join(f'{RUNS}/{n}' for n in near)}" if near else "; `cartbot train` makes one"
        raise ValueError(f"no run in {folder} (there is no {CONFIG}){hint}")
    try:
        record = read_json(path, CONFIG_LIMIT)
        schema = record.pop("schema")
        if schema != SCHEMA:
            raise ValueError(f"{path} has schema {schema}; this version reads {SCHEMA}: use the one that wrote it")
        known = RunConfig.__dataclass_fields__
        config = RunConfig(**{key: value for key, value in record.items() if key in known})
        _check_kinds(config)
        extra = {key: value for key, value in record.items() if key not in known}
        if not isinstance(extra.get("versions", {}), dict):
            raise TypeError(f"versions is {extra['versions']!r}")
        return Run(folder, config, extra)
    except (
        TooLargeError,
        json.JSONDecodeError,
        KeyError,
        TypeError,
        AttributeError,
        UnicodeDecodeError,
        RecursionError,
    ) as error:
        raise ValueError(
            f"damaged run: {path} is not a run's config ({type(error).__name__}: {error}); train it again"
        ) from None


def _check_links(folder: Path) -> None:
    """Raises ValueError where something in a run's folder is a link: what is written there could land anywhere."""
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if os.path.islink(os.path.join(place, name)):
                raise ValueError(
                    f"damaged run: {os.path.join(place, name)} is a symbolic link; "
                    f"put what it points at in its place (the run's folder itself may be a link)"
                )


def _check_kinds(config: RunConfig) -> None:
    """Raises TypeError where a field is of the wrong kind, or a number that no run has."""
    for name, kind in get_type_hints(RunConfig).items():
        value = getattr(config, name)
        if not isinstance(value, dict if get_origin(kind) is dict else kind) or isinstance(value, bool):
            raise TypeError(f"{name} is {value!r}")
        if isinstance(value, int) and value < (1 if name in ("seeds", "envs") else 0):
            raise TypeError(f"{name} is {value!r}")


def versions() -> dict[str, Any]:
    """Versions of what a result depends on, and the revision of a checkout."""
    found = {}
    for name in ("torch", "numpy", "gymnasium", "pybullet", "stable-baselines3"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return {"versions": {"python": platform.python_version(), **found}, "git": _git_revision()}


def _git_revision() -> str | None:
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _latest() -> Path:
    found = [path.parent for path in RUNS.glob(f"*/{CONFIG}")]
    if not found:
        raise ValueError(f"there is no run under {RUNS.resolve()}; `cartbot train` makes one")
    return max(found, key=lambda folder: ((folder / CONFIG).stat().st_mtime_ns, folder.name))
