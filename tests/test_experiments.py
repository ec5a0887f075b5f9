"""Planning in known environments, learned tables beside exact ones, and the verbs and files that show them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from agents.base import Agent, Task
from agents.planning import epsilon_soft_optimum, policy_iteration
from envs.gridworld import GridWorldConfig, exact_model
from eval import testbed
from eval.exact import compare_with_exact, greedy_arrows, process_of, value_grid
from tests.helpers import build_agent
from train.__main__ import main


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def cartbot(line: str) -> int:
    return main(line.split())


def test_a_process_comes_from_a_model_or_from_gymnasiums_tables():
    grid = process_of("GridWorld-v0", {"slip": 0.2})
    assert grid is not None and grid.shape == (5, 5) and grid.discount == 0.9 and grid.draw is not None
    np.testing.assert_array_equal(grid.transition, exact_model(GridWorldConfig(slip=0.2))[0])
    lake = process_of("FrozenLake-v1", {"is_slippery": False})
    assert lake is not None and lake.shape == (4, 4) and lake.draw is None
    assert lake.action_names[1] == "down" and lake.state_names[4] == "(1, 0)"
    assert lake.transition[0, 1, 4] == 1.0
    assert lake.transition[4, 2].sum() == 0.0  # into a hole, where it terminates
    assert lake.reward[14, 2] == 1.0 and lake.reward.sum() == 1.0
    assert process_of("CartPole-v1", {}) is None


def test_the_shortest_way_over_the_ice_takes_six_steps():
    lake = process_of("FrozenLake-v1", {"is_slippery": False})
    assert lake is not None
    values, _, _ = policy_iteration(lake.transition, lake.reward, 0.9)
    assert values[0] == pytest.approx(0.9**5)


def test_values_are_laid_out_as_the_states_lie():
    process = process_of("GridWorld-v0", {"size": 2, "specials": []})
    assert process is not None
    policy = np.array([[1, 0, 0, 0], [0, 0, 0.5, 0.5], [0.25] * 4, [0, 1, 0, 0]])
    grid = value_grid(process, "title", np.array([1.0, -2.0, -0.001, 4.0]), policy)
    assert list(grid.rows) == [["row 0", "1.0 ↑", "-2.0 →←"], ["row 1", "0.0", "4.0 ↓"]]


def test_arrows_are_shared_by_equals():
    assert greedy_arrows(np.array([[1.0, 1.0 + 1e-9, 0.0]])).tolist() == [[0.5, 0.5, 0.0]]


def test_each_rule_is_compared_with_what_it_should_converge_to():
    process = process_of("GridWorld-v0", {})
    assert process is not None
    task = Task(observation_space=gym.spaces.Discrete(25), action_space=gym.spaces.Discrete(4))
    for name, fields, exact in (
        ("qtable", {}, policy_iteration(process.transition, process.reward, 0.9)[0]),
        ("sarsa", {"epsilon_start": 0.3}, epsilon_soft_optimum(process.transition, process.reward, 0.9, 0.3)[1]),
    ):
        comparison = compare_with_exact(build_agent(name, task, 2, **fields), process, 0.9)  # pyright: ignore[reportArgumentType]
        assert comparison is not None
        np.testing.assert_allclose(comparison.exact, exact)
        assert comparison.learned.shape == (2, 25)
        assert comparison.grid().rows[-1][1] == f"{np.abs(exact).max():.4f}"
    assert compare_with_exact(build_agent("sarsa", task, 1, exploration="rho"), process, 0.9) is None  # pyright: ignore[reportArgumentType]


def test_plan_prints_both_tables_of_the_book_and_draws_them(capsys: pytest.CaptureFixture[str]):
    assert cartbot("plan --env GridWorld-v0 --out pictures") == 0
    told = capsys.readouterr().out
    for row in ("3.3 8.8 4.4 5.3 1.5", "-1.9 -1.3 -1.2 -1.4 -2.0", "24.4", "11.7"):
        assert row in " ".join(told.split())
    for name in ("random", "optimal"):
        assert Image.open(f"pictures/{name}.png").size == (480, 480)


def test_plan_can_learn_the_random_policys_values_from_transitions(capsys: pytest.CaptureFixture[str]):
    assert cartbot("plan --env GridWorld-v0 --transitions 200000") == 0
    told = capsys.readouterr().out
    assert "by TD(0) from 200,000 transitions" in told
    largest = float(told.partition("Largest error ")[2].split()[0].rstrip("."))
    assert 0.0 < largest < 1.0


def test_plan_refuses_what_it_cannot_solve_in_one_line(capsys: pytest.CaptureFixture[str]):
    for line, message in (
        ("plan --env CartPole-v1", "tells no model()"),
        ("plan --env GridWorld-v0 --gamma 1.5", "gamma is 1.5"),
        ("plan --env GridWorld-v0 --gamma 1", "expected gamma below 1"),
        ("plan --env GridWorld-v0 --env-args sise=3", "did you mean 'size'"),
        ("plan --env Gridworld-v7", "Gridworld"),
    ):
        assert cartbot(line) == 2
        told = capsys.readouterr().err
        assert message in told and told.count("\n") == 1


def test_the_testbed_draws_both_figures_and_the_study_of_regret(capsys: pytest.CaptureFixture[str]):
    assert cartbot("testbed --runs 20 --steps 60 --out bed") == 0
    assert "UCB c = 2" in capsys.readouterr().out
    assert {path.name for path in Path("bed").iterdir()} == {"epsilon-greedy.png", "ucb.png", "regret.png"}
    assert cartbot("testbed --regret --regret-runs 3 --regret-steps 120 --out study") == 0
    told = capsys.readouterr().out
    assert "unfavourable instance" in told and "Lai and Robbins" in told
    assert len(list(Path("study").iterdir())) == 4
    assert cartbot("testbed --runs 0") == 2


def test_the_testbed_learns_where_it_is_told_to_or_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert cartbot("testbed --device cuda") == 2
    assert "use --device cpu" in capsys.readouterr().err
    assert not Path("testbed").exists()

    asked, build = [], testbed.build_policy

    def recorded(policy: tuple[str, dict[str, Any]], task: Task, runs: int, seed: int, device: str) -> Agent:
        asked.append(device)
        return build(policy, task, runs, seed, "cpu")

    seconds = iter([0.2, 0.1])
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(testbed, "build_policy", recorded)
    monkeypatch.setattr("train.devices.time_agent", lambda *args: next(seconds))
    monkeypatch.setattr("eval.plots.save_figure", lambda figure, path: path)  # which takes longest
    assert cartbot("testbed --runs 3 --steps 20") == 0
    assert asked == ["cpu", "cuda", *["cuda"] * len(testbed.TESTBED)]
    assert "learning on cuda (fastest:" in capsys.readouterr().out
    asked.clear()
    assert cartbot("testbed --runs 3 --steps 20 --device cpu") == 0
    assert asked == ["cpu"] * len(testbed.TESTBED)


@pytest.mark.parametrize("agent", ["qtable", "sarsa"])
def test_eval_shows_a_small_table_and_how_far_it_is_from_exact(agent: str, capsys: pytest.CaptureFixture[str]):
    assert cartbot(f"train {agent} --env GridWorld-v0 --steps 400 --seeds 2 --envs 4 --run run") == 0
    assert json.loads(Path("run/config.json").read_text())["agent_args"]["gamma"] == 0.9
    capsys.readouterr()
    assert cartbot("eval run --episodes 3") == 0
    told = capsys.readouterr().out
    for text in ("Learned table", "north", "(4, 4)", "Learned values against", "largest error"):
        assert text in told
    with open("run/eval/table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["seed"] for row in rows} == {"0", "1"}
    assert rows[0]["name"] == "(0, 0)"
    if agent == "qtable":
        assert all(float(row["q:north"]) <= float(row["value"]) for row in rows)
    visits = sum(int(row[f"visits:{name}"]) for row in rows for name in ("north", "south", "east", "west"))
    assert visits == 800 if agent == "qtable" else 780 <= visits <= 800
    assert Image.open("run/eval/values.png").size == (480, 480)


def test_eval_writes_a_large_table_without_printing_it(capsys: pytest.CaptureFixture[str]):
    assert cartbot("train qtable --env CartPole-v1 --steps 64 --seeds 1 --envs 2 --run run") == 0
    assert cartbot("eval run --episodes 2") == 0
    assert "Learned table" not in capsys.readouterr().out
    assert "left-right" in json.loads(Path("run/eval/report.json").read_text())["baselines"]
    with open("run/eval/table.csv", newline="") as file:
        assert next(csv.DictReader(file))["name"].count("[") == 4


def test_eval_of_a_bandit_reports_and_draws_its_regret(capsys: pytest.CaptureFixture[str]):
    assert (
        cartbot("train ucb --env BernoulliBandit-v0 --env-args horizon=40 --steps 80 --seeds 2 --envs 1 --run run") == 0
    )
    assert cartbot("eval run --episodes 4") == 0
    assert "mean regret" in capsys.readouterr().out
    report = json.loads(Path("run/eval/report.json").read_text())
    assert list(report["modes"]) == ["greedy"]
    figures = report["modes"]["greedy"]["pooled"]
    assert 0 <= figures["optimal_share"] <= 1 and figures["regret_mean"] > 0 and figures["warnings"] == []
    assert figures["regret_mean"] < report["baselines"]["random"]["pooled"]["regret_mean"] * 1.5
    assert Path("run/eval/regret.png").exists() and Path("run/eval/optimal-actions.png").exists()
