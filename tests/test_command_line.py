"""The command line: every verb on a tiny run, mistakes in one line, signals, and resuming to the bit."""

import copy
import csv
import json
import multiprocessing
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.registry import AGENTS
from eval.checkpoint import list_checkpoints, load_checkpoint, newest_checkpoint, save_checkpoint
from tests.bad_input import BAD_CONFIGS, BAD_LINES
from tests.helpers import flat_state
from train import trainer
from train.__main__ import main
from train.verbs import VERBS

ROOT = Path(__file__).resolve().parents[1]
SMALL = "--seeds 2 --envs 2 --workers 0 --device cpu --learning-starts 40 --batch-size 8 --memory-size 300 --hidden 8"
"""A run that learns within a few steps."""
TRAIN = f"train dqn --env CartPole-v1 {SMALL}"
RENDERED = (
    "train dqn --env CartPole3D-v0 --env-args max_steps=4 --steps 12 --seeds 2 --envs 1 --workers 0 --device cpu "
    "--learning-starts 4 --batch-size 4 --memory-size 50 --hidden 4"
)


def cartbot(line: str | Sequence[str]) -> int:
    return main(shlex.split(line) if isinstance(line, str) else line)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 400 steps with checkpoints of steps 200 and 400. Tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert cartbot(f"{TRAIN} --steps 400 --checkpoint-interval 200 --run {folder}") == 0
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A copy of that run, as runs/tiny of the current folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "runs/tiny")
    return "runs/tiny"


def rows(path: str | Path, without: Sequence[str] = ()) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return [{key: value for key, value in row.items() if key not in without} for row in csv.DictReader(file)]


def test_tensorboard_shows_what_metrics_csv_holds(run: str):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(f"{run}/tensorboard", size_guidance={"scalars": 0}).Reload()
    metrics = rows(f"{run}/metrics.csv")
    for name in ("return", "loss", "share:left"):
        for seed in ("0", "1"):
            written = [
                (int(row["step"]), pytest.approx(float(row[name]), rel=1e-5))
                for row in metrics
                if row["seed"] == seed and row[name]
            ]
            assert len(written) > 10
            shown = board.Scalars(f"{name.replace(':', '/')}/seed{seed}")
            assert [(scalar.step, scalar.value) for scalar in shown] == written


def test_train_makes_a_whole_run_folder(run: str, capfd: pytest.CaptureFixture[str]):
    config = json.loads(Path(run, "config.json").read_text())
    assert (config["agent"], config["env"], config["steps"], config["seeds"], config["envs"]) == (
        ("dqn", "CartPole-v1", 400, 2, 2)
    )
    assert config["agent_args"]["hidden"] == [8] and len(config["agent_args"]) > 15
    assert {"seed", "device", "device_reason", "versions", "git", "command", "started"} <= set(config)
    assert [int(path.name) for path in list_checkpoints(Path(run, "checkpoints"))] == [200, 400]
    episodes = rows(f"{run}/episodes.csv")
    assert {row["seed"] for row in episodes} == {"0", "1"}
    for row in episodes:
        assert int(row["action:left"]) + int(row["action:right"]) == int(row["length"]) == float(row["return"])
    # Every step of a seed belongs to one of its finished episodes, or to one of those in progress.
    for seed in ("0", "1"):
        assert 0 <= 400 - sum(int(row["length"]) for row in episodes if row["seed"] == seed) < 200
        assert [int(row["episode"]) for row in episodes if row["seed"] == seed] == list(
            range(sum(row["seed"] == seed for row in episodes))
        )
    metrics = rows(f"{run}/metrics.csv")
    assert {(row["step"], row["seed"]) for row in metrics} >= {("400", "0"), ("400", "1")}
    learnt = [row for row in metrics if row["loss"]]  # rows are written more often than it learns here
    assert len(learnt) > 50 and float(learnt[-1]["loss"]) > 0 and float(learnt[-1]["updates"]) == (400 - 40) // 4 - 1


def test_a_second_run_of_a_name_gets_its_own_folder(run: str, capfd: pytest.CaptureFixture[str]):
    before = {path: path.read_bytes() for path in Path(run).rglob("*") if path.is_file()}
    assert cartbot(f"{TRAIN} --steps 20 --run {run}") == 0
    assert "runs/tiny-2" in capfd.readouterr().out
    assert sorted(os.listdir("runs")) == ["tiny", "tiny-2"]
    assert before == {path: path.read_bytes() for path in Path(run).rglob("*") if path.is_file()}


def test_without_a_name_a_run_is_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert cartbot(f"{TRAIN} --steps 80") == 0
    (name,) = os.listdir("runs")
    assert name.startswith("CartPole-v1-dqn-")
    assert cartbot("plot latest") == 0
    assert Path("runs", name, "plots", "learning-curve.png").stat().st_size > 0


def test_eval_writes_the_report(run: str, capfd: pytest.CaptureFixture[str]):
    assert cartbot(f"eval {run} --episodes 3") == 0
    told = capfd.readouterr().out
    assert "[left, +1]" in told or "[right, +1]" in told
    report = json.loads(Path(run, "eval/report.json").read_text())
    assert (report["env"], report["episodes_per_seed"], report["checkpoint_step"]) == ("CartPole-v1", 3, 400)
    assert report["modes"]["greedy"]["pooled"]["episodes"] == 6
    assert report["modes"]["stochastic"]["seeds"][1]["episodes"] == 3
    assert report["baselines"]["random"]["pooled"]["episodes"] == 3
    assert Path(run, "eval/report.md").read_text().startswith("# dqn")
    played = rows(f"{run}/eval/episodes.csv")
    for mode in ("greedy", "stochastic", "baseline random"):
        for seed in ("0", "1") if mode in report["modes"] else ("0",):
            reset_seeds = [row["reset_seed"] for row in played if row["mode"] == mode and row["seed"] == seed]
            assert reset_seeds == ["10000000", "10000001", "10000002"]


def test_eval_of_an_earlier_checkpoint_and_again_is_the_same(run: str):
    reports = []
    for workers in ("0", "2"):
        assert cartbot(f"eval {run} --episodes 2 --checkpoint 200 --workers {workers}") == 0
        reports.append(Path(run, "eval/report.json").read_text())
    assert reports[0] == reports[1]
    assert json.loads(reports[0])["checkpoint_step"] == 200


def test_plot_draws_each_run_and_both_together(run: str):
    shutil.copytree(run, "runs/other")
    assert cartbot(f"plot {run}") == 0
    assert {path.name for path in Path(run, "plots").iterdir()} == {"learning-curve.png", "action-proportions.png"}
    assert cartbot(f"plot {run} runs/other --out new/both.svg") == 0
    assert b"<svg" in Path("new/both.svg").read_bytes()
    with open(f"{run}/episodes.csv", "a") as file:
        file.write("0,99,4")  # half a row, as a full disk leaves it
    assert cartbot(f"plot {run}") == 0


def test_list_tells_agents_and_environments(capfd: pytest.CaptureFixture[str]):
    assert cartbot("list") == 0
    told = capfd.readouterr().out
    for word in (*AGENTS, "CartPole3D-v0", "CartPole-v1"):
        assert word in told


def test_record_makes_videos_of_both_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    pytest.importorskip("pybullet")
    monkeypatch.chdir(tmp_path)
    assert cartbot(f"{RENDERED} --run r") == 0
    for out, start in (("v/one.mp4", b"ftyp"), ("v/one.gif", b"GIF8")):
        assert cartbot(f"record r --episodes 1 --seed 1 --out {out}") == 0
        data = Path(out).read_bytes()
        assert len(data) > 1000 and start in data[:16]
    assert sorted(os.listdir("v")) == ["one.gif", "one.mp4"]
    for _ in range(2):
        assert cartbot("record r --episodes 1") == 0
    assert sorted(os.listdir("videos")) == ["r-2.mp4", "r.mp4"]
    assert re.search(r"episode 0: [34] steps", capfd.readouterr().out)  # 4 is the limit


def test_a_renderer_that_is_not_installed_is_told_in_one_line(
    run: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "pygame", None)  # an import of it fails
    assert "pygame is not installed" in mistake(f"record {run} --episodes 1", capfd)


def assert_same_run(one: str | Path, two: str | Path) -> None:
    """Two runs ended alike to the bit, but for the time they took."""
    assert rows(f"{one}/metrics.csv", without=["seconds"]) == rows(f"{two}/metrics.csv", without=["seconds"])
    assert Path(one, "episodes.csv").read_bytes() == Path(two, "episodes.csv").read_bytes()
    states = []
    for folder in (one, two):
        state = load_checkpoint(newest_checkpoint(Path(folder, "checkpoints")))
        states.append(flat_state({key: value for key, value in state.items() if key not in ("seconds", "log")}))
    assert states[0].keys() == states[1].keys()
    assert {"/agent/params/q.0.weight", "/agent/updates", "/step"} <= states[0].keys()
    for key, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][key], err_msg=key)


LOGGED_NOW_AND_THEN = "--checkpoint-interval 3000"
"""Figures are written every 30 steps, so that a run is also cut between two rows."""


def test_a_resumed_run_ends_as_the_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert cartbot(f"{TRAIN} {LOGGED_NOW_AND_THEN} --steps 640 --run whole") == 0
    assert cartbot(f"{TRAIN} {LOGGED_NOW_AND_THEN} --steps 130 --run parts") == 0
    # Rows after the checkpoint, as a kill leaves them, are forgotten.
    for name in ("metrics.csv", "episodes.csv"):
        with open(f"parts/{name}", "a") as file:
            file.write("0,1,2,3\r\n0,1")
    assert cartbot("resume parts --steps 366") == 0
    assert cartbot("resume parts --steps 640") == 0
    assert_same_run("whole", "parts")
    assert len(rows("whole/episodes.csv")) > 20


def test_other_random_numbers_make_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        assert cartbot(f"{TRAIN} --steps 60 --seed {seed} --run r{seed}") == 0
    with pytest.raises(AssertionError):
        assert_same_run("r0", "r1")


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_everything_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, status: int
):
    monkeypatch.chdir(tmp_path)
    line = f"{TRAIN} --checkpoint-interval 200 --run stopped --steps 1000000"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "train", *shlex.split(line)], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 120
        while not list_checkpoints(tmp_path / "stopped" / "checkpoints") and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        _, told = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == status, told
    reached = int(newest_checkpoint(tmp_path / "stopped" / "checkpoints").name)
    assert told == f"cartbot: stopped by {number.name} at step {reached:,}; everything up to there is saved\n"
    total = reached + 60
    assert cartbot(f"resume stopped --steps {total}") == 0
    assert cartbot(f"{TRAIN} --checkpoint-interval 200 --run whole --steps {total}") == 0
    assert_same_run("whole", "stopped")


def test_a_signal_during_a_save_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It comes when the step has been looked at already, so that the next one stops the run."""
    monkeypatch.chdir(tmp_path)
    save, before = trainer.save_checkpoint, signal.getsignal(signal.SIGINT)

    def interrupted(*args: Any) -> Path:
        if args[1] == 20:
            signal.raise_signal(signal.SIGINT)
        return save(*args)

    monkeypatch.setattr(trainer, "save_checkpoint", interrupted)
    assert cartbot(f"{TRAIN} --checkpoint-interval 20 --steps 100 --run r") == 130
    assert int(newest_checkpoint(Path("r/checkpoints")).name) == 22
    assert signal.getsignal(signal.SIGINT) is before
    assert cartbot("resume r") == 0
    assert int(newest_checkpoint(Path("r/checkpoints")).name) == 100


def test_a_config_file_sets_anything_and_flags_override_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("settings.toml").write_text(
        'env = "CartPole-v1"\nsteps = 12\nseeds = 3\nenvs = 2\nworkers = 0\ndevice = "cpu"\nrun = "mine"\n'
        'checkpoint-interval = 6\nlr = 0.25\ngamma = 1\nhidden = [4, 3]\ndouble = false\nexploration = "rho"\n'
        "memory_size = 100\nenv_args = {sutton_barto_reward = false, max_episode_steps = 7}\n"
    )
    assert cartbot("train dqn --config settings.toml --seeds 1 --hidden 5 --env-args max_episode_steps=5") == 0
    config = json.loads(Path("mine/config.json").read_text())
    assert (config["steps"], config["seeds"], config["envs"], config["checkpoint_interval"]) == (12, 1, 2, 6)
    assert config["env_args"] == {"sutton_barto_reward": False, "max_episode_steps": 5}
    args = config["agent_args"]
    assert (args["lr"], args["gamma"], args["hidden"], args["double"]) == (0.25, 1.0, [5], False)
    assert (args["exploration"], args["memory_size"]) == ("rho", 100)


def test_an_environment_of_any_module_is_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for env in ("tests.broken_env:Broken-v0", "envs:GridWorld-v0"):
        assert cartbot(f"train dqn --env {env} --steps 6 {SMALL}") == 0
        assert json.loads(Path("runs", os.listdir("runs")[0], "config.json").read_text())["env"] == env
        shutil.rmtree("runs")


def test_a_nan_ends_a_run_without_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    # A word in quotes: the bare one is the number, as TOML has it.
    trouble = """--env-args 'trouble="nan"'"""
    assert cartbot(f"train dqn --env tests.broken_env:Broken-v0 {trouble} --no-check --steps 50 --run r {SMALL}") == 1
    told = capfd.readouterr().err
    assert told.count("\n") == 1 and "observation of seed 0, column 0 is not finite" in told
    assert list_checkpoints(Path("r/checkpoints")) == []


@pytest.mark.parametrize(
    ("trouble", "cause"), [("raise", "KeyError: 'no such gear'"), ("die", "a worker process died with exit code -9")]
)
def test_what_ends_a_worker_is_the_last_thing_on_stderr(
    trouble: str, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    args = f"""--env-args 'trouble="{trouble}"' everywhere=true --workers 2 --no-check"""
    assert cartbot(f"train random --env tests.broken_env:Broken-v0 {args} --seeds 2 --envs 2 --steps 50 --run r") == 1
    assert capfd.readouterr().err.splitlines()[-1].endswith(cause)
    assert not multiprocessing.active_children()


def test_help_tells_everything_without_importing_torch(tmp_path: Path):
    """Of every verb and every agent; a mistake on the command line does not wait for it either."""
    script = """
import sys
from agents.registry import AGENTS
from train import trainer
from train.__main__ import main
from train.verbs import VERBS
lines = [["--help"], *([verb, "--help"] for verb in VERBS), *(["train", agent, "--help"] for agent in AGENTS)]
for line in lines:
    assert main(line) == 0, line
    assert "torch" not in sys.modules, line
for line in (["trian"], ["train", "dqnn"], ["train", "dqn", "--env", "X-v0", "--gama", "1"], ["eval"], ["plot"]):
    assert main(line) == 2, line
    assert "torch" not in sys.modules, line
print("reached the end")
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("reached the end\n")
    assert done.stderr.count("\n") == 5 and "Traceback" not in done.stderr
    for flag in ("--steps", "--env-args", "--episodes", "--out", "--gamma", "--checkpoint", "--config"):
        assert flag in done.stdout
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("verb", [*VERBS, *(f"train {name}" for name in AGENTS)])
def test_help_explains_each_field_with_its_default(verb: str, capfd: pytest.CaptureFixture[str]):
    assert cartbot(f"{verb} --help") == 0
    told, mistakes = capfd.readouterr()
    assert f"usage: cartbot {verb}" in told and not mistakes
    if verb == "train dqn":
        words = " ".join(told.replace("│", " ").split())
        assert "default: 0.99" in words and "Discount per environment step" in words


def mistake(line: str | Sequence[str], capfd: pytest.CaptureFixture[str]) -> str:
    """The one line that a mistake is told in; nothing else may come of it."""
    before = sorted(os.listdir())
    capfd.readouterr()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        status = cartbot(line)
    told = capfd.readouterr()
    assert status == 2
    assert told.err.startswith("cartbot: ") and told.err.count("\n") == 1 and told.err.endswith("\n")
    assert len(told.err) > len("cartbot: \n") + 8
    assert "Traceback" not in told.err + told.out
    assert not warned
    assert sorted(os.listdir()) == before
    return told.err


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_bad_command_line_is_told_in_one_line_and_leaves_nothing(
    trained: Path, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    before = sorted(trained.rglob("*"))
    mistake(line.replace("RUN", str(trained)), capfd)
    assert sorted(trained.rglob("*")) == before


@pytest.mark.parametrize("text", BAD_CONFIGS, ids=lambda text: repr(text[:20]))
def test_a_bad_config_file_is_told_in_one_line_and_leaves_nothing(
    text: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_bytes(text)
    env = "" if text.startswith(b"env =") else "--env CartPole-v1"
    told = mistake(f"train dqn --config bad.toml {env}", capfd)
    assert "bad.toml" in told or "foo" in told


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("trian dqn", "did you mean 'train'?"),
        ("train dqnn --env CartPole-v1", "did you mean 'dqn'?"),
        ("train dqn --env CartPol3D-v0", "CartPole3D"),
        ("train dqn --env CartPole-v1 --stpes 5", "did you mean --steps?"),
        ("train dqn --env CartPole-v1 --gama 0.9", "did you mean --gamma?"),
        ("train dqn --env CartPole-v1 --checkpoint_intervall=5", "did you mean --checkpoint-interval?"),
        ("train dqn --env CartPole-v1 --device cdua", "did you mean 'cuda'?"),
        ("train dqn --env CartPole-v1 --env-args sutton_barto_rewards=true", "did you mean 'sutton_barto_reward'?"),
        ("train dqn --env CartPole3D-v0 --env-args observations=pixels", "did you mean 'observation'?"),
        ("train dqn --env tests.broken_env:Broken-v0 --env-args truoble=nan", "did you mean 'trouble'?"),
        ("train dqn --config bad.toml", "did you mean 'steps'?"),
        ("train dqn --env Pendulum-v1", "expected Discrete; see cartbot list"),
        ("eval RUN --epsiodes 3", "did you mean --episodes?"),
        ("eval RUN --checkpoint 7", "expected one of: 200, 400"),
        ("record RUN --out x.avi", "expected .mp4 or .gif"),
        ("plot RUN --out x.xyz", "expected .png, .svg or .pdf"),
        ("resume RUN", "has 400 steps already; ask for more with --steps"),
        ("eval latest", "`cartbot train` makes one"),
        ("compare RUN", "not evaluated yet: cartbot eval"),
    ],
)
def test_a_mistake_is_told_with_its_remedy(
    trained: Path,
    line: str,
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text("stpes = 5\n")
    assert hint in mistake(line.replace("RUN", str(trained)), capfd)


def test_no_gpu_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "use --device cpu" in mistake("train dqn --env CartPole-v1 --device cuda", capfd)


def damage_manifest(run: Path) -> None:
    (newest_checkpoint(run / "checkpoints") / "manifest.json").write_text("{}")


def damage_state(run: Path) -> None:
    path = newest_checkpoint(run / "checkpoints") / "state.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, Any] = {
    "config.json is not": lambda run: (run / "config.json").write_text("{"),
    "config.json has schema 99": lambda run: (run / "config.json").write_text('{"schema": 99}'),
    "there is no config.json": lambda run: (run / "config.json").unlink(),
    "holds no checkpoint": lambda run: shutil.rmtree(run / "checkpoints"),
    "manifest.json is not a manifest": damage_manifest,
    "state.safetensors does not match its checksum": damage_state,
    "state.safetensors No such file": lambda run: (
        newest_checkpoint(run / "checkpoints") / "state.safetensors"
    ).unlink(),
}


@pytest.mark.parametrize("verb", ["eval {} --episodes 1", "resume {} --steps 500", "record {} --episodes 1"])
@pytest.mark.parametrize("cause", DAMAGE)
def test_a_damaged_run_is_told_by_the_name_of_the_file(
    run: str, verb: str, cause: str, capfd: pytest.CaptureFixture[str]
):
    DAMAGE[cause](Path(run))
    told = mistake(verb.format(run), capfd)
    assert cause in told and run in told
    if "safetensors" in cause or "manifest" in cause:
        assert "--checkpoint 200" in told


def test_an_edited_config_is_told_of(run: str, capfd: pytest.CaptureFixture[str]):
    path = Path(run, "config.json")
    config = json.loads(path.read_text())
    for change in ({"agent_args": {"momentum": 1}}, {"agent_args": {"lr": -1}}, {"agent": "dqnn"}, {"env": "X-v0"}):
        path.write_text(json.dumps({**config, **change}))
        for verb in ("eval {} --episodes 1", "resume {} --steps 500", "record {} --episodes 1"):
            mistake(verb.format(run), capfd)


def test_an_evaluation_after_damage_may_use_the_checkpoint_before(run: str):
    damage_state(Path(run))
    assert cartbot(f"eval {run} --episodes 1 --checkpoint 200") == 0


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(
    run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    shutil.copytree(run, tmp_path / "whole")
    assert cartbot(f"resume {tmp_path / 'whole'} --steps 500") == 0
    damage_state(Path(run))
    mistake(f"resume {run} --steps 500", capfd)
    assert cartbot(f"resume {run} --steps 500 --checkpoint previous") == 0
    assert_same_run(str(tmp_path / "whole"), run)


def test_a_damaged_checkpoint_is_not_the_newest_again_after_the_one_before_was_taken(
    run: str, capfd: pytest.CaptureFixture[str]
):
    damage_state(Path(run))
    assert cartbot(f"resume {run} --steps 220 --checkpoint 200") == 0
    assert int(newest_checkpoint(Path(run, "checkpoints")).name) == 220


def test_a_checkpoint_with_other_parts_is_told_in_one_line(run: str, capfd: pytest.CaptureFixture[str]):
    """As an agent of an earlier version leaves it: whole, but with other names or shapes. The run stays as it was."""
    path = newest_checkpoint(Path(run, "checkpoints"))
    whole = load_checkpoint(path)
    weights = next(iter(whole["agent"]["params"]))
    for change in (
        lambda agent: agent.update(old_name=agent.pop(next(iter(agent)))),
        lambda agent: agent["params"].update(old_name=agent["params"].pop(weights)),
        lambda agent: agent["params"].update({weights: agent["params"][weights][:, :1]}),
    ):
        state = copy.deepcopy(whole)
        change(state["agent"])
        save_checkpoint(path.parent, int(path.name), state)
        before = {file: file.read_bytes() for file in Path(run).rglob("*") if file.is_file()}
        for verb in ("resume {} --steps 500", "eval {} --episodes 1", "record {} --episodes 1"):
            told = mistake(verb.format(run), capfd)
            assert f"{path} does not fit" in told and "use the cartbot that wrote it" in told
        assert before == {file: file.read_bytes() for file in Path(run).rglob("*") if file.is_file()}


def test_logs_that_lost_rows_since_the_checkpoint_are_not_filled_with_zeros(
    run: str, capfd: pytest.CaptureFixture[str]
):
    path = Path(run, "episodes.csv")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert f"{path} has {len(whole) // 2:,} bytes" in mistake(f"resume {run} --steps 500", capfd)
    assert path.read_bytes() == whole[: len(whole) // 2]
