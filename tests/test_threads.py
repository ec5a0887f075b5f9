"""How many threads learn, and that no number depends on it."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers import build_agent, flat_state, random_step
from tests.test_agents import TASKS
from train.threads import HOLD, TRIES, ThreadChoice, threads_kept, up_to


class Machine:
    """A clock, and threads with which a step takes some seconds."""

    def __init__(self, seconds: dict[int, float]):
        self.seconds, self.threads, self.time = seconds, 0, 0.0
        self.choice = ThreadChoice(sorted(seconds), self.set_threads, lambda: self.time)

    def set_threads(self, number: int) -> None:
        self.threads = number

    def steps(self, count: int, share: float = 0.9) -> None:
        """Steps of which learning takes a share."""
        for _ in range(count):
            took = self.seconds[self.threads]
            self.time += took
            self.choice.step(took, share * took)
        assert self.choice.now == self.threads


def test_numbers_of_threads_that_are_tried():
    assert [up_to(most) for most in (1, 2, 6, 8)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8]]


@pytest.mark.parametrize(
    ("seconds", "best"),
    [({1: 1e-3, 2: 6e-4}, 2), ({1: 1e-3, 2: 2e-3}, 1), ({1: 1e-3, 2: 9.9e-4}, 1), ({1: 4e-3, 2: 2e-3, 4: 3e-3}, 2)],
)
def test_the_fastest_number_is_taken_and_the_lesser_one_if_they_are_alike(seconds: dict[int, float], best: int):
    machine = Machine(seconds)
    machine.steps(len(seconds) * TRIES)
    assert machine.threads == best
    machine.steps(100)
    assert machine.threads == best


def test_a_choice_is_made_anew_when_the_machine_has_changed():
    machine = Machine({1: 1e-3, 2: 6e-4})
    machine.steps(2 * TRIES)
    machine.seconds = {1: 1e-3, 2: 5e-2}  # something else has begun to use the other core
    machine.steps(round(HOLD / 5e-2) + 2 * TRIES + 1)
    assert machine.threads == 1


def test_a_step_now_and_then_that_takes_long_misleads_nobody():
    machine = Machine({1: 1e-3, 2: 6e-4})
    for number in range(2 * TRIES):
        machine.choice.step(1.0 if number == 3 else machine.seconds[machine.threads], 1.0)
    assert machine.threads == 2


def test_nothing_is_tried_where_learning_is_not_what_takes_the_time():
    machine = Machine({1: 1e-3, 2: 6e-4})
    machine.steps(100, share=0.4)
    assert machine.threads == 1


def test_steps_with_little_to_learn_say_nothing():
    machine = Machine({1: 1e-4, 2: 1e-4})  # what a step takes before learning begins
    machine.steps(2)
    machine.steps(100, share=0.2)
    machine.seconds = {1: 1e-3, 2: 6e-4}
    machine.steps(2 * TRIES)
    assert machine.threads == 2


def test_several_threads_are_compared_though_with_them_learning_takes_less_than_half():
    machine = Machine({1: 6e-4, 2: 1e-3})
    machine.steps(1)
    machine.steps(2 * TRIES, share=0.4)
    assert machine.threads == 1


def test_several_threads_are_doubted_again_though_with_them_learning_takes_less_than_half():
    machine = Machine({1: 1e-3, 2: 6e-4})
    machine.steps(2 * TRIES)
    machine.seconds = {1: 1e-3, 2: 5e-2}
    machine.steps(round(HOLD / 5e-2) + 2 * TRIES + 1, share=0.4)
    assert machine.threads == 1


SEEDS = 3
OFTEN = {"learning_starts": 64, "batch_size": 64, "memory_size": 2000, "steps_per_update": 1, "hidden": (256, 256)}


@pytest.mark.parametrize(
    ("name", "kind", "steps", "options"),
    [
        ("dqn", "poses", 80, {**OFTEN, "max_grad_norm": 1e-3}),
        ("naf", "poses, continuous", 80, {**OFTEN, "max_grad_norm": 1e-3}),
        ("ddpg", "poses, continuous", 80, {**OFTEN, "twin_critics": True, "twin_actors": True}),
        (
            "reinforce",
            "poses, continuous",
            300,
            {"hidden": (256, 256), "batch_steps": 256, "passes": 2, "minibatch": 64},
        ),
    ],
)
def test_what_is_learnt_is_the_same_on_as_many_threads_as_there_are_seeds(
    name: str, kind: str, steps: int, options: dict[str, Any]
):
    """To the bit: large layers, so that the work is really shared; gradients that are shortened."""

    def learnt(threads: int) -> dict[str, Any]:
        with threads_kept():
            torch.set_num_threads(threads)
            agent = build_agent(name, TASKS[kind], SEEDS, **options)
            assert getattr(agent, "most_threads", 1) == SEEDS
            for index in range(steps):
                step = random_step(TASKS[kind], SEEDS, np.random.default_rng(index))
                agent.act(step.obs, step.first, explore=True)
                agent.observe(step)
                agent.update()
            return flat_state(agent.state_dict())

    one = learnt(1)
    for threads in (2, SEEDS):
        several = learnt(threads)
        assert one.keys() == several.keys()
        for key, value in one.items():
            np.testing.assert_array_equal(value, several[key], err_msg=key)


def test_images_are_learnt_from_on_one_thread():
    assert getattr(build_agent("dqn", TASKS["pixels"], 3), "most_threads", 0) == 1


def test_a_run_leaves_the_number_of_threads_as_it_was():
    before = torch.get_num_threads()

    @threads_kept()
    def run() -> None:
        ThreadChoice([before + 1])
        assert torch.get_num_threads() == before + 1

    run()
    assert torch.get_num_threads() == before
