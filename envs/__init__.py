"""Simulators. Importing this package registers them with Gymnasium.

`gymnasium.make("envs:CartPole3D-v0")` does both at once.
"""

from gymnasium import register

register(
    "CartPole3D-v0",
    entry_point="envs.cartpole3d:CartPole3D",
    vector_entry_point="envs.vector:cartpole3d_vector",
    disable_env_checker=True,
)
register(
    "CartPole3DContinuous-v0",
    entry_point="envs.cartpole3d:CartPole3D",
    vector_entry_point="envs.vector:cartpole3d_vector",
    kwargs={"continuous": True},
    disable_env_checker=True,
)
