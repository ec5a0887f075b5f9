"""Kills, full disks and damaged checkpoints in small; the campaign of faults has thousands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.campaigns.faults import checkpoints, resumes, saves


def test_a_process_killed_while_it_saves_loses_nothing(tmp_path: Path):
    lost, stale = saves.killed_saves(tmp_path, 20)
    assert lost == [] and stale <= 1


def test_a_lost_checkpoint_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(saves, "_same", lambda found, expected: False)
    assert saves.killed_saves(tmp_path, 2)[0]


def test_a_full_disk_keeps_the_old_checkpoint_wherever_it_fills(tmp_path: Path):
    faults, trials = saves.full_disks(tmp_path, stride=7919)
    assert faults == [] and trials > 10


def test_damaged_checkpoints_are_refused_with_a_remedy_or_read_as_they_were(tmp_path: Path):
    checkpoints.make_checkpoints(tmp_path / "whole")
    found = [checkpoints.wrong(tmp_path, index) for index in range(100)]
    assert [fault for fault, _ in found if fault] == []
    told = [message for _, message in found if message]
    assert len(told) > 60 and all(map(checkpoints.is_helpful, told))


def test_a_damaged_checkpoint_that_loads_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    checkpoints.make_checkpoints(tmp_path / "whole")
    monkeypatch.setattr(checkpoints, "load_checkpoint", lambda path: checkpoints.contents(21))
    assert "another value" in checkpoints.wrong(tmp_path, 0)[0]
    monkeypatch.setattr(checkpoints, "load_checkpoint", lambda path: exec("1"))
    assert "code was run" in checkpoints.wrong(tmp_path, 0)[0]


def test_a_run_that_is_killed_and_resumed_ends_as_the_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    faults, doubled, kills = resumes.killed_run("qtable", 2)
    assert faults == [] and doubled == 0 and kills == 2


def test_runs_that_end_otherwise_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("one", "other")):
        assert resumes.in_child(f"{resumes.KILLED['qtable']} --seed {seed} --run {name}") == 0
    found = resumes.differences(Path("one"), Path("other"))
    assert "other: episodes.csv" in found and len(found) > 2
    assert resumes.rows_amiss(Path("one"), Path("other")) > 0


@pytest.mark.parametrize(
    ("agent", "env"),
    [
        ("sarsa", "GridWorld-v0"),
        ("naf", "Pendulum-v1"),
        ("ddpg", "CartPole3DContinuous-v0"),
        ("ucb", "GaussianBandit-v0"),
    ],
)
def test_a_run_resumed_at_a_random_step_goes_on_to_the_bit(
    agent: str, env: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert resumes.resumed_otherwise(agent, env, cut=int(np.random.default_rng(0).integers(20, 80))) == ""
