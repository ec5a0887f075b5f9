"""Videos: which episodes are chosen, what is written on them, flat memory, and no broken file."""

from __future__ import annotations

import shlex
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest

from eval.chosen import Choice, Player, chosen
from eval.episodes import Episode
from eval.images import LINE_HEIGHT, captioned, tiled
from eval.loop import EVALUATION_SEED
from eval.runs import find_run
from eval.video import record, side_by_side, write_video
from train.__main__ import main


def episode(number: int, total: float, push: float | None = None) -> Episode:
    info: dict[str, Any] = {"reset_seed": EVALUATION_SEED + number}
    if push is not None:
        info["push_direction"] = np.deg2rad(push)
    return Episode(
        seed=0,
        number=number,
        end_step=0,
        length=1,
        total_reward=total,
        discounted_return=total,
        terminated=True,
        action_counts=(1,),
        info=info,
    )


RETURNS = [5.0, 9.0, 1.0, 7.0, 3.0, 9.0, 6.0]


@pytest.mark.parametrize(
    ("pick", "expected"), [("best", [9.0, 9.0, 7.0]), ("median", [7.0, 6.0, 5.0]), ("worst", [1.0, 3.0, 5.0])]
)
def test_episodes_are_picked_by_their_return(pick: Any, expected: list[float]):
    played = [episode(number, total) for number, total in enumerate(RETURNS)]
    assert [one.total_reward for one in chosen(played, Choice(episodes=3, pick=pick))] == expected


@pytest.mark.parametrize(("push", "expected"), [(90, [1, 3]), (-5, [0, 2]), (355, [0, 2]), (539, [4, 3])])
def test_a_push_is_matched_around_the_circle(push: float, expected: list[int]):
    played = [episode(number, 0.0, angle) for number, angle in enumerate([357, 80, 10, 130, 190])]
    assert [one.number for one in chosen(played, Choice(episodes=2, push=push))] == expected


def test_a_push_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="do not open with a push"):
        chosen([episode(0, 1.0)], Choice(episodes=1, push=10))


@pytest.mark.parametrize(
    "wishes",
    [{"pick": "best", "start": 3}, {"push": 1.0, "pick": "best"}, {"start": -1}, {"push": float("nan")},
     {"pick": "best", "episodes": 9, "among": 8}],
)  # fmt: skip
def test_wishes_that_contradict_are_refused(wishes: dict[str, Any]):
    with pytest.raises(ValueError, match="expected"):
        Choice(**wishes)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drive-bot of three seeds that has hardly learnt."""
    folder = tmp_path_factory.mktemp("driver") / "run"
    line = (
        "train dqn --env DriveBot-v0 --env-args max_steps=8 --seeds 3 --envs 1 --workers 0 --device cpu --hidden 4 "
        f"--steps 60 --learning-starts 20 --batch-size 4 --memory-size 50 --run {folder}"
    )
    assert main(shlex.split(line)) == 0
    return folder


def returns_of(player: Player, numbers: list[int]) -> list[float]:
    totals = []
    with player.envs() as venv:
        for number in numbers:
            totals.append(sum(float(step.reward[0, 0]) for step in player.steps(venv, number, 1)))
    return totals


def test_a_chosen_episode_is_shown_as_it_was_played(driver: Path, tmp_path: Path):
    player = Player(find_run(str(driver)), seed=1)
    all_returns = returns_of(player, list(range(6)))
    best = Choice(episodes=2, pick="best", among=6)
    assert returns_of(player, player.choose(best)) == sorted(all_returns, reverse=True)[:2]
    played = record(find_run(str(driver)), best, tmp_path / "v.mp4", seed=1)
    assert [one["return"] for one in played] == sorted(all_returns, reverse=True)[:2]
    assert [one["episode"] for one in played] == player.choose(best)
    (again,) = record(find_run(str(driver)), Choice(episodes=1, start=5), tmp_path / "w.mp4", seed=1)
    assert (again["episode"], again["return"]) == (5, all_returns[5])


def frames_in(path: Path) -> tuple[int, tuple[int, int]]:
    reader = imageio_ffmpeg.read_frames(str(path))
    size = next(reader)["size"]
    return sum(1 for _ in reader), size


def test_a_grid_shows_all_at_once(driver: Path, tmp_path: Path):
    run = find_run(str(driver))
    played = record(run, Choice(episodes=3), tmp_path / "row.mp4")
    record(run, Choice(episodes=3), tmp_path / "grid.mp4", grid=True)
    (one_by_one, (width, _)), (at_once, (grid_width, _)) = (
        frames_in(tmp_path / name) for name in ("row.mp4", "grid.mp4")
    )
    lengths = [episode["length"] for episode in played]
    hold = one_by_one - sum(lengths)
    assert hold % 3 == 0 and at_once == max(lengths) + hold // 3
    assert grid_width > width


def test_memory_stays_flat_however_long_the_video_is(driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    alive, most = weakref.WeakSet(), []

    class Frame(np.ndarray):
        __hash__ = object.__hash__  # pyright: ignore[reportAssignmentType]

    def counted(*args: Any) -> Any:
        frame = captioned(*args).view(Frame)
        alive.add(frame)
        most.append(len(alive))
        return frame

    monkeypatch.setattr("eval.video.captioned", counted)
    record(find_run(str(driver)), Choice(episodes=4), tmp_path / "v.mp4", grid=True)
    assert len(most) > 20 and max(most) <= 2 * 4


def test_what_fails_on_the_way_leaves_no_file(tmp_path: Path):
    (tmp_path / "v.mp4").write_bytes(b"an older one")

    def frames() -> Iterator[np.ndarray]:
        for _ in range(5):
            yield np.zeros((32, 48, 3), np.uint8)
        raise RuntimeError("the simulator broke")

    with pytest.raises(RuntimeError, match="broke"):
        write_video(frames(), tmp_path / "v.mp4", 30)
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]
    assert (tmp_path / "v.mp4").read_bytes() == b"an older one"


def test_a_tile_that_has_ended_keeps_its_last_picture():
    def tile(values: list[int]) -> Iterator[np.ndarray]:
        return iter([np.full((1, 1, 3), value, np.uint8) for value in values])

    grids = list(side_by_side([tile([1, 2]), tile([5, 6, 7, 8])], 2))
    seen = [(grid[0, 0, 0], grid[0, -1, 0]) for grid in grids]
    assert seen == [(1, 5), (2, 6), (2, 7), (2, 8)]


def test_tiles_stand_row_by_row():
    pictures = [np.full((2, 3, 3), value, np.uint8) for value in (1, 2, 3, 4, 5)]
    grid = tiled(pictures, columns=3, scale=2, gap=1)
    assert grid.shape == (2 * 4 + 1, 3 * 6 + 2, 3)
    assert [int(grid[top, left, 0]) for top in (0, 5) for left in (0, 7, 14)] == [1, 2, 3, 4, 5, 0]


@pytest.mark.parametrize("width", [320, 640])
def test_words_of_a_caption_do_not_run_into_each_other(width: int):
    """Between any two words there are columns without ink."""
    words = ("action forward", "reward -1.00", "return 1000.0", "value -123.4")
    picture = captioned(np.zeros((10, width, 3), np.uint8), (words, words), width, width)
    assert picture.shape == (10 + 2 * LINE_HEIGHT + 4, width, 3)
    band = picture[10 : 10 + LINE_HEIGHT].astype(int)
    ink = np.abs(band - band[0, 0]).sum(-1).max(0) > 60
    for column in (1, 2, 3):
        start = 8 + round(column * (width - 8) / 4)
        assert not ink[start - 5 : start].any() and ink[start : start + 12].any()
    assert not ink[-3:].any()


def test_small_pictures_grow_and_large_ones_shrink():
    assert captioned(np.zeros((50, 50, 3), np.uint8), (("a",),), 320, 1280).shape[:2] == (350 + LINE_HEIGHT + 4, 350)
    assert captioned(np.zeros((480, 640, 3), np.uint8), (), 320, 400).shape[:2] == (300 + 4, 400)
