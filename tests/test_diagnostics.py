"""Diagnostics: curvature against exact Hessians, verdicts on built losses, runs that learn the same with them."""

from __future__ import annotations

import csv
import shlex
import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from PIL import Image

from agents.base import Task
from agents.curvature import DENSE, Curvature, curvature, extreme_eigenvalues, gradients
from agents.encoders import Encoder
from agents.learning import Adam
from agents.networks import clone, init_mlp, mlp
from agents.objectives import Diagnosable, Objective
from agents.streams import SeedStreams
from eval.checkpoint import load_checkpoint, newest_checkpoint
from eval.clock import seconds_at
from eval.diagnostic_plots import _read, draw_curvature, spread
from tests.helpers import CPU, build_agent, flat_state, random_step, seeds_of
from tests.test_agents import SMALL, TASKS
from train.__main__ import main
from train.diagnostics import picture_of

ENCODER = Encoder(gym.spaces.Box(-1, 1, (1,), np.float32), 1, CPU)


def objective_of(loss: Any, start: list[float], lr: float, max_norm: float = 1e9) -> Objective:
    """A loss of one vector x [S=1, n], and plain gradient descent on it."""
    return Objective(
        params={"x": torch.tensor([start])},
        loss=lambda params: loss(params["x"]),
        move=lambda gradient: [-lr * one for one in gradient],
        max_norm=max_norm,
        lr=lr,
        encoder=ENCODER,
        obs=torch.zeros(1, 1, 1),
    )


def look(objective: Objective, seed: int = 0) -> Curvature:
    return curvature(objective, SeedStreams(seeds_of(3), CPU), seed)


def test_a_bowl_is_measured_as_by_hand():
    """3 x^2 + y^2 / 2 at (1, 2) with step 0.1: g = (6, 2), H = diag(6, 1), d = -(0.6, 0.2)."""
    found = look(objective_of(lambda x: 3 * x[:, 0] ** 2 + x[:, 1] ** 2 / 2, [1.0, 2.0], lr=0.1))
    assert (found.loss, found.gradient_norm) == (5.0, pytest.approx(40**0.5))
    assert (found.smallest, found.largest) == (pytest.approx(1), pytest.approx(6))
    assert found.along_gradient == pytest.approx((6 * 36 + 4) / 40)
    assert (found.slope, found.bend) == (pytest.approx(-4.0), pytest.approx((6 * 0.36 + 0.04) / 2))
    assert found.verdict == "descending"


def test_gradients_are_clipped_before_the_step_is_judged():
    found = look(objective_of(lambda x: 3 * x[:, 0] ** 2 + x[:, 1] ** 2 / 2, [1.0, 2.0], 0.1, max_norm=40**0.5 / 2))
    assert (found.slope, found.bend) == (pytest.approx(-2.0), pytest.approx((6 * 0.36 + 0.04) / 8))
    assert found.gradient_norm == pytest.approx(40**0.5)


@pytest.mark.parametrize(("lr", "verdict"), [(0.99, "descending"), (1.01, "too large a step"), (-0.1, "uphill")])
def test_a_step_is_too_large_when_it_goes_up(lr: float, verdict: str):
    """On x^2 + y^2 gradient descent goes up with a rate above 1."""
    assert look(objective_of(lambda x: (x**2).sum(1), [3.0, -1.0], lr=lr)).verdict == verdict


@pytest.mark.parametrize(("down", "verdict"), [(1.0, "saddle"), (0.02, "descending")])
def test_a_saddle_is_seen(down: float, verdict: str):
    found = look(objective_of(lambda x: x[:, 0] ** 2 - down * x[:, 1] ** 2, [1e-3, 0.0], lr=0.1))
    assert (found.smallest, found.largest) == (pytest.approx(-2 * down), pytest.approx(2))
    assert found.verdict == verdict


def test_at_the_saddles_point_itself_too():
    assert look(objective_of(lambda x: x[:, 0] ** 2 - x[:, 1] ** 2, [0.0, 0.0], lr=0.1)).verdict == "saddle"


def test_a_linear_loss_has_no_curvature():
    found = look(objective_of(lambda x: 2 * x[:, 0] - x[:, 1], [1.0, 1.0], lr=0.1))
    assert (found.smallest, found.largest, found.bend, found.verdict) == (0, 0, 0, "descending")


@pytest.mark.parametrize("seed", [0, 2])
def test_eigenvalues_are_those_of_the_exact_hessian_of_a_network(seed: int):
    """Against the whole matrix, by another way of differentiating, in double precision."""
    torch.manual_seed(1)
    streams = SeedStreams(seeds_of(3), CPU)
    params = {name: tensor.double() for name, tensor in init_mlp(streams, "q", (4, 7, 2)).items()}
    obs, target = torch.randn(3, 11, 4).double(), torch.randn(3, 11, 2).double()

    def loss(params: Any) -> torch.Tensor:
        return (mlp(params, "q", obs) - target).pow(2).mean((1, 2))

    objective = Objective(
        params=params,
        loss=loss,
        move=lambda gradient: [-0.1 * one for one in gradient],
        max_norm=1e9,
        lr=0.1,
        encoder=ENCODER,
        obs=obs,
    )
    found = look(objective, seed)
    names, sizes = list(params), [tensor[0].numel() for tensor in params.values()]
    assert sum(sizes) > DENSE  # Lanczos is what is tested

    def of_vector(vector: torch.Tensor) -> torch.Tensor:
        parts = vector.split(sizes)
        replaced = {}
        for name, part in zip(names, parts, strict=True):
            replaced[name] = params[name].clone()
            replaced[name][seed] = part.reshape(params[name].shape[1:])
        return loss(replaced)[seed]

    at = torch.cat([tensor[seed].flatten() for tensor in params.values()])
    exact: Any = torch.autograd.functional.hessian(of_vector, at)
    values = torch.linalg.eigvalsh(exact)
    assert found.smallest == pytest.approx(values[0].item(), rel=1e-3)
    assert found.largest == pytest.approx(values[-1].item(), rel=1e-3)
    assert found.smallest < 0 < found.largest
    gradient = torch.autograd.functional.jacobian(of_vector, at)
    assert isinstance(gradient, torch.Tensor)
    assert found.along_gradient == pytest.approx((gradient @ exact @ gradient / (gradient @ gradient)).item(), rel=1e-6)
    assert found.slope == pytest.approx(-0.1 * (gradient @ gradient).item(), rel=1e-6)


def test_eigenvalues_of_a_matrix_are_its_ends():
    values = np.concatenate([np.linspace(-0.5, 3, 60), [-2.0, 40.0]])
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(62, 62)))[0]
    matrix = turn * values @ turn.T
    found = extreme_eigenvalues(lambda vector: matrix @ vector.ravel(), np.ones(62))
    assert found == (pytest.approx(-2, rel=1e-3), pytest.approx(40, rel=1e-3))


def test_the_optimisers_preview_is_its_next_step():
    params = init_mlp(SeedStreams(seeds_of(2), CPU), "q", (3, 5, 1))
    optimizer = Adam(params)
    obs = torch.linspace(-1, 1, 24).reshape(2, 4, 3)
    for _ in range(3):
        loss = mlp(params, "q", obs).square().mean((1, 2))
        gradients = torch.autograd.grad(loss.sum(), list(params.values()))
        before, preview = clone(params), optimizer.preview(gradients, 0.01)
        optimizer.descend(mlp(params, "q", obs).square().mean((1, 2)), 0.01, 1e9)
        for (name, tensor), step in zip(params.items(), preview, strict=True):
            torch.testing.assert_close(tensor.detach() - before[name], step, rtol=1e-4, atol=1e-7)


CASES = [("dqn", "numbers"), ("dqn", "pixels"), ("naf", "poses, continuous"), ("ddpg", "poses, continuous")]
CASES += [("reinforce", "numbers"), ("reinforce", "poses, continuous")]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_looking_changes_nothing_of_an_agent(name: str, kind: str):
    """Two agents that live the same life, one of them looked at whenever it can be, end alike to the bit."""
    task = Task(**{**TASKS[kind].__dict__, "envs": 2})
    plain, watched = (build_agent(name, task, 3, **SMALL[name]) for _ in range(2))
    assert isinstance(watched, Diagnosable)
    streams, looks = SeedStreams(seeds_of(3, root=5), CPU), 0
    for index in range(10 if kind == "pixels" else 24):
        step = random_step(task, 3, np.random.default_rng([7, index]))
        for agent in (plain, watched):
            agent.act(step.obs, step.first, explore=True)
            agent.observe(step)
        for objective in watched.objectives(streams).values():
            looks += 1
            found = curvature(objective, streams)
            assert found.smallest <= found.along_gradient + 1e-2 * abs(found.largest)
            assert found.along_gradient <= found.largest + 1e-2 * abs(found.largest)
            loss, slopes = gradients(objective)
            assert loss == pytest.approx(found.loss)
            assert sum(float(one[0].square().sum()) for one in slopes.values()) ** 0.5 == (
                pytest.approx(found.gradient_norm, rel=1e-4)
            )
            assert all(not one[1:].any() for one in slopes.values())  # seed 0's loss is seed 0's alone
        for agent in (plain, watched):
            agent.update()
    assert looks >= 2
    expected, found = flat_state(plain.state_dict()), flat_state(watched.state_dict())
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)


def cartbot(line: str) -> int:
    return main(shlex.split(line))


TINY = (
    "--env CartPole-v1 --seeds 2 --envs 2 --workers 0 --device cpu --learning-starts 20 --batch-size 8 "
    "--memory-size 300 --hidden 8 --checkpoint-interval 100"
)


@pytest.fixture(scope="module")
def diagnosed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("diagnosed") / "run"
    line = f"train dqn {TINY} --steps 300 --diagnostics --diagnostics-interval 40 --run {folder}"
    assert cartbot(line) == 0
    return folder


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    return flat_state(load_checkpoint(newest_checkpoint(folder / "checkpoints"))["agent"])


def test_a_run_with_diagnostics_learns_the_same_to_the_bit(diagnosed: Path, tmp_path: Path):
    assert cartbot(f"train dqn {TINY} --steps 300 --run {tmp_path / 'plain'}") == 0
    expected, found = weights_of(tmp_path / "plain"), weights_of(diagnosed)
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)
    assert not (tmp_path / "plain" / "diagnostics.csv").exists()


def test_an_interrupted_run_has_the_diagnostics_of_a_whole_one(diagnosed: Path, tmp_path: Path):
    half = tmp_path / "half"
    line = f"train dqn {TINY} --steps 170 --diagnostics --diagnostics-interval 40 --run {half}"
    assert cartbot(line) == 0
    assert cartbot(f"resume {half} --steps 300") == 0
    for name in ("diagnostics.csv", "layers.csv"):
        assert (half / name).read_text() == (diagnosed / name).read_text()


def test_the_rows_tell_every_look_and_every_layer(diagnosed: Path):
    with open(diagnosed / "diagnostics.csv", newline="") as file:
        looks = list(csv.DictReader(file))
    assert [int(row["step"]) for row in looks] == [40, 80, 120, 160, 200, 240, 280]
    assert {row["verdict"] for row in looks} <= {"descending", "uphill", "too large a step", "saddle"}
    with open(diagnosed / "layers.csv", newline="") as file:
        layers = list(csv.DictReader(file))
    assert len(layers) == 7 * 4
    assert {row["tensor"] for row in layers} == {"q.0.weight", "q.0.bias", "q.1.weight", "q.1.bias"}
    for row in layers:
        count = {"q.0.weight": 4 * 8, "q.0.bias": 8, "q.1.weight": 8 * 2, "q.1.bias": 2}[row["tensor"]]
        assert sum(map(int, row["value_counts"].split())) == sum(map(int, row["gradient_counts"].split())) == count
    norms = [float(row["gradient_norm"]) for row in layers if row["step"] == "200"]
    (whole,) = [float(row["gradient_norm"]) for row in looks if row["step"] == "200"]
    assert sum(norm**2 for norm in norms) ** 0.5 == pytest.approx(whole, rel=1e-4)
    with open(diagnosed / "metrics.csv", newline="") as file:
        shares = [float(row["clipped"]) for row in csv.DictReader(file) if row["clipped"]]
    assert shares and all(0 <= share <= 1 for share in shares)


def test_an_agent_without_losses_is_refused_before_there_is_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    line = f"train random --env CartPole-v1 --steps 50 --diagnostics --run {tmp_path / 'r'}"
    assert cartbot(line) == 2
    assert "--diagnostics looks at losses" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_activations_and_pixels_are_drawn_as_the_network_sees_them():
    image = np.zeros((4, 5, 6), np.uint8)
    image[..., 3] = 200  # the second frame is red
    layer = np.zeros((17, 2, 3))
    layer[16, 1, 2] = 0.5
    picture = picture_of(image, [layer])
    assert picture[0, 0].tolist() == [0, 0, 0] and picture[0, 3 * 5 + 2].tolist() == [200, 0, 0]
    top = 3 * 4 + 8  # below the frames and a gap; the 17th channel opens a second row
    assert picture[top + (6 + 2) + 5, 8].tolist() == [255, 255, 255]
    assert int((picture[top:] > 0).all(-1).sum()) == 9


def test_a_convolutional_run_leaves_pictures(tmp_path: Path):
    line = (
        "train dqn --env DriveBot-v0 --env-args observation=pixels --seeds 2 --envs 1 --workers 0 --device cpu "
        f"--steps 30 --learning-starts 10 --batch-size 4 --memory-size 40 --hidden 4 --diagnostics "
        f"--diagnostics-interval 15 --run {tmp_path / 'r'}"
    )
    assert cartbot(line) == 0
    found = sorted((tmp_path / "r" / "diagnostics").iterdir())
    assert len(found) == 2
    with Image.open(found[0]) as picture:
        assert np.asarray(picture).std() > 10


def test_histograms_of_several_looks_share_their_bins():
    """Four values in [0, 1] and two in [1, 3]: over [0, 3] the first take a third of the bins, the second the rest."""
    rows = [
        {"value_low": 0.0, "value_high": 1.0, "value_counts": "1 3"},
        {"value_low": 1.0, "value_high": 3.0, "value_counts": "2"},
    ]
    edges, counts = spread(rows, "value")
    middles = (edges[:-1] + edges[1:]) / 2
    assert (edges[0], edges[-1], counts.sum()) == (0, 3, pytest.approx(6))
    assert counts[0][middles < 0.4].sum() < 1.01 and counts[0][middles > 1.05].sum() == 0
    assert counts[1][middles < 0.95].sum() == 0 and np.ptp(counts[1][middles > 1.05]) < 1e-9


def test_plot_draws_what_was_diagnosed(diagnosed: Path, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(diagnosed, run)
    whole = (run / "layers.csv").read_text()
    (run / "layers.csv").write_text(whole + "280,0,q,q.0.weight,1.0,nonsense\n300,0")  # as a crash leaves it
    assert cartbot(f"plot {run}") == 0
    assert {path.name for path in (run / "plots").iterdir()} == {
        "learning-curve.png", "action-proportions.png", "curvature.png", "layers-q.png", "histograms-q.png"
    }  # fmt: skip
    looks = _read(run / "diagnostics.csv", ("loss_of", "verdict"), ())
    panels = draw_curvature(looks).axes
    assert len(panels) == 3
    np.testing.assert_allclose(panels[0].get_lines()[0].get_ydata(), [row["largest_eigenvalue"] for row in looks])  # pyright: ignore
    marks = {text.get_text() for text in panels[1].get_legend().get_texts()}  # pyright: ignore
    assert {row["verdict"] for row in looks} <= marks


def test_a_curve_against_time_joins_what_was_resumed(diagnosed: Path, tmp_path: Path):
    for suffix in ("svg", "pdf"):
        assert cartbot(f"plot {diagnosed} {diagnosed} --x time --out {tmp_path / f'c.{suffix}'}") == 0
        assert (tmp_path / f"c.{suffix}").stat().st_size > 1000
    (tmp_path / "metrics.csv").write_text("step,seconds\n100,10\n100,10\n200,30\nnan,7\n150,5\n400,3\n300,\n400,40\n9")
    found = seconds_at(tmp_path, np.array([0.0, 50.0, 150.0, 300.0, 400.0]))
    assert found.tolist() == [0, 5, 20, 35, 40]
    (tmp_path / "metrics.csv").write_text("step,seconds\n")
    with pytest.raises(ValueError, match="--x steps"):
        seconds_at(tmp_path, np.array([1.0]))
