"""`cartbot bench`: its arithmetic on contenders that move a made-up clock, and one case that is real."""

import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import gymnasium as gym
import numpy as np
import pytest
from rich.console import Console

import envs
from envs.cartpole3d_task import DIRECTIONS
from train import bench_cases
from train.__main__ import main
from train.bench import results_table, vector_level
from train.bench_cases import CASES
from train.bench_timing import Case, Curve, Make, Result, Unit, Work, can_pin, pinned, rate, time_case, time_curve
from train.bench_worlds import MUJOCO_SCENE, MujocoCartPole, _autoreset_steps, scalar_steps, vector_steps

ASSETS = Path(envs.__file__).parent / "assets"
ALLOWED = os.sched_getaffinity(0) if can_pin() else set()
"""Cores before any test has run."""
PER_SECOND = Unit(name="steps/s")
MILLISECONDS = Unit(name="ms per update", time_scale=1e3)


class Stage:
    """Contenders that take as long as they are told, on a clock of their own, and what happened to them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def clock(self) -> float:
        return self.now

    def contender(self, name: str, durations: Sequence[float], work: float = 1.0) -> Make:
        """One whose first piece takes durations[0] seconds, and so on; each is `work` of work."""
        left = list(durations)

        def run() -> float:
            self.calls.append(name)
            self.now += left.pop(0)
            return work

        return lambda device: Work(
            run=run,
            warm_up=lambda: self.calls.append(f"{name} warm"),
            close=lambda: self.calls.append(f"{name} closed"),
        )


def case_of(ours: Make, peer: Make, unit: Unit = PER_SECOND, **more: float) -> Case:
    return Case(name="made-up", about="nothing", unit=unit, ours=ours, peer=peer, peer_name="them", **more)  # pyright: ignore[reportArgumentType]


def test_a_rate_is_taken_over_whole_pieces_until_the_time_is_over():
    stage = Stage()
    run = stage.contender("a", [0.5, 0.25, 0.5, 9.0], work=100)("cpu").run
    assert rate(run, 1.0, stage.clock) == 300 / 1.25
    assert stage.calls == ["a"] * 3


def test_a_piece_that_takes_longer_than_the_time_is_done_once():
    stage = Stage()
    assert rate(stage.contender("a", [8.0, 1.0])("cpu").run, 1.0, stage.clock) == 1 / 8
    assert stage.calls == ["a"]


def test_contenders_are_warmed_up_timed_in_turn_and_closed():
    stage = Stage()
    case = case_of(stage.contender("ours", [1] * 3), stage.contender("peer", [1] * 3))
    time_case(case, "cpu", rounds=3, seconds=0.5, clock=stage.clock)
    timed = ["ours", "peer"] * 3
    assert stage.calls == ["ours warm", "peer warm", *timed, "peer closed", "ours closed"]


def test_a_ratio_is_the_median_of_each_rounds_own():
    """Not the ratio of the medians, which is 6 s / 2 s = 3 here."""
    stage = Stage()
    case = case_of(stage.contender("ours", [1, 2, 4]), stage.contender("peer", [6, 1, 8]))
    result = time_case(case, "cpu", rounds=3, seconds=0.1, clock=stage.clock)
    assert (result.low, result.ratio, result.high) == (0.5, 2, 6)
    assert (result.ours, result.peer, result.unit, result.rounds) == (0.5, 1 / 6, "steps/s", 3)


def test_of_times_the_shorter_one_is_the_faster():
    stage = Stage()
    case = case_of(stage.contender("ours", [0.5], work=100), stage.contender("peer", [2], work=100), MILLISECONDS)
    result = time_case(case, "cpu", rounds=1, seconds=0.1, clock=stage.clock)
    assert (result.ours, result.peer, result.ratio) == (5, 20, 4)


def test_a_share_of_the_work_counts_as_such():
    """One seed of eight in 3 s is 24 s for all."""
    stage = Stage()
    seconds = Unit(name="s for 8 seeds", time_scale=1.0)
    case = case_of(stage.contender("ours", [6]), stage.contender("peer", [3], work=1 / 8), seconds)
    result = time_case(case, "cpu", rounds=1, seconds=0.1, clock=stage.clock)
    assert (result.ours, result.peer, result.ratio) == (6, 24, 4)


def test_a_case_that_takes_long_has_fewer_rounds():
    stage = Stage()
    case = case_of(stage.contender("ours", [1] * 2), stage.contender("peer", [1] * 2), most_rounds=2)
    assert time_case(case, "cpu", rounds=9, seconds=0.1, clock=stage.clock).rounds == 2


def test_sizes_of_a_curve_are_timed_in_turn():
    stage = Stage()
    points = {2: stage.contender("two", [1, 3, 2]), 16: stage.contender("sixteen", [0.5, 0.25, 1])}
    curve = Curve(name="c", about="nothing", unit=MILLISECONDS, axis="seeds", points=points)
    result = time_curve(curve, "cpu", rounds=3, seconds=0.1, clock=stage.clock)
    assert stage.calls[2:8] == ["two", "sixteen"] * 3
    assert [(p.size, p.low, p.median, p.high) for p in result.points] == [(2, 1000, 2000, 3000), (16, 250, 500, 1000)]


def test_a_contender_is_closed_when_the_other_cannot_be_built():
    stage = Stage()

    def absent(device: str) -> Work:
        raise ValueError("it is not installed")

    with pytest.raises(ValueError, match="not installed"):
        time_case(case_of(stage.contender("ours", []), absent), "cpu", 1, 0.1, clock=stage.clock)
    assert stage.calls == ["ours closed"]


@pytest.mark.skipif(not can_pin(), reason="the platform cannot pin")
def test_cores_are_given_for_a_measurement_and_taken_back():
    seen = []

    def work(device: str) -> Work:
        return Work(run=lambda: seen.append(os.sched_getaffinity(0)) or 1)

    time_case(case_of(work, work), "cpu", rounds=1, seconds=1e-6)
    assert {len(cores) for cores in seen} == {1}
    assert os.sched_getaffinity(0) == ALLOWED
    with pytest.raises(ValueError, match="needs 100000 cores"), pinned(100_000):
        pass


def test_targets_go_by_device_and_vector_instructions():
    make: Make = lambda device: Work(run=lambda: 1)  # noqa: E731
    case = case_of(make, make, target=50, target_avx2=25, target_cuda=20, learns=True)
    assert [case.target_on("cpu", vectors) for vectors in ("AVX-512", "AVX2", "")] == [50, 25, 25]
    assert case.target_on("cuda", "AVX-512") == 20
    learner, simulator = case_of(make, make, target=3, learns=True), case_of(make, make, target=3)
    assert (learner.target_on("cpu", "AVX2"), learner.target_on("cuda", "AVX2")) == (3, None)
    assert simulator.target_on("cuda", "AVX2") == 3


def test_the_widest_vector_instructions_are_named():
    assert vector_level(["sse", "avx", "avx2"]) == "AVX2"
    assert vector_level(["avx2", "avx", "avx512f"]) == "AVX-512"
    assert vector_level(["avx2x"]) == ""


def printed(results: Sequence[Result]) -> list[str]:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(results_table(results))
    return console.export_text().splitlines()


def test_the_table_says_whether_the_target_is_reached():
    def result(name: str, ratio: float, target: float | None) -> Result:
        return Result(
            name=name, about="", ours=123456.7, peer=12.345, ratio=ratio, low=0.5, high=4, unit="steps/s",
            peer_name="them", target=target, rounds=5,
        )  # fmt: skip

    lines = printed([result("fast", 2.0, 2), result("slow", 1.999, 2), result("free", 2.0, None)])
    fast, slow, free = (next(line for line in lines if f" {name} " in line) for name in ("fast", "slow", "free"))
    assert fast.split() == ["fast", "123,457", "12.3", "steps/s", "2", "0.5", "-", "4", "5", "2", "yes", "them"]
    assert " no " in slow and " yes " not in slow
    assert " yes " not in free and " no " not in free


@pytest.fixture
def two_cases(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Instead of the real ones: a tiny real one, one that cannot be built, and a curve."""

    def absent(device: str) -> Work:
        raise ValueError("it is\nnot installed")

    def install() -> None:
        real = vector_steps("GridWorld-v0", 6)
        one = scalar_steps("GridWorld-v0")
        about = "steps [of] gridworlds"
        cases = (
            Case(name="tiny", about=about, unit=PER_SECOND, ours=real, peer=one, peer_name="one", target=1.5),
            Case(name="absent", about=about, unit=PER_SECOND, ours=real, peer=absent, peer_name="none"),
            Curve(name="sizes", about="steps", unit=PER_SECOND, axis="envs", points={1: real, 3: real}),
        )
        monkeypatch.setattr(bench_cases, "CASES", {one.name: one for one in cases})

    return install


def test_results_are_written_and_what_cannot_be_measured_is_skipped(two_cases, tmp_path: Path, capsys):
    two_cases()
    out = tmp_path / "new" / "bench.json"
    assert main(["bench", "--rounds", "3", "--seconds", "0.005", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "absent: skipped: it is not installed" in shown and "steps [of] gridworlds" in shown
    record = json.loads(out.read_text())
    (case,) = record["cases"]
    assert {"name", "ours", "peer", "ratio", "low", "high", "unit", "peer_name", "target"} <= case.keys()
    assert (case["name"], case["unit"], case["peer_name"], case["rounds"]) == ("tiny", "steps/s", "one", 3)
    assert 0 < case["low"] <= case["ratio"] <= case["high"]
    assert case["ratio"] > 1  # six of them in one call
    (curve,) = record["curves"]
    assert [point["size"] for point in curve["points"]] == [1, 3]
    assert record["skipped"] == {"absent": "it is not installed"}
    assert record["machine"]["versions"]["numpy"] and record["machine"]["cores"] >= 1
    assert record["settings"] == {"rounds": 3, "seconds": 0.005, "device": "cpu"}
    assert [path.name for path in out.parent.iterdir()] == ["bench.json"]


def test_cases_are_chosen_by_name(two_cases, tmp_path: Path, capsys):
    two_cases()
    assert main(["bench", "--case", "sizes", "--rounds", "1", "--seconds", "0.001"]) == 0
    shown = capsys.readouterr().out
    assert "sizes" in shown and "tiny" not in shown


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--case", "drivebot-asink"], "did you mean 'drivebot-async'?"),
        (["--rounds", "0"], "rounds is 0; expected 1 to 1,000"),
        (["--seconds", "0"], "seconds is 0.0; expected more than 0"),
        (["--rond", "3"], "did you mean --rounds?"),
        (["--out", "{folder}"], "a file cannot be written there"),
        (["--out", "{folder}/file/bench.json"], "choose another place"),
    ],
)
def test_mistakes_are_told_in_one_line_before_anything_is_measured(argv: list[str], told: str, tmp_path: Path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["bench", *(word.replace("{folder}", str(tmp_path)) for word in argv)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert told in captured.err and captured.err.count("\n") == 1


def test_a_gpu_that_is_not_there_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["bench", "--device", "cuda"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "no CUDA device" in captured.err and captured.err.count("\n") == 1


def test_everything_can_be_listed(capsys):
    assert main(["bench", "--list"]) == 0
    shown = capsys.readouterr().out
    assert all(f" {name} " in shown for name in CASES)


def test_steps_that_only_reset_are_not_counted():
    """Episodes of one step: every second call of Gymnasium's vector form resets."""
    envs = gym.vector.SyncVectorEnv([lambda: gym.make("GridWorld-v0", max_steps=1)] * 3)
    work = _autoreset_steps(envs)
    assert [work.run() for _ in range(4)] == [3, 0, 3, 0]


@pytest.mark.parametrize("name", ["cart", "pole", "ground"])
def test_mujoco_has_bullets_bodies(name: str):
    link = ElementTree.parse(ASSETS / f"{name}.urdf").find("link")
    scene = ElementTree.fromstring(MUJOCO_SCENE).find("worldbody")
    assert link is not None and scene is not None
    body = scene if name == "ground" else next(body for body in scene.iter("body") if body.get("name") == name)

    def numbers(element: ElementTree.Element | None, attribute: str) -> list[float]:
        assert element is not None
        return [float(word) for word in element.attrib[attribute].split()]

    size = numbers(link.find("collision/geometry/box"), "size")
    assert numbers(body.find("geom"), "size") == pytest.approx([length / 2 for length in size])
    if name != "ground":
        assert numbers(body.find("inertial"), "mass") == numbers(link.find("inertial/mass"), "value")
        (scaling,) = numbers(link.find("contact/inertia_scaling"), "value")
        inertia = [scaling * numbers(link.find("inertial/inertia"), axis)[0] for axis in ("ixx", "iyy", "izz")]
        assert numbers(body.find("inertial"), "diaginertia") == pytest.approx(inertia, rel=1e-4)


def test_episodes_in_mujoco_are_about_as_long_as_in_bullet():
    """Under random actions without a push: a median of 16, in Bullet of 18.5 with quarter points of 14 and 23."""
    pytest.importorskip("mujoco")
    world, lengths = MujocoCartPole(), [0]
    for drawn in np.random.default_rng(0).integers(len(DIRECTIONS), size=1500):
        lengths[-1] += 1
        if world.step(50 * DIRECTIONS[drawn]):
            lengths.append(0)
    assert len(lengths) > 50
    assert 14 <= np.median(lengths[:-1]) <= 20


def test_a_pole_on_a_cart_at_rest_stands_in_mujoco():
    pytest.importorskip("mujoco")
    world = MujocoCartPole()
    assert [world.step(np.zeros(2)) for _ in range(200)] == [False] * 199 + [True]
