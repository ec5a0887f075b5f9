"""The environment check: sound environments pass, broken ones are refused with what is wrong with them."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from envs.catalog import OWN_ENVS
from envs.check import CLAIMS, check_env, is_third_party
from envs.trial import EnvFault
from tests.mutants import MUTANTS, Rolling
from train.__main__ import main

WRONG = {
    "NanAfter50Steps": r"observation of step \d+ has nan at \[0\]; expected finite",
    "InfiniteObservation": r"has inf at \[0\]",
    "OutsideTheSpace": "is outside of Box",
    "WrongDtype": "dtype float64; its space says .* float32",
    "WrongShape": r"step 1 has shape \(1, 3\)",
    "ListObservation": "is list .*; expected a numpy array",
    "ReusedArray": "step 0 changed after it was returned",
    "LendsItsState": "writing into the observations that it returned changes it",
    "TimeoutTerminates": "terminated at step 60, .* expected a time limit to set truncated",
    "NeverEnds": "goes on after 10,000 steps",
    "ResetsItself": "the observation is one of a start",
    "StepsBeforeReset": "steps before its first reset",
    "OwnGenerator": "played again after others goes another way",
    "GlobalNumpy": "goes another way|global generator",
    "SeedsGlobalNumpy": "another instance plays an episode otherwise",
    "GlobalRandom": "draws from the global generator of random",
    "SeedIgnored": "begin the same episode",
    "RewardArray": "reward of step 1 is ndarray .*; expected one real number",
    "RewardComplex": "reward of step 1 is complex",
    "RewardNan": r"reward of step \d+ is nan; expected a finite number",
    "RewardInfinite": r"reward of step \d+ is -inf",
    "TerminatedNumber": "terminated of step 1 is int 0; expected True or False",
    "InfoMissing": "info of step 1 is None.*; expected a dict",
    "ResetWithoutInfo": "reset returns ndarray .*; expected a tuple",
    "FourResults": "step 1 .* raises ValueError: not enough values",
    "ActionChanged": "changes the array of the action",
    "ActionRefused": "with action int64 .* raises KeyError",
    "LeaksAcrossResets": "expected reset to leave nothing behind",
    "SharedBetweenInstances": "another instance .* instances to share nothing",
    "NanBounds": "observation_space has bounds that are NaN",
}
SOUND = (
    *((env_id, {}) for env_id in OWN_ENVS),
    ("CartPole3D-v0", {"world": "batched"}),
    ("CartPole3D-v0", {"observation": "pixels", "world": "batched"}),
    ("DriveBot-v0", {"observation": "pixels"}),
    *((env_id, {}) for env_id in ("CartPole-v1", "Pendulum-v1", "MountainCar-v0", "Acrobot-v1", "FrozenLake-v1")),
)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_environment_is_refused_with_what_is_wrong(name: str):
    with pytest.raises(EnvFault, match=f"^environment '{name}-v0' cannot be trusted: .*{WRONG[name]}") as refusal:
        list(check_env(f"{name}-v0"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("env_id", "keywords"), [*SOUND, ("Rolling-v0", {})])
def test_a_sound_environment_passes_in_little_time(env_id: str, keywords: dict[str, Any]):
    if env_id.startswith("CartPole3D") and "world" not in keywords:
        pytest.importorskip("pybullet")
    began = time.process_time()
    assert len(list(check_env(env_id, keywords))) == len(CLAIMS)
    assert time.process_time() - began < 6  # 2 s at most where nobody else computes


def test_the_latest_taxi_passes():
    name = max(name for name in gym.registry if name.startswith("Taxi-v"))
    assert len(list(check_env(name))) == len(CLAIMS)


def test_a_check_leaves_the_global_generators_as_they_were():
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - what is not to be touched
    before = random.getstate(), np.random.get_state()[1].tobytes()  # noqa: NPY002 # pyright: ignore
    list(check_env("Rolling-v0"))
    with pytest.raises(EnvFault):
        list(check_env("GlobalRandom-v0"))
    assert before == (random.getstate(), np.random.get_state()[1].tobytes())  # noqa: NPY002 # pyright: ignore


def test_what_is_neither_ours_nor_gymnasiums_is_third_party():
    assert is_third_party(gym.spec("Rolling-v0"))
    gym.register("RollingByName-v0", "tests.mutants:Rolling")
    assert is_third_party(gym.spec("RollingByName-v0"))
    assert not any(is_third_party(gym.spec(env_id)) for env_id in ("CartPole-v1", "FrozenLake-v1", *OWN_ENVS))


SMALL = ["--steps", "4", "--seeds", "1", "--envs", "1", "--workers", "0", "--device", "cpu", "--run", "r"]


def test_nothing_is_trained_on_a_broken_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    broken = ["train", "random", "--env", "tests.mutants:RewardNan-v0", *SMALL]
    assert main(broken) == 2
    told = capfd.readouterr().err
    assert told.count("\n") == 1 and "reward of step" in told and list(tmp_path.iterdir()) == []
    assert main([*broken, "--no-check"]) == 0
    assert main(["train", "random", "--env", "tests.mutants:Rolling-v0", *SMALL]) == 0


def test_the_verb_tells_what_was_looked_at(capfd: pytest.CaptureFixture[str]):
    assert main(["check", "tests.mutants:Rolling-v0"]) == 0
    assert capfd.readouterr().out.count("ok  ") == len(CLAIMS)
    assert main(["check", "tests.mutants:SeedIgnored-v0"]) == 2
    told = capfd.readouterr()
    assert told.err.count("\n") == 1 and "begin the same episode" in told.err and "ok  " in told.out


def test_an_episode_may_be_longer_than_anybody_has_time_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("envs.check.MAX_STEPS", 300)
    gym.register("Patient-v0", "tests.mutants:NeverEnds", max_episode_steps=5000)
    assert len(list(check_env("Patient-v0"))) == len(CLAIMS)
    with pytest.raises(EnvFault, match="goes on after 300 steps, and no limit is registered"):
        list(check_env("NeverEnds-v0"))


def test_stepping_beyond_an_end_must_not_touch_the_next_episode():
    class Sulking(Rolling):
        """Stepped beyond its end, it shakes more from then on."""

        ended, factor = False, 1.0

        def reset(self, **kwargs: Any) -> Any:
            self.ended = False
            return super().reset(**kwargs)

        def step(self, action: Any) -> Any:
            self.factor = 1.5 if self.ended else self.factor
            result = super().step(action)
            self.ended = result[2]
            return result

        def drawn(self, count: int) -> Any:
            return super().drawn(count) * self.factor

    gym.register("Sulking-v0", lambda **_: Sulking(), max_episode_steps=200)
    with pytest.raises(EnvFault, match="goes another way"):
        list(check_env("Sulking-v0"))
