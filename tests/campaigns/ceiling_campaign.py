"""How well can CartPole3D be played with five actions? A planner that tries things out in copies of the world tells.

    python -m tests.campaigns.ceiling_campaign RUN [--episodes 128] [--depth 3] [--seed 0]

Before each step it copies the state of every episode, hidden contacts included, plays all sequences of `depth` actions
in the copies, and takes the first action of the one that leads to where the RUN's agent expects most. No agent that
sees poses alone can do that; how much better the planner is tells how far the agent is from what is possible.
Episodes start from the evaluation's reset seeds, in the batched world.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np
from numpy.typing import NDArray

from agents.base import Agent
from envs.cartpole3d_lanes import LanesCartPole
from envs.cartpole3d_task import DIRECTIONS, has_fallen, is_off_cart, roll_pitch
from envs.cartpole3d_vector import BatchedCartPole3D
from eval.evaluation import restore_agent
from eval.loop import EVALUATION_SEED
from eval.runs import find_run
from eval.stats import deciles, share_interval
from eval.tasks import describe_task


class Planner:
    """Chooses actions for all episodes of an environment at once.

    Args:
        env: whose state it copies.
        agent: gives the value of where a sequence of actions leads.
        seed: which of the agent's seeds.
        depth: actions whose sequences are all tried.
    """

    def __init__(self, env: BatchedCartPole3D, agent: Agent, seeds: int, seed: int, depth: int):
        self.env, self.agent, self.seeds, self.seed = env, agent, seeds, seed
        self.sequences = np.array(list(itertools.product(range(len(DIRECTIONS)), repeat=depth)))  # [K, depth]
        self.world = LanesCartPole(env.num_envs * len(self.sequences), threads=2)
        self.poses = np.zeros((self.world.columns, 2, 2, 7), np.float32)  # [N * K, snapshots, bodies, 7]

    def act(self) -> NDArray[np.intp]:
        """The best first actions, [N]."""
        count, columns, config = len(self.sequences), self.env.num_envs, self.env.config
        for number in range(count):
            self.world.place(np.arange(columns) * count + number, self.env._world)
        standing = np.ones(self.world.columns, bool)
        value = np.zeros(self.world.columns)
        for step in range(self.sequences.shape[1]):
            force = DIRECTIONS[np.tile(self.sequences[:, step], columns)] * config.action_force
            for snapshot in range(2):
                self.world.push(force, config.steps_per_repeat)
                self.world.write_poses(self.poses[:, snapshot])
            standing &= [self._stands(*poses) for poses in self.poses[:, -1].tolist()]
            value += standing
        predicted = self.agent.value(np.broadcast_to(self.poses, (self.seeds, *self.poses.shape)))  # type: ignore[attr-defined]
        value += standing * predicted[self.seed]
        return self.sequences[value.reshape(columns, count).argmax(-1), 0]

    def _stands(self, cart: list[float], pole: list[float]) -> bool:
        config = self.env.config
        fallen = has_fallen(pole[0], pole[1], *roll_pitch(*pole[3:]), config.position_limit, config.tilt_limit)
        return not fallen and not is_off_cart(cart[2], pole[2])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--episodes", type=int, default=128)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    run = find_run(settings.run)
    env = BatchedCartPole3D(settings.episodes, overlap=False)
    agent, _ = restore_agent(run, describe_task("CartPole3D-v0", env)[0])
    planner = Planner(env, agent, run.config.seeds, settings.seed, settings.depth)
    env.reset(seed=[EVALUATION_SEED + episode for episode in range(settings.episodes)])
    lengths = np.zeros(settings.episodes, int)
    success = np.zeros(settings.episodes, bool)
    while env.active.any():
        lengths += env.active
        *_, infos = env.step(planner.act())
        success |= np.asarray(infos.get("is_success", False))
    low, high = share_interval([success.tolist()], np.random.default_rng(0))
    print(
        f"planner of depth {settings.depth} with the values of seed {settings.seed}: success {success.mean():.1%} "
        f"({low:.1%} - {high:.1%}) of {settings.episodes} episodes, length deciles {deciles(lengths)}"
    )


if __name__ == "__main__":
    main()
