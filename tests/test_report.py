"""Reports: their names, their figures on hand-made episodes, their tables and plots."""

import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from rich.console import Console

from agents.base import Task
from eval import plots
from eval.collapse import MOST, MOST_IDLE, collapse_warnings
from eval.episodes import Episode
from eval.evaluation import Evaluation, modes_of
from eval.report import build_report
from eval.runs import Run, RunConfig
from eval.tables import markdown_report, print_report
from eval.tasks import ActionTable

NAMES = ("left", "right", "stay")
FIGURES = {
    "episodes",
    "length_deciles",
    "return_deciles",
    "success_rate",
    "success_interval",
    "action_names",
    "action_proportions",
    "action_proportions_successful",
    "action_reward_counts",
}
"""What every {...} of report.json promises to have."""


def episode(seed: int, number: int, actions: Sequence[int], reward: float = 1.0, **fields: Any) -> Episode:
    """An episode of some actions that were all rewarded alike."""
    info = {"reset_seed": 10_000_000 + number, **fields.pop("info", {})}
    counts = tuple(actions.count(action) for action in range(len(NAMES)))
    return Episode(
        seed=seed,
        number=number,
        end_step=100,
        length=len(actions),
        total_reward=reward * len(actions),
        discounted_return=reward * len(actions),
        terminated=True,
        action_counts=counts,
        action_rewards=Counter({(action, reward): count for action, count in enumerate(counts) if count}),
        info=info,
        **fields,
    )


def uniform(seed: int, length: int = 6, **fields: Any) -> list[Episode]:
    """Four episodes that take all actions alike."""
    return [episode(seed, number, [0, 1, 2] * (length // 3), **fields) for number in range(4)]


def report_of(
    greedy: list[list[Episode]],
    *,
    stochastic: list[list[Episode]] | None = None,
    threshold: float | None = None,
    idle: int | None = 2,
) -> dict[str, Any]:
    space = gym.spaces.Discrete(len(NAMES))
    task = Task(observation_space=space, action_space=space, action_names=NAMES, idle_action=idle)
    evaluation = Evaluation(
        task=task,
        table=ActionTable(names=NAMES),
        gamma=0.5,
        world="bullet",
        reward_threshold=threshold,
        modes={"greedy": greedy, "stochastic": greedy if stochastic is None else stochastic},
        baselines={"random": uniform(0), "idle": [episode(0, number, [2] * 6) for number in range(4)]},
    )
    config = RunConfig(agent="dqn", env="Some-v0", seeds=len(greedy))
    extra = {"command": "cartbot train dqn", "versions": {"python": "3.11"}, "git": "abc"}
    return build_report(Run(Path("run"), config, extra), evaluation, 1234)


def all_figures(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Every {...} of a report."""
    agent = [one for mode in report["modes"].values() for one in (mode["pooled"], *mode["seeds"])]
    return agent + [baseline["pooled"] for baseline in report["baselines"].values()]


def test_the_report_has_the_promised_names():
    report = json.loads(json.dumps(report_of([uniform(0), uniform(1)]), allow_nan=False))
    assert report["schema"] == 1
    assert {"schema", "env", "world", "modes", "baselines"} <= set(report)
    assert (report["env"], report["world"]) == ("Some-v0", "bullet")
    assert set(report["modes"]) == {"greedy", "stochastic"}
    for mode in report["modes"].values():
        assert set(mode) == {"pooled", "seeds"} and len(mode["seeds"]) == 2
        assert mode["pooled"]["episodes"] == 8 and [seed["episodes"] for seed in mode["seeds"]] == [4, 4]
    assert set(report["baselines"]) == {"random", "idle"}
    for figures in all_figures(report):
        assert set(figures) >= FIGURES
        assert len(figures["length_deciles"]) == len(figures["return_deciles"]) == 11
        assert figures["action_names"] == list(NAMES)
        assert all(set(pair) == {"action", "reward", "count"} for pair in figures["action_reward_counts"])


def test_figures_are_those_of_the_episodes():
    lengths = (3, 6, 9, 12)
    seeds = [[episode(seed, n, [0, 1, 2] * (length // 3), 0.5) for n, length in enumerate(lengths)] for seed in (0, 1)]
    pooled = report_of(seeds)["modes"]["greedy"]["pooled"]
    assert pooled["length_deciles"] == pytest.approx(np.percentile([*lengths, *lengths], range(0, 101, 10)))
    assert pooled["return_deciles"] == pytest.approx([length / 2 for length in pooled["length_deciles"]])
    assert pooled["action_reward_counts"] == [{"action": name, "reward": 0.5, "count": 20} for name in NAMES]


def test_proportions_are_of_steps_and_sum_to_one():
    # 9 steps left in one episode, 1 step right in another: nine tenths, not one half.
    greedy = [[episode(0, 0, [0] * 9), episode(0, 1, [1])], uniform(1)]
    report = report_of(greedy)
    assert report["modes"]["greedy"]["seeds"][0]["action_proportions"] == [0.9, 0.1, 0.0]
    for figures in all_figures(report):
        assert sum(figures["action_proportions"]) == pytest.approx(1)


def test_successful_episodes_have_their_own_proportions():
    won, lost = {"is_success": True}, {"is_success": False}
    greedy = [[episode(0, 0, [0, 0, 1, 2], info=won), episode(0, 1, [2] * 20, info=lost)]]
    figures = report_of(greedy)["modes"]["greedy"]["pooled"]
    assert figures["action_proportions_successful"] == [0.5, 0.25, 0.25]
    assert figures["success_rate"] == 0.5
    low, high = figures["success_interval"]
    assert low <= 0.5 <= high


def test_what_the_environment_calls_success_goes_before_the_threshold():
    greedy = [[episode(0, n, [0, 1, 2], info={"is_success": n == 0}) for n in range(4)]]
    assert report_of(greedy, threshold=1.0)["modes"]["greedy"]["pooled"]["success_rate"] == 0.25


def test_success_falls_back_to_the_reward_threshold():
    greedy = [[episode(0, 0, [0] * 5), episode(0, 1, [1] * 6), episode(0, 2, [1] * 7), episode(0, 3, [2] * 3)]]
    figures = report_of(greedy, threshold=6.0)["modes"]["greedy"]["pooled"]
    assert figures["success_rate"] == 0.5
    assert figures["action_proportions_successful"] == [0.0, 1.0, 0.0]


def test_success_is_null_where_nobody_knows():
    for figures in all_figures(report_of([uniform(0)])):
        assert figures["success_rate"] is None
        assert figures["success_interval"] is None
        assert figures["action_proportions_successful"] is None


def test_where_nothing_succeeds_there_are_no_successful_proportions():
    figures = report_of([uniform(0)], threshold=1000.0)["modes"]["greedy"]["pooled"]
    assert (figures["success_rate"], figures["success_interval"][0]) == (0.0, 0.0)
    assert figures["action_proportions_successful"] is None


def test_shares_of_what_episodes_tell_are_reported():
    greedy = [[episode(0, n, [0, 1, 2], info={"off_cart": n < 1, "place": 3}) for n in range(4)]]
    figures = report_of(greedy)["modes"]["greedy"]["pooled"]
    assert figures["off_cart_share"] == 0.25 and "place_share" not in figures


def test_predictions_are_held_against_what_followed():
    greedy = [[episode(0, 0, [0, 1], start_value=5.0, end_value=8.0), episode(0, 1, [2], start_value=1.0)]]
    value = report_of(greedy)["modes"]["greedy"]["pooled"]["start_value"]
    # Followed: 2 + 0.5 ^ 2 x 8 = 4, and 1.
    assert value["predicted_mean"] == 3.0
    assert value["followed_mean"] == 2.5
    assert value["followed_without_bootstrap_mean"] == 1.5
    assert value["mean_error"] == value["mean_absolute_error"] == 0.5


def test_a_policy_that_idles_four_steps_in_five_has_collapsed():
    idling = [[episode(0, n, [0] + [1] + [2] * 8) for n in range(4)], uniform(1)]
    report = report_of(idling)
    (text,) = report["modes"]["greedy"]["seeds"][0]["warnings"]
    assert "seed 0" in text and "collapsed onto 'stay'" in text and "80.0%" in text
    assert report["modes"]["greedy"]["seeds"][1]["warnings"] == []


def test_a_policy_that_never_goes_left_is_told_of():
    report = report_of([[episode(0, n, [1, 2, 1, 2]) for n in range(4)]])
    pooled = report["modes"]["greedy"]["pooled"]["warnings"]
    assert len(pooled) == 1 and "'left'" in pooled[0] and "all seeds" in pooled[0]


def test_a_uniform_policy_has_no_warning():
    report = report_of([uniform(0), uniform(1)])
    assert not any(figures.get("warnings") for figures in all_figures(report))


def test_never_idling_is_nothing_to_warn_of():
    assert collapse_warnings(NAMES, [0.5, 0.5, 0.0], "stay") == []
    assert len(collapse_warnings(NAMES, [0.5, 0.5, 0.0], None)) == 1


def test_collapse_begins_sooner_on_doing_nothing():
    assert 0.5 < MOST_IDLE < 0.8 < MOST < 1  # 80% of doing nothing is told of, 80% of driving ahead is not
    for favourite, most in ((0, MOST), (2, MOST_IDLE)):
        for share, count in ((most - 0.01, 0), (most + 0.01, 1), (1.0, 1)):
            shares = [(1 - share) / 2] * 3
            shares[favourite] = share
            found = collapse_warnings(NAMES, shares, "stay")
            assert len(found) == count and all("collapsed" in text for text in found)


def printed(report: dict[str, Any]) -> str:
    text = io.StringIO()
    print_report(report, Console(file=text, width=140, highlight=False))
    return text.getvalue()


def test_tables_tell_action_reward_pairs_as_they_are():
    greedy = [[episode(0, 0, [0] * 4), episode(0, 1, [1] * 3, -0.25), episode(0, 2, [2, 2], 0.0)]]
    report = report_of(greedy)
    for text in (printed(report), markdown_report(report)):
        for pair in ("[left, +1]", "[right, -0.25]", "[stay, +0]"):
            assert pair in text


def test_tables_tell_all_rows_and_warnings():
    report = report_of([[episode(0, n, [2] * 10) for n in range(4)], uniform(1)], threshold=7.0)
    for text in (printed(report), markdown_report(report)):
        for word in ("greedy 0", "greedy all", "stochastic 1", "random", "idle", "Some-v0", "bullet", "1,234"):
            assert word in text
        assert "collapsed onto 'stay'" in text
        assert "50.0%" in text
        assert all(name in text for name in NAMES)


def test_names_that_look_like_markup_stay_as_they_are():
    report = report_of([uniform(0)])
    report["env"] = "[red]Some|v0[/red]"
    for figures in all_figures(report):
        figures["action_names"][0] = "[bold]"
        figures["action_reward_counts"][0]["action"] = "a|b"
    assert "[red]Some|v0[/red]" in printed(report)
    assert "[bold]" in printed(report) and "[a|b, +1]" in printed(report)
    table = [line for line in markdown_report(report).splitlines() if "b, +1]" in line]
    assert table == ["| [a\\|b, +1] | 8 |"]


def csv_of(folder: Path, lines: Sequence[str]) -> Path:
    header = "seed,episode,step,reset_seed,length,return,terminated,success,action:left,action:right,action_rewards"
    (folder / "episodes.csv").write_bytes("\n".join([header, *lines, ""]).encode(errors="surrogateescape"))
    return folder


ROW = "{seed},{n},{step},5,10,{total},1,,4,6,left +1 x 4; right +1 x 6"
WHOLE = [ROW.format(seed=n % 2, n=n // 2, step=20 * (n + 1), total=n) for n in range(12)]


def test_episodes_are_read_as_they_were_written(tmp_path: Path):
    rows = plots.read_episodes(csv_of(tmp_path, WHOLE), "run", "Some-v0", 2)
    assert rows.seeds == 2 and rows.action_names == ("left", "right")
    assert rows.total_reward.tolist() == list(range(12)) and rows.seed.tolist() == [0, 1] * 6
    assert rows.step.tolist() == list(range(20, 241, 20)) and set(rows.length) == {10}
    assert rows.action_counts.tolist() == [[4, 6]] * 12


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "0",
        "0,1,60",
        "0,1,60,5,10",
        "0,1,60,5,10,1,1,,4",
        "0,1,sixty,5,10,1,1,,4,6,",
        "0,1,60,5,10,nan,1,,4,6,",
        "0,1,60,5,inf,1,1,,4,6,",
        "-1,1,60,5,10,1,1,,4,6,",
        "0.5,1,60,5,10,1,1,,4,6,",
        "2,1,60,5,10,1,1,,4,6,",
        "999999999999,1,60,5,10,1,1,,4,6,",
        "0,1,-60,5,10,1,1,,4,6,",
        "\0\0\0\0",
        "\udcff\udcfe,1,60,5,10,1,1,,4,6,",
        ",,,,,,,,,,,,,,,,,,",
    ],
)
def test_damaged_rows_are_passed_over(tmp_path: Path, damaged: str):
    rows = plots.read_episodes(csv_of(tmp_path, [*WHOLE[:6], damaged, *WHOLE[6:]]), "run", "Some-v0", 2)
    assert rows.total_reward.tolist() == list(range(12))


@pytest.mark.parametrize("content", [None, b"", b"seed,step\n", b"\xff\x00\xfe" * 99, b'"' + b"x" * 200_000])
def test_a_file_without_episodes_is_refused_by_name(tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / "episodes.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"episodes\.csv (cannot be read|holds no finished episode)"):
        plots.read_episodes(tmp_path, "run", "Some-v0", 2)


def test_windows_average_what_ended_within_them(tmp_path: Path):
    rows = plots.read_episodes(csv_of(tmp_path, WHOLE), "run", "Some-v0", 2)
    steps, means = plots.windows(rows, rows.total_reward, np.ones(12))
    assert means.shape == (2, len(steps)) and steps[-1] == 240
    # Seed 0 ended its episodes 0 2 4 ... at steps 20 60 100 ..., seed 1 its 1 3 5 ... at 40 80 120 ...
    assert means[:, -1].tolist() == [10, 11]
    at_100 = np.searchsorted(steps, 100)
    assert means[:, at_100].tolist() == [4, 3]


def test_plots_produce_files(tmp_path: Path):
    rows = plots.read_episodes(csv_of(tmp_path, WHOLE), "run", "Some-v0", 2)
    one = plots.read_episodes(csv_of(tmp_path, WHOLE[:1]), "[run]", "Some-v0", 2)
    report = report_of([uniform(0), uniform(1)])
    figures = {
        "curve.png": plots.draw_learning_curves([rows]),
        "curves.svg": plots.draw_learning_curves([rows, one]),
        "training.pdf": plots.draw_proportions_over_training(rows),
        "short.png": plots.draw_proportions_over_training(one),
        "deep/proportions.png": plots.draw_proportions(report),
        "pushes.png": plots.draw_push_directions([(-3.0, True), (0.1, False), (6.2, True)]),
    }
    starts = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    for name, figure in figures.items():
        path = plots.save_figure(figure, tmp_path / name)
        assert path.read_bytes().startswith(starts[path.suffix]) and path.stat().st_size > 2000


@pytest.mark.parametrize("name", ["new/curve.xyz", "new/curve", "file/curve.png"])
def test_a_plot_that_cannot_be_written_is_refused_and_leaves_nothing(tmp_path: Path, name: str):
    (tmp_path / "file").write_text("")
    figure = plots.draw_push_directions([(0.1, True)])
    with pytest.raises(ValueError, match=r"^cannot write [^\n]*$"):
        plots.save_figure(figure, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_evaluation_may_be_greedy_only():
    agent: Any = SimpleNamespace()
    assert list(modes_of(agent)) == ["greedy", "stochastic"]
    assert modes_of(agent, greedy_only=True) == {"greedy": False}
    agent.learns_within_episodes = True
    assert modes_of(agent, greedy_only=True) == modes_of(agent) == {"greedy": True}
