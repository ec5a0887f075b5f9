"""Files made to run code, or to have something written or removed outside the run, through the verbs that read them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from agents.lazy import torch
from eval.checkpoint import MANIFEST, newest_checkpoint
from tests.campaigns.faults.bombs import COMPARE, CONFIG, DRIVE, EVAL, MAP, PLOT, forked, prepare, rewrite
from tests.campaigns.faults.row import Row
from train.__main__ import main

CALLS = {"os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "pickle.find_class"}
"""Audit events of code that is run; importing ever so much raises none of them."""
WRITES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink", "shutil.rmtree"}
RESUME = "resume run --steps 900"
CODE = "__import__('os').system('touch OWNED')"


class Payload:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch OWNED",)


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        prepare()
        faults = [fault for name in CRAFTED if (fault := harm(name))]
    yield Row.none_of(
        "crafted files that run code, or write or remove outside the run",
        faults,
        len(CRAFTED),
        least=30,
        others="SB3 3 of 4 kinds",
    )


def harm(name: str) -> str:
    """What a crafted file did that it must not; empty where it did nothing. Needs what `prepare` makes."""
    line, craft = CRAFTED[name]
    shutil.copytree("whole", "place")
    os.makedirs("outside/folder")
    Path("outside/precious.safetensors").write_text("precious")
    Path("outside/folder/precious.csv").write_text("precious\n")
    before = _outside()
    with contextlib.chdir("place"):
        craft(Path("run"))
        status, _, said = forked(lambda: _watched(line))
        owned = [str(path) for path in Path("..").rglob("OWNED")]
    after = _outside()
    shutil.rmtree("place")
    shutil.rmtree("outside")
    if owned or after != before:
        return f"{name}: {'code was run' if owned else f'outside is now {after}'}"
    # 97: see `_watched`. All else may be read as it is, or refused in a line.
    return "" if status in (0, 1, 2) and said.count("\n") <= 1 else f"{name}: status {status}, {said[-300:]!r}"


def _watched(line: str) -> int:
    """A command during which nothing may be run, nor written beyond the place where it is; 97 if something is."""
    here, found = os.path.realpath("."), []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in CALLS and "git" not in str(arguments[:1]):  # the revision, which a config holds
            found.append(f"{event} {arguments!r}"[:200])
        writes = event in WRITES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING)
        if writes and isinstance(arguments[0], str | os.PathLike):
            path = os.path.realpath(os.fspath(arguments[0]))
            if not path.startswith((here, "/dev/")) and "cache" not in path and "matplotlib" not in path:
                found.append(f"{event} {path}")

    sys.addaudithook(watch)  # for good: but the process ends with this
    status = main(line.split())
    if found:
        print(*found, sep="\n", file=sys.stderr)
    return 97 if found else status


_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def _outside() -> dict[str, str]:
    return {str(path): path.read_text() if path.is_file() else "" for path in sorted(Path("outside").rglob("*"))}


def _in_state(data: bytes) -> Callable[[Path], Any]:
    return lambda run: rewrite(run, lambda content: content, data)


def _in_manifest(**changes: Any) -> Callable[[Path], Any]:
    return lambda run: rewrite(run, lambda content: {**content, **changes})


def _in_config(**changes: Any) -> Callable[[Path], Any]:
    def change(run: Path) -> None:
        config = json.loads((run / "config.json").read_text())
        (run / "config.json").write_text(json.dumps(config | changes))

    return change


def _file(place: str, data: bytes | str) -> Callable[[Path], Any]:
    def write(_: Path) -> None:
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        Path(place).write_bytes(data.encode() if isinstance(data, str) else data)

    return write


def _link(place: str, target: str) -> Callable[[Path], Any]:
    """Puts a link in the place of a run's file or folder."""

    def link(_: Path) -> None:
        path = Path(place)
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(Path(target).resolve())

    return link


def _module(run: Path) -> None:
    """Names a module that lies beside the run and in it."""
    for place in (Path("payload.py"), run / "payload.py"):
        place.write_text("import os\nos.system('touch OWNED')\n")
    _in_config(env="payload:Env-v0")(run)


def _stored(save: Callable[[Any, io.BytesIO], Any]) -> bytes:
    file = io.BytesIO()
    save(Payload(), file)
    return file.getvalue()


def _checkpoint_name(name: str) -> Callable[[Path], Any]:
    return lambda run: newest_checkpoint(run / "checkpoints").rename(run / "checkpoints" / name)


PICKLE = pickle.dumps(Payload())
NPZ = _stored(lambda value, file: np.savez(file, a=np.array([value], object)))
FORMATS = "{0.__class__.__init__.__globals__} %s %n {{7*7}} [bold] ${IFS}`touch OWNED`$(touch OWNED)"
OUT = "../../../outside/precious"
CELLS = f"seed,step,length,return,action:{FORMATS}\n0,1,1,{CODE},1\n=cmd|'touch OWNED'!A1,1,1,1,1\n0,9,1,1,1\n"
CRAFTED: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "manifest: a pickle": (EVAL, lambda run: (newest_checkpoint(run / "checkpoints") / MANIFEST).write_bytes(PICKLE)),
    "manifest: code": (EVAL, lambda run: (newest_checkpoint(run / "checkpoints") / MANIFEST).write_text(CODE)),
    "manifest: a chunk outside": (
        RESUME,
        _in_manifest(chunked={"a": [OUT]}, files={f"chunks/{OUT}.safetensors": {"sha256": "0", "bytes": 8}}),
    ),
    "manifest: a file outside": (RESUME, _in_manifest(files={"../../../outside/precious": {"sha256": "", "bytes": 8}})),
    "manifest: attributes": (EVAL, _in_manifest(tree={"dict": {"agent": {"dict": {"__class__": {"value": CODE}}}}})),
    "manifest: format strings": (EVAL, _in_manifest(format=FORMATS)),
    "manifest: format strings as a name": (EVAL, _in_manifest(tree={"dict": {FORMATS: {"array": FORMATS}}})),
    "tensors: a pickle": (EVAL, _in_state(PICKLE)),
    "tensors: torch.save": (EVAL, lambda run: _in_state(_stored(torch.save))(run)),
    "tensors: npz": (EVAL, _in_state(NPZ)),
    "tensors: a pickle, resumed": (RESUME, _in_state(PICKLE)),
    "checkpoint named as a replacement": (RESUME, _checkpoint_name(".replaced-..")),
    "checkpoint named by other digits": (RESUME, _checkpoint_name("\u0663")),
    "link: chunks": (RESUME, _link("run/checkpoints/chunks", "../outside")),
    "link: writing": (RESUME, _link("run/checkpoints/.writing", "../outside")),
    "link: checkpoints": (RESUME, _link("run/checkpoints", "../outside")),
    "link: metrics.csv": (RESUME, _link("run/metrics.csv", "../outside/folder/precious.csv")),
    "link: episodes.csv": (RESUME, _link("run/episodes.csv", "../outside/folder/precious.csv")),
    "link: tensorboard": (RESUME, _link("run/tensorboard", "../outside")),
    "link: config.json.writing": (RESUME, _link("run/config.json.writing", "../outside/folder/precious.csv")),
    "link: eval": (EVAL, _link("run/eval", "../outside/folder")),
    "link: report.json": (EVAL, _link("run/eval/.report.json.writing", "../outside/folder/precious.csv")),
    "link: plots": (PLOT, _link("run/plots", "../outside/folder")),
    "link: video": (EVAL, _link("run/videos/a.mp4", "../outside/folder/precious.csv")),
    "config: a pickle": (EVAL, _file("run/config.json", PICKLE)),
    "config: a module beside the run": (EVAL, _module),
    "config: an agent with a path": (EVAL, _in_config(agent="../../outside/precious")),
    "config: an agent that is a module": (EVAL, _in_config(agent="os.system")),
    "config: format strings": (EVAL, _in_config(env=FORMATS)),
    "config: code as a keyword": (EVAL, _in_config(env_args={"map_name": CODE, "__class__": CODE})),
    "config: code as a setting": (EVAL, _in_config(agent_args={"gamma": CODE})),
    "config: code as the command": (EVAL, _in_config(command=FORMATS, git=FORMATS, device_reason=FORMATS)),
    "settings: a pickle": (CONFIG, _file("settings.toml", PICKLE)),
    "settings: code": (CONFIG, _file("settings.toml", f'env = "{CODE}"\n')),
    "settings: format strings": (CONFIG, _file("settings.toml", f"env = '{FORMATS}'\n")),
    "settings: a path as the environment": (CONFIG, _file("settings.toml", 'env = "../../outside:Env-v0"\n')),
    "metrics.csv: a pickle": (f"{PLOT} --x time", _file("run/metrics.csv", PICKLE)),
    "metrics.csv: code": (f"{PLOT} --x time", _file("run/metrics.csv", f"step,seconds\n1,{CODE}\n2,3\n")),
    "episodes.csv: a pickle": (PLOT, _file("run/episodes.csv", PICKLE)),
    "episodes.csv: code": (PLOT, _file("run/episodes.csv", CELLS)),
    "evaluated episodes: code": (COMPARE, _file("run/eval/episodes.csv", f"mode,seed,return\ngreedy,0,{CODE}\n")),
    "report.json: a pickle": (COMPARE, _file("run/eval/report.json", PICKLE)),
    "report.json: format strings": (COMPARE, _file("run/eval/report.json", json.dumps({"agent": FORMATS}))),
    "map: an object": (DRIVE, _file("map.yaml", f"{MAP}a: !!python/object/apply:os.system ['touch OWNED']\n")),
    "map: a name": (DRIVE, _file("map.yaml", f"{MAP}a: !!python/name:os.system\n")),
    "map: an image outside": (DRIVE, _file("map.yaml", MAP.replace("map.png", "../outside/precious.safetensors"))),
    "map: an image that is a pickle": (DRIVE, _file("map.png", PICKLE)),
    "map: an image that is a program": (DRIVE, _file("map.png", b"%!PS-Adobe-3.0 EPSF-3.0\n(OWNED) (w) file\n")),
    "video: a pickle": (EVAL, _file("run/videos/a.mp4", PICKLE)),
    "video: a page": (EVAL, _file("run/videos/<script>alert(1)<\u2215script>.mp4", b"<script>")),
}
"""What reads them, and how they come into a run."""
