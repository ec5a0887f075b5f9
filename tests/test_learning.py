"""The optimiser against torch's own, running means, and updates that compile as one program."""

from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from rich.console import Console

from agents.learning import Adam, Tally, compile_whole, denormals_flushed
from agents.networks import Params, init_mlp, mlp
from agents.registry import find_agent
from agents.streams import SeedStreams
from eval.runs import Run, RunConfig, create_run
from tests.helpers import CPU, build_agent, control_task, random_step, seeds_of, vector_task
from train.trainer import train


def fitted(params: Params, step: int) -> torch.Tensor:
    """A loss [S] that changes with every step."""
    x = torch.randn(len(params["q.0.weight"]), 5, 4, generator=torch.Generator().manual_seed(step))
    return (mlp(params, "q", x) - x.sum(-1, keepdim=True)).square().mean((1, 2))


def networks(seeds: int = 3) -> Params:
    return init_mlp(SeedStreams(seeds_of(seeds), CPU), "q", (4, 6, 1))


def test_adam_moves_as_torchs_own_does():
    ours, theirs = networks(), networks()
    adam = Adam(ours)
    reference = torch.optim.Adam([tensor.requires_grad_() for tensor in theirs.values()])
    for step in range(20):
        lr = 0.01 / (1 + step)
        adam.descend(fitted(ours, step), lr, max_norm=np.inf)
        reference.param_groups[0]["lr"] = lr
        reference.zero_grad()
        fitted(theirs, step).sum().backward()
        reference.step()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor)


def flushes() -> bool:
    """Whether this thread takes 1e-39 for 0."""
    return float(torch.full((16,), 1e-39).mul(1.0).sum()) == 0.0


def test_numbers_next_to_0_are_0_while_an_agent_learns(tmp_path: Path):
    found: list[bool] = []

    def look(config: RunConfig) -> Run:
        found.append(flushes())
        beside = Thread(target=lambda: found.append(flushes()))  # as environments step
        beside.start()
        beside.join()
        return create_run(config, tmp_path / "run")

    config = find_agent("dqn").config_class()(learning_starts=4)
    run = RunConfig(agent="dqn", env="CartPole-v1", steps=8, seeds=2, checkpoint_interval=8)
    train(run, config, look, Console(quiet=True))
    assert found == [True, True] and not flushes()
    with pytest.raises(KeyError), denormals_flushed():
        raise KeyError
    assert not flushes()


def test_gradients_are_shortened_within_each_seed():
    """Seed 0 has a gradient of (3, 4), then of (30, 40), which counts as (3, 4) again; seed 1 of 0, then of (0.6, 0.8).

    With equal gradients Adam moves by exactly lr at each step; unclipped, the second would be longer.
    """
    weight = {"w": torch.zeros(2, 2)}
    adam = Adam(weight)
    slopes = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[30.0, 40.0], [0.6, 0.8]])
    norms = [adam.descend((weight["w"] * slope).sum(1), 0.1, max_norm=5.0) for slope in slopes]
    torch.testing.assert_close(torch.stack(norms), torch.tensor([[5.0, 0.0], [50.0, 1.0]]))
    torch.testing.assert_close(weight["w"][0].detach(), torch.tensor([-0.2, -0.2]))


def test_an_optimiser_goes_on_from_its_state_to_the_bit():
    params = networks()
    adam = Adam(params)
    adam.descend(fitted(params, 0), 0.01, 1.0)
    copy = {name: tensor.detach().clone() for name, tensor in params.items()}
    other = Adam(copy)
    other.load_state_dict(adam.state_dict())
    for step in (1, 2):
        adam.descend(fitted(params, step), 0.01, 1.0)
        other.descend(fitted(copy, step), 0.01, 1.0)
    for name, tensor in params.items():
        assert torch.equal(copy[name], tensor)


def test_a_tally_gives_means_and_begins_anew():
    tally = Tally(2)
    tally.add(loss=torch.tensor([1.0, 2.0]))
    tally.add(loss=torch.tensor([3.0, 6.0]))
    assert tally.drain()["loss"].tolist() == [2.0, 4.0]
    assert tally.drain() == {}


SMALL = {"learning_starts": 12, "batch_size": 8, "memory_size": 200, "hidden": (6,)}


@pytest.mark.parametrize(
    ("name", "part", "settings"),
    [
        ("dqn", "drawing", {"target_interval": 2}),
        ("dqn", "learning", {"target_interval": 2}),
        ("naf", "learning", {"twin_networks": True}),
        ("ddpg", "learning", {"twin_critics": True, "twin_actors": True, "policy_delay": 2}),
        ("ddpg", "learning", {"target_noise": 0.0}),
    ],
)
def test_an_update_compiles_as_one_program_that_computes_the_same(name: str, part: str, settings: dict[str, object]):
    """What a GPU is given: no part of it falls back to Python, and none waits for a number. Compiled for a CPU here."""
    task = vector_task(features=3, actions=4, envs=2) if name == "dqn" else control_task(features=3, envs=2)
    plain, other = (build_agent(name, task, 2, **SMALL, **settings) for _ in range(2))
    if part == "drawing":
        other.memory._look_up = compile_whole(other.memory._transitions, "aot_eager")  # pyright: ignore[reportAttributeAccessIssue]
    else:
        program = compile_whole(other._step_of_descent, "aot_eager")  # pyright: ignore[reportAttributeAccessIssue]

        def learn(*given: object) -> object:
            return program(*(torch.tensor(one) if isinstance(one, float) else one for one in given))

        setattr(other, "_step" if name == "ddpg" else "_learn", learn)
    for index in range(30):
        step = random_step(task, 2, np.random.default_rng(index))
        for agent in (plain, other):
            agent.observe(step)
            agent.update()
    found, expected = (agent.state_dict() for agent in (other, plain))
    assert found["updates"] == expected["updates"] > 5
    for network in ("params", "target", "average"):
        for name, tensor in expected[network].items():
            torch.testing.assert_close(found[network][name], tensor)
