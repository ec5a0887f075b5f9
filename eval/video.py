"""Rollout videos: frames go to the encoder one by one, and a file appears only when it is whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import imageio_ffmpeg
import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from eval.evaluation import restore_agent
from eval.loop import EVALUATION_SEED, Interaction
from eval.runs import Run
from eval.tasks import describe_task, make_envs

Frame = NDArray[np.uint8]
SUFFIXES = (".mp4", ".gif")
HOLD = 0.6
"""Seconds that the last picture of an episode stays."""
GIF_WIDTH = 400
"""Columns of a GIF, whose size grows with them."""


def record(
    run: Run, episodes: int, path: Path, *, checkpoint: int | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    """Plays evaluation episodes 0 ... `episodes` - 1 of one seed of a run's agent greedily, into a video.

    Returns:
        For each episode its number, length, return and success.

    Raises:
        ValueError: the file's suffix is neither .mp4 nor .gif, the environment draws no pictures, or the run has no
            such seed or checkpoint.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} ends in {path.suffix!r}; expected {' or '.join(SUFFIXES)}")
    if not 0 <= seed < run.config.seeds:
        raise ValueError(f"seed {seed} is not in the run; expected 0 to {run.config.seeds - 1}")
    played: list[dict[str, Any]] = []
    frames = rollout_frames(run, episodes, checkpoint, seed, played)
    first = next(frames)
    rate = run_fps(run)
    write_video(_chain(first, frames), path, rate)
    return played


def rollout_frames(
    run: Run, episodes: int, checkpoint: int | None, seed: int, played: list[dict[str, Any]]
) -> Iterator[Frame]:
    """The pictures of greedy episodes with action, reward and step written on them; fills `played` as they end."""
    config = run.config
    # One column per seed: the agent acts for all, and the chosen seed's is watched.
    venv = make_envs(config.env, config.seeds, env_args={**config.env_args, "render_mode": "rgb_array"}, workers=0)
    try:
        task, table = describe_task(config.env, venv)
        agent, _ = restore_agent(run, task, checkpoint)

        def episode_seed(column: int, episode: int) -> int | None:
            return EVALUATION_SEED + episode if episode < episodes else None

        hold = round(run_fps(run) * HOLD)
        length, total, number = 0, 0.0, 0
        watched = _Watched(venv, seed)
        interaction = Interaction(cast(VectorEnv, watched), agent, config.seeds, episode_seed, explore=False)
        for step in interaction:
            if not step.running[seed, 0]:
                return
            length += 1
            total += float(step.reward[seed, 0])
            action = int(table.index(step.action[seed, 0]))
            ended = bool(step.terminated[seed, 0] or step.truncated[seed, 0])
            place = f"{config.agent} seed {seed}  episode {number}  step {length}"
            text = f"{place}  {table.names[action]}  return {total:.1f}"
            frame = _captioned(watched.frame, text)
            yield frame
            if ended:
                success = step.info.get("is_success")
                played.append(
                    {
                        "episode": number,
                        "length": length,
                        "return": total,
                        "success": None if success is None else bool(success[seed]),
                    }
                )
                for _ in range(hold):
                    yield frame
                length, total, number = 0, 0.0, number + 1
                if number >= episodes:
                    return
    finally:
        venv.close()


class _Watched:
    """A vector environment that keeps the picture of one column after each step, before any reset."""

    def __init__(self, venv: Any, column: int):
        self._venv, self._column = venv, column
        self.frame: Frame = np.zeros((0, 0, 3), np.uint8)

    def step_wait(self) -> Any:
        result = self._venv.step_wait()
        frame = self._venv.render_column(self._column)
        if not isinstance(frame, np.ndarray) or frame.ndim != 3:
            raise ValueError("this environment draws no pictures (render_mode 'rgb_array')")
        self.frame = frame
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._venv, name)


def run_fps(run: Run) -> int:
    """Pictures a second that the environment asks for; 30 where it does not."""
    venv = make_envs(run.config.env, 1, env_args=run.config.env_args, workers=0)
    try:
        return int(venv.metadata.get("render_fps") or 30)
    finally:
        venv.close()


def write_video(frames: Iterable[Frame], path: Path, fps: int) -> None:
    """Encodes frames, uint8 [height, width, 3], to MP4 or GIF by the suffix of `path`.

    The file is written under another name and renamed when it is whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    writing = path.with_name(f".{path.name}.writing{path.suffix}")
    gif = path.suffix.lower() == ".gif"
    encoder = None
    try:
        for frame in frames:
            frame = _even(np.ascontiguousarray(frame))
            if encoder is None:
                height, width = frame.shape[:2]
                options: dict[str, Any] = {"fps": fps, "macro_block_size": 1, "ffmpeg_log_level": "error"}
                if gif:
                    # A palette made from the frames themselves, and fewer of them, keep it small and clean.
                    shrink = f"fps={min(fps, 15)},scale={min(width, GIF_WIDTH)}:-2:flags=lanczos,split[a][b]"
                    palette = "[a]palettegen=max_colors=96[p];[b][p]paletteuse=dither=none"
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
        writing.unlink(missing_ok=True)


def _captioned(frame: Frame, text: str) -> Frame:
    """A frame, enlarged if it is small, with a line of text below it."""
    image = Image.fromarray(frame)
    if image.width < 320:
        factor = -(-320 // image.width)
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    bar = 22
    canvas = Image.new("RGB", (image.width, image.height + bar), (30, 41, 59))
    canvas.paste(image, (0, 0))
    font = ImageFont.load_default(size=12)
    ImageDraw.Draw(canvas).text((8, image.height + 4), text, fill=(226, 232, 240), font=font)
    return np.asarray(canvas, np.uint8)


def _even(frame: Frame) -> Frame:
    """Video codecs want even sides."""
    height, width = frame.shape[:2]
    return np.ascontiguousarray(frame[: height - height % 2, : width - width % 2])


def _chain(first: Frame, rest: Iterator[Frame]) -> Iterator[Frame]:
    yield first
    yield from rest
