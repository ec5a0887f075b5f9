"""Rollout videos: frames go to the encoder one by one, and a file appears only when it is whole."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, cast

import imageio_ffmpeg
import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from eval.chosen import Choice, Player, action_text
from eval.images import captioned, tiled
from eval.runs import Run

Frame = NDArray[np.uint8]
SUFFIXES = (".mp4", ".gif")
HOLD = 0.6
"""Seconds that the last picture of an episode stays."""
GRID_WIDTH = 1280
"""Columns of pixels that a grid has, at most."""
LEAST_WIDTH = 320
"""Smaller pictures are enlarged to this, so that what is written below them has room."""
GIF_WIDTH, GIF_GRID_WIDTH = 360, 640
"""Columns of pixels of a GIF, whose size grows with them."""


def record(
    run: Run, choice: Choice, path: Path, *, checkpoint: int | None = None, seed: int = 0, grid: bool = False
) -> list[dict[str, Any]]:
    """Plays evaluation episodes of one seed of a run's agent greedily, into a video.

    Args:
        run: whose agent plays.
        choice: which episodes.
        path: .mp4 or .gif.
        checkpoint: step of the checkpoint; the newest by default.
        seed: which of the run's seeds plays.
        grid: side by side instead of one after the other.

    Returns:
        For each episode its number, length, return and success.

    Raises:
        ValueError: the file's suffix is neither .mp4 nor .gif, the environment draws no pictures, the run has no such
            seed or checkpoint, or there are no episodes as they are wished for.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} ends in {path.suffix!r}; expected {' or '.join(SUFFIXES)}")
    place = next(folder for folder in path.parents if folder.exists())
    if not place.is_dir():
        raise ValueError(f"cannot write {path}: {place} is no folder; choose another place with --out")
    player = Player(run, seed, checkpoint)
    numbers = player.choose(choice)
    columns = int(np.ceil(len(numbers) ** 0.5)) if grid else 1
    played: list[dict[str, Any]] = []
    tiles = [episode_frames(player, number, played, GRID_WIDTH // columns) for number in numbers]
    with ExitStack() as opened:
        for tile in tiles:
            opened.callback(tile.close)
        frames = side_by_side(tiles, columns) if grid else (frame for tile in tiles for frame in tile)
        write_video(frames, path, player.fps, gif_width=GIF_GRID_WIDTH if grid else GIF_WIDTH)
    return sorted(played, key=lambda episode: numbers.index(episode["episode"]))


def episode_frames(player: Player, number: int, played: list[dict[str, Any]], most_width: int) -> Generator[Frame]:
    """The pictures of one episode with what happens written below; at its end it is told to `played`."""
    config = player.run.config
    with player.envs(render_mode="rgb_array") as venv:
        watched = _Watched(venv)
        length, total = 0, 0.0
        for step in player.steps(cast(VectorEnv, watched), number, 1):
            reward = float(step.reward[0, 0])
            length, total = length + 1, total + reward
            value = player.agent.value(step.obs)
            ended = bool(step.terminated[0, 0] or step.truncated[0, 0])
            success = step.info.get("is_success") if ended else None
            ending = "" if not ended else "success" if success is not None and success[0] else "end"
            head = (f"{config.agent} seed {player.seed}", f"episode {number}", f"step {length}", ending)
            told = f"action {action_text(player.table, step.action[0, 0])}"
            line = (told, f"reward {reward:+.2f}", f"return {total:.1f}", "" if value is None else f"value {value:.1f}")
            frame = captioned(watched.frame, (head, line), LEAST_WIDTH, most_width)
            yield frame
            if not ended:
                continue
            outcome = None if success is None else bool(success[0])
            played.append({"episode": number, "length": length, "return": total, "success": outcome})
            for _ in range(round(player.fps * HOLD)):
                yield frame


def side_by_side(tiles: Sequence[Iterator[Frame]], columns: int) -> Iterator[Frame]:
    """Grids of what several iterators give at a time; one that has ended shows its last picture."""
    shown = [next(tile) for tile in tiles]
    going = [True] * len(tiles)
    while any(going):
        yield tiled(shown, columns=columns, gap=4)
        for index, tile in enumerate(tiles):
            if going[index]:
                frame = next(tile, None)
                going[index] = frame is not None
                shown[index] = shown[index] if frame is None else frame


class _Watched:
    """A vector environment of one column that keeps its picture after each step, before any reset."""

    def __init__(self, venv: Any):
        self._venv = venv
        self.frame: Frame = np.zeros((0, 0, 3), np.uint8)

    def step_wait(self) -> Any:
        result = self._venv.step_wait()
        frame = self._venv.render_column(0)
        if not isinstance(frame, np.ndarray) or frame.ndim != 3:
            raise ValueError("this environment draws no pictures (render_mode 'rgb_array')")
        self.frame = frame
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._venv, name)


def write_video(frames: Iterable[Frame], path: Path, fps: int, *, gif_width: int = GIF_WIDTH) -> None:
    """Encodes frames, uint8 [height, width, 3], to MP4 or GIF by the suffix of `path`.

    The file is written under another name and renamed when it is whole.
    """
    writing = path.with_name(f".{path.name}.writing{path.suffix}")
    gif = path.suffix.lower() == ".gif"
    encoder = None
    try:
        for frame in frames:
            frame = _even(np.ascontiguousarray(frame))
            if encoder is None:
                _make_place(writing)  # not before there is a picture to put there
                height, width = frame.shape[:2]
                options: dict[str, Any] = {"fps": fps, "macro_block_size": 1, "ffmpeg_log_level": "error"}
                if gif:
                    # A palette made from the frames themselves, and fewer of them, keep it small and clean.
                    shrink = f"fps={min(fps, 12)},scale={min(width, gif_width)}:-2:flags=lanczos,split[a][b]"
                    palette = "[a]palettegen=max_colors=48[p];[b][p]paletteuse=dither=none"
                    options |= {
                        "codec": "gif",
                        "pix_fmt_out": "pal8",
                        "output_params": ["-filter_complex", f"{shrink};{palette}"],
                    }
                else:
                    options |= {"codec": "libx264", "quality": 7}
                encoder = imageio_ffmpeg.write_frames(str(writing), (width, height), **options)
                encoder.send(None)
            encoder.send(frame.tobytes())
        if encoder is None:
            raise ValueError(f"nothing to write into {path}: there was no frame")
        encoder.close()
        encoder = None
        os.replace(writing, path)
    finally:
        if encoder is not None:
            encoder.close()
        with suppress(NotADirectoryError):
            writing.unlink(missing_ok=True)


def _make_place(path: Path) -> None:
    """An empty file: the encoder would say in many lines that it cannot write there.

    Raises:
        ValueError: nothing can.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise ValueError(
            f"cannot write into {path.parent}: {error.strerror}; choose another place with --out"
        ) from None


def _even(frame: Frame) -> Frame:
    """Video codecs want even sides."""
    height, width = frame.shape[:2]
    return np.ascontiguousarray(frame[: height - height % 2, : width - width % 2])
