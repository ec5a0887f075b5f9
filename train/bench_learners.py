"""Contenders of `cartbot bench` that learn: whole training runs and single updates, ours and others'."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium as gym
import numpy as np
from rich.console import Console

from agents.lazy import torch
from agents.learning import denormals_flushed
from agents.registry import find_agent
from eval.loop import Interaction, agent_seeds, training_seeds
from eval.runs import RunConfig, create_run
from eval.tasks import describe_task, make_envs
from train.bench_timing import Make, Work


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run that two libraries are told to do alike."""

    env: str
    env_args: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 8
    steps: int = 10_000
    """Environment steps per seed. Learning begins early, so that it has the share of the time that it has in long
    runs."""
    learning_starts: int = 500
    steps_per_update: int = 4
    """Environment steps per seed for each update."""
    hidden: tuple[int, ...] = (128, 128)
    batch_size: int = 64
    memory_size: int = 200_000
    envs: int = 16
    """Environments per seed of ours; the other library has one."""


def our_training(agent: str, recipe: Recipe) -> Make:
    """`cartbot train` of all seeds at once, with its run folder, logs and last checkpoint. The work is the recipe."""

    def make(device: str) -> Work:
        entry = find_agent(agent)
        names = ("learning_starts", "steps_per_update", "hidden", "batch_size", "memory_size")
        config = entry.config_class()(**{name: getattr(recipe, name) for name in names})

        def train(steps: int) -> float:
            from train.trainer import train as run_training

            with TemporaryDirectory() as folder:
                run = RunConfig(
                    agent=agent,
                    env=recipe.env,
                    env_args=dict(recipe.env_args),
                    agent_args=dataclasses.asdict(config),
                    steps=steps,
                    seeds=recipe.seeds,
                    envs=recipe.envs,
                    device=device,
                    checkpoint_interval=steps,
                )
                run_training(
                    run, config, lambda run: create_run(run, Path(folder) / "run"), Console(file=io.StringIO())
                )
            return 1

        return Work(run=partial(train, recipe.steps), warm_up=partial(train, recipe.learning_starts + 200))

    return make


def sb3_training(algorithm: str, recipe: Recipe) -> Make:
    """Stable-Baselines3's `learn()` of one seed, as it comes but for the recipe: one of `seeds` parts of the work."""

    def make(device: str) -> Work:
        import stable_baselines3

        def train(steps: int) -> float:
            env = gym.make(recipe.env, flatten=True, **recipe.env_args)
            model = getattr(stable_baselines3, algorithm)(
                "MlpPolicy",
                env,
                learning_starts=recipe.learning_starts,
                train_freq=recipe.steps_per_update,
                gradient_steps=1,
                batch_size=recipe.batch_size,
                buffer_size=recipe.memory_size,
                policy_kwargs={"net_arch": list(recipe.hidden)},
                device=device,
                seed=0,
            )
            model.learn(steps)
            env.close()
            return 1 / recipe.seeds

        return Work(run=partial(train, recipe.steps), warm_up=partial(train, recipe.learning_starts + 200))

    return make


TASK = "CartPole-v1"
"""Where the batches of single updates come from."""
GAMMA, LR, TARGET_INTERVAL, MEMORY = 0.99, 1e-3, 500, 10_000
HIDDEN, BATCH = (128, 128), 64
UPDATES = 20
"""Updates of a piece of work."""
COLUMNS, FILLED = 8, 2_000
"""Environments per seed, and steps per seed in the replay memory."""


def our_updates(seeds: int) -> Make:
    """Updates of our DQN for all seeds, drawing the batch included, with the options of the original algorithm."""

    def make(device: str) -> Work:
        entry = find_agent("dqn")
        config = entry.config_class()(
            gamma=GAMMA,
            lr=LR,
            hidden=HIDDEN,
            batch_size=BATCH,
            memory_size=MEMORY,
            learning_starts=FILLED,
            target_interval=TARGET_INTERVAL,
            target_tau=1.0,
            average_tau=1.0,
            double=False,
            backup_epsilon=0.0,
            n_step=1,
        )
        venv = make_envs(TASK, seeds * COLUMNS, env_args={}, workers=0)
        task = dataclasses.replace(describe_task(TASK, venv)[0], envs=COLUMNS)
        agent: Any = entry.build(config, task, agent_seeds(0, seeds), torch.device(device))
        loop = Interaction(venv, agent, seeds, training_seeds(0, COLUMNS), explore=True)
        for step in islice(loop, FILLED // COLUMNS):
            agent.observe(step)
        venv.close()

        @denormals_flushed()  # as in training
        def update() -> float:
            agent.steps += UPDATES * config.steps_per_update
            agent.update()
            agent.metrics()  # reads figures from the device, so that its work is done
            return UPDATES

        return Work(run=update)

    return make


def plain_updates() -> Make:
    """Updates of a DQN in plain torch as CleanRL writes it: modules, SB3's replay buffer, mean squares."""

    def make(device: str) -> Work:
        from stable_baselines3.common.buffers import ReplayBuffer

        torch.manual_seed(0)
        env: Any = gym.make(TASK)
        inputs, outputs = env.observation_space.shape[0], int(env.action_space.n)

        def network() -> Any:
            sizes, layers = (inputs, *HIDDEN), []
            for before, after in pairwise(sizes):
                layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
            return torch.nn.Sequential(*layers, torch.nn.Linear(HIDDEN[-1], outputs)).to(device)

        online, target = network(), network()
        target.load_state_dict(online.state_dict())
        optimizer = torch.optim.Adam(online.parameters(), lr=LR)
        memory = ReplayBuffer(MEMORY, env.observation_space, env.action_space, device, handle_timeout_termination=False)
        obs, _ = env.reset(seed=0)
        rng = np.random.default_rng(0)
        for action in rng.integers(outputs, size=(FILLED, 1)):
            next_obs, reward, terminated, truncated, _ = env.step(int(action[0]))
            memory.add(obs, next_obs, action, np.array([reward]), np.array([terminated]), [{}])
            obs = env.reset()[0] if terminated or truncated else next_obs
        env.close()
        updates = 0

        def update() -> float:
            nonlocal updates
            for _ in range(UPDATES):
                batch = memory.sample(BATCH)
                with torch.no_grad():
                    best = target(batch.next_observations).amax(1)  # [B]
                    td_target = batch.rewards.flatten() + GAMMA * best * (1 - batch.dones.flatten())
                q = online(batch.observations).gather(1, batch.actions).squeeze(1)
                loss = torch.nn.functional.mse_loss(q, td_target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                updates += 1
                if updates % TARGET_INTERVAL == 0:
                    target.load_state_dict(online.state_dict())
            loss.item()  # the device's work is done
            return UPDATES

        return Work(run=update)

    return make
