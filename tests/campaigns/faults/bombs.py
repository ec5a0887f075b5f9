"""Small files that would take much memory to read: 2 MiB of each kind, through the verb that reads it."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from envs.track_files import MOST_PIXELS
from eval.checkpoint import MANIFEST, STATE, _digest, newest_checkpoint
from tests.campaigns.faults.damaged_logs import make_run
from tests.campaigns.faults.resumes import import_trainer
from tests.campaigns.faults.row import Row
from train.__main__ import main

SIZE = 2 << 20
"""Bytes of a bomb."""
BOUND = 2 * SIZE + 50_000_000
"""Bytes that reading it may take more than reading what a run has in its place."""
DRIVE = "train random --env DriveBot-v0 --env-args track=map.yaml --steps 2 --seeds 1 --envs 1 --workers 0 --run driven"
MAP = "image: map.png\nresolution: 0.05\norigin: [0, 0, 0]\n"


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        prepare()
        found = used(BOMBS)
    faults = [f"{name}: {extra / 1e6:.0f} MB; {told}" for name, (extra, told) in found.items() if extra > BOUND or told]
    worst = max(found, key=lambda name: found[name][0])
    yield Row(
        figure=f"memory to read a 2 MiB bomb, {len(found)} kinds; the worst: {worst}",
        ours=f"{max(0, found[worst][0]) / 1e6:.0f} MB, {len(faults)} faults",
        wanted=f"under {BOUND / 1e6:.0f} MB",
        met=not faults,
        others="SB3 4.3 GiB",
        failures=tuple(faults),
    )


def prepare() -> None:
    """A run with its report, settings and a map, in the folder `whole`."""
    for module in ("eval.compare", "eval.evaluation", "eval.report", "eval.page", "envs.track_files"):
        importlib.import_module(module)  # once, before the forks
    import_trainer()
    status, _, said = forked(_prepare)
    assert status == 0, said


def used(names: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Bytes that a verb takes at most with each bomb, beyond what it takes without; what it said if it crashed."""
    found = {}
    usual: dict[str, int] = {}
    for name in names:
        line, plant = BOMBS[name]
        with contextlib.chdir("whole"):
            if line not in usual:
                usual[line] = forked(lambda line=line: main(line.split()))[1]
        shutil.copytree("whole", "bombed")
        with contextlib.chdir("bombed"):
            planted = forked(lambda plant=plant: plant(Path("run")) and None)
            assert planted[0] == 0, planted[2]
            status, peak, said = forked(lambda line=line: main(line.split()))
        shutil.rmtree("bombed")
        crashed = status not in (0, 2) or said.count("\n") > 1
        found[name] = (peak - usual[line], f"status {status}, {said[-200:]!r}" if crashed else "")
    return found


def forked(work: Callable[[], Any]) -> tuple[int, int, str]:
    """Does something in a process of its own: its status, its peak of memory in bytes, and its stderr."""
    with tempfile.TemporaryFile("w+") as said:
        child = os.fork()
        if not child:
            status = 1
            try:
                os.dup2(said.fileno(), 2)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                with (
                    os.fdopen(1, "w", closefd=False) as out,
                    os.fdopen(2, "w", closefd=False) as err,
                    contextlib.redirect_stdout(out),
                    contextlib.redirect_stderr(err),
                ):
                    status = int(work() or 0)
            except BaseException as error:
                os.write(2, f"{type(error).__name__}: {error}\n\n".encode())
            finally:
                os._exit(status)
        _, status, usage = os.wait4(child, 0)
        said.seek(0)
        return os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024, said.read()


def rewrite(run: Path, change: Callable[[dict[str, Any]], Any], state: bytes | None = None) -> None:
    """Changes the manifest of a run's checkpoint, and its tensors; the checksums fit."""
    place = newest_checkpoint(run / "checkpoints")
    content = json.loads((place / MANIFEST).read_bytes())["content"]
    if state is not None:
        (place / STATE).write_bytes(state)
        content["files"][STATE] = {"sha256": hashlib.sha256(state).hexdigest(), "bytes": len(state)}
    content = change(content)
    (place / MANIFEST).write_text(json.dumps({"sha256": _digest(content), "content": content}))


def filled(unit: str, frame: str = "{}") -> str:
    """A text of SIZE characters, of one piece over and over."""
    return frame.replace("{}", (unit * (SIZE // len(unit)))[: -len(unit)])


def _prepare() -> None:
    os.mkdir("whole")
    os.chdir("whole")
    make_run()
    Path("settings.toml").write_text('env = "FrozenLake-v1"\nsteps = 20\nworkers = 0\ndevice = "cpu"\n')
    _draw(60)


def _draw(width: int, mode: str = "L", text: bytes = b"") -> None:
    """A map with a wall around it, of any number of pixels, and its YAML file."""
    pixels = np.full((width, width), 255, np.uint8)
    pixels[[0, -1]] = pixels[:, [0, -1]] = 0
    Image.fromarray(pixels).convert(mode).save("map.png")
    data = Path("map.png").read_bytes()
    Path("map.png").write_bytes(data[:33] + text + data[33:])  # after the header
    Path("map.yaml").write_text(MAP)


def _listed(run: Path) -> None:
    """A chunk of a mebibyte, listed as often as a manifest has room for."""
    from safetensors.numpy import save

    data = save({"rows": np.zeros(1 << 20, np.uint8)})
    digest = hashlib.sha256(data).hexdigest()
    (run / "checkpoints/chunks" / f"{digest}.safetensors").write_bytes(data)
    name = f"chunks/{digest}.safetensors"

    def change(content: dict[str, Any]) -> dict[str, Any]:
        content["files"][name] = {"sha256": digest, "bytes": len(data)}
        content["chunked"]["agent/more"] = [digest] * 12_000
        content["tree"]["dict"]["agent"]["dict"]["more"] = {"array": "agent/more"}
        return content

    rewrite(run, change)


def _referred(run: Path) -> None:
    """A tensor of half a mebibyte, which every entry of a long list is."""
    from safetensors.numpy import save

    def change(content: dict[str, Any]) -> dict[str, Any]:
        content["tree"] = {"dict": {"agent": {"list": [{"array": "a"}] * 20_000}}}
        return content

    rewrite(run, change, save({"a": np.zeros(1 << 19, np.uint8)}))


def _terabytes(run: Path) -> None:
    header = json.dumps({"a": {"dtype": "U8", "shape": [1 << 42], "data_offsets": [0, 1 << 42]}}).encode()
    rewrite(run, lambda content: content, struct.pack("<Q", len(header)) + header + bytes(SIZE))


def _text_chunks() -> bytes:
    """Compressed texts of a PNG file, a megabyte each."""
    body = b"a\0\0" + zlib.compress(bytes(1_000_000), 9)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    return chunk * 60


def _text(place: str, text: str) -> Callable[[Path], object]:
    return lambda _: Path(place).write_text(text) and None


EVAL, PLOT, COMPARE = "eval run --episodes 1", "plot run", "compare run --out profiles.png"
CONFIG = "train random --config settings.toml --run other"
ROWS = "seed,step,length,return,action:a\n"
BOMBS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "manifest of objects": (EVAL, lambda run: rewrite(run, lambda _: [{"": 0}] * (SIZE // 9))),
    "manifest of lists": (EVAL, lambda run: rewrite(run, lambda _: [[]] * (SIZE // 4))),
    "manifest of numbers": (EVAL, lambda run: rewrite(run, lambda _: list(range(SIZE // 9)))),
    "manifest, nested": (EVAL, lambda run: (newest_checkpoint(run / "checkpoints") / MANIFEST).write_text("[" * SIZE)),
    "manifest, one number": (
        EVAL,
        lambda run: (newest_checkpoint(run / "checkpoints") / MANIFEST).write_text("9" * SIZE),
    ),
    "chunks listed again": (EVAL, _listed),
    "tensors referred to again": (EVAL, _referred),
    "safetensors of terabytes": (EVAL, _terabytes),
    "config.json of objects": (EVAL, lambda run: (run / "config.json").write_text(filled('{"":0},', "[{}]"))),
    "report.json of objects": (COMPARE, _text("run/eval/report.json", filled('{"":0},', "[{}0]"))),
    "evaluated episodes": (COMPARE, _text("run/eval/episodes.csv", "mode,seed,return\n" + filled("greedy,0,1\n"))),
    "evaluated episodes of many seeds": (
        COMPARE,
        _text("run/eval/episodes.csv", "mode,seed,return\n" + "".join(f"greedy,{n},1\n" for n in range(130_000))),
    ),
    "episodes.csv, one line": (PLOT, _text("run/episodes.csv", filled("a,"))),
    "episodes.csv, many columns": (PLOT, _text("run/episodes.csv", ",".join(f"action:{n}" for n in range(140_000)))),
    "episodes.csv, short rows": (PLOT, _text("run/episodes.csv", ROWS + filled("0,1,1,1,1\n"))),
    "episodes.csv, one quotation": (PLOT, _text("run/episodes.csv", ROWS + '"' + filled("a\n"))),
    "episodes.csv, seeds": (
        COMPARE,
        _text("run/episodes.csv", "seed,action_rewards\n" + "".join(f"{n},a\n" for n in range(240_000))),
    ),
    "metrics.csv": (
        f"{PLOT} --x time",
        _text("run/metrics.csv", "step,seconds\n" + "".join(f"{n},{n}\n" for n in range(150_000))),
    ),
    "TOML of tables": (CONFIG, _text("settings.toml", "".join(f"[a.b{n}]\n" for n in range(190_000)))),
    "TOML, nested": (CONFIG, _text("settings.toml", "a=" + "[" * SIZE)),
    "YAML of aliases": (
        DRIVE,
        _text(
            "map.yaml",
            "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
            + MAP.replace("[0, 0, 0]", "*a8"),
        ),
    ),
    "YAML of lists": (DRIVE, _text("map.yaml", MAP + "a: [" + "[]," * (SIZE // 3) + "]\n")),
    "YAML of lists, as long as a map": (DRIVE, _text("map.yaml", MAP + "a: [" + "[]," * 5_000 + "]\n")),
    "image of 16 million pixels": (DRIVE, lambda _: _draw(4_000, text=bytes(0))),
    "image as large as a map": (DRIVE, lambda _: _draw(int(MOST_PIXELS**0.5), "RGBA")),
    "image with texts": (DRIVE, lambda _: _draw(60, text=_text_chunks())),
    "video": (EVAL, lambda run: ((run / "videos").mkdir(), (run / "videos/a.mp4").write_bytes(bytes(SIZE)))),
}
"""What reads them, and how they come into a run."""
