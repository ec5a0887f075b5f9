"""Logs with accidents in them: nothing that reads them crashes. The campaign of faults has a thousand more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.campaigns.faults import damaged_logs
from tests.damage import damaged


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damage")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        damaged_logs.make_run()
    return folder


@pytest.mark.parametrize("name", damaged_logs.READERS)
def test_damaged_logs_crash_nothing(name: str, place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(place)
    first = list(damaged_logs.READERS).index(name)
    for index in range(first, first + 6 * len(damaged_logs.READERS), len(damaged_logs.READERS)):
        assert list(damaged_logs.crashes(index)) == []


def test_a_crash_is_found(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr("eval.compare._check_form", lambda *args: None)
    monkeypatch.setattr("tests.campaigns.faults.damaged_logs.damaged", lambda data, rng: b'{"modes": 5}')
    assert "TypeError" in next(damaged_logs.crashes(3))


def test_accidents_change_files_in_every_way():
    text = b"seed,step\n0,1\n1,2\n"
    found = {damaged(text, np.random.default_rng(seed)) for seed in range(300)}
    assert b"" in found and b"seed,step\n0,1\n" in found and b"seed,step\n0,1\n0,1\n1,2\n" in found
    assert any(b"\xff\xfe" in one for one in found) and len(found) > 100
