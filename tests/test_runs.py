"""Run folders: their names, and what is told of those that cannot be used."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from eval.runs import Run, RunConfig, create_run, find_run

CONFIG = RunConfig(agent="dqn", env="Some-v0", env_args={"size": 3}, agent_args={"hidden": [4, 4]}, steps=9, seeds=2)


def test_a_run_is_found_with_all_its_settings(tmp_path: Path):
    made = create_run(CONFIG, tmp_path / "deep" / "name")
    found = find_run(str(made.folder))
    assert found.config == made.config == CONFIG
    assert found.extra == made.extra
    assert {"command", "started", "versions", "git"} <= set(found.extra)
    assert set(found.extra["versions"]) >= {"python", "torch", "numpy", "gymnasium", "pybullet"}
    assert os.listdir(made.folder) == ["config.json"]


def test_a_name_that_is_taken_is_numbered(tmp_path: Path):
    names = [create_run(CONFIG, tmp_path / "run").folder.name for _ in range(3)]
    assert names == ["run", "run-2", "run-3"]


def test_a_file_takes_a_name_too(tmp_path: Path):
    (tmp_path / "run").write_text("mine")
    assert create_run(CONFIG, tmp_path / "run").folder.name == "run-2"
    assert (tmp_path / "run").read_text() == "mine"


def test_of_sixteen_that_start_at_once_each_has_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mkdir = Path.mkdir

    def hesitant(path: Path, *args: Any, **kwargs: Any) -> None:
        time.sleep(0.005)  # whoever looked first and makes the folder later, finds it made by another
        mkdir(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", hesitant)
    made: list[Run] = []
    start = threading.Barrier(16)

    def begin(number: int) -> None:
        start.wait()
        made.append(create_run(RunConfig(agent="dqn", env="Some-v0", seed=number), tmp_path / "run"))

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {"run", *(f"run-{number}" for number in range(2, 17))}
    assert {run.folder.name for run in made} == expected == set(os.listdir(tmp_path))
    for run in made:
        assert find_run(str(run.folder)).config == run.config
    assert {run.config.seed for run in made} == set(range(16))


def test_the_default_name_tells_environment_and_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    folder = create_run(RunConfig(agent="dqn", env="some.module:space/Some-v0"), None).folder
    assert folder.parent == Path("runs") and folder.name.startswith("Some-v0-dqn-2")


def test_a_folder_that_cannot_be_made_is_the_callers_mistake(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot make the run folder .*; choose another with --run"):
        create_run(CONFIG, tmp_path / "file" / "run")


def test_latest_is_the_run_that_was_made_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for age, name in ((3, "zebra"), (1, "ape"), (2, "bear")):
        run = create_run(CONFIG, Path("runs") / name)
        os.utime(run.folder / "config.json", ns=(0, 10**18 - age))
    (tmp_path / "runs" / "not-a-run").mkdir()
    assert find_run("latest").folder.name == "ape"


def test_without_runs_latest_tells_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"no run under .*`cartbot train` makes one"):
        find_run("latest")
    assert os.listdir() == []


def test_a_run_that_is_not_there_is_told_with_those_that_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    create_run(CONFIG, Path("runs/first"))
    with pytest.raises(ValueError, match=r"no run in nowhere .*runs/first"):
        find_run("nowhere")


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_an_unknown_schema_is_refused_with_its_number(tmp_path: Path, schema: object):
    path = create_run(CONFIG, tmp_path / "run").folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": schema}))
    with pytest.raises(ValueError, match=rf"config\.json has schema {schema}; this version reads 1"):
        find_run(str(tmp_path / "run"))


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", "5", '"x"', "{}", '{"schema": 1}', "[" * 100_000, '{"schema": 1, "agent": "dqn"}']
)
def test_a_damaged_config_is_refused_by_name(tmp_path: Path, text: str):
    path = create_run(CONFIG, tmp_path / "run").folder / "config.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"^damaged run: .*config\.json is not a run's config .*; train it again$"):
        find_run(str(tmp_path / "run"))


def test_a_config_of_bytes_is_refused_by_name(tmp_path: Path):
    path = create_run(CONFIG, tmp_path / "run").folder / "config.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"damaged run: .*config\.json"):
        find_run(str(tmp_path / "run"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("agent", 5),
        ("env", None),
        ("env_args", []),
        ("agent_args", "lr"),
        ("steps", "many"),
        ("steps", -1),
        ("seeds", "four"),
        ("seeds", 0),
        ("seeds", True),
        ("envs", 1.5),
        ("seed", -4),
        ("workers", "two"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_refused_by_name(tmp_path: Path, field: str, value: object):
    path = create_run(CONFIG, tmp_path / "run").folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(ValueError, match=rf"config\.json .*{field} is "):
        find_run(str(tmp_path / "run"))


def test_a_checkpoint_that_is_not_there_is_told_with_those_that_are(tmp_path: Path):
    run = create_run(CONFIG, tmp_path / "run")
    with pytest.raises(ValueError, match="no checkpoint"):
        run.checkpoint()
    for step in (100, 20, 3):
        (run.checkpoints / f"{step:012d}").mkdir(parents=True)
    (run.checkpoints / "chunks").mkdir()
    assert run.checkpoint().name == "000000000100"
    assert run.checkpoint(20).name == "000000000020"
    with pytest.raises(ValueError, match="no checkpoint of step 4; expected one of: 3, 20, 100"):
        run.checkpoint(4)
