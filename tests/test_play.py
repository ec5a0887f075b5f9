"""Playing by hand: keys become actions, whole episodes become a run with a report; a script holds the keys."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from agents.base import Task
from eval.runs import RunConfig
from eval.tasks import action_table
from train.__main__ import main
from train.person import Person, Quit, play_by_hand

FIRST = np.ones((1, 1), bool)


def person(space: Any, held: Iterator[Collection[str]], idle: int | None = None, **table: Any) -> Person:
    names = action_table(space, table.get("names"), table.get("directions"))
    task = Task(observation_space=gym.spaces.Discrete(2), action_space=space, idle_action=idle)
    return Person(task, names, lambda: next(held))


def test_arrows_and_digits_are_actions_and_no_key_is_idleness():
    held = iter([{"left"}, {"up"}, set(), {"4"}, {"right", "left"}])
    someone = person(gym.spaces.Discrete(5, start=3), held, idle=0, names=("stop", "left", "forward", "jump", "right"))
    assert someone.keys == ["1", "left", "up", "4", "right"]
    found = [int(someone.act(np.zeros((1, 1)), FIRST, explore=False)[0, 0]) for _ in range(5)]
    assert found == [3 + 1, 3 + 2, 3 + 0, 3 + 3, 3 + 1]


def test_time_stands_still_where_no_action_does_nothing():
    someone = person(gym.spaces.Discrete(2), iter([set(), {"x"}, {"right"}]), names=("left", "right"))
    assert someone.act(np.zeros((1, 1)), FIRST, explore=False).tolist() == [[1]]


def test_keys_add_up_to_a_continuous_action_within_its_bounds():
    space = gym.spaces.Box(-1, 1, (2,), np.float32)
    directions = [[0.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [0.0, 0.5]]
    names = ("stop", "left", "right", "up", "down", "nudge")
    held = iter([set(), {"left", "up"}, {"up", "6"}])
    someone = person(space, held, names=names, directions=directions)
    found = [someone.act(np.zeros((1, 1)), FIRST, explore=False)[0, 0].tolist() for _ in range(3)]
    assert found == [[0, 0], [-1, 1], [0, 1]]


def test_only_whole_episodes_are_kept_when_the_person_quits():
    shown: list[Any] = []

    def keys(frame: Any) -> Collection[str]:
        shown.append(frame.shape)
        if len(shown) > 13:
            raise Quit
        return {"up"}

    evaluation = play_by_hand(RunConfig(agent="person", env="GridWorld-v0", env_args={"max_steps": 5}), 9, keys)
    (played,) = evaluation.modes["greedy"]
    assert [episode.length for episode in played] == [5, 5]
    assert [episode.info["reset_seed"] for episode in played] == [10_000_000, 10_000_001]
    assert len(set(shown)) == 1 and shown[0][1] >= 480


def test_what_was_played_becomes_a_run_with_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """In pygame's window without a screen, where a script presses the keys."""
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.chdir(tmp_path)
    real = pygame.event.get
    script = [pygame.event.Event(pygame.KEYDOWN, key=key) for key in (pygame.K_UP, pygame.K_LEFT)]
    monkeypatch.setattr(pygame.event, "get", lambda: [*real(), *script[:1]])
    line = "play GridWorld-v0 --env-args max_steps=4 --episodes 2 --fps 1000 --run r"
    assert main(shlex.split(line)) == 0
    report = json.loads(Path("r/eval/report.json").read_text())
    assert (report["agent"], report["modes"]["greedy"]["pooled"]["episodes"]) == ("person", 2)
    assert report["baselines"]["random"]["pooled"]["episodes"] == 2
    assert len(Path("r/episodes.csv").read_text().splitlines()) == 3
    assert main(["plot", "r"]) == 0
    escape = pygame.event.Event(pygame.KEYDOWN, key=pygame.K_ESCAPE)
    monkeypatch.setattr(pygame.event, "get", lambda: [escape])
    assert main(shlex.split(line)) == 0
    assert "nothing is kept" in capsys.readouterr().out and not Path("r-2").exists()


def test_without_a_display_there_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert main(["play", "GridWorld-v0"]) == 2
    assert capsys.readouterr().err.startswith("cartbot: there is no display")
