"""What is known of environments beside their spaces: names of actions and states, and which action does nothing.

Our own say it in their metadata; for some well-known ones of Gymnasium it stands here.
"""

from __future__ import annotations

from typing import Any

OWN_ENVS = {
    "CartPole3D-v0": "balance a free-standing pole on a cart in 3D, five actions (Bullet, or world=batched)",
    "CartPole3DContinuous-v0": "the same with a continuous force along x and y",
    "DriveBot-v0": "drive a robot with three sonars along a walled circuit: forward, left, right",
    "DriveBotContinuous-v0": "the same with a forward speed and a turn rate",
    "BernoulliBandit-v0": "arms that pay 0 or 1, each with a probability of its own",
    "GaussianBandit-v0": "arms that pay normally distributed rewards: the 10-armed testbed",
    "GridWorld-v0": "a grid with two squares that pay and carry off, example 3.5 of Sutton and Barto",
}
"""Our environments, in the order in which `cartbot list` shows them."""

KNOWN_ACTIONS: dict[str, tuple[str, ...]] = {
    "CartPole-v0": ("left", "right"),
    "CartPole-v1": ("left", "right"),
    "MountainCar-v0": ("left", "coast", "right"),
    "Acrobot-v1": ("negative", "none", "positive"),
    "FrozenLake-v1": ("left", "down", "right", "up"),
    "FrozenLake8x8-v1": ("left", "down", "right", "up"),
    "CliffWalking-v1": ("up", "right", "down", "left"),
    "Taxi-v3": ("south", "north", "east", "west", "pick up", "drop off"),
    "LunarLander-v3": ("coast", "left engine", "main engine", "right engine"),
}

KNOWN_STATES: dict[str, tuple[str, ...]] = {
    "FrozenLake-v1": tuple(f"({row}, {column})" for row in range(4) for column in range(4)),
    "FrozenLake8x8-v1": tuple(f"({row}, {column})" for row in range(8) for column in range(8)),
    "CliffWalking-v1": tuple(f"({row}, {column})" for row in range(4) for column in range(12)),
}

KNOWN_IDLE = {
    "MountainCar-v0": 1,
    "Acrobot-v1": 1,
    "LunarLander-v3": 0,
    "Pendulum-v1": 0,
    "MountainCarContinuous-v0": 0,
}


def action_facts(env_id: str, metadata: dict[str, Any]) -> dict[str, Any]:
    """`action_names`, `action_directions`, `state_names` and `idle_action` of an environment, each where known."""
    name = env_id.split(":")[-1]
    facts: dict[str, Any] = {
        "action_names": KNOWN_ACTIONS.get(name),
        "action_directions": None,
        "state_names": KNOWN_STATES.get(name),
        "idle_action": KNOWN_IDLE.get(name),
    }
    return {key: metadata.get(key, value) for key, value in facts.items()}
