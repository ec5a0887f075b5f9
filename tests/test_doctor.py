"""`cartbot doctor`: it passes here, its checks can fail, and one that fails does not hide those after it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from train import health
from train.__main__ import main
from train.health import CHECKS, Skipped, Unsound


def doctor(capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = main(["doctor"])
    told = capfd.readouterr()
    return status, told.out, told.err


def test_everything_is_sound_here(capfd: pytest.CaptureFixture[str]):
    status, told, mistakes = doctor(capfd)
    assert (status, mistakes) == (0, "")
    for name in CHECKS:
        assert f"│ {name} " in told
    assert "FAILED" not in told


def test_without_bullet_the_rest_is_looked_at(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    monkeypatch.setitem(sys.modules, "pybullet", None)  # an import of it fails
    monkeypatch.setattr(health, "_has_bullet", lambda: False)
    monkeypatch.setitem(CHECKS, "worker processes", lambda: "not now")
    status, told, _ = doctor(capfd)
    assert status == 0 and told.count("skipped") == 3 and "world=batched does without" in told


def test_one_that_fails_hides_none_after_it(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    def raising(error: Exception) -> Callable[[], str]:
        def check() -> str:
            raise error

        return check

    checks = {
        "sky": raising(Unsound("the sky [is] green;\nexpected blue")),
        "sums": raising(ZeroDivisionError("nothing there")),
        "moon": raising(Skipped("no reason")),
        "sun": lambda: "it shines",
    }
    monkeypatch.setattr(health, "CHECKS", checks)
    status, told, mistakes = doctor(capfd)
    assert status == 1
    assert mistakes == "cartbot: 2 of 4 checks failed: sky, sums\n"
    for words in ("the sky [is] green; expected blue", "ZeroDivisionError: nothing there", "no reason", "it shines"):
        assert words in told


def test_a_pole_that_falls_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health, "UPRIGHT_STEPS", 201)
    make = health.gym.make
    monkeypatch.setattr(health.gym, "make", lambda *args, **keywords: make(*args, **{**keywords, "push_force": 90.0}))
    with pytest.raises(Unsound, match="the pole fell at step"):
        health.check_batched_balance()


def test_a_world_that_is_not_restored_is_found(monkeypatch: pytest.MonkeyPatch):
    make, rng = health.gym.make, np.random.default_rng(0)

    def forgetful(*args: Any, **keywords: Any) -> Any:
        env: Any = make(*args, **keywords)
        reset = env.reset
        env.reset = lambda seed: reset(seed=int(rng.integers(1000)))
        return env

    monkeypatch.setattr(health.gym, "make", forgetful)
    with pytest.raises(Unsound, match="played again from its seed differs"):
        health.check_batched_restore()


def test_wrong_tables_sonars_pictures_and_versions_are_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health, "BEST_VALUES", (22.2, *health.BEST_VALUES[1:]))
    with pytest.raises(Unsound, match=r"best policy are 0\.2\d off"):
        health.check_gridworld()
    monkeypatch.setattr("envs.sonar_rays.brute_force", lambda track, apex, *rest: np.full(len(apex), 1.0))
    with pytest.raises(Unsound, match="mm off 1,000 rays"):
        health.check_sonars()
    with pytest.raises(Unsound, match="it is blank: all of it is 7"):
        health._look_at(np.full((3, 4, 3), 7, np.uint8), "it")
    monkeypatch.setattr(health, "requires", lambda name: ["numpy<1", "torch", "nowhere-to-be-found>=2"])
    with pytest.raises(Unsound, match=r"numpy is \S+, expected <1; nowhere-to-be-found is absent, expected >=2: pip"):
        health.check_versions()
