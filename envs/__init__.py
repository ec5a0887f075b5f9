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
register(
    "BernoulliBandit-v0",
    entry_point="envs.bandits:BernoulliBandit",
    vector_entry_point="envs.bandits:BernoulliBanditVectorEnv",
    disable_env_checker=True,
)
register(
    "GaussianBandit-v0",
    entry_point="envs.bandits:GaussianBandit",
    vector_entry_point="envs.bandits:GaussianBanditVectorEnv",
    disable_env_checker=True,
)
register(
    "GridWorld-v0",
    entry_point="envs.gridworld:GridWorld",
    vector_entry_point="envs.gridworld:GridWorldVectorEnv",
    disable_env_checker=True,
)
register(
    "DriveBot-v0",
    entry_point="envs.drivebot:DriveBot",
    vector_entry_point="envs.drivebot:drivebot_vector",
    disable_env_checker=True,
)
register(
    "DriveBotContinuous-v0",
    entry_point="envs.drivebot:DriveBot",
    vector_entry_point="envs.drivebot:drivebot_vector",
    kwargs={"continuous": True},
    disable_env_checker=True,
)
