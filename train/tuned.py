"""Settings of agents that suit particular environments better than the agents' own defaults.

They stand between those defaults and what a config file or a flag says; `cartbot train AGENT --env ID --help` shows
them. How they were found is told in `train/tuned.md`.
"""

from __future__ import annotations

from typing import Any

# On CartPole3D one action of a 24th of a second hardly matters, and a pole that drifts away upright falls only seconds
# later: what tells such values apart is looking far ahead, averaging, small steps in the end, and the lower of two
# opinions.
_CALM: dict[str, Any] = {"gamma": 0.995, "average_tau": 0.0003, "lr_half_steps": 30_000}
# More noise and a longer memory made naf and ddpg tell better what a force is worth where it hardly matters.
_BOLD: dict[str, Any] = {"noise_end": 0.2, "target_noise": 0.2, "memory_size": 500_000}
# Ten passes in small parts over a batch need a third of the steps that one step of Adam a batch does.
_CALM_POLICY: dict[str, Any] = {
    "gamma": 0.995,
    "gae_lambda": 0.95,
    "lr": 3e-4,
    "lr_half_steps": 100_000,
    "batch_episodes": 2,
    "passes": 10,
    "minibatch": 64,
    "max_kl": 0.1,
    "average_tau": 0.2,
    "value_lr": 5e-4,
    "value_steps": 200,
    "value_batch": 128,
    "std_start": 1.0,
    "hidden": (128, 128),
}
# Turning one way only takes a robot around the track as well, if slowly; with a bonus for entropy, and small steps,
# no seed gets used to that.
_BOTH_WAYS: dict[str, Any] = {
    "gae_lambda": 0.95,
    "lr": 3e-4,
    "passes": 10,
    "minibatch": 256,
    "max_kl": 0.1,
    "average_tau": 0.2,
    "entropy_bonus": 0.03,
    "value_lr": 5e-4,
    "value_steps": 100,
}
TUNED: dict[str, dict[str, dict[str, Any]]] = {
    "dqn": {
        "CartPole-v1": {"n_step": 5, "lr_half_steps": 20_000, "epsilon_end": 0.2},
        # What is rare later on, a cart far from the middle, is remembered from the beginning.
        "CartPole3D-v0": {"action_gap": 0.5, "memory_size": 400_000, "hidden": (256, 256), **_CALM},
    },
    "reinforce": {
        # What columns lose by waiting for whole episodes matters here; with a force it hardly does in the end.
        "CartPole3D-v0": {**_CALM_POLICY, "batch_steps": 2_048, "value_steps": 320},
        "CartPole3DContinuous-v0": _CALM_POLICY,
        "DriveBot-v0": _BOTH_WAYS,
    },
    "ddpg": {"CartPole3DContinuous-v0": {"twin_critics": True, "twin_actors": True, **_BOLD, **_CALM}},
    "naf": {
        "CartPole3DContinuous-v0": {"twin_networks": True, **_BOLD, **_CALM},
        # To get away from a wall takes turning for a while; noise that is drawn afresh at each step averages out.
        "DriveBotContinuous-v0": {"noise": "ornstein-uhlenbeck"},
    },
    # Its tables in the book are for this discount.
    "qtable": {"GridWorld-v0": {"gamma": 0.9}},
    # SARSA's policy includes its exploration, and a pole that is pushed at random now and then falls.
    "sarsa": {"GridWorld-v0": {"gamma": 0.9}, "CartPole-v1": {"epsilon_end": 0.02}},
}
"""Agent, environment, fields."""


def tuned_fields(agent: str, env_id: str) -> dict[str, Any]:
    """The tuned fields of an agent's config on an environment; none where it was not tuned."""
    return dict(TUNED.get(agent, {}).get(env_id.split(":")[-1], {}))
